import json

import pytest

from localcluster import cli, cluster, prerequisites
from localcluster.spec import Addresses, Options, State, write_state


def test_status_of_nothing(capsys):
    assert cli.main(["status", "--name", "absent", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"name": "absent", "running": False}


def test_down_of_nothing_says_so_and_leaves_nothing(capsys, homes):
    assert cli.main(["down", "--name", "absent"]) == 0
    assert "there is no cluster absent" in capsys.readouterr().err
    assert not (homes / "state").exists()


def test_status_names_what_is_missing(capsys, state):
    write_state(state)
    assert cli.main(["status", "--name", "unit", "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["host_address"] == "10.213.3.1"
    assert report["audit_log"].endswith("/clusters/unit/audit.log")
    assert {"etcd", "kubelet", "fake-gpu-device-plugin"} <= set(report["missing"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kubeconfig", "--name", "absent"], "localcluster up --name absent"),
        (["tool", "hlem"], "unknown program 'hlem'"),
        (["build", "hlem"], "unknown program 'hlem'"),
        (["logs", "kubelet", "--name", "absent"], "has no log"),
        (["up", "--name", "Not-A-Name", "--node", "none"], "is not usable"),
    ],
)
def test_mistakes_are_told_without_a_traceback(capsys, arguments, said):
    assert cli.main(arguments) == 1
    assert said in capsys.readouterr().err


def test_a_node_that_cannot_be_is_refused_or_left_out(capsys, monkeypatch):
    monkeypatch.setattr(prerequisites, "lacking_for_node", lambda: ["it needs root"])
    made = []

    def up(options):
        made.append(options)
        return State(options, Addresses(0), "10.213.0.1", {"kube-apiserver": 6443}, privileged=False)

    monkeypatch.setattr(cluster, "up", up)
    assert cli.main(["up", "--node", "kubelet"]) == 1
    assert "no real node can run here: it needs root" in capsys.readouterr().err
    assert not made
    assert cli.main(["up"]) == 0
    assert not made[0].node


def test_the_processes_of_a_shape():
    assert cluster.expected_processes(Options(node=False)) == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ]
    assert "fake-gpu-device-plugin" not in cluster.expected_processes(Options(gpus=0))
    assert "kwok" in cluster.expected_processes(Options(node=False, kwok=1))

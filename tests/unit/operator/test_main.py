"""Arguments and exit statuses of the image."""

import asyncio

import pytest

from autoglm_operator import __main__ as program
from autoglm_operator import operator_process
from autoglm_operator.handlers import build_registry, build_settings
from autoglm_operator.kube.lease import LeadershipLost
from autoglm_operator.operator_process import Stopped


@pytest.fixture(autouse=True)
def _no_logging(monkeypatch):
    monkeypatch.setattr(program, "setup_logging", lambda _: None)


@pytest.mark.parametrize("arguments", [[], ["help"], ["operator", "autoscaler"]])
def test_usage(arguments, capsys):
    assert program.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m autoglm_operator operator|autoscaler\n"


def test_bad_environment(monkeypatch, capsys):
    monkeypatch.setenv("LOG_LEVEL", "loud")
    assert program.main(["operator"]) == 2
    assert "LOG_LEVEL='loud'" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "status"), [(Stopped(), 0), (LeadershipLost("taken by two"), 1)])
def test_exit_status(monkeypatch, caplog, error, status):
    async def run(_):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            await asyncio.sleep(10)

    async def fail():
        raise error

    monkeypatch.setattr(operator_process, "run_operator", run)
    with caplog.at_level("INFO"):
        assert program.main(["operator"]) == status
    assert caplog.records[-1].message == ("stopped" if status == 0 else "leadership lost")


def test_other_errors_are_not_swallowed(monkeypatch):
    async def run(_):
        async with asyncio.TaskGroup():
            raise RuntimeError("bug")

    monkeypatch.setattr(operator_process, "run_operator", run)
    with pytest.raises(ExceptionGroup):
        program.main(["operator"])


def test_kopf_is_a_shell_alone():
    settings = build_settings(namespaced=True)
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert not build_settings(namespaced=False).scanning.disabled
    registry = build_registry(lambda *_: None, kubeconfig=True)
    assert len(registry._watching.get_all_handlers()) == 1
    assert not registry._changing.get_all_handlers(), "no finalizer, no annotation"
    assert not registry._spawning.get_all_handlers()


async def test_an_api_server_that_is_away_is_waited_for(monkeypatch, caplog):
    asked = []

    class Client:
        async def serves(self, *kind):
            asked.append(kind)
            if len(asked) == 1:
                raise operator_process.KubeError("refused")
            return True

    sleep = asyncio.sleep
    monkeypatch.setattr(operator_process.asyncio, "sleep", lambda _: sleep(0))
    assert await operator_process._optional_kinds(Client()) == list(operator_process._OPTIONAL)
    assert caplog.records[0].message == "API server not ready"

"""The plugin: what it prints for good input, and what it says about bad input."""

import http.server
import io
import sys
import textwrap
import threading

import pytest
import yaml

from autoglm_operator.cli.explain import ExplainError, Memory, explain, sentences
from autoglm_operator.cli.main import main
from autoglm_operator.cli.render import RenderError, render
from autoglm_operator.cli.schema import problems


def text(spec="", name="phone", **head):
    lines = {"apiVersion": "autoglm.io/v1alpha1", "kind": "AutoGLMDeployment", "metadata": {"name": name}} | head
    base = "model: {source: {huggingFace: zai-org/AutoGLM-Phone-9B}}\nengine: {type: Simulator}\n"
    return yaml.safe_dump(lines) + "spec:\n" + textwrap.indent(base + textwrap.dedent(spec), "  ")


def refusal(given):
    with pytest.raises(RenderError) as caught:
        render(given, "file.yaml")
    return str(caught.value)


def test_render():
    objects = list(yaml.safe_load_all(render(text("autoscaling: {maxReplicas: 3}"), "file.yaml")))
    assert [item["kind"] for item in objects] == [
        "ServiceAccount",
        "NetworkPolicy",
        "Service",
        "PodDisruptionBudget",
        "Deployment",
        "HorizontalPodAutoscaler",
    ]
    assert {item["metadata"]["name"] for item in objects} == {"phone"}
    assert {item["metadata"]["namespace"] for item in objects} == {"default"}


def test_render_several_documents_in_their_namespaces():
    given = text(name="one", metadata={"name": "one", "namespace": "a"}) + "---\n---\n" + text(name="two")
    objects = list(yaml.safe_load_all(render(given, "file.yaml")))
    assert {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in objects} == {
        ("a", "one"),
        ("default", "two"),
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("replica: 3", "file.yaml: spec.replica: unknown field; expected one of autoscaling, engine, model"),
        ("replicas: -1", "file.yaml: spec.replicas: Input should be greater than or equal to 0 (got -1)"),
        ("replicas: '3'", "file.yaml: spec.replicas: Input should be a valid integer (got '3')"),
        (
            "rollout: {strategy: Now}",
            "spec.rollout.strategy: Input should be 'RollingUpdate' or 'Recreate' (got 'Now')",
        ),
        (
            "autoscaling: {minReplicas: 4, maxReplicas: 2}",
            (
                "file.yaml: spec.autoscaling.minReplicas: minReplicas must be at most maxReplicas: "
                "lower minReplicas or raise maxReplicas"
            ),
        ),
        ("tracing: {endpoint: 'http://o:4317', sampleRatio: .nan}", "spec.tracing.sampleRatio"),
        ("autoscaling: {}", "spec.autoscaling.maxReplicas: Field required (got {})"),
    ],
)
def test_render_names_the_field_the_value_and_what_to_write(spec, expected):
    assert expected in refusal(text(spec))


def test_every_mistake_is_named_at_once():
    assert len(refusal(text("replica: 3\nrollout: {kind: x}")).splitlines()) == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "file.yaml: no document; expected an AutoGLMDeployment"),
        ("a: [", "file.yaml: not YAML"),
        ("- a", "file.yaml: expected an AutoGLMDeployment, got list"),
        ("just text", "file.yaml: expected an AutoGLMDeployment, got str"),
        ("kind: Pod\napiVersion: v1", "expected autoglm.io/v1alpha1 AutoGLMDeployment, got v1 Pod"),
        (text(metadata=None), "metadata.name: required; write the name that the Service shall have"),
        (text(metadata="phone"), "metadata.name: required"),
        (text(name=5), "metadata.name: 5 is no name"),
        (text(name="My_Phone"), "metadata.name: 'My_Phone' is no name: write lower case letters"),
        (text(name="x" * 41), "metadata.name: metadata.name may have at most 40 characters"),
    ],
)
def test_render_of_something_else(given, expected):
    assert expected in refusal(given)


SIMULATED = {"model": {"source": {"huggingFace": "a/b"}}, "engine": {"type": "Simulator"}}
HEAD = {"apiVersion": "autoglm.io/v1alpha1", "kind": "AutoGLMDeployment", "metadata": {"name": "phone"}}


@pytest.mark.parametrize("spec", ["text", ["list"], 5, None])
def test_a_spec_that_is_no_object(spec):
    assert problems(HEAD | {"spec": spec})


def test_yaml_dates_and_odd_keys_are_no_crash():
    assert problems(HEAD | {"spec": SIMULATED | {5: 1}}) == [
        "spec.5: unknown field; expected one of autoscaling, engine, model, replicas, resources, rollout, scheduling, "
        "tolerance, tracing, warmStart"
    ]
    dated = yaml.safe_load("2026-01-01")
    assert problems(HEAD | {"spec": SIMULATED | {"model": SIMULATED["model"] | {"revision": dated}}}) == []


def run(capsys, *arguments):
    code = main(list(arguments))
    output = capsys.readouterr()
    return code, output.out, output.err


def test_main_renders_a_file_and_standard_input(capsys, tmp_path, monkeypatch):
    path = tmp_path / "autoglm.yaml"
    path.write_text(text())
    code, output, errors = run(capsys, "render", "-f", str(path))
    assert (code, errors) == (0, "")
    monkeypatch.setattr(sys, "stdin", io.StringIO(text()))
    assert run(capsys, "render", "-f", "-") == (0, output, "")


def test_main_says_what_is_wrong_without_a_trace(capsys, tmp_path):
    code, output, errors = run(capsys, "render", "-f", str(tmp_path / "none.yaml"))
    assert (code, output) == (1, "")
    assert errors == f"{tmp_path}/none.yaml: cannot be read: No such file or directory\n"


def test_main_without_a_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "render" in capsys.readouterr().err


def document(**parts):
    return {
        "metadata": {"namespace": "team-a", "name": "phone", "generation": 3},
        "spec": {"replicas": 2},
        "status": {},
    } | parts


def condition(kind, status="True", reason="ReplicasReady", message="1 of 2 replicas answer requests"):
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def test_explain_of_what_was_never_seen():
    found = sentences(document(), 0.0, Memory())
    assert "0 of 2 replicas answer requests at (not known yet)." in found
    assert "The operator has not seen the newest spec yet." in found
    assert "None yet: is the operator running?" in found
    assert "Off: spec.autoscaling is not set." in found
    assert "Not known: no replica was ready" in found


def test_explain_of_what_runs():
    autoscaling = {"minReplicas": 1, "maxReplicas": 4, "objective": {"ttftP99": "1s", "itlP99": "60ms"}}
    decision = {"time": "t", "from": 1, "to": 2, "reason": "Latency", "message": "P99 TTFT 3s is over 2s"}
    status = {
        "observedGeneration": 3,
        "readyReplicas": 1,
        "url": "http://phone.team-a.svc:8000/v1",
        "conditions": [
            condition("Stalled", "False", "NothingWrong", "nothing waits for a person."),
            condition("Ready"),
            condition("SomebodyElses"),
        ],
        "autoscaling": {"ttftP99": "812ms", "decision": decision},
        "serving": {"bottleneck": {"cause": "kv-cache", "evidence": "97% full.", "knob": "spec.replicas: more than 2"}},
    }
    found = sentences(document(spec={"replicas": 2, "autoscaling": autoscaling}, status=status), 0.0, Memory())
    assert found == textwrap.dedent("""\
        AutoGLMDeployment team-a/phone
          1 of 2 replicas answer requests at http://phone.team-a.svc:8000/v1.

        Conditions
          Ready is True (ReplicasReady, since 2026-01-01T00:00:00Z): 1 of 2 replicas answer requests.
          Stalled is False (NothingWrong, since 2026-01-01T00:00:00Z): nothing waits for a person.

        Bottleneck
          kv-cache: 97% full.
          To turn: spec.replicas: more than 2.

        Scaling
          Between 1 and 4 replicas, to keep P99 TTFT within 1s and P99 ITL within 60ms.
          The objective of P99 ITL, 60ms, lies between 50ms and 75ms, bounds of vLLM's buckets: what is
            between them is judged by interpolation.
          Last P99 TTFT 812ms, P99 ITL unknown.
          Last decision at t (Latency): P99 TTFT 3s is over 2s.
        """)


def test_explain_before_the_first_decision():
    autoscaling = {"minReplicas": 1, "maxReplicas": 4, "objective": {"ttftP99": "2s", "itlP99": "60ms"}}
    assert "No scaling decision yet." in sentences(document(spec={"autoscaling": autoscaling}), 0.0, Memory())


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    def use(server):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team-a"}}],
            "clusters": [{"name": "k", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        # The official client reads the variable when it is imported.
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        return path

    return use


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (404, "AutoGLMDeployment phone not found in namespace team-a: list them with `kubectl get agd -A`"),
        (403, "you may not read autoglmdeployments in namespace team-a: ask for the role autoglm-view"),
        (500, "the API server answers 500"),
    ],
)
def test_explain_says_what_is_in_the_way(httpserver_answering, kubeconfig, code, expected):
    kubeconfig(httpserver_answering(code))
    with pytest.raises(ExplainError) as caught:
        explain("phone", None, None)
    assert expected in str(caught.value)


def test_explain_without_an_api_server(kubeconfig, unused_tcp_port, capsys):
    kubeconfig(f"http://127.0.0.1:{unused_tcp_port}")
    code, output, errors = run(capsys, "explain", "phone")
    assert (code, output) == (1, "")
    assert errors.startswith("the API server does not answer")


def test_explain_without_a_kubeconfig(kubeconfig):
    kubeconfig("http://127.0.0.1:1").write_text("")
    with pytest.raises(ExplainError, match="set KUBECONFIG"):
        explain("phone", None, None)


@pytest.fixture
def httpserver_answering():
    """Start a server that gives one answer to everything."""

    servers = []

    def start(code):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()

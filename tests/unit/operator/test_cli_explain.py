"""What `kubectl autoglm explain` says of scaling: bounds, limits, forecast, and the last decisions."""

import http.server
import json
import textwrap
import threading

import pytest
import yaml

from autoglm_operator.cli.decisions import WIDTH, NoDecisionError, choose, details, table
from autoglm_operator.cli.explain import Asked, ExplainError, Memory, explain, memory_of, report, sentences
from autoglm_operator.cli.main import main
from autoglm_operator.decide.scaling.bounds import Bounds
from autoglm_operator.decide.scaling.history import Inputs, Ring
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals, Tail
from autoglm_operator.decide.scaling.rule import Decision, Forecast

#: 12:40 in Shanghai, a Friday.
NOON = 1_763_700_000
SIGNALS = Signals(ready=3, starting=1, waiting=28, running=48, ttft=Tail(2.314, 40), itl=Tail(0.041, 900))
BOUNDS = Bounds(
    1, 5, "minReplicas is 1 and maxReplicas 8; ResourceQuota gpu of namespace team-a allows 5 replicas of 1 GPU"
)
FORECAST = Forecast(demand=12.3, capacity=4.1, expected=13.0, upper=15.2, lead=95.0)
STEADY = "3 replicas: 9.1 requests/s with bursts to 11.2/s, one replica carries 4.10/s: 2.7 are needed"
BACKLOG = "3 → 5 replicas: 28 requests wait beside 12.3 requests/s, one replica carries 4.10/s: 4.7 are needed"
TRACE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


def records():
    ring = Ring()
    for minute, (to, reason, sentence) in enumerate(
        [(3, ScalingReason.LOAD, STEADY)] * 13 + [(5, ScalingReason.QUEUE, BACKLOG)]
    ):
        made = Decision(
            to, reason, sentence, forecast=FORECAST, candidates=((reason.value, 4.71), ("Load", 1.0)), traceparent=TRACE
        )
        ring.note(made, lambda made=made: Inputs.of(3, SIGNALS, BOUNDS, made), NOON + 60 * minute)
    return ring.records


OFFICE = {
    "schedule": "30 8 * * 1-5",
    "duration": "10h",
    "timeZone": "Asia/Shanghai",
    "minReplicas": 4,
    "maxReplicas": 16,
}
AUTOSCALING = {
    "minReplicas": 1,
    "maxReplicas": 8,
    "objective": {"ttftP99": "1s", "itlP99": "50ms"},
    "schedules": [OFFICE],
}
STATUS = {
    "observedGeneration": 3,
    "readyReplicas": 3,
    "url": "http://phone.team-a.svc:8000/v1",
    "actuation": {"path": "HPA", "message": "the HPA phone reads the metrics API"},
    "autoscaling": {
        "ttftP99": "2314ms",
        "itlP99": "41ms",
        "limits": [
            {
                "reason": "QuotaReached",
                "message": "ResourceQuota gpu of namespace team-a allows 5 replicas of 1 GPU (5 of 8 GPUs are left for "
                "them); 7 are needed: raise the quota or free what others use of it",
            }
        ],
        "decision": {"time": "t", "from": 3, "to": 5, "reason": "QueueBacklog", "message": "3 → 5 replicas"},
    },
}


def document(**autoscaling):
    return {
        "metadata": {"name": "phone", "namespace": "team-a", "generation": 3},
        "spec": {"replicas": 5, "autoscaling": AUTOSCALING | autoscaling},
        "status": STATUS,
    }


def scaling(memory, wall=NOON, **autoscaling):
    return sentences(document(**autoscaling), wall, memory).partition("\nScaling\n")[2]


def _indented(text):
    return textwrap.indent(textwrap.dedent(text), "  ")


def test_scaling_in_sentences():
    assert scaling(Memory(records())) == _indented("""\
          Between 1 and 8 replicas, to keep P99 TTFT within 1s and P99 ITL within 50ms.
          Bounds now: minReplicas is 4 and maxReplicas 16 by schedules[0] ("30 8 * * 1-5" Asia/Shanghai).
          Bounds from 2025-11-21T10:30:00Z on: minReplicas is 1 and maxReplicas 8.
          Replicas are written by the HPA: the HPA phone reads the metrics API.
          Limited (QuotaReached): ResourceQuota gpu of namespace team-a allows 5 replicas of 1 GPU (5 of 8
            GPUs are left for them); 7 are needed: raise the quota or free what others use of it.
          Last P99 TTFT 2314ms, P99 ITL 41ms.
          At 2025-11-21T04:53:00Z: 12.3 requests/s arrive, 13.0 are expected in 95 s, 15.2 with the reserve;
            one replica carries 4.10.
          Last decision at t (QueueBacklog): 3 → 5 replicas.
          2 decisions are kept: --decisions lists the last ones.
        """)


START = {
    "observedAt": "2025-11-21T04:00:00Z",
    "samples": 1,
    "totalSeconds": 100,
    "totalP90Seconds": 100,
    "recentTotalSeconds": [100],
    "stages": [{"name": "pull", "lastSeconds": 80, "medianSeconds": 80, "p90Seconds": 80}],
}


def test_how_long_starts_take():
    started = document() | {"status": STATUS | {"coldStart": START}}

    assert sentences(started, NOON, Memory(records())).partition("\nStarts\n")[2] == _indented("""\
          A replica takes 100 s to start, as the last one did: 80 s pull.
          With warmStart.mode Full it would be about 20 s.
        """)
    assert report(started, Memory(), NOON, None)["start"]["tiers"] == ({"mode": "Full", "seconds": 20, "saves": None},)


def test_outside_of_a_schedule_only_the_next_change_is_told():
    found = scaling(Memory(), wall=NOON + 12 * 3600)
    assert "Bounds now" not in found
    assert "Bounds from 2025-11-24T00:30:00Z on: minReplicas is 4 and maxReplicas 16 by schedules[0]" in found


def test_without_schedules_there_is_no_next_change():
    assert "Bounds" not in scaling(Memory(), schedules=[])


def test_what_cannot_be_read_is_said_beside_the_rest():
    found = scaling(Memory(problem="you may not read ConfigMap a/b"))
    assert found.endswith("  You may not read ConfigMap a/b.\n")
    assert "Last decision at t" in found


def test_the_table():
    assert "\n".join(table(records(), 10)) + "\n" == _indented("""\
          #    TIME (UTC)            REPLICAS    REASON                 MADE AGAIN
          1    2025-11-21 04:53:00   3 → 5       QueueBacklog
               3 → 5 replicas: 28 requests wait beside 12.3 requests/s, one replica carries 4.10/s: 4.7 are
               needed
          2    2025-11-21 04:40:00   3           Load                   12 times, last at 04:52:00
               3 replicas: 9.1 requests/s with bursts to 11.2/s, one replica carries 4.10/s: 2.7 are needed
        """)


def test_the_table_of_the_last_one():
    assert len(table(records(), 1)) == 4


def test_an_empty_table():
    (line,) = table([], 10)
    assert line.startswith("  None is kept yet")


def test_one_decision_in_full():
    assert "\n".join(details(records()[0])) + "\n" == textwrap.dedent(f"""\
        Decision of 2025-11-21T04:40:00Z
          {STEADY}.
          Reason Load; made again 12 times, last at 2025-11-21T04:52:00Z.

        Asked for
              4.71 replicas by Load
              1.00 replica by Load

        Made of
          3 ordered, 3 ready, 1 starting, 0 without a node.
          28 requests wait and 48 run.
          P99 TTFT 2314ms, P99 ITL 41ms.
          12.3 requests/s arrive, 13.0 are expected in 95 s, 15.2 with the reserve; one replica carries
          4.10.
          Between 1 and 5: minReplicas is 1 and maxReplicas 8; ResourceQuota gpu of namespace team-a allows
          5 replicas of 1 GPU.

        Trace {"ab" * 16}
        """)


def test_a_decision_without_a_forecast_or_candidates():
    made = Decision(1, ScalingReason.IDLE, "1 replica")
    ring = Ring()
    ring.note(made, lambda: Inputs.of(1, Signals(ready=1), BOUNDS, made), NOON)
    found = "\n".join(details(ring.records[0]))
    assert "Nothing that was weighed." in found
    assert "P99 TTFT unknown, P99 ITL unknown." in found
    assert "arrive" not in found
    assert "Trace" not in found


@pytest.mark.parametrize("text", [scaling(Memory(records())), *table(records(), 2), *details(records()[1])])
def test_it_fits_on_a_screen(text):
    assert max(map(len, text.splitlines() or [""])) <= WIDTH


@pytest.mark.parametrize("which", ["1", "#1", "2025-11-21T04:53:00Z", "2025-11-21T04:5", "2025-11-21 04:53"])
def test_a_decision_is_named_by_number_or_time(which):
    assert choose(records(), which).to == 5


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("0", "2 are kept, from 1, the newest"),
        ("3", "2 are kept"),
        ("2025", "2 decisions begin with that time: write more of it"),
        ("2024-01-01", "no decision begins with that time; kept are from 2025-11-21T04:40:00Z to 2025-11-21T04:53:00Z"),
        ("yesterday", "no decision begins with that time"),
    ],
)
def test_a_decision_that_is_not_there(which, said):
    with pytest.raises(NoDecisionError, match=f"--decision {which}: {said}"):
        choose(records(), which)


def test_everything_as_json():
    found = json.loads(json.dumps(report(document(), Memory(records(), {"level": 1.5}), NOON, None)))
    assert found["bounds"] == {
        "least": 4,
        "most": 16,
        "why": 'minReplicas is 4 and maxReplicas 16 by schedules[0] ("30 8 * * 1-5" Asia/Shanghai)',
        "next": {"time": "2025-11-21T10:30:00Z", "least": 1, "most": 8},
    }
    assert [limit["reason"] for limit in found["limits"]] == ["QuotaReached"]
    assert [record["to"] for record in found["decisions"]] == [3, 5]
    assert (found["actuation"]["path"], found["law"], found["problem"]) == ("HPA", {"level": 1.5}, None)
    assert [record["to"] for record in report(document(), Memory(records()), NOON, 1)["decisions"]] == [5]


def test_json_without_autoscaling():
    off = {"metadata": {"name": "phone", "namespace": "team-a"}, "spec": {}}
    assert report(off, Memory(), NOON, None)["bounds"] is None


@pytest.mark.parametrize("data", [{"decisions.json": "{"}, {"decisions.json": "[1]"}, {"law.json": "x"}])
def test_a_config_map_that_cannot_be_read(data):
    assert memory_of(data).problem.startswith("the ConfigMap of the decisions cannot be read: ")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Start a server with one deployment and its ConfigMap; return a setter of the code that it answers for that."""
    kept = {"code": 200}
    decisions = json.dumps([record.model_dump(by_alias=True, exclude_none=True) for record in records()])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            code, body = 200, document()
            if self.path.endswith("/namespaces/team-a/configmaps/phone-autoscaling"):
                code, body = (
                    kept["code"],
                    {"kind": "ConfigMap", "apiVersion": "v1", "data": {"decisions.json": decisions}},
                )
            text = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team-a"}}],
        "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    # The official client reads the variable when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    yield lambda code: kept.update(code=code)
    server.shutdown()
    server.server_close()


def run(capsys, *arguments):
    code = main(["explain", "phone", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command(cluster, capsys):
    code, out, _ = run(capsys)
    assert (code, "2 decisions are kept" in out) == (0, True)
    _, out, _ = run(capsys, "--decisions")
    assert out.startswith("AutoGLMDeployment team-a/phone\n\nDecisions\n  #")
    assert out.count("replicas:") == 2
    _, out, _ = run(capsys, "--decisions", "1")
    assert out.count("replicas:") == 1
    _, out, _ = run(capsys, "--decision", "2")
    assert "Decision of 2025-11-21T04:40:00Z" in out
    _, out, _ = run(capsys, "--decision", "2", "-o", "json")
    assert json.loads(out)["sentence"] == STEADY
    _, out, _ = run(capsys, "-o", "json", "--decisions", "1")
    assert [record["to"] for record in json.loads(out)["decisions"]] == [5]


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_count_that_is_none_is_refused(capsys, count):
    with pytest.raises(SystemExit):
        main(["explain", "phone", "--decisions", count])
    assert "--decisions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "No decisions are kept yet: there is no ConfigMap team-a/phone-autoscaling; is the autoscaler running?"),
        (403, "You may not read ConfigMap team-a/phone-autoscaling, which holds the decisions: ask for the role view."),
        (500, "The API server answers 500"),
    ],
)
def test_decisions_that_cannot_be_had(cluster, capsys, status, said):
    cluster(status)
    code, out, _ = run(capsys, "--decisions")
    assert (code, said in out) == (0, True)
    assert json.loads(explain("phone", None, None, Asked(json=True)))["problem"]
    with pytest.raises(ExplainError, match="--decision 1: 0 are kept"):
        explain("phone", None, None, Asked(decision="1"))

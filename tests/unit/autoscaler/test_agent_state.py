import json

import pytest

from autoglm_agent.device import GpuSample
from autoglm_agent.engine.health import EngineState, EngineStatus
from autoglm_agent.sampler import Snapshot
from autoglm_agent.state import State, document
from autoglm_operator.autoscaler.agent_state import Activity, parse
from autoglm_operator.autoscaler.engine_metrics import ScrapeError


def state(*gpus, version=1):
    return json.dumps({"version": version, "time": 1e9, "source": "nvml", "gpus": list(gpus)}).encode()


def gpu(used=40, total=80, age=1.0):
    return {"index": 0, "memoryUsedBytes": used, "memoryTotalBytes": total, "sampleAgeSeconds": age}


def test_each_gpu_has_a_share_and_the_oldest_says_how_fresh():
    found = parse(state(gpu(), gpu(used=20, age=3.0)), 100.0)
    assert found.memory == (0.5, 0.25)
    assert found.taken == 97.0


@pytest.mark.parametrize("body", [state(), state(gpu(age=31.0))])
def test_without_fresh_gpus_there_is_no_share(body):
    assert parse(body, 100.0).memory == ()


def test_what_the_engine_lists():
    body = json.loads(state()) | {"engine": {"models": ["phone", "sql"]}}
    assert parse(json.dumps(body).encode(), 1.0).models == {"phone", "sql"}


def test_what_is_wrong_and_what_is_asked_for():
    fault = {"gpu": "GPU-1", "code": "xid-79", "severity": "critical", "action": "drain", "message": "m" * 999}
    body = json.loads(state()) | {
        "engine": {"hung": True, "progress": "no token for 40 s"},
        "faults": [fault],
        "elastic": {"requestedMaxNumSeqs": 8},
    }
    found = parse(json.dumps(body).encode(), 1.0)
    assert [(item.code, item.action, len(item.message)) for item in found.faults] == [
        ("engine-hung", "restart", 17),
        ("xid-79", "drain", 512),
    ]
    assert found.requested_max_num_seqs == 8


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b'{"version":1}', "malformed"),
        (b'{"version":1,"gpus":[],"engine":7}', "malformed"),
        (b'{"version":1,"gpus":[],"faults":[{}]}', "malformed"),
        (state(gpu(), version=2), "malformed"),
        (state({"memoryUsedBytes": 1}), "malformed"),
        (state(gpu(used="many")), "malformed"),
        (state(gpu(used=-1)), "invalid"),
        (state(gpu(used=81)), "invalid"),
        (state(gpu(total=0)), "invalid"),
        (state(gpu(total=float("nan"))), "invalid"),
        (state(gpu(age=-1.0)), "invalid"),
        (state(gpu(age=float("nan"))), "invalid"),
    ],
)
def test_what_cannot_be_is_no_sample(body, reason):
    with pytest.raises(ScrapeError) as raised:
        parse(body, 100.0)
    assert raised.value.reason == reason


def test_activity_is_the_mean_of_the_gpus_that_tell():
    told = gpu() | {"smUtilization": 0.8, "tensorUtilization": 0.2, "dramUtilization": 0.5}
    other = gpu() | {"smUtilization": 0.4, "tensorUtilization": None}
    assert parse(state(told, other, gpu()), 100.0).activity == Activity(pytest.approx(0.6), 0.2, 0.5)
    assert parse(state(gpu(), told | {"sampleAgeSeconds": 31.0}), 100.0).activity == Activity()


@pytest.mark.parametrize(("value", "reason"), [(1.5, "invalid"), (float("nan"), "invalid"), ("much", "malformed")])
def test_activity_that_cannot_be_is_no_sample(value, reason):
    with pytest.raises(ScrapeError) as raised:
        parse(state(gpu() | {"dramUtilization": value}), 100.0)
    assert raised.value.reason == reason


def test_what_the_agent_writes_is_what_is_read():
    """The document of the agent itself, which ships in another image."""
    sample = GpuSample(
        0, "GPU-0", "H100", 40, 80, 0.9, 99.0, sm_utilization=0.8, tensor_utilization=0.3, dram_utilization=0.6
    )
    written = document(State(Snapshot("nvml", {"GPU-0": sample}), EngineStatus(EngineState.ALIVE, "", 0.0), 100.0), 1e9)
    assert parse(json.dumps(written).encode(), 100.0).activity == Activity(0.8, 0.3, 0.6)

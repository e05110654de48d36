import json

import pytest

from autoglm_agent import once
from autoglm_agent.device import GpuProcess, GpuSample
from autoglm_agent.engine.health import EngineState, EngineStatus
from autoglm_agent.faults import Fault
from autoglm_agent.sampler import Snapshot
from autoglm_agent.state import State
from autoglm_agent.xid import Action, Severity

NOW = 5000.0
MIB = 1 << 20
ENGINE = EngineStatus(EngineState.UNREACHABLE, "nothing listens on 127.0.0.1:8000", 0.0, NOW)
FULL = GpuSample(
    0,
    "GPU-a",
    "NVIDIA H100",
    73000 * MIB,
    81559 * MIB,
    0.41,
    NOW,
    power_watts=412.4,
    power_limit_watts=700.0,
    temperature_celsius=50.0,
    sm_clock_hertz=1980e6,
    pcie_generation=4,
    pcie_generation_max=5,
    pcie_width=16,
    pcie_width_max=16,
    clock_events=0x84,
    processes=(GpuProcess(17, 600 * MIB), GpuProcess(18, None)),
)
BARE = GpuSample(1, "GPU-b", "NVIDIA H100", None, None, None, NOW)
DRAIN = Fault("GPU-a", Severity.CRITICAL, "xid-79", Action.DRAIN, "the GPU has fallen off the bus", NOW - 3)
REMARK = Fault("GPU-a", Severity.INFO, "xid-63", Action.NONE, "a memory row was remapped", NOW - 3)


def show(*samples, output="table", **snapshot):
    shown = Snapshot("nvml", {sample.uuid: sample for sample in samples}, why="nvml was asked for", **snapshot)
    written = []
    status = once.run(State(shown, ENGINE, NOW), output, 1.7e9, written.append)
    return status, "".join(written)


def test_table_shows_figures_with_their_units_and_leaves_out_what_nobody_tells():
    status, text = show(FULL, BARE, driver="580.65.06")
    lines = text.splitlines()

    assert status == 0
    assert lines[:3] == [
        "source  nvml, driver 580.65.06",
        "why     nvml was asked for",
        "engine  unreachable: nothing listens on 127.0.0.1:8000",
    ]
    head, first, second = (line.split("  ") for line in lines[4:7])
    columns = [cell.strip() for cell in head if cell.strip()]
    assert columns == ["GPU", "NAME", "USED MiB", "TOTAL MiB", "UTIL", "POWER W", "°C", "SM MHz", "PCIE", "UUID"]
    assert [cell.strip() for cell in first if cell.strip()] == [
        "0", "NVIDIA H100", "73000", "81559", "41%", "412 of 700", "50", "1980", "4 x16 of 5 x16", "GPU-a",
    ]  # fmt: skip
    assert [cell.strip() for cell in second if cell.strip()] == ["1", "NVIDIA H100", *["-"] * 7, "GPU-b"]
    assert "GPU 0: clocks lowered: sw power cap, hw power brake slowdown" in lines
    assert "GPU 0: pid 17 600 MiB, pid 18 - MiB" in lines
    assert "faults  none" in lines


def test_table_lines_are_aligned():
    _, text = show(FULL, BARE)
    rows = text.splitlines()[4:7]

    assert len({row.index(uuid) for row, uuid in zip(rows, ("UUID", "GPU-a", "GPU-b"), strict=True)}) == 1


def test_json_is_the_state_document_and_why_this_source():
    status, text = show(FULL, output="json", driver="580.65.06")
    shown = json.loads(text)

    assert status == 0
    assert (shown["version"], shown["source"]) == (1, "nvml")
    assert (shown["sourceReason"], shown["driver"]) == ("nvml was asked for", "580.65.06")
    assert shown["gpus"][0]["uuid"] == "GPU-a"


@pytest.mark.parametrize(
    ("samples", "snapshot", "status"),
    [
        ((FULL,), {}, 0),
        ((FULL,), {"faults": (REMARK,)}, 0),
        ((FULL,), {"faults": (DRAIN, REMARK)}, 3),
        ((), {}, 1),
        ((), {"down": "driver_not_loaded", "down_since": NOW}, 1),
        ((FULL,), {"down": "driver_not_loaded", "down_since": NOW}, 1),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_exit_status_says_whether_there_is_a_gpu_and_whether_a_fault_asks_for_something(
    samples, snapshot, status, output
):
    assert show(*samples, output=output, **snapshot)[0] == status


def test_what_is_wrong_is_said_in_words():
    _, text = show(faults=(DRAIN,), down="gpu_is_lost", down_since=NOW, errors={"gpu_is_lost": 3, "unknown": 1})

    assert "down    gpu_is_lost" in text
    assert "errors  gpu_is_lost (3), unknown (1)" in text
    assert "fault   critical, action drain: xid-79 GPU-a: the GPU has fallen off the bus" in text

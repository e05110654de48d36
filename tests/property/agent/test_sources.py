"""Whatever an exporter, a recording or a driver says, the agent stays up and its figures stay possible."""

import json
from math import isfinite

from hypothesis import example, given
from hypothesis import strategies as st

from autoglm_agent.dcgm_names import NAMES
from autoglm_agent.dcgm_text import Pod, parse
from autoglm_agent.device import FIGURES, RATIOS, GpuSample, Reading, XidEvent
from autoglm_agent.faults import FaultState, Setting, advance, worst
from autoglm_agent.recording import RecordingError, load
from autoglm_agent.xid import Action

LABELS = 'gpu="0",UUID="GPU-a",namespace="n",pod="p"'
HEADER = {"format": "autoglm-gpu-recording", "version": 1}

names = st.sampled_from(sorted(NAMES))
values = st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=5))
series = st.builds(lambda name, value: f"{name}{{{LABELS}}} {value}".encode(), names, values)


@given(st.lists(st.one_of(series, st.binary(max_size=200)), max_size=30))
@example([b'DCGM_FI_DEV_GPU_UTIL{a="' + b"\\" * 5000])
@example([b"DCGM_FI_DEV_GPU_UTIL{" + b'a="b",' * 5000 + b"} 1"])
def test_any_text_is_read_and_gives_figures_that_can_be(lines):
    for sample in parse(lines, Pod("p", "n"), 1.0).samples:
        for name in FIGURES:
            value = getattr(sample, name)
            assert value is None or (isfinite(value) and value >= 0)
        assert all((getattr(sample, name) or 0) <= 1 for name in RATIOS)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
passes = st.fixed_dictionaries(
    {},
    optional={
        "second": json_values | st.integers(0, 10),
        "gpus": json_values | st.dictionaries(st.sampled_from("01"), json_values, max_size=2),
        "xids": json_values,
        "errors": json_values,
        "down": json_values,
    },
)


@given(lines=st.lists(passes, max_size=5), header=st.dictionaries(st.just("repeatFromSeconds"), json_values))
def test_any_file_is_a_recording_or_says_why_not(tmp_path_factory, lines, header):
    path = tmp_path_factory.mktemp("recordings") / "r.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in (HEADER | header, *lines)))
    try:
        recording = load(path)
    except RecordingError as error:
        assert str(path) in str(error)  # noqa: PT017  # the message is what is tested
        return
    assert recording.duration > recording.seconds[-1]


moments = st.fixed_dictionaries(
    {
        "step": st.floats(0, 1e6),
        "xids": st.lists(st.integers(0, 200), max_size=4),
        "down": st.booleans(),
        "recovery_action": st.none() | st.integers(0, 9),
        "clock_events": st.none() | st.integers(0, 511),
        "ecc_uncorrected": st.none() | st.integers(0, 3),
        "row_remap_failed": st.none() | st.booleans(),
    }
)


@given(st.lists(moments, max_size=40), st.none() | st.integers(0, 4))
def test_faults_are_in_the_past_without_doubles_and_end_when_all_is_well(history, expected):
    state, now, setting = FaultState(), 0.0, Setting(expected)
    for moment in history:
        now += moment["step"]
        figures = {key: moment[key] for key in FIGURES if key in moment}
        sample = GpuSample(0, "GPU-a", "H100", 1, 2, 0.5, now, **figures)
        xids = tuple(XidEvent("GPU-a", xid, now) for xid in moment["xids"])
        reading = Reading((), ("x",), xids, "x") if moment["down"] else Reading((sample,), (), xids)
        state = advance(state, reading, setting, now)
        assert all(0 <= fault.since <= now for fault in state.faults)
        assert len({(fault.gpu, fault.code) for fault in state.faults}) == len(state.faults)

    # The driver asks for nothing, the engine has restarted, and ten minutes pass.
    well = GpuSample(0, "GPU-a", "H100", 1, 2, 0.5, now, recovery_action=0)
    calm = Setting(None, engine_restarted=now + 1)
    for second in range(0, 600, 5):
        state = advance(state, Reading((well,)), calm, now + 1 + second)
    assert worst(state.faults) is Action.NONE
    assert state.faults == ()

import importlib.util
import json
from pathlib import Path

import pytest

from autoglm_agent.device import COUNTERS, FIGURES
from autoglm_agent.recording import RecordingError, load
from autoglm_agent.replay import ReplaySource, shipped
from autoglm_agent.scenario import load_scenario
from autoglm_agent.source import Request, choose

ROOT = Path(__file__).parents[3]
HEADER = {"format": "autoglm-gpu-recording", "version": 1, "synthetic": False, "about": "a test"}


@pytest.fixture(scope="module")
def recording():
    return shipped()


def write(path, *lines, **header):
    path.write_text("".join(json.dumps(line) + "\n" for line in (HEADER | header, *lines)))
    return path


def play(path, clock, gpus=None, scenario=None):
    return ReplaySource(load(path), gpus, clock, scenario)


def after(source, clock, seconds):
    clock.now += seconds
    return source.read()


# ---- the recording that is shipped


def test_recording_says_that_it_is_synthetic_and_what_made_it(recording):
    assert recording.synthetic
    assert "Not measured: made by scripts/synthetic_recording.py" in recording.about


def test_recording_is_what_its_script_writes():
    spec = importlib.util.spec_from_file_location("synthetic_recording", ROOT / "scripts/synthetic_recording.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert script.TARGET.read_text() == script.recording()


# Recordings of real GPUs come here; agents/gpu/README.md says how they are made.
RECORDED = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))


@pytest.mark.parametrize("path", [None, *RECORDED], ids=lambda path: path.stem if path else "shipped")
def test_every_recording_is_in_order_and_has_no_sample_that_cannot_be(path, clock):
    recording = load(path) if path else shipped()
    source = ReplaySource(recording, None, clock)

    assert list(recording.seconds) == sorted(set(recording.seconds))
    for second in range(min(3600, int(recording.duration))):
        clock.now = 1000.0 + second
        for sample in source.read().samples:
            assert 0 <= sample.memory_used_bytes <= sample.memory_total_bytes


def test_recording_that_is_shipped_adds_up(recording, clock):
    assert recording.seconds[0] == 0
    assert 0 < recording.repeat_from < recording.seconds[-1] < recording.duration
    source = ReplaySource(recording, 1, clock)
    told = {name for name in FIGURES if getattr(source.read().samples[0], name) is not None}
    assert {"memory_used_bytes", "power_watts", "tensor_utilization", "recovery_action"} < told
    for _ in range(360):
        sample = after(source, clock, 1).samples[0]
        parts = sample.memory_used_bytes + sample.memory_free_bytes + sample.memory_reserved_bytes
        assert parts == sample.memory_total_bytes
        assert 70 <= sample.power_watts <= sample.power_limit_watts


def test_replays_the_loading_once_and_then_repeats_the_serving(recording, clock):
    source = ReplaySource(recording, 1, clock)
    total = source.read().samples[0].memory_total_bytes
    assert source.read().samples[0].memory_used_bytes < 0.02 * total

    for seconds in range(60, 2000, 7):
        clock.now = 1000.0 + seconds
        used = source.read().samples[0].memory_used_bytes
        assert used == pytest.approx(0.92 * total, rel=0.01), seconds


def test_counters_grow_on_when_the_recording_repeats(recording, clock):
    source = ReplaySource(recording, 1, clock)
    before = source.read().samples[0]
    assert before.energy_joules is not None
    for _ in range(200):
        sample = after(source, clock, 11).samples[0]
        for name in COUNTERS:
            assert (getattr(sample, name) or 0) >= (getattr(before, name) or 0), name
        before = sample
    # 2200 s at the power of the recording.
    assert 2200 * 70 < before.energy_joules < 2200 * 700


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_pretends_as_many_gpus_as_asked_for(recording, clock, gpus):
    samples = ReplaySource(recording, gpus, clock).read().samples

    assert [sample.index for sample in samples] == list(range(gpus))
    assert len({sample.uuid for sample in samples}) == gpus


def test_clock_that_jumps_ahead_is_only_another_place_in_the_recording(recording, clock):
    source = ReplaySource(recording, 2, clock)
    source.read()

    assert len(after(source, clock, 1e9).samples) == 2


# ---- recordings of any machine


def test_each_pass_holds_until_the_next_and_what_is_not_said_stays(tmp_path, clock):
    path = write(
        tmp_path / "r",
        {"second": 0, "gpus": {"0": {"name": "A", "memoryUsedBytes": 1, "powerWatts": 70.5}}},
        {"second": 2, "gpus": {"0": {"memoryUsedBytes": 2}}},
        {"second": 4, "gpus": {"0": {"powerWatts": None, "rowRemapFailed": 1}}},
    )
    source = play(path, clock)
    seen = [after(source, clock, step).samples[0] for step in (0, 1.9, 0.1, 2)]

    assert [sample.memory_used_bytes for sample in seen] == [1, 1, 2, 2]
    assert [sample.power_watts for sample in seen] == [70.5, 70.5, 70.5, None]
    assert [sample.row_remap_failed for sample in seen] == [None, None, None, True]
    assert isinstance(seen[0].memory_used_bytes, int)
    assert (seen[0].name, seen[0].tensor_utilization) == ("A", None)
    assert source.why == "replay was asked for: the GPU figures are recorded"


def test_what_went_wrong_is_replayed_once_each_time_round(tmp_path, clock):
    path = write(
        tmp_path / "r",
        {"second": 0, "gpus": {"0": {"name": "A"}, "1": {"name": "B"}}},
        {"second": 1, "gpus": {"1": None}, "xids": [{"gpu": "1", "xid": 79}], "errors": ["gpu_is_lost"]},
        {"second": 2, "down": "driver_not_loaded", "gpus": {}},
        {"second": 3, "gpus": {}},
    )
    source = play(path, clock)
    readings = [source.read(), *(after(source, clock, 0.5) for _ in range(15))]

    xids = [(index, each.uuid[-1], each.xid) for index, reading in enumerate(readings) for each in reading.xids]
    assert xids == [(2, "1", 79), (10, "1", 79)]
    assert [len(reading.samples) for reading in readings[:8]] == [2, 2, 1, 1, 0, 0, 2, 2]
    assert readings[2].errors == ("gpu_is_lost",)
    assert {reading.down for reading in readings[4:6]} == {"driver_not_loaded"}


def test_no_event_is_lost_between_two_readings(tmp_path, clock):
    rows = [{"second": n, "gpus": {"0": {}}, "xids": [{"gpu": "0", "xid": n}]} for n in range(10)]
    source = play(write(tmp_path / "r", *rows), clock)

    assert [each.xid for each in source.read().xids] == [0]
    assert [each.xid for each in after(source, clock, 5).xids] == [1, 2, 3, 4, 5]
    assert [each.xid for each in after(source, clock, 7).xids] == [6, 7, 8, 9, 0, 1, 2]


def test_more_gpus_than_were_recorded_play_the_same_again(tmp_path, clock):
    path = write(tmp_path / "r", {"second": 0, "gpus": {"0": {"powerWatts": 1}, "1": {"powerWatts": 2}}})

    samples = play(path, clock, gpus=5).read().samples
    assert [sample.power_watts for sample in samples] == [1, 2, 1, 2, 1]
    assert len(play(path, clock).read().samples) == 2


def test_recording_that_was_cut_off_is_played_up_to_the_cut(tmp_path, clock):
    path = write(tmp_path / "r", {"second": 0, "gpus": {"0": {"powerWatts": 1}}}, {"second": 1, "gpus": {}})
    path.write_text(path.read_text()[:-8])

    assert play(path, clock).read().samples[0].power_watts == 1


GOOD = {"second": 0, "gpus": {"0": {}}}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no passes"),
        (["{"], "has no passes"),
        ([GOOD, "{", GOOD], "line 3: not JSON"),
        ([GOOD, "[]"], "line 3: expected a JSON object"),
        ([GOOD, GOOD], "line 3: second is 0; expected more than in the line before"),
        ([{"second": "x"}], "second is 'x'"),
        ([{"second": 0, "gpus": {"0": {"power": 1}}}], "line 2: 'power' is no figure of a GPU"),
        ([{"second": 0, "gpus": {"0": {"powerWatts": -1}}}], "powerWatts is -1; expected a number from 0 on, or null"),
        ([{"second": 0, "gpus": {"0": {"powerWatts": "x"}}}], "powerWatts is 'x'"),
        ([{"second": 0, "gpus": {"0": 5}}], "gpu 0 is 5; expected an object or null"),
        ([GOOD | {"xids": [{"gpu": "7", "xid": 1}]}], "is no XID; expected a known gpu and a number"),
    ],
)
def test_file_that_is_no_recording_says_where_and_what_was_expected(tmp_path, lines, message):
    path = tmp_path / "r.jsonl"
    rows = [line if isinstance(line, str) else json.dumps(line) for line in (HEADER, *lines)]
    path.write_text("\n".join(rows) + "\n")

    with pytest.raises(RecordingError) as error:
        load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": "x"}, 'expected "format": "autoglm-gpu-recording"'),
        ({"version": 2}, "version 2 of the format; this agent reads 1"),
        ({"repeatFromSeconds": 9}, "repeatFromSeconds is 9; expected 0 to 1"),
    ],
)
def test_header_that_is_wrong_says_so(tmp_path, header, message):
    with pytest.raises(RecordingError, match=message):
        load(write(tmp_path / "r", GOOD, **header))


def test_file_that_is_not_there_or_no_text_says_so(tmp_path):
    with pytest.raises(RecordingError, match="No such file"):
        load(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordingError, match="cannot read the recording"):
        load(tmp_path / "binary")


def test_recording_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "r").open("wb") as file:
        file.truncate(65 << 20)

    with pytest.raises(RecordingError, match="expected at most"):
        load(tmp_path / "r")


# ---- recording


def test_what_is_recorded_is_what_is_replayed(tmp_path, clock, recording):
    path = tmp_path / "made.jsonl"
    made = choose(Request("replay", gpus=2, record=path), clock)
    seen = [made.read()] + [after(made, clock, 2) for _ in range(100)]
    made.close()

    source = play(path, clock)
    again = [source.read()] + [after(source, clock, 2) for _ in range(100)]

    for first, second in zip(seen, again, strict=True):
        assert [[getattr(one, name) for name in FIGURES] for one in first.samples] == [
            [getattr(one, name) for name in FIGURES] for one in second.samples
        ]
    assert json.loads(path.read_text().splitlines()[0])["synthetic"] is True
    assert path.stat().st_size < 101 * 2 * 500


def test_recording_holds_faults_and_nothing_that_names_the_machine(tmp_path, clock):
    first = write(
        tmp_path / "r",
        {"second": 0, "gpus": {"0": {"name": "A", "powerWatts": 1}, "1": {"name": "B"}}},
        {"second": 1, "gpus": {"1": None}, "xids": [{"gpu": "0", "xid": 31}], "errors": ["gpu_is_lost"]},
        {"second": 2, "gpus": {}, "down": "unknown"},
        {"second": 3, "gpus": {}},
    )
    path = tmp_path / "made.jsonl"
    made = choose(Request("replay", recording=first, record=path), clock)
    readings = [made.read()] + [after(made, clock, 1) for _ in range(3)]
    made.close()
    source = play(path, clock)
    again = [source.read()] + [after(source, clock, 1) for _ in range(3)]

    assert [len(reading.samples) for reading in again] == [2, 1, 0, 2]
    for first_reading, second_reading in zip(readings, again, strict=True):
        assert first_reading.down == second_reading.down
        assert [each.xid for each in first_reading.xids] == [each.xid for each in second_reading.xids]
    assert again[1].errors == ("gpu_is_lost",)
    assert "GPU-" not in path.read_text()


def test_disk_that_is_full_ends_the_recording_and_not_the_reading(clock, caplog):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    source = choose(Request("replay", record=Path("/dev/full")), clock)

    assert [len(after(source, clock, 1).samples) for _ in range(3)] == [1, 1, 1]
    assert caplog.text.count("recording ended") >= 1
    source.close()


def test_recording_that_grows_too_large_ends(tmp_path, clock, monkeypatch, caplog):
    monkeypatch.setattr("autoglm_agent.recorder.MOST_BYTES", 5000)
    path = tmp_path / "made.jsonl"
    source = choose(Request("replay", record=path), clock)
    for _ in range(200):
        after(source, clock, 2)

    assert path.stat().st_size <= 5000
    assert caplog.text.count("recording ended: it is full") == 1
    assert len(load(path).seconds) > 5


# ---- faults in a replay


def scenario(path, *steps):
    path.write_text(json.dumps({"format": "autoglm-gpu-scenario", "version": 1, "steps": steps}))
    return load_scenario(path)


def test_scenario_adds_its_faults_to_the_recording(tmp_path, clock, recording):
    steps = scenario(
        tmp_path / "s",
        {"at": 2, "gpu": 1, "xid": 79},
        {"at": 3, "xid": 31},
        {"at": 4, "for": 2, "gpu": 0, "set": {"memoryUsedBytes": 85_000_000_000, "eccUncorrected": 2}},
        {"at": 7, "for": 1, "gpu": 1, "lost": "gpu_is_lost"},
        {"at": 9, "for": 1, "down": "driver_not_loaded"},
    )
    source = ReplaySource(recording, 2, clock, steps)
    readings = [source.read(), *(after(source, clock, 1) for _ in range(11))]

    xids = [(second, each.uuid[-1], each.xid) for second, reading in enumerate(readings) for each in reading.xids]
    assert xids == [(2, "1", 79), (3, "0", 31), (3, "1", 31)]
    assert [len(reading.samples) for reading in readings] == [2, 2, 2, 2, 2, 2, 2, 1, 2, 0, 2, 2]
    assert [reading.samples[0].ecc_uncorrected for reading in readings[3:7]] == [0, 2, 2, 0]
    assert readings[4].samples[0].memory_used_bytes == 85_000_000_000
    assert readings[4].samples[1].ecc_uncorrected == 0
    assert (readings[7].errors, readings[9].down) == (("gpu_is_lost",), "driver_not_loaded")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (5, "5 is no step; expected an object"),
        ({"at": 1}, "expected at, for, gpu and one of xid, set, lost, down"),
        ({"at": 1, "xid": 1, "down": "x"}, "expected at, for, gpu and one of xid, set, lost, down"),
        ({"at": 1, "xid": 1, "gpus": 2}, "has ['at', 'gpus', 'xid']"),
        ({"at": -1, "xid": 1}, "at is -1; expected seconds from 0 on"),
        ({"xid": 1, "for": "x"}, "for is 'x'; expected seconds from 0 on"),
        ({"xid": "79"}, "xid is '79'; expected a number"),
        ({"xid": 1, "gpu": -1}, "gpu is -1; expected an index from 0 on"),
        ({"set": {"power": 1}}, "'power' is no figure of a GPU"),
        ({"set": 5}, "set is 5; expected an object of figures"),
        ({"lost": ""}, "lost is ''; expected a reason, such as gpu_is_lost"),
    ],
)
def test_scenario_that_is_wrong_says_which_step_and_what_was_expected(tmp_path, step, message):
    with pytest.raises(RecordingError) as error:
        scenario(tmp_path / "s", {"at": 0, "xid": 1}, step)
    assert message in str(error.value)
    assert "step 1" in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "x"}', '{"format": "autoglm-gpu-scenario", "version": 1}'])
def test_file_that_is_no_scenario_says_so(tmp_path, text):
    (tmp_path / "s").write_text(text)
    with pytest.raises(RecordingError, match=r"expected|cannot read"):
        load_scenario(tmp_path / "s")

import json
from importlib.resources import files

import pytest

from autoglm_agent.replay import ReplayReader, load_recording
from autoglm_agent.source import choose


@pytest.fixture
def recording():
    return load_recording()


def test_recording_says_that_it_is_synthetic_and_what_it_is_made_from():
    header = json.loads(files("autoglm_agent").joinpath("h100_autoglm_phone_9b.jsonl").read_text().splitlines()[0])

    assert header["synthetic"] is True
    assert header["about"].startswith("Not measured")


def test_recording_is_in_order_and_possible(recording):
    assert recording.seconds[0] == 0
    assert list(recording.seconds) == sorted(set(recording.seconds))
    assert recording.seconds[-1] < recording.duration
    assert 0 < recording.repeat_from < recording.duration
    assert all(0 <= used <= recording.memory_total_bytes for used in recording.memory_used_bytes)


def test_replays_the_loading_once_and_then_repeats_the_serving(recording, clock):
    reader = ReplayReader(recording, 1, clock)
    assert reader.read().samples[0].memory_used_bytes < 0.02 * recording.memory_total_bytes

    for seconds in range(60, 2000, 7):
        clock.now = 1000.0 + seconds
        used = reader.read().samples[0].memory_used_bytes
        assert used == pytest.approx(0.92 * recording.memory_total_bytes, rel=0.01), seconds


@pytest.mark.parametrize(
    ("elapsed", "second"), [(0, 0), (1.9, 0), (2, 2), (359.9, 358), (360, 60), (365, 64), (660, 60)]
)
def test_holds_each_point_until_the_next(recording, elapsed, second):
    assert recording.seconds[recording.position(elapsed)] == second


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_pretends_as_many_gpus_as_asked_for(recording, clock, gpus):
    samples = ReplayReader(recording, gpus, clock).read().samples

    assert [sample.index for sample in samples] == list(range(gpus))
    assert len({sample.uuid for sample in samples}) == gpus


def test_auto_never_ends_in_a_replay(clock):
    reader, why = choose("auto", 1, clock)

    assert reader.source in {"nvml", "none"}
    assert why
    reader.close()


def test_replay_is_named_synthetic(clock):
    reader, why = choose("replay", 2, clock)

    assert reader.source == "replay"
    assert "synthetic" in why

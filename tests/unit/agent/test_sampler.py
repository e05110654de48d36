import tracemalloc

import pytest

from autoglm_agent.device import STALE_SECONDS, GpuSample, Reading
from autoglm_agent.replay import ReplayReader, load_recording
from autoglm_agent.sampler import Sampler


class Tape:
    """A reader that plays what it is given."""

    source = "nvml"

    def __init__(self, *readings):
        self.readings = list(readings)

    def read(self):
        return self.readings.pop(0)

    def close(self):
        pass


def sample(uuid, taken):
    return GpuSample(0, uuid, "GPU", 1, 2, 0.5, taken)


def test_gpu_that_stops_answering_is_kept_for_its_age_and_shown_until_stale(clock):
    sampler = Sampler(Tape(Reading((sample("a", 1000.0),)), Reading(errors=("gpu_is_lost",))), clock)
    sampler.sample()
    clock.now += STALE_SECONDS
    sampler.sample()

    assert list(sampler.snapshot.samples) == ["a"]
    assert [each.uuid for each in sampler.snapshot.fresh(clock.now)] == ["a"]
    assert sampler.snapshot.fresh(clock.now + 0.1) == []


def test_gpu_that_is_gone_for_an_hour_is_forgotten(clock):
    sampler = Sampler(Tape(Reading((sample("a", 1000.0),)), Reading()), clock)
    sampler.sample()
    clock.now += 3600
    sampler.sample()

    assert sampler.snapshot.samples == {}


def test_errors_are_counted_by_reason(clock):
    sampler = Sampler(Tape(Reading(errors=("unknown", "unknown")), Reading(errors=("gpu_is_lost", "unknown"))), clock)
    sampler.sample()
    sampler.sample()

    assert sampler.snapshot.errors == {"unknown": 3, "gpu_is_lost": 1}


def test_snapshot_taken_by_another_thread_never_changes(clock):
    sampler = Sampler(Tape(Reading((sample("a", 1.0),)), Reading((sample("b", 1000.0),), ("unknown",))), clock)
    sampler.sample()
    before = sampler.snapshot
    sampler.sample()

    assert list(before.samples) == ["a"]
    assert before.errors == {}


@pytest.mark.timeout(120)
def test_memory_is_flat_over_100_000_samples(clock):
    sampler = Sampler(ReplayReader(load_recording(), 4, clock), clock)

    def run(times):
        for _ in range(times):
            clock.now += 1
            sampler.sample()

    run(1000)
    tracemalloc.start()
    try:
        run(1000)
        before, _ = tracemalloc.get_traced_memory()
        run(98_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10_000

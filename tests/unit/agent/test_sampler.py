import tracemalloc

import pytest

from autoglm_agent.device import STALE_SECONDS, GpuSample, Reading, XidEvent
from autoglm_agent.replay import ReplaySource, shipped
from autoglm_agent.sampler import Sampler
from autoglm_agent.xid import Action


class Tape:
    """A source that plays what it is given."""

    name = "nvml"
    why = "a test"

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


def test_source_that_is_down_is_said_with_its_time_and_logged_once_each_way(clock, caplog):
    caplog.set_level("INFO")
    down = Reading(errors=("driver_not_loaded",), down="driver_not_loaded")
    sampler = Sampler(Tape(Reading(driver="580"), down, down, Reading((sample("a", 1003.0),))), clock)
    seen = []
    for _ in range(4):
        sampler.sample()
        seen.append((sampler.snapshot.down, sampler.snapshot.down_since, sampler.snapshot.driver))
        clock.now += 1

    assert seen == [
        ("", None, "580"),
        ("driver_not_loaded", 1001.0, "580"),
        ("driver_not_loaded", 1001.0, "580"),
        ("", None, "580"),
    ]
    assert [record.message for record in caplog.records] == ["GPU source is down", "GPU source is back"]
    assert caplog.records[1].seconds == 2.0


@pytest.mark.parametrize(("news", "after"), [("engine_restarted", 1), ("engine_progressed", 10)])
def test_faults_are_judged_shown_and_logged_once_each_way(clock, caplog, news, after):
    caplog.set_level("INFO")
    here = sample("a", 1000.0)
    readings = [Reading((here,), xids=(XidEvent("a", 31, 1000.0), XidEvent("a", 31, 1000.0)))]
    sampler = Sampler(Tape(*readings, *([Reading((here,))] * 3)), clock)
    sampler.sample()
    (fault,) = sampler.snapshot.faults
    assert (fault.code, fault.action) == ("xid-31", Action.RESTART)
    assert sampler.snapshot.xids == {("a", 31): 2}
    sampler.sample()
    clock.now += after

    getattr(sampler, news)()
    clock.now += 1
    sampler.sample()

    assert sampler.snapshot.faults == ()
    assert sampler.snapshot.xids == {("a", 31): 2}
    assert [record.message for record in caplog.records] == ["GPU fault", "GPU fault is over"]
    assert caplog.records[0].action == "restart"


def test_fewer_gpus_than_expected_are_a_fault_with_nvml_and_a_remark_with_the_exporter(clock):
    actions = {}
    for name in ("nvml", "dcgm"):
        tape = Tape(*([Reading((sample("a", clock.now),))] * 20))
        tape.name = name
        sampler = Sampler(tape, clock, expected=2)
        for _ in range(20):
            sampler.sample()
            clock.now += 1
        actions[name] = [fault.action for fault in sampler.snapshot.faults]
    assert actions == {"nvml": [Action.DRAIN], "dcgm": [Action.NONE]}


def test_time_of_a_pass_and_their_number_are_told(clock):
    class Slow(Tape):
        def read(self):
            clock.now += 0.25
            return super().read()

    sampler = Sampler(Slow(Reading(), Reading()), clock)
    sampler.sample()
    sampler.sample()

    assert (sampler.snapshot.read_seconds, sampler.snapshot.reads) == (0.25, 2)


def test_flood_of_xids_costs_no_memory(clock):
    floods = [Reading(xids=tuple(XidEvent(f"g{n}", x, 0.0) for x in range(64))) for n in range(40)]
    sampler = Sampler(Tape(*floods), clock)
    for _ in floods:
        sampler.sample()

    assert len(sampler.snapshot.xids) == 256


@pytest.mark.timeout(120)
def test_memory_is_flat_over_20_000_samples(clock):
    sampler = Sampler(ReplaySource(shipped(), 2, clock), clock)

    def run(times):
        for _ in range(times):
            clock.now += 1
            sampler.sample()

    run(1000)
    tracemalloc.start()
    try:
        run(1000)
        before, _ = tracemalloc.get_traced_memory()
        run(18_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10_000

from dataclasses import replace

import pytest

from autoglm_agent.engine.names import EngineKind, Latency
from autoglm_agent.engine.sample import EngineSample, Rank, Total
from autoglm_agent.signals.progress import Limits, Pace, Watchdog


class Engine:
    """What one engine would tell, two seconds after the other."""

    def __init__(self):
        self.now = 1000.0
        self.tokens = {"0": 0.0}
        self.running = {"0": 0.0}
        self.kv = {"0": 0.5}
        self.waiting = 0.0
        self.first = 0.0
        self.finished = 0.0
        self.preemptions = 0.0
        self.held = ""
        self.watchdog = Watchdog()

    def sample(self):
        return EngineSample(
            taken=self.now,
            kind=EngineKind.VLLM,
            running=sum(self.running.values()),
            waiting=self.waiting,
            kv_cache=0.5,
            finished=self.finished,
            preemptions=self.preemptions,
            totals={Latency.TTFT: Total(self.first, 0.0)},
            ranks={name: Rank(self.running[name], self.kv[name], self.tokens[name]) for name in self.running},
            held=self.held,
        )

    def run(self, seconds, tokens=0.0, step=2.0):
        """Pass the time; every step brings `tokens` on each rank. Return whether it was ever found to hang."""
        hung = False
        for _ in range(int(seconds / step)):
            self.now += step
            for name in self.tokens:
                self.tokens[name] += tokens
            hung |= self.watchdog.update(self.sample()).hung
        return hung


@pytest.fixture
def busy():
    """An engine whose pace is known, with four requests that have had their first token."""
    engine = Engine()
    engine.run(10)
    engine.running["0"], engine.first = 4.0, 4.0
    assert not engine.run(120, tokens=100.0)
    return engine


def test_hang_is_found_after_the_least_patience_and_not_before(busy):
    assert not busy.run(28)
    assert busy.run(4)  # at 30 s, and still at 32 s
    verdict = busy.watchdog.verdict
    assert verdict.limit == 30.0
    assert "4 requests are in the batch and no token was read or generated for 32 s" in verdict.reason


def test_hang_that_ends_is_withdrawn(busy):
    busy.run(100)
    assert busy.watchdog.verdict.hung

    busy.run(2, tokens=1.0)

    assert not busy.watchdog.verdict.hung


def test_busy_engine_with_one_token_each_20_seconds_learns_its_pace():
    engine = Engine()
    engine.running["0"], engine.first = 1.0, 1.0
    for _ in range(60):
        assert not engine.run(18)
        assert not engine.run(2, tokens=1.0)

    assert engine.watchdog.limit() > 200
    assert not engine.run(180)
    assert engine.run(420)


def test_idle_engine_never_hangs(busy):
    busy.running["0"], busy.finished = 0.0, 4.0

    assert not busy.run(10_000)


def test_queue_alone_is_no_work(busy):
    busy.running["0"], busy.waiting = 0.0, 50.0

    assert not busy.run(10_000)


def test_new_arrivals_at_a_hung_engine_are_no_progress(busy):
    hung = False
    for _ in range(30):
        busy.waiting += 1
        hung |= busy.run(2)

    assert hung


def test_prefill_that_fills_the_cache_is_progress(busy):
    busy.running["0"] = 5.0
    hung = False
    for _ in range(100):
        busy.kv["0"] += 0.001
        hung |= busy.run(2)

    assert not hung


def test_long_prefill_in_one_step_gets_more_time_and_a_hang_in_it_is_still_found(busy):
    busy.running["0"] = 5.0  # one more than have had their first token

    assert not busy.run(110)
    assert busy.run(20)


def test_aborts_before_the_first_token_shift_nothing_for_good(busy):
    busy.finished += 3.0  # aborted in the queue
    busy.run(2, tokens=1.0)
    assert busy.watchdog.limit() == 120.0

    busy.running["0"], busy.finished = 0.0, 7.0
    busy.run(2)
    busy.running["0"], busy.first = 2.0, 6.0
    busy.run(4, tokens=1.0)

    assert busy.watchdog.limit() == 30.0


def test_recomputing_after_preemption_gets_more_time(busy):
    busy.preemptions, busy.waiting = 1.0, 1.0
    busy.run(2, tokens=1.0)

    assert busy.watchdog.limit() == 120.0


@pytest.mark.parametrize("held", ["the engine sleeps", "the engine is paused"])
def test_engine_that_is_held_never_hangs_and_begins_anew_afterwards(busy, held):
    busy.held = held
    assert not busy.run(10_000)
    assert busy.watchdog.verdict.reason == held

    busy.held = ""
    assert not busy.run(28)


def test_metrics_that_are_away_for_a_while_are_no_hang(busy):
    busy.run(20)
    for _ in range(300):
        busy.now += 2
        assert not busy.watchdog.unreachable(busy.now).hung

    assert not busy.run(28)
    assert busy.run(4)


def test_short_gap_neither_hides_nor_makes_a_hang(busy):
    busy.run(20)
    busy.now += 8
    busy.watchdog.unreachable(busy.now)

    assert busy.run(4)


def test_verdict_outlives_one_failed_scrape_and_not_the_process(busy):
    busy.run(60)
    assert busy.watchdog.unreachable(busy.now + 5).hung
    assert not busy.watchdog.unreachable(busy.now + 20).hung


def test_restarted_process_begins_anew(busy):
    busy.run(26)
    busy.watchdog.restart()

    assert not busy.run(28)


def test_counter_reset_is_progress(busy):
    busy.run(26)
    busy.tokens["0"] = 1.0

    assert not busy.run(28)


def test_first_request_of_a_cold_engine_may_take_five_minutes():
    engine = Engine()
    engine.running["0"] = 1.0

    assert not engine.run(290)
    assert engine.run(20)


def test_rank_that_hangs_is_not_hidden_by_the_others():
    engine = Engine()
    engine.tokens, engine.running, engine.kv = {"0": 0.0, "1": 0.0}, {"0": 2.0, "1": 2.0}, {"0": 0.5, "1": 0.5}
    engine.first = 4.0
    assert not engine.run(120, tokens=10.0)
    hung = False
    for _ in range(20):
        engine.tokens["0"] += 10.0
        hung |= engine.run(2)

    assert hung
    assert "of rank 1" in engine.watchdog.verdict.reason


@pytest.mark.parametrize("jump", [-500.0, 86_400.0])
def test_clock_jump_is_no_hang(busy, jump):
    busy.run(20)
    busy.now += jump

    assert not busy.run(28)


def test_engine_that_tells_neither_first_tokens_nor_ends_is_judged_by_its_pace(busy):
    sample = replace(busy.sample(), totals={}, finished=None)
    assert not busy.watchdog.update(replace(sample, taken=busy.now + 2)).hung
    assert busy.watchdog.limit() == 30.0


def test_patience_is_bounded_on_both_sides():
    pace = Pace()
    assert pace.p99() is None
    for _ in range(100_000):
        pace.add(1e9)
    assert pace.p99() == 2 * 0.25 * 2**11
    assert pace.gaps < 4096

    limits = Limits()
    assert limits.least < limits.prefill < limits.unknown < limits.most

"""What the law is told of a tick, whatever pods and clocks do."""

import math
from array import array
from dataclasses import replace

import pytest

from autoglm_operator.autoscaler.law_feed import Seen, feed, is_sound
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.scaling.quantiles import Histogram

SETUP = Setup(ttft=1.0, itl=0.06)
WALL = 1.8e9
TICK = 5.0


class Engine:
    """One engine that counts what the test says, scraped at each tick."""

    def __init__(self, make, name="a", *, created=0.0):
        self.pod = replace(make(name), created=created)
        self.history = History()
        self.begin()

    def begin(self):
        """Start, or start again: all counters from nothing."""
        self.begun = self.late = self.gaps = self.late_gaps = self.ended = self.failed = 0
        self.prompt = self.cached = self.output = self.gap_seconds = 0.0

    def serve(self, requests=0, *, prompt=1000, cached=0, output=0, itl=0.02, late=0, late_gaps=0, failed=0):
        self.begun += requests
        self.late += late
        self.prompt += requests * prompt
        self.cached += requests * cached
        self.output += output
        self.gaps += output
        self.late_gaps += late_gaps
        self.gap_seconds += output * itl
        self.ended += requests + failed
        self.failed += failed

    def scrape(self, make, now, *, waiting=0, **fields):
        if self.history.ready_since is None:
            self.history.ready_since = now
        told = replace(
            make(now, running=2, waiting=waiting),
            ttft=Histogram((1.0,), array("d", (self.begun - self.late, self.begun))),
            itl=Histogram((0.06,), array("d", (self.gaps - self.late_gaps, self.gaps))),
            prompt_tokens=self.prompt,
            cached_tokens=self.cached,
            generation_tokens=self.output,
            itl_seconds=self.gap_seconds,
            ended=self.ended,
            failed=self.failed,
        )
        self.history.add(replace(told, **fields))


class Pods:
    """Engines and the feed over them."""

    def __init__(self, make_pod, make_sample):
        self.make_pod = make_pod
        self.make_sample = make_sample
        self.seen = Seen(0.0, WALL, TICK)
        self.engines = []
        self.now = 0.0

    def add(self, name, **more):
        self.engines.append(Engine(self.make_pod, name, **more))
        return self.engines[-1]

    def tick(self, *, seconds=TICK, silent=(), waiting=None, **fields):
        self.now += seconds
        for engine in self.engines:
            if engine not in silent:
                engine.scrape(self.make_sample, self.now, waiting=(waiting or {}).get(engine, 0), **fields)
        rows = [(engine.pod, engine.history) for engine in self.engines]
        return feed(rows, self.seen, SETUP, len(rows), self.now)


@pytest.fixture
def pods(pod, sample):
    return Pods(pod, sample)


def test_the_first_look_tells_nothing_and_the_second_all(pods):
    one, other = pods.add("a"), pods.add("b")
    one.serve(5_000_000, output=10_000_000)  # of before this process began
    assert pods.tick() is None
    one.serve(20, cached=400, output=5000)
    other.serve(10, cached=400, output=1000)
    found = pods.tick()
    assert (found.seconds, found.ready, found.ordered, found.doubt) == (TICK, 2, 2, "")
    assert found.now == WALL + 2 * TICK
    assert found.arrivals == 6.0
    assert (found.input_tokens, found.output_tokens) == (600.0, 200.0)
    assert found.itl == pytest.approx(0.02)
    # 5,000 gaps of 20 ms in 5 s are 20 that decode at once, 1,000 are 4: by tokens, 20 of six and 4 of one.
    assert found.batch == pytest.approx((20 * 5 + 4) / 6)
    assert found.prefill_rate == pytest.approx((20 * 600 / TICK * 5 + 10 * 600 / TICK) / 6)
    assert (found.requests, found.late) == (30, 0)


def test_the_queue_and_the_refused_arrived_too(pods):
    engine = pods.add("a")
    pods.tick()
    engine.serve(10, failed=5)
    found = pods.tick(waiting={engine: 5})
    assert found.arrivals == 4.0
    assert found.waiting == 5
    engine.serve(5)
    assert pods.tick().arrivals == 0.0, "they were counted when they came"


def test_a_request_that_left_the_queue_and_has_no_token_yet_is_not_counted_again(pods):
    engine = pods.add("a")
    pods.tick()
    assert pods.tick(waiting={engine: 10}).arrivals == 2.0
    assert pods.tick().arrivals == 0.0
    engine.serve(10)
    assert pods.tick().arrivals == 0.0
    engine.serve(10)
    assert pods.tick().arrivals == 2.0


@pytest.mark.parametrize(("late", "late_gaps", "expected"), [(3, 0, 3.0), (1, 100, 2.0), (0, 0, 0.0)])
def test_late_is_the_worse_of_the_two_objectives(pods, late, late_gaps, expected):
    engine = pods.add("a")
    pods.tick()
    engine.serve(10, output=500, late=late, late_gaps=late_gaps)
    found = pods.tick()
    assert (found.requests, found.late) == (10, pytest.approx(expected))


def test_an_engine_that_starts_again_counts_from_nothing(pods):
    engine = pods.add("a")
    engine.serve(1000, output=90_000)
    pods.tick()
    engine.begin()
    engine.serve(10, output=500)
    found = pods.tick()
    assert found.arrivals == 2.0
    assert (found.itl, found.batch) == (0, 0), "how long it has been up is not known"


def test_what_a_pod_that_is_new_served_counts(pods):
    pods.add("a")
    pods.tick()
    pods.add("b", created=WALL + 60).serve(10)
    assert pods.tick().arrivals == 2.0


@pytest.mark.parametrize("created", [0.0, WALL + 1])
def test_what_an_older_pod_served_before_it_was_seen_does_not(pods, created):
    pods.add("a")
    pods.tick()
    pods.add("b", created=created).serve(1_000_000)
    assert pods.tick().arrivals == 0.0


def test_a_pod_that_goes_takes_nothing_along(pods):
    one, other = pods.add("a"), pods.add("b")
    pods.tick(waiting={one: 50})
    one.serve(5)
    other.serve(5)
    pods.engines.remove(one)
    found = pods.tick()
    assert (found.arrivals, found.ready) == (1.0, 1)
    assert list(pods.seen.pods) == ["uid-b"]


def test_a_silent_pod_is_taken_to_get_what_the_others_get(pods):
    one, other = pods.add("a"), pods.add("b")
    for _ in range(2):
        one.serve(10)
        other.serve(10)
        pods.tick()
    for _ in range(3):
        one.serve(10)
        other.serve(10)
        found = pods.tick(silent=[other])
        assert (found.arrivals, found.ready, found.doubt) == (4.0, 2, ""), "a scrape that fails now and then is nothing"
    one.serve(10)
    other.serve(10)
    found = pods.tick(silent=[other])
    assert (found.arrivals, found.ready) == (4.0, 1)
    assert found.doubt == "1 of 2 ready pods tell nothing, or nothing that can be"
    one.serve(10)
    other.serve(10)
    found = pods.tick()
    assert (found.arrivals, found.doubt) == (4.0, ""), "what it did meanwhile is spread over that time"


def test_nothing_is_told_while_nobody_tells(pods):
    engine = pods.add("a")
    pods.tick()
    engine.serve(10)
    pods.tick()
    for _ in range(4):
        found = pods.tick(silent=[engine])
    assert found is None


def test_a_tick_without_a_new_sample_goes_on_as_before(pods):
    engine = pods.add("a")
    pods.tick()
    engine.serve(10)
    pods.tick()
    found = pods.tick(silent=[engine])
    assert (found.arrivals, found.requests, found.itl) == (2.0, 0, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"waiting": math.nan},
        {"prompt_tokens": -1.0},
        {"itl_seconds": math.inf},
        {"ended": math.nan},
        {"ttft": Histogram((1.0,), array("d", (0.0, math.nan)))},
    ],
)
def test_a_sample_that_cannot_be_is_none(pods, fields):
    good, bad = pods.add("a"), pods.add("b")
    for _ in range(2):
        good.serve(10)
        bad.serve(10)
        pods.tick()
    good.serve(10)
    pods.now += TICK
    good.scrape(pods.make_sample, pods.now)
    bad.scrape(pods.make_sample, pods.now)
    bad.history.samples.append(replace(bad.history.samples.pop(), **fields))
    rows = [(engine.pod, engine.history) for engine in pods.engines]
    found = feed(rows, pods.seen, SETUP, 2, pods.now)
    assert not is_sound(bad.history.samples[-1])
    assert (found.arrivals, found.ready) == (4.0, 1)
    assert "1 of 2 ready pods tell nothing, or nothing that can be" in found.doubt


def test_a_sample_from_the_future_is_none(pods):
    one, other = pods.add("a"), pods.add("b")
    pods.tick()
    one.serve(10)
    pods.now += TICK
    one.scrape(pods.make_sample, pods.now)
    other.scrape(pods.make_sample, pods.now + 60)
    rows = [(engine.pod, engine.history) for engine in pods.engines]
    found = feed(rows, pods.seen, SETUP, 2, pods.now)
    assert (found.ready, found.doubt != "") == (1, True)


def test_a_pod_that_is_not_ready_says_nothing(pods):
    one, other = pods.add("a"), pods.add("b")
    pods.tick()
    one.serve(10)
    other.serve(10)
    other.pod = replace(other.pod, ready=False)
    found = pods.tick()
    assert (found.arrivals, found.ready, found.doubt) == (2.0, 1, "")


def test_an_engine_without_histograms_is_counted_by_what_it_ended(pods):
    engine = pods.add("a")
    plain = {"ttft": None, "itl": None, "itl_seconds": None}
    engine.serve(3)
    pods.tick(**plain)
    engine.serve(10, output=500)
    found = pods.tick(waiting={engine: 5}, **plain)
    assert found.arrivals == 3.0
    assert (found.requests, found.late, found.itl, found.batch) == (10, 0, 0, 0)
    assert (found.input_tokens, found.output_tokens) == (1000, 50)


def test_of_an_engine_that_counts_no_requests_nothing_is_told(pods):
    engine = pods.add("a")
    for _ in range(3):
        engine.serve(10)
        found = pods.tick(ttft=None, ended=0.0, failed=0.0)
    assert found is None


def test_without_token_counters_the_tokens_are_left_out(pods):
    engine = pods.add("a")
    pods.tick()
    engine.serve(10, output=500)
    found = pods.tick(prompt_tokens=0.0, generation_tokens=0.0)
    assert (found.arrivals, found.input_tokens, found.output_tokens) == (2.0, 0.0, 0.0)


def test_tokens_are_those_of_the_last_minute(pods):
    engine = pods.add("a")
    pods.tick()
    for _ in range(6):
        engine.serve(1, prompt=500, output=100)
        pods.tick()
    for _ in range(12):
        engine.serve(1, prompt=1500, output=300)
        found = pods.tick()
    assert (found.input_tokens, found.output_tokens) == (1500, 300)


def test_the_time_of_the_law_does_not_follow_a_clock_that_is_set(pods):
    pods.add("a")
    pods.tick()
    assert pods.tick(seconds=1000.0).now == WALL + TICK + 1000.0
    found = pods.tick(seconds=-20.0)
    assert found is None or found.seconds < 0, "which the law does not believe"

"""The whole period over a real socket: what the engine says, what comes of it."""

import itertools
import logging
import tracemalloc

import pytest

from autoglm_agent.engine.health import EngineState
from autoglm_agent.engine.watch import EngineWatch
from autoglm_agent.monitor import EngineMonitor
from autoglm_agent.signals.memory import MemorySignals
from autoglm_agent.signals.tolerance import Reaction, Tolerance


class Engine:
    """An engine whose figures the test sets, and the monitor over it."""

    def __init__(self, serve, response, vllm, clock, tolerance=Tolerance.ELASTIC):
        self.clock = clock
        self.tokens, self.pace, self.running, self.kv = 0.0, 0.03, 8.0, 0.3
        self.down = False
        self.memory = MemorySignals(share=0.9)
        self.restarts = []
        self.progress = []

        def answer(connection, _, path):
            if self.down:
                connection.close()
            elif path == "/metrics":
                connection.sendall(response(self.text(vllm)))
            else:
                connection.sendall(response('{"data": [{"id": "base"}, {"id": "lora-a"}]}'))

        self.server = serve(answer)
        self.monitor = EngineMonitor(
            EngineWatch(self.server.url, clock),
            clock,
            tolerance=tolerance,
            memory=lambda: self.memory,
            on_restart=lambda: self.restarts.append(clock.now),
            on_progress=lambda: self.progress.append(clock.now),
        )
        self.seconds = 0.0

    def text(self, vllm):
        text = vllm(running=self.running, kv=self.kv, generated=self.tokens, itl=self.tokens)
        was = f'vllm:inter_token_latency_seconds_sum{{engine="0",model_name="m"}} {self.tokens * 0.03}'
        return text.replace(was, was.rsplit(" ", 1)[0] + f" {self.seconds}")

    def run(self, periods, tokens=100.0):
        for _ in range(periods):
            self.clock.now += 2
            self.tokens += tokens
            self.seconds += tokens * self.pace
            self.monitor.check()
        return self.monitor.report


@pytest.fixture
def engine(serve, response, vllm, clock):
    return Engine(serve, response, vllm, clock)


@pytest.fixture
def strict(serve, response, vllm, clock):
    return Engine(serve, response, vllm, clock, Tolerance.STRICT)


@pytest.fixture
def recovery(serve, response, vllm, clock):
    return Engine(serve, response, vllm, clock, Tolerance.RECOVERY)


def test_report_of_an_engine_that_is_well(engine):
    report = engine.run(4)

    assert engine.monitor.watch.status.state is EngineState.ALIVE
    assert report.models == ("base", "lora-a")
    assert report.figures.generation_rate == 50.0
    assert report.figures.pace == pytest.approx(0.03)
    assert (report.fired, report.elastic, report.down, report.verdict.hung) == ({}, None, "", False)


def test_progress_is_told_only_for_tokens_since_the_scrape_before(engine):
    engine.run(3)
    first = engine.clock.now
    assert engine.progress == [first - 2, first]

    engine.run(3, tokens=0.0)
    engine.down = True
    engine.run(2)
    engine.down = False
    engine.run(1)
    assert engine.progress == [first - 2, first]

    engine.run(1)
    assert engine.progress[-1] == engine.clock.now


def test_kv_pressure_fires_after_three_periods_and_asks_for_a_lower_batch(engine, caplog):
    caplog.set_level(logging.INFO)
    engine.run(3)
    engine.kv = 0.95
    assert engine.run(2).fired == {}

    report = engine.run(1)

    assert list(report.fired) == ["kv_pressure"]
    assert report.elastic.max_num_seqs == 6
    assert [each.signal for each in caplog.records if each.message == "engine signal"] == ["kv_pressure"]
    assert [each.requestedMaxNumSeqs for each in caplog.records if each.message == "batch request"] == [6]


def test_gpu_memory_pressure_asks_for_a_lower_batch_too(engine):
    engine.run(1)
    engine.memory = MemorySignals(fired={"memory_pressure": 0.0}, share=0.98)

    assert engine.run(1).elastic.reason == "pressure: memory_pressure"


def test_strict_asks_for_nothing_but_alerts_sooner(strict):
    strict.run(32)
    strict.kv, strict.pace = 0.95, 0.03 * 1.15
    report = strict.run(3)

    assert set(report.fired) == {"kv_pressure", "deviation"}
    assert report.reaction is Reaction.ALERT
    assert report.elastic is None


def test_elastic_bears_what_strict_does_not(engine):
    engine.run(32)
    engine.pace = 0.03 * 1.15
    assert engine.run(5).reaction is Reaction.NONE

    engine.pace = 0.03 * 1.4
    assert engine.run(3).reaction is Reaction.ALERT


def test_recovery_degrades(recovery):
    recovery.run(32)
    recovery.pace = 0.03 * 1.4
    report = recovery.run(3)

    assert report.reaction is Reaction.DEGRADE
    assert report.elastic.max_num_seqs == 4


def test_engine_that_is_away_and_comes_back_within_15_seconds(engine):
    engine.run(5)
    engine.down = True
    report = engine.run(3)
    assert report.down
    assert engine.monitor.watch.status.state is EngineState.UNREACHABLE
    assert report.errors == {"malformed": 3}

    engine.down = False
    report = engine.run(1)

    assert report.down == ""
    assert report.fresh(engine.clock.now) is not None
    assert engine.restarts == [engine.clock.now]


def test_engine_that_counts_anew_has_restarted(engine):
    engine.run(5)
    engine.tokens = engine.seconds = 0.0
    engine.run(1, tokens=10.0)

    assert engine.restarts == [engine.clock.now]


def test_new_engine_process_learns_its_memory_anew(engine):
    engine.run(35)
    assert engine.monitor.report.memory_deviation == 0.0
    engine.tokens = engine.seconds = 0.0
    engine.memory = MemorySignals(share=0.97)

    assert engine.run(1, tokens=10.0).memory_deviation is None


def test_hang_is_counted_and_reported_once(engine):
    hangs = []
    engine.monitor._on_hang = lambda: hangs.append(engine.clock.now)
    engine.run(30)
    engine.run(80, tokens=0.0)

    assert engine.monitor.report.hangs == 1
    assert len(hangs) == 1


@pytest.mark.parametrize("jump", [-1000.0, 100_000.0])
def test_clock_jump_leaves_the_engine_alone(engine, jump):
    engine.run(30)
    engine.clock.now += jump
    report = engine.run(5)

    assert not report.verdict.hung
    assert report.fired == {}
    assert report.figures.generation_rate == 50.0


def test_health_is_asked_less_often_while_the_metrics_answer(engine):
    engine.run(10)

    assert engine.server.paths.count("/metrics") == 10
    assert engine.server.paths.count("/health") == 5


def test_memory_is_flat_whatever_the_engine_sends(serve, response, vllm, clock):
    bad = [
        response(b"# HELP a b\n" * 600_000),
        response("".join(f'vllm:num_requests_running{{engine="{n}"}} 1\n' for n in range(21_000))),
        response(vllm(running="NaN")),
        response("x" * 100_000),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nshort",
        b"\x00" * 100_000,
        response(vllm()),
    ]
    turn = itertools.count()

    def answer(connection, _, path):
        connection.sendall(bad[next(turn) % len(bad)] if path == "/metrics" else response(""))

    monitor = EngineMonitor(EngineWatch(serve(answer).url, clock), clock)

    def run(periods):
        for _ in range(periods):
            clock.now += 10
            monitor.check()

    run(len(bad))
    tracemalloc.start()
    try:
        run(len(bad))
        before, _ = tracemalloc.get_traced_memory()
        run(2 * len(bad))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < 50_000
    assert set(monitor.report.errors) == {"too_large", "incomplete", "malformed"}
    assert monitor.report.fresh(clock.now) is not None

"""What limits a replica, told from what a simulated engine exposes under loads whose limit is known."""

import random
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import generate_latest

from autoglm_operator.api.status import Bottleneck
from autoglm_operator.autoscaler import bottleneck
from autoglm_operator.autoscaler.agent_state import Activity, AgentSample
from autoglm_operator.autoscaler.engine_metrics import parse as parse_exposition
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.autoscaler.snapshot import take
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.bottleneck import REFRESH_SECONDS, RULES, SETTLE_SECONDS, Cause, Setup, diagnose
from autoglm_simulator.flags import parse as parse_flags
from autoglm_simulator.limits import Limits
from autoglm_simulator.metrics import EngineMetrics, registry
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import AUTOGLM_9B, Speed
from autoglm_simulator.requests import Request

#: Data sheet of an H100 SXM, and the share of it that kernels reach: 85 % of the bandwidth, 45 % of the operations.
BANDWIDTH, REACHED_BANDWIDTH = 3.35e12, 0.85
OPERATIONS, REACHED_OPERATIONS = 989e12, 0.45
PARAMETERS = 10_292_777_472
#: AutoGLM-Phone-9B on that GPU, from the roofline: a step reads each weight once, and the cache of each sequence.
ROOFLINE = Speed(
    decode_base=2 * PARAMETERS / (REACHED_BANDWIDTH * BANDWIDTH),
    decode_per_sequence=0.0,
    decode_per_context_token=AUTOGLM_9B.kv_bytes_per_token / (REACHED_BANDWIDTH * BANDWIDTH),
    prefill_base=2 * PARAMETERS / (REACHED_BANDWIDTH * BANDWIDTH),
    prefill_per_token=2 * PARAMETERS / (REACHED_OPERATIONS * OPERATIONS),
)
SECONDS, INTERVAL = 90, 3


@dataclass
class Scenario:
    """A load on an engine.

    Attributes:
        rate: requests per second.
        path: seconds that a request spends in the HTTP server before the engine sees it.
        counters: whether the agent has the GPU's counters.
    """

    rate: float = 0.0
    prompt: int = 1000
    output: int = 250
    path: float = 0.0
    counters: bool = True
    setup: Setup = field(default_factory=Setup)
    limits: Limits = field(default_factory=lambda: Limits(1024, 8192, 100_000, prefix_caching=False))

    def without_counters(self):
        return replace(self, counters=False)


PROMISED = Setup(replicas=1, max_replicas=4, ttft=2.0, itl=0.1)
SCENARIOS = {
    Cause.IDLE: Scenario(setup=PROMISED),
    Cause.CLIENT: Scenario(rate=1, setup=replace(PROMISED, batch=64)),
    # 30 long answers do not fit into a cache of 32,000 tokens.
    Cause.KV_CACHE: Scenario(rate=10, prompt=2000, output=1000, setup=PROMISED, limits=Limits(1024, 8192, 2000, False)),
    Cause.QUEUE: Scenario(rate=10, prompt=100, setup=replace(PROMISED, batch=16), limits=Limits(16, 8192, 100_000)),
    Cause.NETWORK: Scenario(rate=2, path=3.0, setup=PROMISED),
    # 32,000 tokens a second, and the tensor cores do 21,600.
    Cause.COMPUTE: Scenario(rate=8, prompt=4000, output=50, setup=PROMISED),
    # Each token takes a read of all weights, which is longer than the objective.
    Cause.MEMORY_BANDWIDTH: Scenario(rate=5, prompt=20, output=500, setup=replace(PROMISED, itl=0.006)),
}


class Plant:
    """A replica under a scenario: its engine, its metrics, and what the counters of its GPU say."""

    def __init__(self, scenario, seed=1):
        self.scenario = scenario
        settings = parse_flags(["serve", "m", "--served-model-name", "m"])
        self.engine = Engine(scenario.limits, ROOFLINE)
        self.metrics = EngineMetrics(settings, self.engine)
        self.history = History(ready_since=0.0)
        self._random = random.Random(seed)
        self._reading, self._operations = 0.0, 0.0

    def run(self):
        """Return the figures of the last minute, as the autoscaler makes them from what is scraped."""
        arrival = self._gap()
        for now in range(0, SECONDS + 1, INTERVAL):
            while arrival <= now:
                self._advance(arrival)
                self.engine.add(Request(self.scenario.prompt, self.scenario.output, arrival))
                arrival += self._gap()
            self._advance(now)
            self._scrape(float(now))
        pod = EnginePod("prod", "a", "uid", "phone", "10.0.0.1", ready=True, unschedulable=False)
        snapshot = take([(pod, self.history)], float(SECONDS), INTERVAL)
        found = bottleneck.figures([self.history], snapshot, None, float(SECONDS))
        # Arrival is when the engine got the request: what the path took comes on top of every time to first token.
        late = found.ttft and replace(found.ttft, p99=found.ttft.p99 + self.scenario.path)
        return replace(found, ttft=late)

    def _gap(self):
        return self._random.expovariate(self.scenario.rate) if self.scenario.rate else float("inf")

    def _advance(self, now):
        for progress in self.engine.step(now):
            self.metrics.record(progress)
            computing = progress.prefill_tokens * ROOFLINE.prefill_per_token
            self._reading += progress.end - progress.start - computing
            self._operations += 2 * PARAMETERS * (progress.prefill_tokens + progress.decoded * progress.iterations)

    def _scrape(self, now):
        sample = parse_exposition(generate_latest(registry(self.metrics)), now)
        answers = sample.answer_seconds + self.scenario.path * sample.ended
        self.history.add(replace(sample, answer_seconds=answers))
        busy = Activity()
        if self.scenario.counters:
            tensor = self._operations / OPERATIONS / INTERVAL
            busy = Activity(None, min(1.0, tensor), min(1.0, REACHED_BANDWIDTH * self._reading / INTERVAL))
        self._reading = self._operations = 0.0
        self.history.add_agent(AgentSample(now, (), activity=busy))


def found(scenario, seed=1):
    return diagnose(Plant(scenario, seed).run(), scenario.setup)


def test_every_cause_of_the_table_is_reached():
    assert set(SCENARIOS) == {rule.cause for rule in RULES}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("cause", SCENARIOS)
def test_a_load_with_this_limit_is_told(cause, seed):
    assert found(SCENARIOS[cause], seed).cause is cause


@pytest.mark.parametrize("cause", SCENARIOS)
def test_the_engine_alone_tells_the_same_where_the_gpu_has_no_counters(cause):
    assert found(SCENARIOS[cause].without_counters()).cause is cause


def test_where_the_engine_alone_cannot_tell_it_says_what_is_missing():
    mixed = replace(SCENARIOS[Cause.COMPUTE], prompt=300, rate=20, setup=replace(PROMISED, itl=0.006))
    assert found(mixed).cause in {Cause.COMPUTE, Cause.MEMORY_BANDWIDTH}
    told = found(mixed.without_counters())
    assert told.cause is Cause.UNKNOWN
    assert "no counters of the GPU" in told.evidence
    assert "between 64 and 512 tokens" in told.evidence


def test_steps_that_are_too_small_are_told_with_their_field():
    small = Limits(64, 64, 100_000, prefix_caching=False)
    scenario = Scenario(rate=10, prompt=1000, output=20, limits=small, setup=replace(PROMISED, batch=64, budget=64))
    told = found(scenario)
    assert (told.cause, told.knob) == (Cause.QUEUE, "spec.engine.batching.maxBatchedTokens: 128")
    larger = replace(scenario, limits=Limits(64, 512, 100_000, False), setup=replace(scenario.setup, budget=512))
    assert found(larger).cause is not Cause.QUEUE


def test_a_batch_whose_size_the_spec_does_not_say_shows_in_its_plateau():
    undeclared = replace(SCENARIOS[Cause.QUEUE], setup=PROMISED)
    assert found(undeclared).cause is Cause.QUEUE


def test_prompts_that_come_too_fast_are_no_small_batch():
    unpromised = Setup(batch=None)
    figures = Plant(SCENARIOS[Cause.COMPUTE]).run()
    assert figures.plateau
    assert diagnose(figures, unpromised).cause is Cause.COMPUTE
    assert diagnose(replace(figures, tensor=None), unpromised).cause is Cause.COMPUTE


def test_the_batch_that_is_named_is_large_enough():
    scenario = SCENARIOS[Cause.QUEUE]
    for _ in range(4):
        told = found(scenario)
        if told.cause is not Cause.QUEUE:
            break
        field, _, value = told.knob.partition(": ")
        assert field == "spec.engine.batching.maxNumSeqs"
        assert int(value) > scenario.setup.batch
        limits = Limits(int(value), 8192, 100_000)
        scenario = replace(scenario, limits=limits, setup=replace(scenario.setup, batch=int(value)))
    assert told.cause is Cause.CLIENT


def test_a_larger_cache_ends_that_limit():
    scenario = SCENARIOS[Cause.KV_CACHE]
    assert found(scenario).knob == "spec.engine.kvCache.dtype: fp8_e4m3"
    assert found(replace(scenario, limits=Limits(1024, 8192, 200_000, False))).cause is not Cause.KV_CACHE


def test_requests_that_lose_their_blocks_tell_of_the_cache_without_a_queue():
    # Prompts are small, so all are let in, and the answers outgrow the cache.
    scenario = Scenario(rate=7, prompt=16, output=800, setup=PROMISED, limits=Limits(1024, 8192, 1000, False))
    told = found(scenario)
    assert told.cause is Cause.KV_CACHE
    assert "preemptions a minute" in told.evidence


def test_a_gpu_that_reads_at_full_speed_for_one_request_is_no_bottleneck():
    alone = Scenario(rate=0.2, prompt=20, output=500, setup=replace(PROMISED, batch=64))
    plant = Plant(alone)
    figures = plant.run()
    assert figures.dram > 0.4
    assert diagnose(figures, alone.setup).cause is Cause.CLIENT


@pytest.mark.parametrize(
    ("setup", "knob"),
    [
        (Setup(replicas=2, ttft=2.0), "spec.replicas: more than 2"),
        (replace(PROMISED, replicas=4), "spec.autoscaling.maxReplicas: more than 4"),
        (PROMISED, "spec.autoscaling.maxReplicas: more than 4, if it stays so when all of them run"),
        (replace(PROMISED, prefix_caching=False), "spec.engine.kvCache.prefixCaching: true"),
    ],
)
def test_the_knob_is_one_that_is_left_to_turn(setup, knob):
    assert found(replace(SCENARIOS[Cause.COMPUTE], setup=setup)).knob == knob


def test_too_few_samples_tell_nothing(history, sample):
    short = history(sample(90.0), sample(99.0))
    pod = EnginePod("prod", "a", "uid", "phone", "10.0.0.1", ready=True, unschedulable=False)
    assert bottleneck.figures([short], take([(pod, short)], 100.0, 3.0), None, 100.0) is None
    assert bottleneck.figures([], take([], 100.0, 3.0), None, 100.0) is None


def test_counters_of_an_engine_that_began_anew_are_not_compared_with_the_old_ones():
    plant = Plant(SCENARIOS[Cause.COMPUTE])
    plant.run()
    last = plant.history.samples[-1]
    fresh = [replace(last, taken=last.taken + 3.0 * n, prompt_tokens=0.0, generation_tokens=0.0) for n in (1, 2, 3, 7)]
    for each in fresh:
        plant.history.add(each)
    now = fresh[-1].taken
    pod = EnginePod("prod", "a", "uid", "phone", "10.0.0.1", ready=True, unschedulable=False)
    figures = bottleneck.figures([plant.history], take([(pod, plant.history)], now, 3.0), None, now)
    assert figures.step_tokens is None
    assert figures.requests == 0


WRITTEN = Bottleneck(cause="compute", evidence="as it was told before", knob="k")


def test_what_another_process_has_told_stays_while_it_holds():
    scenario = SCENARIOS[Cause.COMPUTE]
    figures = Plant(scenario).run()
    held = bottleneck.follow(None, WRITTEN, figures, scenario.setup, 0.0)
    assert bottleneck.status(held) == WRITTEN
    held = bottleneck.follow(held, WRITTEN, figures, scenario.setup, REFRESH_SECONDS)
    assert "tensor pipes" in bottleneck.status(held).evidence


def test_another_cause_is_told_once_it_lasted():
    scenario = SCENARIOS[Cause.QUEUE]
    figures = Plant(scenario).run()
    held = bottleneck.follow(None, WRITTEN, figures, scenario.setup, 0.0)
    assert held.named.cause is Cause.COMPUTE
    held = bottleneck.follow(held, WRITTEN, figures, scenario.setup, SETTLE_SECONDS - 1)
    assert held.named.cause is Cause.COMPUTE
    held = bottleneck.follow(held, WRITTEN, figures, scenario.setup, SETTLE_SECONDS)
    assert held.named.cause is Cause.QUEUE


def test_a_cause_of_a_newer_release_is_no_error():
    newer = Bottleneck(cause="storage", evidence="e")
    figures = Plant(SCENARIOS[Cause.IDLE]).run()
    assert bottleneck.follow(None, newer, figures, PROMISED, 0.0).named.cause is Cause.IDLE

from array import array
from dataclasses import replace

import pytest

from autoglm_agent.engine.histograms import Histogram
from autoglm_agent.engine.names import EngineKind, Latency
from autoglm_agent.engine.sample import EngineSample, Total
from autoglm_agent.engine.view import WINDOW_SECONDS, EngineView


def sample(taken, tokens=0.0, fast=0.0, slow=0.0, **changes):
    """One with `fast` tokens below 50 ms and `slow` ones below 500 ms since the engine started."""
    base = EngineSample(
        taken=taken,
        kind=EngineKind.VLLM,
        running=4.0,
        waiting=0.0,
        kv_cache=0.5,
        prompt_tokens=2 * tokens,
        generation_tokens=tokens,
        finished=0.0,
        preemptions=0.0,
        prefix_queries=2 * tokens,
        prefix_hits=tokens,
        histograms={Latency.ITL: Histogram((0.05, 0.5), array("d", [fast, fast + slow, fast + slow]))},
        totals={Latency.ITL: Total(fast + slow, 0.03 * fast + 0.3 * slow)},
        kv_tokens=1000.0,
    )
    return replace(base, **changes)


def play(view, *samples):
    return [view.add(each) for each in samples][-1]


def test_rates_quantiles_and_hits_over_the_window():
    figures = play(EngineView(), sample(0.0), sample(10.0, 100.0, fast=90.0, slow=10.0))

    assert figures.generation_rate == 10.0
    assert figures.prompt_rate == 20.0
    assert figures.prefix_hit_ratio == 0.5
    assert figures.preemption_rate == 0.0
    assert figures.quantiles[Latency.ITL][0] == pytest.approx(0.05 * 50 / 90)
    assert figures.quantiles[Latency.ITL][2] == pytest.approx(0.05 + 0.45 * 0.9)
    assert figures.pace == pytest.approx(0.057)
    assert figures.kv_reserved_free_tokens == 500.0
    assert not figures.restarted


def test_one_sample_tells_no_rates():
    figures = EngineView().add(sample(0.0, 100.0, fast=5.0))

    assert (figures.generation_rate, figures.pace, dict(figures.quantiles)) == (None, None, {})


def test_what_left_the_window_counts_no_longer():
    view = EngineView()
    view.add(sample(0.0))
    play(view, *(sample(2.0 * n, 100.0, fast=100.0) for n in range(1, 31)))

    figures = play(view, *(sample(2.0 * n, 100.0, fast=100.0) for n in range(31, 40)))

    assert figures.generation_rate == 0.0
    assert Latency.ITL not in figures.quantiles


def test_counter_reset_is_a_restart_and_all_that_is_counted_since_is_new():
    figures = play(EngineView(), sample(0.0, 1000.0, fast=1000.0), sample(2.0, 10.0, fast=10.0))

    assert figures.restarted
    assert figures.generation_rate == 5.0
    assert figures.pace is None
    assert figures.quantiles[Latency.ITL][0] == pytest.approx(0.025)


@pytest.mark.parametrize("jump", [-100.0, 0.0, WINDOW_SECONDS + 1, 1e9])
def test_clock_jump_begins_a_new_window(jump):
    view = EngineView()
    play(view, sample(1000.0), sample(1002.0, 100.0, fast=100.0))

    figures = view.add(sample(1002.0 + jump, 1e6, fast=1e6))

    assert figures.generation_rate is None
    assert dict(figures.quantiles) == {}
    assert view.add(sample(1004.0 + jump, 1e6 + 20, fast=1e6 + 20)).generation_rate == 10.0


def test_series_that_come_and_go_are_not_told():
    view = EngineView()
    view.add(sample(0.0))
    figures = view.add(sample(2.0, histograms={}, totals={}, generation_tokens=None, kv_tokens=None))

    assert figures.generation_rate is None
    assert figures.kv_reserved_free_tokens is None
    assert figures.prompt_rate == 0.0


def test_even_engine_is_stable_and_one_that_slows_down_is_not():
    view, fast = EngineView(), 0.0
    for n in range(31):
        fast += 40
        figures = view.add(sample(2.0 * n, fast, fast=fast))
    assert figures.stability.cv == pytest.approx(0.0)
    assert figures.stability.ocs == pytest.approx(1.0)
    assert figures.stability.stable is True

    slow = 0.0
    for n in range(31, 46):
        slow += 40
        figures = view.add(sample(2.0 * n, fast + slow, fast=fast, slow=slow))
    assert figures.stability.cv > 0.15
    assert figures.stability.ocs < 0.1
    assert figures.stability.stable is False

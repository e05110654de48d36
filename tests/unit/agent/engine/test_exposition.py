import math
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_agent.engine.exposition import MOST_BYTES, MOST_SERIES, parse
from autoglm_agent.engine.names import TABLE, EngineKind, Latency, Value
from autoglm_agent.engine.sample import EngineSample, Rank, ScrapeError, Total


def read(text, taken=5.0):
    return parse([text.encode() if isinstance(text, str) else text], taken)


def test_vllm_sample(vllm):
    sample = read(vllm())

    assert (sample.taken, sample.kind) == (5.0, EngineKind.VLLM)
    assert (sample.running, sample.waiting, sample.kv_cache) == (2.0, 1.0, 0.25)
    assert (sample.prompt_tokens, sample.generation_tokens, sample.finished) == (1000.0, 500.0, 10.0)
    assert (sample.preemptions, sample.prefix_queries, sample.prefix_hits) == (3.0, 400.0, 100.0)
    assert sample.kv_tokens == 16_000.0
    assert sample.histograms[Latency.ITL].bounds == (0.01, 0.05)
    assert list(sample.histograms[Latency.TTFT].counts) == [10.0, 12.0, 12.0]
    assert sample.totals[Latency.TTFT] == Total(12.0, 3.0)
    assert sample.ranks == {"0": Rank(2.0, 0.25, 1500.0)}
    assert (sample.held, sample.ignored) == ("", ())


def test_sglang_sample_counts_pipeline_stages_once(sglang):
    sample = read(sglang())

    assert sample.kind is EngineKind.SGLANG
    assert (sample.running, sample.waiting, sample.kv_cache) == (4.0, 5.0, 0.5)
    assert (sample.prefix_queries, sample.prefix_hits) == (400.0, 100.0)
    assert (sample.kv_tokens, sample.weights_bytes) == (200_000.0, 2.0 * 2**30)
    assert sample.ranks == {"": Rank(4.0, 0.5, 400.0 + 60.0 + 70.0)}


def test_data_parallel_ranks_are_kept_apart_and_added_up(vllm):
    sample = read(vllm(running=1.0, kv=0.2) + vllm(running=3.0, kv=0.4, engine="1"))

    assert sample.running == 4.0
    assert sample.kv_cache == pytest.approx(0.3)
    assert sample.kv_tokens == 32_000.0
    assert {name: rank.running for name, rank in sample.ranks.items()} == {"0": 1.0, "1": 3.0}


def test_requests_that_end_without_a_token_are_no_progress(vllm):
    assert read(vllm(finished=99.0)).ranks == read(vllm()).ranks


def test_sleeping_and_paused_engines_say_so(vllm, sglang):
    asleep = vllm().replace('sleep_state="awake"} 1.0', 'sleep_state="awake"} 0.0')

    assert read(asleep).held == "the engine sleeps"
    assert read(sglang(["sglang:num_paused_reqs 2.0"])).held == "the engine is paused"


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "x", "1e999"])
def test_impossible_value_is_left_out_and_named_and_costs_nothing_else(vllm, value):
    sample = read(vllm(generated=value))

    assert sample.generation_tokens is None
    assert sample.ignored == ("vllm:generation_tokens_total",)
    assert sample.running == 2.0


def test_share_above_one_is_left_out(vllm):
    sample = read(vllm(kv=93.0))

    assert sample.kv_cache is None
    assert sample.ignored == ("kv_cache",)


def test_histogram_that_falls_is_left_out(vllm):
    text = vllm().replace('le="1.0",engine="0",model_name="m"} 12.0', 'le="1.0",engine="0",model_name="m"} 5.0')
    sample = read(text)

    assert Latency.TTFT not in sample.histograms
    assert "ttft histogram" in sample.ignored


@pytest.mark.parametrize("value", ["NaN", "-1"])
def test_without_a_usable_batch_there_is_no_sample(vllm, value):
    with pytest.raises(ScrapeError, match="no vllm:num_requests_running") as caught:
        read(vllm(running=value))
    assert caught.value.reason == "incomplete"


@pytest.mark.parametrize("text", ["", "<html>it works</html>", "\x00\xff", "{" * 1000, "vllm:num_requests_running"])
def test_what_is_no_exposition_is_said_to_be_none(text):
    with pytest.raises(ScrapeError, match="is this vLLM or SGLang"):
        read(text)


def test_line_without_end_is_cut_off():
    with pytest.raises(ScrapeError, match="line of more than 64 KiB") as caught:
        parse((b"x" * 60_000 for _ in range(10)), 0.0)
    assert caught.value.reason == "malformed"


def test_50_megabytes_are_not_read_to_their_end(vllm):
    line = b'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 1.0\n'
    sent = []

    def flood():
        yield vllm().encode()
        for number in range(50_000_000 // (len(line) * 500)):
            sent.append(number)
            yield line * 500

    tracemalloc.start()
    try:
        started = time.monotonic()
        with pytest.raises(ScrapeError, match="larger than 4 MiB") as caught:
            parse(flood(), 0.0)
        took, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert caught.value.reason == "too_large"
    assert len(sent) * 500 * len(line) < MOST_BYTES + 100_000
    assert peak < 1_000_000
    assert took < 5


def test_100_000_series_of_interest_are_refused():
    block = "".join(
        f'vllm:num_requests_running{{engine="{number}"}} 1\n' for number in range(MOST_SERIES // 8)
    ).encode()

    with pytest.raises(ScrapeError, match=f"more than {MOST_SERIES} series") as caught:
        parse((block for _ in range(40)), 0.0)
    assert caught.value.reason == "too_large"


def test_10_000_ranks_cost_no_memory(vllm):
    text = vllm() + "".join(f'vllm:num_requests_running{{engine="{n}"}} 1\n' for n in range(10_000))

    assert len(read(text).ranks) == 64


@given(st.lists(st.integers(1, 400), max_size=30))
def test_chunks_may_end_anywhere(sizes):
    text = _TEXT
    chunks, start = [], 0
    for size in sizes:
        chunks.append(text[start : start + size])
        start += size

    assert parse([*chunks, text[start:]], 0.0) == parse([text], 0.0)


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_garbage_in_the_middle_gives_a_sample_or_says_why_not(garbage, place):
    try:
        sample = parse([_TEXT[:place] + garbage + _TEXT[place:]], 0.0)
    except ScrapeError:
        return
    assert isinstance(sample, EngineSample)
    assert sample.running >= 0
    assert math.isfinite(sample.running)


_TEXT = (
    b'vllm:num_requests_running{engine="0",model_name="m"} 2.0\n'
    b'vllm:num_requests_waiting{engine="0",model_name="m"} 1.0\n'
    b'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5\n'
    b'vllm:generation_tokens_total{engine="0",model_name="a\\"b,le=\\"1"} 5e3\n'
    b'vllm:inter_token_latency_seconds_bucket{le="0.1",engine="0"} 1\n'
    b'vllm:inter_token_latency_seconds_bucket{le="+Inf",engine="0"} 2\n'
)


def test_names_are_those_of_the_engines_own_metrics():
    """The operator's table names what both read; the names have to agree."""
    from autoglm_operator.autoscaler.engine_metrics import NAMES  # noqa: PLC0415

    ours = {(what.value, name) for names in TABLE.values() for what, name in names.values.items()}
    ours |= {(what.value, f"{name}_bucket") for names in TABLE.values() for what, name in names.latencies.items()}
    ours |= {(Value.KV_TOKENS.value, names.values[Value.CACHE_CONFIG]) for names in [TABLE[EngineKind.VLLM]]}
    kinds = {kind for kind, _ in ours}
    theirs = {(kind, name) for name, kind in NAMES.items() if kind in kinds}

    assert len(theirs) >= 16
    assert theirs <= ours


def test_simulator_speaks_the_names_of_vllm():
    from prometheus_client import generate_latest  # noqa: PLC0415

    from autoglm_simulator.flags import parse as flags  # noqa: PLC0415
    from autoglm_simulator.server import Server  # noqa: PLC0415

    server = Server(flags(["serve", "m", "--profile", "tiny-demo"]))
    sample = read(generate_latest(server._registry))

    assert sample.kv_tokens == 33_024.0
    assert set(sample.histograms) == set(Latency)
    assert sample.ignored == ()

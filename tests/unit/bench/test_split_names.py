"""The split reads what engines expose: a recording of SGLang, and the names in vLLM's released source."""

import json
from pathlib import Path

import pytest

from autoglm_bench.figures import split
from autoglm_bench.figures.exposition import sums

TESTS = Path(__file__).parents[2]
#: Two readings of one SGLang under load.
RECORDED = [TESTS / f"prometheus/recordings/sglang-0.5.23-{number}.txt" for number in (1, 2)]
#: What vLLM 0.33.0 exposes; the simulator is held to the same file.
VLLM = json.loads((TESTS / "unit/simulator/data/vllm_metrics.json").read_text())["metrics"]


def test_sglang_as_it_was_recorded():
    before, after = (sums(path.read_text(), split.NAMES) for path in RECORDED)
    counted = after["sglang:e2e_request_latency_seconds_count"] - before["sglang:e2e_request_latency_seconds_count"]
    served = after["sglang:e2e_request_latency_seconds_sum"] - before["sglang:e2e_request_latency_seconds_sum"]
    found = split.split(before, after, served / counted + 0.25, int(counted))

    assert found.note == ""
    assert found.seconds["network"] == pytest.approx(0.25)
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.seconds["decode"] > found.seconds["prefill"] > found.seconds["queue"]
    assert found.cached_tokens == 212167 - 111593


@pytest.mark.parametrize("name", [name for name in split.NAMES if name.startswith("vllm:")])
def test_vllm_exposes_every_name(name):
    histograms = {item["exposed_as"] for item in VLLM if item["type"] == "histogram"}
    counters = {item["exposed_as"] for item in VLLM if item["type"] == "counter"}
    assert name.removesuffix("_sum").removesuffix("_count") in histograms or name in counters

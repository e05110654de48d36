import json
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import Histogram as ClientHistogram
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from autoglm_simulator import catalogue
from autoglm_simulator.catalogue import token_buckets
from autoglm_simulator.flags import parse
from autoglm_simulator.metric import Metric
from autoglm_simulator.metrics import EngineMetrics, Histogram, registry
from autoglm_simulator.model import Engine
from autoglm_simulator.requests import Request

FACTS = json.loads((Path(__file__).parent / "data" / "vllm_metrics.json").read_text())["metrics"]


def simulated(*flags):
    settings = parse(["serve", "m", "--max-model-len", "25480", *flags])
    engine = Engine(settings.limits, settings.profile.speed)
    return engine, EngineMetrics(settings, engine)


def families(metrics):
    text = generate_latest(registry(metrics)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.fixture(scope="module")
def exposed():
    engine, metrics = simulated("--max-num-queued-reqs", "9")
    engine.add(Request(100, 10, 0.0))
    for progress in engine.step(1e6):
        metrics.record(progress)
    return families(metrics)


def test_the_catalogue_is_what_is_exposed(differences):
    _, metrics = simulated("--max-num-queued-reqs", "9")
    of_this_model = [
        replace(metric, buckets=tuple(bound for bound in metric.buckets if bound <= 25_480))
        for metric in catalogue.CATALOGUE
    ]
    assert differences(generate_latest(registry(metrics)).decode(), of_this_model) == []


def test_nothing_else_is_exposed(exposed):
    assert set(exposed) == {fact["name"] for fact in FACTS}


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["name"])
def test_name_type_labels_and_values_are_vllms(exposed, fact):
    family = exposed[fact["name"]]
    assert family.type == fact["type"]
    names = {sample.name for sample in family.samples}
    suffixes = {"_bucket", "_count", "_sum"} if fact["type"] == "histogram" else {""}
    assert names == {fact["exposed_as"] + suffix for suffix in suffixes}
    for sample in family.samples:
        assert set(sample.labels) - {"le"} == set(fact["labels"])
    for label, values in fact.get("label_values", {}).items():
        seen = {sample.labels[label] for sample in family.samples}
        assert seen <= set(values)
        assert seen == set(values) or fact["name"] == "vllm:admission_rejections"  # one of its two limits is simulated


@pytest.mark.parametrize("fact", [fact for fact in FACTS if "buckets" in fact], ids=lambda fact: fact["name"])
def test_buckets_are_vllms(exposed, fact):
    bounds = [float(s.labels["le"]) for s in exposed[fact["name"]].samples if s.name.endswith("_bucket")]
    expected = fact["buckets"]
    if isinstance(expected, str):
        expected = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]  # up to 25,480
    assert bounds == [*expected, float("inf")]


def test_without_a_queue_limit_there_are_no_rejections_to_report():
    assert "vllm:admission_rejections" not in families(simulated()[1])


def test_token_buckets_end_at_the_largest():
    assert token_buckets(20) == (1, 2, 5, 10, 20)
    assert token_buckets(19) == (1, 2, 5, 10)


def test_a_histogram_counts_as_the_prometheus_client_does():
    bounds = (0.5, 1, 2_000_000)
    ours = Histogram(Metric("h", "histogram", "", "h", (), bounds))
    theirs = ClientHistogram("h", "h", buckets=bounds, registry=None)
    for value in (0.2, 0.5, 0.7, 3, 3, 3e6):
        theirs.observe(value)
    for value, times in ((0.2, 1), (0.5, 1), (0.7, 1), (3, 2), (3e6, 1)):
        ours.observe(value, times)
    [expected] = theirs.collect()
    got = {(s.name, s.labels.get("le")): s.value for s in ours.family([]).samples}
    assert got == {(s.name, s.labels.get("le")): s.value for s in expected.samples if s.name != "h_created"}


def value(exposed, name, **labels):
    [found] = [
        s.value
        for family in exposed.values()
        for s in family.samples
        if s.name == name and labels.items() <= s.labels.items()
    ]
    return found


def test_one_request_is_counted_once_everywhere(exposed):
    assert value(exposed, "vllm:prompt_tokens_total") == 100
    assert value(exposed, "vllm:generation_tokens_total") == 10
    assert value(exposed, "vllm:prefix_cache_queries_total") == 100
    assert value(exposed, "vllm:request_success_total", finished_reason="stop") == 1
    assert value(exposed, "vllm:inter_token_latency_seconds_count") == 9
    counted = [
        fact["exposed_as"] for fact in FACTS if fact["type"] == "histogram" and "inter_token" not in fact["name"]
    ]
    assert {value(exposed, f"{name}_count") for name in counted} == {1}


def test_times_add_up(exposed):
    total = {name: value(exposed, f"vllm:{name}_sum") for name in (
        "e2e_request_latency_seconds", "request_queue_time_seconds", "request_inference_time_seconds",
        "request_prefill_time_seconds", "request_decode_time_seconds", "time_to_first_token_seconds",
        "inter_token_latency_seconds", "request_time_per_output_token_seconds",
    )}  # fmt: skip
    prefill, decode = total["request_prefill_time_seconds"], total["request_decode_time_seconds"]
    assert prefill == pytest.approx(0.0148 + 100 * 0.000135)
    assert total["time_to_first_token_seconds"] == pytest.approx(prefill)
    assert total["inter_token_latency_seconds"] == pytest.approx(decode)
    assert total["request_inference_time_seconds"] == pytest.approx(prefill + decode)
    assert total["e2e_request_latency_seconds"] == pytest.approx(prefill + decode)
    assert total["request_time_per_output_token_seconds"] == pytest.approx(decode / 9)
    assert total["request_queue_time_seconds"] == 0


def test_gauges_follow_the_engine():
    engine, metrics = simulated("--max-num-seqs", "2")
    for _ in range(5):
        engine.add(Request(1000, 100, 0.0))
    engine.step(0.5)
    exposed = families(metrics)
    assert value(exposed, "vllm:num_requests_running") == 2
    assert value(exposed, "vllm:num_requests_waiting") == 3
    assert value(exposed, "vllm:kv_cache_usage_perc") == engine.kv.usage > 0


def test_a_preempted_request_shows_its_gap_between_tokens_and_is_looked_up_once():
    engine, metrics = simulated("--profile", "tiny-demo", "--max-model-len", "4096")
    engine.kv.withhold(engine.kv.capacity - 4)
    for _ in range(2):
        engine.add(Request(16, 40, 0.0))
    for progress in engine.step(1e6):
        metrics.record(progress)
    exposed = families(metrics)
    assert value(exposed, "vllm:num_preemptions_total") == 1
    assert value(exposed, "vllm:generation_tokens_total") == 80
    assert value(exposed, "vllm:inter_token_latency_seconds_count") == 78
    assert value(exposed, "vllm:prompt_tokens_total") == 32
    assert value(exposed, "vllm:prefix_cache_queries_total") == 32

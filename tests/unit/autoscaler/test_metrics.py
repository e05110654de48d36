"""The autoscaler's own metrics."""

from autoglm_operator.autoscaler.metrics import CATALOGUE, Metrics
from autoglm_operator.metric import Per

KEY = ("prod", "phone")


async def test_what_is_exposed_is_the_catalogue(fill, differences, scrape):
    metrics = Metrics()
    fill(metrics, CATALOGUE)
    for text in await scrape(metrics.exposition):
        assert differences(text, CATALOGUE) == []
        of_one = [line for line in text.splitlines() if 'name="phone"' in line]
        assert len(of_one) == sum(metric.series for metric in CATALOGUE if metric.per is Per.DEPLOYMENT)


def test_what_never_happened_is_zero_so_that_its_first_time_is_seen():
    value = Metrics().registry.get_sample_value
    assert value("autoglm_autoscaler_decisions_total", {"reason": "QueueBacklog", "direction": "up"}) == 0
    assert value("autoglm_autoscaler_scrapes_total", {"target": "agent", "result": "timeout"}) == 0


def test_values_of_the_metrics_api_replace_each_other():
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    labels = {"namespace": "prod", "name": "phone"}
    metrics.publish(KEY, {"autoglm_queue_depth": 3.0, "autoglm_desired_replicas": 2.0})
    metrics.publish(KEY, {"autoglm_queue_depth": 4.0})
    assert value("autoglm_autoscaler_signal", labels | {"metric": "autoglm_queue_depth"}) == 4.0
    assert value("autoglm_autoscaler_signal", labels | {"metric": "autoglm_desired_replicas"}) is None


def test_forget_drops_every_series_of_a_deployment():
    metrics = Metrics()
    metrics.publish(KEY, {"autoglm_queue_depth": 3.0})
    metrics.tokens.add(KEY, 10, "input")
    metrics.tokens.add(("prod", "other"), 10, "input")
    metrics.forget(KEY)
    text = metrics.exposition.render("")[1].decode()
    assert 'name="phone"' not in text
    assert 'autoglm_autoscaler_tokens_total{namespace="prod",name="other",direction="input"} 10.0' in text


def test_scrapes_and_requests_are_counted_and_timed():
    metrics = Metrics()
    metrics.observe_scrape("engine", "", 0.1)
    metrics.observe_scrape("agent", "timeout", 2.0)
    metrics.observe_request("GET", 200, 0.25)
    metrics.observe_tick(0.5, None)
    value = metrics.registry.get_sample_value
    assert value("autoglm_autoscaler_scrapes_total", {"target": "engine", "result": "ok"}) == 1
    assert value("autoglm_autoscaler_scrapes_total", {"target": "agent", "result": "timeout"}) == 1
    assert value("autoglm_autoscaler_scrape_duration_seconds_sum") == 2.1
    assert value("autoglm_autoscaler_api_request_duration_seconds_sum", {"verb": "GET"}) == 0.25
    assert value("autoglm_autoscaler_tick_duration_seconds_sum") == 0.5

"""The operator's own metrics."""

from autoglm_operator.metric import Per
from autoglm_operator.metrics import CATALOGUE, Metrics

KEY = ("team-a", "one")


def test_forget_drops_the_series_of_one_deployment():
    metrics = Metrics()
    for name in ("one", "two"):
        metrics.condition.replace(("team-a", name), {("Ready", "True"): 1.0, ("Ready", "False"): 0.0})
        metrics.gpus.set(("team-a", name), 4)
    metrics.forget("team-a", "one")
    left = {
        sample.labels["name"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("autoglm_operator_deployment")
    }
    assert left == {"two"}
    metrics.forget("team-a", "never seen")


def test_requests_are_counted_and_timed_by_verb():
    metrics = Metrics()
    metrics.observe_request("PATCH", 200, 0.1)
    metrics.observe_request("PATCH", 0, 0.3)
    value = metrics.registry.get_sample_value
    assert value("autoglm_operator_api_requests_total", {"verb": "PATCH", "code": "0"}) == 1
    assert value("autoglm_operator_api_request_duration_seconds_sum", {"verb": "PATCH"}) == 0.4


async def test_what_is_exposed_is_the_catalogue(fill, differences, scrape):
    metrics = Metrics()
    fill(metrics, CATALOGUE)
    for text in await scrape(metrics.exposition):
        assert differences(text, CATALOGUE) == []
        of_one = [line for line in text.splitlines() if 'name="phone"' in line]
        assert len(of_one) == sum(metric.series for metric in CATALOGUE if metric.per is not Per.PROCESS)

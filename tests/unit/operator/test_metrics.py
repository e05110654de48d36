"""The operator's own metrics."""

from autoglm_operator.metrics import CATALOGUE, Metrics


def names_of(metrics):
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


def test_every_metric_of_the_catalogue_exists_and_has_help():
    families = {family.name: family for family in Metrics().registry.collect()}
    for metric in CATALOGUE:
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.type
        assert family.documentation == metric.help
        assert metric.help.endswith(".")


def test_forget_drops_the_series_of_one_deployment():
    metrics = Metrics()
    for name in ("one", "two"):
        metrics.condition.labels("team-a", name, "Ready", "True").set(1)
        metrics.condition.labels("team-a", name, "Ready", "False").set(0)
        metrics.replicas.labels("team-a", name, "ready").set(1)
    metrics.forget("team-a", "one")
    left = {
        sample.labels["name"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "name" in sample.labels and sample.name.startswith("autoglm_operator_deployment")
    }
    assert left == {"two"}
    metrics.forget("team-a", "never seen")


def test_requests_are_counted_by_verb_and_code():
    metrics = Metrics()
    metrics.observe_request("PATCH", 200, 0.1)
    metrics.observe_request("PATCH", 0, 0.1)
    assert metrics.registry.get_sample_value("autoglm_operator_api_requests_total", {"verb": "PATCH", "code": "0"}) == 1
    assert names_of(metrics) >= {"autoglm_operator_api_requests_total"}

"""What `/metrics` says of one deployment."""

import pytest

from autoglm_operator.decide.health import refused
from autoglm_operator.decide.judgement import judge
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.metrics import CONDITION, Metrics
from autoglm_operator.report.series import show

KEY = ("team-a", "phone")
SCALING = {"maxReplicas": 8, "objective": {"ttftP99": "1500ms", "itlP99": "80ms"}}


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def shown(observe, metrics):
    """Show a deployment and return its series by metric."""

    def make(status=None, **spec):
        observed, plan = observe(status=status, **spec)
        show(metrics, KEY, judge(observed, plan, None), plan, observed.deployment.status)
        return series(metrics)

    return make


def series(metrics):
    found = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.labels.get("name") == KEY[1]:
                own = tuple(value for label, value in sample.labels.items() if label not in {"namespace", "name"})
                found.setdefault(sample.name.removeprefix("autoglm_operator_deployment_"), {})[own] = sample.value
    return found


def test_what_it_runs_and_what_is_promised(shown):
    found = shown(
        replicas=3,
        autoscaling=SCALING,
        engine={"type": "vLLM"},
        resources={"gpu": {"count": 4, "product": "NVIDIA-H100-80GB-HBM3"}, "parallelism": {"tensor": 4}},
    )
    ((model, engine, version, gpu),) = found["info"]
    assert (engine, gpu) == ("vLLM", "NVIDIA-H100-80GB-HBM3")
    assert model
    assert version[0].isdigit()
    assert found["gpus"] == {(): 4}
    assert found["objective_seconds"] == {("ttft_p99",): 1.5, ("itl_p99",): 0.08}
    assert found["replica_bounds"] == {("min",): 1, ("max",): 8}
    assert found["replicas"] == {("wanted",): 3, ("existing",): 0, ("ready",): 0}


def test_without_autoscaling_nothing_is_promised(shown):
    assert {"objective_seconds", "replica_bounds"} <= shown(autoscaling=SCALING).keys()
    found = shown()
    assert not {"objective_seconds", "replica_bounds"} & found.keys()
    assert found["gpus"] == {(): 1}


def test_another_version_takes_the_place_of_the_first(shown):
    model = {"source": {"pvc": {"claimName": "weights"}}}
    shown(model=model | {"servedName": "one"})
    found = shown(model=model | {"servedName": "two"})
    assert [labels[0] for labels in found["info"]] == ["two"]


def test_learned_starts_are_shown_from_the_first_reconcile_on(shown):
    stage = {"name": "load", "lastSeconds": 50, "medianSeconds": 42, "p90Seconds": 60, "recentSeconds": [42]}
    learned = {"observedAt": "2026-11-21T00:00:00Z", "samples": 1, "totalSeconds": 50, "totalP90Seconds": 50}
    found = shown(status={"coldStart": learned | {"stages": [stage]}})
    assert found["cold_start_seconds"] == {("load",): 42}
    assert "cold_start_seconds" not in shown()


def test_conditions_have_one_status_each(shown):
    found = shown()["condition"]
    types = {kind for kind, _ in found}
    assert {"Ready", "Stalled", "Reconciling"} <= types
    assert all(sum(found[kind, status] for status in ("True", "False", "Unknown")) == 1 for kind in types)
    assert len(types) <= next(label.most for label in CONDITION.labels if label.name == "type")


def test_a_refused_spec_says_why_and_what_runs_stays(shown, observe, metrics):
    before = shown(autoscaling=SCALING)
    observed, _ = observe()
    show(metrics, KEY, refused(observed, Reason.INVALID_SPEC, "no"), None, {})
    found = series(metrics)
    assert found["trouble"] == {("InvalidSpec",): 1}
    assert found["condition"]["Stalled", "True"] == 1
    assert (found["info"], found["objective_seconds"]) == (before["info"], before["objective_seconds"])
    assert "trouble" not in shown()

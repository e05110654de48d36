"""What `/metrics` answers: the lines, how it follows deployments, and exemplars."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from autoglm_operator.exposition import Exposition, exemplar
from autoglm_operator.metric import DEPLOYMENT, Label, Metric
from autoglm_operator.metrics import CONDITION, DEPLOYMENT_INFO, Metrics

OPENMETRICS = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;version=0.0.4;q=0.2"
TOKENS = Metric("test_tokens_total", "counter", "", "Tokens.", (*DEPLOYMENT, Label("direction", "Which.", 2)))
SHARE = Metric(
    "test_share_ratio", "gauge", "ratio", "Share.", (*DEPLOYMENT, Label("of", "What.", 9), Label("a", "A.", 9))
)
KEY = ("team-a", "phone")
AWKWARD = 'a"b\\n\n{,}=# \u00fc\u6f22\U0001f600\u2028\\'


def families(exposition, accept=""):
    text = exposition.render(accept)[1].decode()
    parse = openmetrics_families if accept else text_string_to_metric_families
    return {family.name: family for family in parse(text)}


def samples(exposition, name, accept=""):
    return {tuple(item.labels.values()): item.value for item in families(exposition, accept)[name].samples}


def by_prometheus_client(exposition):
    """The same series by the library's own families."""
    found = {}
    for family in exposition.registry.collect():
        for item in family.samples:
            if not item.name.startswith("process_"):
                found[item.name, frozenset(item.labels.items())] = item.value
    return found


def ours(exposition, accept):
    return {
        (item.name, frozenset(item.labels.items())): item.value
        for family in families(exposition, accept).values()
        for item in family.samples
        if not item.name.startswith("process_")
    }


@pytest.mark.parametrize(
    ("accept", "content_type"), [("", CONTENT_TYPE_PLAIN_0_0_4), (OPENMETRICS, CONTENT_TYPE_LATEST)]
)
def test_the_lines_say_what_prometheus_client_would(accept, content_type):
    metrics = Metrics()
    metrics.observe_request("GET", 200, 0.3)
    metrics.gpus.set(KEY, 8)
    metrics.condition.replace(("team-ü", AWKWARD), {(AWKWARD, "True"): 1.0, ("Ready", "False"): 0.0})
    metrics.deployment_info.replace(KEY, {(AWKWARD, "vllm", "", "NVIDIA H100"): 1.0})
    assert ours(metrics.exposition, accept) == by_prometheus_client(metrics.exposition)
    assert metrics.exposition.render(accept)[0] == content_type


@given(
    values=st.dictionaries(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))),
        st.floats(allow_nan=False),
    ),
    name=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_any_label_and_number_comes_back_as_it_was(values, name):
    exposition = Exposition()
    series = exposition.deployments(SHARE)
    series.replace((name, "phone"), values)
    found = {
        (item.labels["of"], item.labels["a"]): item.value
        for item in families(exposition, OPENMETRICS)["test_share_ratio"].samples
    }
    assert found == values


def test_units_and_types_are_told():
    exposition = Exposition()
    exposition.deployments(SHARE)
    exposition.deployments(TOKENS)
    exposition.deployments(DEPLOYMENT_INFO)
    text = exposition.render(OPENMETRICS)[1].decode()
    assert "# TYPE test_share_ratio gauge\n# UNIT test_share_ratio ratio\n" in text
    assert "# TYPE test_tokens counter\n" in text
    assert "# TYPE autoglm_operator_deployment info\n" in text
    assert text.endswith("# EOF\n")
    plain = exposition.render("")[1].decode()
    assert "# TYPE test_tokens_total counter\n" in plain
    assert "# TYPE autoglm_operator_deployment_info gauge\n" in plain
    assert "EOF" not in plain


def test_what_a_deployment_no_longer_has_is_gone_and_others_stay():
    exposition = Exposition()
    series = exposition.deployments(SHARE)
    for name in ("one", "two"):
        series.replace(("team-a", name), {("x", "y"): 1.0, ("x", "z"): 2.0})
    series.replace(("team-a", "one"), {("x", "z"): 3.0})
    found = samples(exposition, "test_share_ratio")
    assert found == {
        ("team-a", "one", "x", "z"): 3.0,
        ("team-a", "two", "x", "y"): 1.0,
        ("team-a", "two", "x", "z"): 2.0,
    }
    series.replace(("team-a", "one"), {})
    assert {key[1] for key in samples(exposition, "test_share_ratio")} == {"two"}


def test_a_deployment_deleted_and_made_again_begins_anew():
    exposition = Exposition()
    tokens = exposition.deployments(TOKENS)
    tokens.add(KEY, 5, "input")
    assert samples(exposition, "test_tokens")[*KEY, "input"] == 5
    exposition.forget(KEY)
    assert samples(exposition, "test_tokens") == {}
    tokens.add(KEY, 2, "input")
    assert samples(exposition, "test_tokens") == {(*KEY, "input"): 2.0}
    assert exposition.render("") == exposition.render("")


def test_nan_and_infinity_are_told_as_prometheus_writes_them():
    exposition = Exposition()
    series = exposition.deployments(SHARE)
    series.replace(KEY, {("x", "nan"): math.nan, ("x", "inf"): math.inf, ("x", "-inf"): -math.inf, ("x", "0"): -0.0})
    for accept in ("", OPENMETRICS):
        found = samples(exposition, "test_share_ratio", accept)
        assert math.isnan(found[*KEY, "x", "nan"])
        assert (found[*KEY, "x", "inf"], found[*KEY, "x", "-inf"], found[*KEY, "x", "0"]) == (math.inf, -math.inf, 0)


def test_a_counter_only_rises():
    tokens = Exposition().deployments(TOKENS)
    for amount in (-1, math.nan):
        with pytest.raises(ValueError, match=r"metric test_tokens_total: .* a counter takes 0 or more"):
            tokens.add(KEY, amount, "input")


def test_every_series_has_a_value_for_each_label():
    series = Exposition().deployments(SHARE)
    with pytest.raises(ValueError, match=r"metric test_share_ratio: values \('x',\); expected one for each of"):
        series.set(KEY, 1.0, "x")
    with pytest.raises(ValueError, match="expected one for each of"):
        series.replace(KEY, {(): 1.0})


def test_series_of_deployments_name_the_deployment_first():
    with pytest.raises(ValueError, match="expected namespace, name"):
        Exposition().deployments(Metric("test_x", "gauge", "", "X.", (Label("x", "X.", 1), *DEPLOYMENT)))


def test_one_name_is_taken_once():
    exposition = Exposition()
    exposition.deployments(CONDITION)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        exposition.gauge(CONDITION)


def test_label_texts_that_come_and_go_do_not_pile_up():
    exposition = Exposition()
    info = exposition.deployments(DEPLOYMENT_INFO)
    for number in range(5000):
        info.replace(("team-a", f"phone-{number}"), {(f"model-{number}", "vllm", "", ""): 1.0})
    assert len(samples(exposition, "autoglm_operator_deployment_info")) == 5000
    assert len(info._texts) <= 1024


def exemplars(metrics):
    family = families(metrics.exposition, OPENMETRICS)["autoglm_operator_api_request_duration_seconds"]
    return [item.exemplar for item in family.samples if item.exemplar]


def test_an_exemplar_leads_from_a_bucket_to_its_trace():
    metrics = Metrics()
    with TracerProvider().get_tracer("t").start_as_current_span("reconcile") as span:
        metrics.observe_request("GET", 200, 0.3)
    (found,) = exemplars(metrics)
    assert int(found.labels["trace_id"], 16) == span.get_span_context().trace_id
    assert int(found.labels["span_id"], 16) == span.get_span_context().span_id
    assert found.value == 0.3
    assert "trace_id" not in metrics.exposition.render("")[1].decode()


def test_without_a_trace_that_anybody_will_see_there_is_no_exemplar():
    metrics = Metrics()
    metrics.observe_request("GET", 200, 0.3)
    with TracerProvider(sampler=ALWAYS_OFF).get_tracer("t").start_as_current_span("reconcile"):
        assert exemplar() is None
        metrics.observe_request("GET", 200, 0.3)
    assert exemplars(metrics) == []

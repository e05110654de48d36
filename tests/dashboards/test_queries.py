"""Every query parses, asks only for metrics that somebody defines, and reads counters by their rate."""

import re

import promql_parser
import pytest

from autoglm_agent import metrics as agent
from autoglm_dashboards import all_queries, foreign, promql
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler


def _catalogue() -> dict[str, object]:
    """Return every metric that a panel may name, by the name of its series."""
    series = {}
    for metric in (*operator.CATALOGUE, *autoscaler.CATALOGUE, *agent.CATALOGUE, *foreign.CATALOGUE):
        suffixes = ("_bucket", "_count", "_sum") if metric.type == "histogram" else ("",)
        series |= {f"{metric.name}{suffix}": metric for suffix in suffixes}
    return series


CATALOGUE = _catalogue()
#: Labels that Prometheus adds to what it scrapes.
ADDED = {"cluster", "job", "instance", "namespace", "autoglm_io_deployment", "name", "pod"}


def _plain(expression: str) -> str:
    """Return the query as Prometheus gets it: Grafana's variables replaced by what they may stand for."""
    expression = expression.replace("$__rate_interval", "1m").replace("$__range_s", "3600").replace("$__range", "1h")
    expression = re.sub(r"\$(cluster|namespace|deployment|job|instance)\b", ".+", expression)
    expression = expression.replace("$gpu_hour", "2.5")
    assert "$" not in expression, f"a variable that no dashboard has: {expression}"
    return expression


def _nodes(node):
    """Yield `node` and everything below it, each with the nodes above it."""

    def walk(current, above):
        yield current, above
        for attribute in ("expr", "lhs", "rhs", "vector_selector", "param"):
            child = getattr(current, attribute, None)
            if child is not None and not isinstance(child, str | int | float):
                yield from walk(child, (*above, current))
        for child in getattr(current, "args", None) or ():
            yield from walk(child, (*above, current))

    yield from walk(node, ())


def _queries(panels):
    return [(panel, target["expr"]) for panel in panels for target in panel.get("targets", ())]


def _selectors(expression):
    """Return the vector selectors of a query, each with the nodes above it."""
    tree = promql_parser.parse(_plain(expression))
    found = [(node, above) for node, above in _nodes(tree) if isinstance(node, promql_parser.VectorSelector)]
    assert len(found) == expression.count("{"), f"the walk over the tree missed a selector of {expression}"
    return found


def _problems(expression: str) -> list[str]:
    """Return what the linter would say about a query."""
    problems = []
    for selector, above in _selectors(expression):
        metric = CATALOGUE.get(selector.name)
        calls = {node.func.name for node in above if isinstance(node, promql_parser.Call)}
        labels = {matcher.name for matcher in selector.matchers.matchers}
        if metric is None:
            problems.append(f"nobody defines the metric {selector.name}")
            continue
        cumulative = metric.type in {"counter", "histogram"}
        if cumulative != bool(calls & {"rate", "increase"}):
            problems.append(f"{selector.name} is a {metric.type}; functions around it: {sorted(calls)}")
        if not (labels & {"namespace", "job"}):
            problems.append(f"{selector.name} is not limited to a namespace or a job")
        if unknown := labels - {*ADDED, *metric.label_names}:
            problems.append(f"{selector.name} has no label {sorted(unknown)}")
    return problems


def test_every_query_keeps_the_rules(panels):
    problems = {f"{panel['title']}: {problem}" for panel, query in _queries(panels) for problem in _problems(query)}
    assert problems == set()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ('sum(rate(vllm:gpu_cache_usage_perc{namespace="a"}[1m]))', "nobody defines"),
        ('sum(autoglm_operator_reconcile_total{job="a"})', "functions around it: []"),
        ('rate(autoglm_operator_leader{job="a"}[1m])', "functions around it: ['rate']"),
        ("sum(autoglm_operator_leader{})", "not limited"),
        ('sum(autoglm_operator_leader{job="a", result="b"})', "has no label ['result']"),
    ],
)
def test_a_query_against_the_rules_is_found(query, problem):
    assert any(problem in found for found in _problems(query))


def test_rates_take_the_window_that_grafana_fits(panels):
    for panel, query in _queries(panels):
        assert set(re.findall(r"\[([^\]]+)\]", query)) <= {"$__rate_interval", "$__range"}, panel["title"]


def test_labels_of_a_legend_survive_the_aggregation(panels):
    for panel in panels:
        for target in panel.get("targets", ()):
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = {label.strip() for group in kept for label in group.split(",")}
            assert wanted <= grouped, f"{panel['title']}: {wanted - grouped}"


def test_latency_panels_link_to_traces(panels):
    for panel in panels:
        for target in panel.get("targets", ()):
            if "_bucket" in target["expr"]:
                assert target["exemplar"], panel["title"]


def test_variables_ask_for_metrics_that_exist(board):
    for variable in (each for each in board["templating"]["list"] if each["type"] == "query"):
        selector, _, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
        promql_parser.parse(_plain(selector))
        for name in re.findall(r"autoglm_\w+", selector):
            assert label in {*ADDED, *CATALOGUE[name].label_names}, variable["name"]


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        (
            "overview",
            (operator.CONDITION, autoscaler.SLO_GOOD, autoscaler.SIGNAL, autoscaler.BOTTLENECK, agent.ENGINE_UP),
        ),
        ("deployment", (foreign.VLLM_TTFT, foreign.SGLANG_TTFT, foreign.VLLM_PREFILL, autoscaler.EVIDENCE)),
        ("gpu", (agent.MEMORY_USED, agent.FAULT, agent.XID_ERRORS, agent.CLOCK_EVENT, foreign.DCGM_POWER[1][0])),
        (
            "autoscaling",
            (autoscaler.DEMAND, autoscaler.FORECAST, autoscaler.CAPACITY, autoscaler.NEED, operator.COLD_START),
        ),
        ("operator", (operator.RECONCILE_TOTAL, operator.QUEUE_AGE, operator.LEADER, operator.TRACE_EXPORTS)),
        ("cost", (operator.DEPLOYMENT_GPUS, autoscaler.TOKENS, autoscaler.BOTTLENECK)),
        ("benchmarks", (autoscaler.SLO_REQUESTS, foreign.VLLM_ITL, operator.BENCHMARK_RESULT)),
    ],
)
def test_each_dashboard_shows_what_it_is_for(name, metrics):
    queries = " ".join(query.expression for query in all_queries() if query.dashboard == name)
    for metric in metrics:
        assert f"{metric.name}{{" in queries or f"{metric.name}_" in queries, metric.name


def test_every_engine_query_asks_both_engines(board):
    asked = str([panel.get("targets") for panel in board["panels"]])
    assert ("vllm:" in asked) == ("sglang:" in asked)


def test_what_a_query_needs_is_told():
    needs = {query.needs for query in all_queries()}
    assert needs == {"", "gpu", "kube-state-metrics", "sglang", "benchmark"}
    assert all(query.needs == "gpu" for query in all_queries() if "DCGM_" in query.expression)
    assert all(query.needs != "sglang" for query in all_queries() if "vllm:" in query.expression)


def test_a_suffix_belongs_to_histograms_only():
    with pytest.raises(ValueError, match="metric autoglm_operator_leader: suffix '_sum' of a gauge; expected none"):
        promql.select(operator.LEADER, "", "_sum")
    with pytest.raises(ValueError, match="suffix '' of a histogram; expected _bucket, _count or _sum"):
        promql.select(operator.RECONCILE_SECONDS, "")

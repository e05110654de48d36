"""Every query parses, asks only for metrics that somebody defines, and reads counters by their rate."""

import re

import promql_parser
import pytest

from autoglm_agent import metrics as agent
from autoglm_dashboards import foreign, promql
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


def _plain(expression: str) -> str:
    """Return the query as Prometheus gets it: Grafana's variables replaced by what they may stand for."""
    expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1h")
    expression = re.sub(r"\$(namespace|deployment|job)\b", ".+", expression)
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
    return [(panel, target["expr"]) for panel in panels for target in panel["targets"]]


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
        if unknown := labels - {"namespace", "autoglm_io_deployment", "name", "job", *metric.labels}:
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
        assert set(re.findall(r"\[([^\]]+)\]", query)) <= {"$__rate_interval"}, panel["title"]


def test_labels_of_a_legend_survive_the_aggregation(panels):
    for panel in panels:
        for target in panel["targets"]:
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = {label.strip() for group in kept for label in group.split(",")}
            assert wanted <= grouped, f"{panel['title']}: {wanted - grouped}"


def test_latency_panels_link_to_traces(panels):
    graphs = [panel for panel in panels if "_bucket" in panel["targets"][0]["expr"] and panel["type"] == "timeseries"]
    assert len(graphs) >= 3
    assert all(target["exemplar"] for panel in graphs for target in panel["targets"])


def test_variables_ask_for_metrics_that_exist(board):
    for variable in board["templating"]["list"][1:]:
        selector, _, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
        promql_parser.parse(_plain(selector))
        for name in re.findall(r"autoglm_\w+", selector):
            assert label == "job" or label in CATALOGUE[name].labels, variable["name"]


def test_the_first_row_asks_about_users(panels):
    tiles = [panel["title"] for panel in panels if panel["type"] == "stat"]
    for topic in ("not ready", "TTFT P99", "ITL P99", "waiting", "Failed", "not answering"):
        assert any(topic in title for title in tiles), topic


def test_a_suffix_belongs_to_histograms_only():
    with pytest.raises(ValueError, match="metric autoglm_operator_leader: suffix '_sum' of a gauge; expected none"):
        promql.select(operator.LEADER, "", "_sum")
    with pytest.raises(ValueError, match="suffix '' of a histogram; expected _bucket, _count or _sum"):
        promql.select(operator.RECONCILE_SECONDS, "")


def test_every_section_of_the_story_is_there(board):
    """Replicas, caches, memory, decisions, scrapes and reconciles: what the person on call looks for."""
    used = {name for name in CATALOGUE if name in str([panel.get("targets") for panel in board["panels"]])}
    for metric in (
        operator.REPLICAS,
        foreign.VLLM_KV_CACHE,
        foreign.SGLANG_KV_CACHE,
        agent.MEMORY_USED,
        autoscaler.SIGNAL,
        autoscaler.DECISIONS_TOTAL,
        autoscaler.SCRAPES_TOTAL,
        operator.RECONCILE_TOTAL,
        operator.LEADER,
        autoscaler.LEADER,
    ):
        assert metric.name in used

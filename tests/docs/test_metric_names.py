"""A query for a metric that nobody defines is found, and where it stands is told."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from autoglm_dashboards import cli

ROOT = Path(__file__).resolve().parents[2]
NAMES = frozenset({"known_total", "seconds_bucket", "other"})


@pytest.fixture(scope="module")
def metric_names():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import metric_names  # noqa: PLC0415  # a script, not a package
    finally:
        sys.path.pop(0)
    return metric_names


def board(expression, variable="label_values(other, job)"):
    row = {"type": "row", "title": "Row", "panels": [{"title": "Panel", "targets": [{"expr": expression}]}]}
    variables = [{"name": "job", "definition": variable, "query": {"query": variable}}]
    return {Path("a.json"): json.dumps({"title": "Board", "panels": [row], "templating": {"list": variables}})}


def rules(expression, **more):
    rule = {"alert": "Bad", "expr": expression}
    recorded = [{"record": "level:known:rate", "expr": "rate(known_total[5m])"}]
    return {Path("r.yaml"): yaml.safe_dump({"groups": [{"name": "group", "rules": [*recorded, rule | more]}]})}


@pytest.mark.parametrize(
    "outputs",
    [
        board('sum(rate(known_total{a="$a"}[$__rate_interval])) / $scale > ${limit:raw}'),
        board('histogram_quantile(0.9, sum by (le) (rate(seconds_bucket{n=~"${n:regex}"}[$__range]))) or vector(0)'),
        board("max_over_time((avg(other))[$__range:$__interval] offset $shift)"),
        board("other", 'label_values({__name__=~"known_total|other"}, job)'),
        board("other", "query_result(topk(3, other))"),
        rules("level:known:rate > 3 and absent(other)"),
        {Path("page.md"): "expr: nothing"},
    ],
)
def test_what_somebody_defines_is_fine(metric_names, outputs):
    assert metric_names.problems(outputs, NAMES) == []


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        (board("sum(rate(missing_total[5m]))"), "a.json: Board: Row: Panel: the query 'sum(rate(missing_total[5m]))'"),
        (board("seconds"), "asks for seconds, which no catalogue has"),
        (board("topk(3, other) or topk(scalar(missing), other)"), "asks for missing"),
        (board("avg(other) by (job"), "cannot be read"),
        (board("other", "label_values(missing, job)"), "a.json: Board: job: the query 'missing'"),
        (board("other", 'label_values({__name__=~"other|mis.*"}, job)'), "asks for mis.*"),
        (board('{job="a"}'), "asks for (no name)"),
        (rules("level:other:rate > 3"), "r.yaml: group: Bad: the query 'level:other:rate > 3'"),
        (rules("quantile_over_time(0.9, missing[1h])"), "asks for missing"),
        (rules("other * on (job) group_left () missing"), "asks for missing"),
    ],
)
def test_what_nobody_defines_is_told_with_its_place(metric_names, outputs, problem):
    (found,) = set(metric_names.problems(outputs, NAMES))
    assert problem in found


def test_a_histogram_is_asked_for_by_its_parts(metric_names):
    names = metric_names.known()
    assert "autoglm_operator_reconcile_duration_seconds_bucket" in names
    assert "autoglm_operator_reconcile_duration_seconds" not in names
    assert {"vllm:e2e_request_latency_seconds_sum", "autoglm_gpu_power_watts", "process_cpu_seconds_total"} <= names


def test_ours_ask_for_nothing_else(metric_names):
    outputs = cli.outputs()
    assert len(metric_names.queries(outputs)) > 100
    assert metric_names.problems(outputs, metric_names.known()) == []

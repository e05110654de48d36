"""A dashboard's queries go out as Grafana sends them."""

import pytest

from autoglm_demo.grafana import View, annotations, duration_seconds, expand, panel_queries, queries, variables

HOUR = View(0, 3600)


class Labels:
    """A Prometheus that knows two namespaces and three deployments."""

    def __init__(self):
        self.asked = []

    def label_values(self, label, selectors, start, end):
        self.asked.append((label, list(selectors)))
        return {"namespace": ["a", "b"], "name": ["one", "two", "x.y"]}[label]


def variable(name, query, value=None, **more):
    current = {} if value is None else {"value": value}
    return {"type": "query", "name": name, "query": {"query": query}, "current": current, **more}


def board(*templates, panels=()):
    return {"title": "Board", "templating": {"list": list(templates)}, "panels": list(panels)}


@pytest.mark.parametrize(
    ("seconds", "pixels", "scrape", "interval", "rate"),
    [
        (3600, 1000, 15, 15, 60),  # the scrape interval is the floor
        (6 * 3600, 1000, 15, 20, 60),
        (24 * 3600, 1000, 15, 60, 75),  # one scrape more than a step
        (7 * 24 * 3600, 1000, 15, 600, 615),
        (600, 700, 5, 5, 20),
    ],
)
def test_intervals(seconds, pixels, scrape, interval, rate):
    view = View(0, seconds, pixels, scrape)
    assert (view.interval, view.rate_interval) == (interval, rate)


def test_variables_build_on_each_other():
    source = Labels()
    dashboard = board(
        {"type": "datasource", "name": "datasource", "query": "prometheus", "current": {}},
        variable("namespace", "label_values(up, namespace)", ["$__all"], allValue=".+"),
        variable("name", 'label_values(up{namespace=~"$namespace"}, name)', ["$__all"]),
        variable("first", "label_values(namespace)"),
    )
    assert variables(dashboard, source, HOUR) == {
        "datasource": "prometheus",
        "namespace": ".+",
        "name": r"(one|two|x\\.y)",
        "first": "a",
    }
    assert source.asked == [("name", ['up{namespace=~".+"}']), ("namespace", [])]


def test_a_choice_replaces_what_the_dashboard_says():
    dashboard = board(variable("name", "label_values(up, name)", ["$__all"], allValue=".+"))
    assert variables(dashboard, Labels(), HOUR, {"name": "two"}) == {"name": "two"}


def test_a_variable_that_is_not_understood_is_an_error():
    with pytest.raises(ValueError, match=r"variable v: query 'metrics\(x\)' is not understood"):
        variables(board(variable("v", "metrics(x)")), Labels(), HOUR)


def test_expand_takes_each_way_of_writing_and_leaves_what_nobody_knows():
    values = {"name": "one", "__rate_interval": "60s"}
    text = 'rate(a{name=~"$name", b="${name:regex}", c="${other}"}[$__rate_interval])'
    assert expand(text, values) == 'rate(a{name=~"one", b="one", c="${other}"}[60s])'


def test_queries_of_panels_and_of_folded_rows():
    inner = {"type": "stat", "title": "Inner", "targets": [{"refId": "A", "expr": "up[$__range]", "instant": True}]}
    hidden = {"refId": "B", "expr": "gone", "hide": True}
    panels = [
        {"type": "timeseries", "title": "Outer", "targets": [{"refId": "A", "expr": "up", "range": True}, hidden]},
        {"type": "row", "title": "Row", "panels": [inner]},
        {"type": "text", "title": "Words"},
    ]
    found = list(queries(board(panels=panels), {}, HOUR))
    assert [(query.name, query.expression, query.instant) for query in found] == [
        ("Board > Outer > A", "up", False),
        ("Board > Inner > A", "up[3600s]", True),
    ]


def test_annotations_that_are_shown_are_queries_too():
    listed = [
        {"name": "Up", "expr": "x[$__interval]", "iconColor": "blue"},
        {"name": "Off", "expr": "y", "enable": False},
        {"name": "Built in"},
    ]
    ((query, color),) = annotations({**board(), "annotations": {"list": listed}}, {}, HOUR)
    assert (query.name, query.expression, query.instant, color) == ("Board > annotation > Up", "x[15s]", False, "blue")


def test_a_panel_has_its_own_range_and_smallest_step():
    panel = {
        "type": "stat",
        "title": "Budget",
        "timeFrom": "30d",
        "interval": "1m",
        "targets": [{"refId": "A", "expr": "x[$__range_s:$__interval]"}],
    }
    (query,) = panel_queries("Board", panel, {}, View(0, 100 * 86400))
    assert query.view.start == 70 * 86400
    assert query.view.scrape_seconds == 60
    assert query.expression == f"x[{30 * 86400}:1800s]"


@pytest.mark.parametrize(("text", "seconds"), [("15s", 15), (">30s", 30), ("500ms", 0.5), ("1h", 3600), ("7d", 604800)])
def test_durations(text, seconds):
    assert duration_seconds(text) == seconds


def test_what_is_no_duration_is_an_error():
    with pytest.raises(ValueError, match="'soon' is no duration; expected such as 15s or 1h"):
        duration_seconds("soon")

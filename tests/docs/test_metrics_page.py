"""The page of the metrics: whole, and its numbers are those of the catalogues."""

import re
import sys
from pathlib import Path

import pytest

from autoglm_agent import metrics as agent
from autoglm_dashboards import foreign
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_simulator import catalogue as simulator

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "operator": operator.CATALOGUE,
    "autoscaler": autoscaler.CATALOGUE,
    "agent": agent.CATALOGUE,
    "simulator": simulator.CATALOGUE,
}
ALL = [metric for catalogue in PROGRAMS.values() for metric in catalogue]


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from metrics_page import metrics_page  # noqa: PLC0415  # a script, not a package
    finally:
        sys.path.pop(0)
    return metrics_page()


SECTIONS = PROGRAMS | {"metrics of others that the dashboards ask for": foreign.CATALOGUE}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_metric_has_its_line(page, title):
    (section,) = [text for text in page.split("\n## ") if text.lower().startswith(f"{title}\n")]
    lines = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    for metric in SECTIONS[title]:
        (line,) = [line for line in section.splitlines() if line.startswith(f"| `{metric.name}` | {metric.type} |")]
        assert metric.help in line
        assert re.findall(r"`(\w+)`", line.split("|")[4]) == list(metric.label_names)
        assert set(metric.label_names) <= lines.keys() or title not in PROGRAMS


def test_bounds_of_every_histogram_are_told(page):
    for metric in ALL:
        if metric.buckets:
            (line,) = [
                line for line in page.splitlines() if line.startswith(f"| `{metric.name}` | {metric.buckets[0]:g},")
            ]
            assert line.count(", ") == len(metric.buckets) - 1


def test_tables_are_whole(page):
    rows = [line for line in page.splitlines() if line.startswith("|")]
    widths = {}
    for row in rows:
        cells = row.count("|")
        if row.startswith("|---"):
            widths = cells
        elif not row.startswith(("| metric", "| label", "| histogram", "| program", "| deployments")):
            assert cells == widths, row


def test_the_sums_follow_from_the_catalogues(page):
    """Counted another way: by writing out every series."""
    totals = {}
    for name, catalogue in PROGRAMS.items():
        for metric in catalogue:
            count = len(metric.buckets) + 3 if metric.type == "histogram" else 1
            for label in metric.labels:
                if not getattr(label, "follows", False):
                    count *= (
                        len(label.bound)
                        if isinstance(label.bound, tuple)
                        else label.bound
                        if isinstance(label.bound, int)
                        else 1
                    )
            totals[name, metric.per.value] = totals.get((name, metric.per.value), 0) + count
    of_operator = [totals["operator", per] for per in ("process", "deployment", "benchmark")]
    assert "| Operator | {} per process + {} per deployment + {} per benchmark |".format(*of_operator) in page
    largest = next(line for line in page.splitlines() if line.startswith("| 1,000 | 4 | 1 |"))
    operators, autoscalers, agents, everything = (int(cell.replace(",", "")) for cell in largest.split("|")[4:8])
    assert operators == 2 * totals["operator", "process"] + 1000 * totals["operator", "deployment"]
    assert autoscalers == 2 * (totals["autoscaler", "process"] + 1000 * totals["autoscaler", "deployment"])
    assert agents == 4000 * (totals["agent", "pod"] + totals["agent", "GPU"])
    assert everything == operators + autoscalers + agents


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_each_entry_keeps_the_conventions(metric):
    assert re.fullmatch(r"[a-z]\w*(:\w+)?", metric.name)
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert metric.type != "info" or metric.name.endswith("_info")
    assert bool(metric.buckets) == (metric.type == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert len(set(metric.label_names)) == len(metric.labels)
    ours = metric.name.startswith("autoglm_")
    assert not ours or metric.help.endswith(".")
    base = metric.name.removesuffix("_total")
    assert not (ours and metric.unit) or base.endswith(f"_{metric.unit}")
    told = next((unit for unit in ("seconds", "bytes", "ratio", "per_second") if base.endswith(f"_{unit}")), "")
    assert not ours or metric.unit.endswith(told)
    for label in metric.labels:
        assert re.fullmatch(r"[a-z_]+", label.name)
        assert label.meaning.endswith(".")
        assert label.bound


def test_a_name_is_taken_once():
    own = [metric.name for metric in ALL if metric.name.startswith("autoglm_")]
    assert len(own) == len(set(own))


def test_bounds_at_which_people_judge_are_bounds_of_buckets():
    """A share within a limit is exact only if the limit is a bound."""
    for metric, limits in (
        (operator.RECONCILE_SECONDS, (1.0, 5.0)),
        (operator.REQUEST_SECONDS, (1.0, 30.0)),
        (operator.QUEUE_SECONDS, (1.0, 5.0, 60.0)),
        (autoscaler.TICK_SECONDS, (1.0,)),
        (autoscaler.API_SECONDS, (0.1, 1.0)),
    ):
        assert set(limits) <= set(metric.buckets), metric.name

"""What the tests of all programs share: does `/metrics` keep to the catalogue?"""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from autoglm_operator.exposition import Exposition, ObjectSeries
from autoglm_operator.telemetry import health_app

_OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def _differences(text: str, catalogue: Iterable[Any]) -> list[str]:
    is_openmetrics = text.endswith("# EOF\n")
    parse = openmetrics_families if is_openmetrics else text_string_to_metric_families
    suffixes = {"counter": "_total", "info": "_info"} if is_openmetrics else {"counter": "_total"}
    exposed = {family.name + suffixes.get(family.type, ""): family for family in parse(text)}
    known = {metric.name: metric for metric in catalogue}
    found = [f"{name} is in no catalogue" for name in exposed.keys() - known.keys()]
    found += [f"{name} is not exposed" for name in known.keys() - exposed.keys()]
    for name in exposed.keys() & known.keys():
        found += [f"{name}: {problem}" for problem in _of_one(exposed[name], known[name], is_openmetrics)]
    return found


def _of_one(family: Family, metric: Any, is_openmetrics: bool) -> Iterator[str]:
    expected = "gauge" if metric.type == "info" and not is_openmetrics else metric.type
    if family.type != expected:
        yield f"is a {family.type}; expected {expected}"
    if family.documentation != metric.help:
        yield f"says {family.documentation!r}; expected {metric.help!r}"
    bounds, values = [], {label.name: set() for label in metric.labels}
    for sample in family.samples:
        labels = dict(sample.labels)
        if sample.name.endswith("_bucket") and "le" in labels:
            bounds.append(float(labels.pop("le")))
        if labels.keys() != values.keys():
            yield f"has labels {sorted(labels)}; expected {sorted(values)}"
            return
        for label, value in labels.items():
            values[label].add(value)
    if bounds and list(dict.fromkeys(bounds)) != [*metric.buckets, float("inf")]:
        yield f"has buckets {bounds}; expected {metric.buckets}"
    for label in metric.labels:
        if isinstance(label.bound, tuple) and not values[label.name] <= set(label.bound):
            yield f"has {label.name} {sorted(values[label.name])}; expected some of {label.bound}"


@pytest.fixture(scope="session")
def differences() -> Callable[[str, Iterable[Any]], list[str]]:
    """Return in what a `/metrics` text differs from a catalogue: name, type, help, labels and their values, buckets."""
    return _differences


@pytest.fixture(scope="session")
def fill() -> Callable[[Any, Iterable[Any]], None]:
    """Give the metrics of a process every series that their catalogue allows, those of one deployment included."""

    def values(label: Any) -> list[str]:
        return list(label.bound) if isinstance(label.bound, tuple) else [f"{label.name} {n}" for n in range(label.most)]

    def make(metrics: Any, catalogue: Iterable[Any]) -> None:
        known = {metric.name.removesuffix("_total"): metric for metric in catalogue}
        for instrument in vars(metrics).values():
            if isinstance(instrument, ObjectSeries):
                own = itertools.product(*map(values, instrument.metric.labels[2:]))
                instrument.replace(("team-a", "phone"), dict.fromkeys(own, 1.0))
            elif getattr(instrument, "_labelnames", ()):
                for labels in itertools.product(*map(values, known[instrument._name].labels)):
                    instrument.labels(*labels)

    return make


@pytest.fixture(scope="session")
def scrape() -> Callable[[Exposition], Awaitable[list[str]]]:
    """Return what a GET of `/metrics` answers: to one who reads text, and to one who reads OpenMetrics."""

    async def get(exposition: Exposition) -> list[str]:
        app = health_app(lambda: None, lambda: None, exposition.render)
        async with TestClient(TestServer(app)) as http:
            answers = [await http.get("/metrics", headers={"Accept": accept}) for accept in ("", _OPENMETRICS)]
            return [await answer.text() for answer in answers]

    return get

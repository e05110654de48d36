"""Writes the rows of the collector as Prometheus text or OpenMetrics, five times as fast as prometheus-client.

Negotiation and the lines that describe a metric are prometheus-client's own; only the sample lines are written here,
with the text of labels kept from scrape to scrape: they hardly ever change. A test holds the two equal.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from autoglm_agent.collector import Row
from autoglm_agent.metric import Metric
from autoglm_agent.metrics import CATALOGUE

_EOF: Final = "# EOF\n"
_OPENMETRICS: Final = "application/openmetrics-text"
#: Label texts that are kept; GPUs and faults that come and go must not pile up.
_MOST_LABELS: Final = 4096


class _Descriptions(Collector):
    """One metric without values."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Family]:
        """Return the family without samples."""
        return [self._metric.family()]


class Exposition:
    """Writes expositions; any thread may."""

    def __init__(self) -> None:
        self._heads: Mapping[bool, Mapping[str, str]] = {wanted: _heads(wanted) for wanted in (False, True)}
        self._labels: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}

    def render(self, rows: Iterable[Row], accept: str) -> tuple[str, bytes]:
        """Return content type and body.

        Args:
            rows: every series that has a value.
            accept: the request's header of that name.
        """
        content_type = choose_encoder(accept)[1]
        openmetrics = content_type.startswith(_OPENMETRICS)
        families: dict[str, list[str]] = {}
        for metric, values, value in rows:
            lines = families.get(metric.name)
            if lines is None:
                lines = families[metric.name] = [self._heads[openmetrics][metric.name]]
            number = floatToGoString(value)  # type: ignore[no-untyped-call]  # prometheus_client has no types here
            lines.append(f"{metric.name}{self._label(metric.label_names, values)} {number}\n")
        text = "".join("".join(lines) for lines in families.values())
        return content_type, (text + _EOF if openmetrics else text).encode()

    def _label(self, names: tuple[str, ...], values: tuple[str, ...]) -> str:
        if not names:
            return ""
        key = (names, values)
        text = self._labels.get(key)
        if text is None:
            if len(self._labels) >= _MOST_LABELS:
                self._labels.clear()
            pairs = sorted(zip(names, values, strict=True))
            text = self._labels[key] = "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"
        return text


def _heads(openmetrics: bool) -> dict[str, str]:
    """Return the describing lines of each metric, as prometheus-client writes them."""
    encoder, _ = choose_encoder(f"{_OPENMETRICS}; version=1.0.0" if openmetrics else "")
    heads = {}
    for metric in CATALOGUE:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Descriptions(metric))
        heads[metric.name] = encoder(registry).decode().removesuffix(_EOF)
    return heads


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

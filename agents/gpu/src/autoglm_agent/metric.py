"""What is known of one metric: the shape of the catalogue, and the labels that several metrics have."""

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Final, Literal, TypeAlias

from prometheus_client.core import Metric as Family

#: Types of OpenMetrics that the agent has; an info is a gauge of 1 whose labels say something.
MetricType: TypeAlias = Literal["counter", "gauge", "info"]


class Per(StrEnum):
    """What has one value of a label: these labels name things, and there are as many series as things."""

    POD = "pod"
    GPU = "GPU"


@dataclass(frozen=True, slots=True)
class Label:
    """One label.

    Attributes:
        name: as exposed.
        meaning: one sentence for a person.
        bound: every value that it can have; or how many it can have at most; or what has exactly one.
        follows: its value follows from the labels before it, or there is one at a time: it adds no series.
    """

    name: str
    meaning: str
    bound: tuple[str, ...] | int | Per
    follows: bool = False

    @property
    def most(self) -> int:
        """Return the most values that it has on one thing that it belongs to."""
        if self.follows or isinstance(self.bound, Per):
            return 1
        return self.bound if isinstance(self.bound, int) else len(self.bound)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what `/metrics`, the docs, the dashboards and the alerts know of it.

    Attributes:
        name: as in queries: with `_total` of a counter and `_info` of an info.
        type: of the metric.
        unit: base unit, which ends the name; empty for a number of things, a flag or a mixture.
        help: one or two sentences for a person.
        labels: in the order in which `collector.py` gives their values.
        buckets: of a histogram; the agent has none.
    """

    name: str
    type: MetricType
    unit: str
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the labels."""
        return tuple(label.name for label in self.labels)

    @property
    def per(self) -> Per:
        """Return what has the series of this metric."""
        return next((label.bound for label in self.labels if isinstance(label.bound, Per)), Per.POD)

    @property
    def series(self) -> int:
        """Return the most series that one such thing has."""
        return prod(label.most for label in self.labels)

    def family(self) -> Family:
        """Return the metric without values."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.type, "")
        return Family(self.name.removesuffix(suffix), self.help, self.type, self.unit)


#: The labels of every series about one GPU.
GPU: Final = (
    Label("gpu", "Index of the GPU in the pod.", Per.GPU),
    Label("uuid", "UUID of the GPU or of its MIG device.", Per.GPU),
    Label("product", "Name of the product.", Per.GPU),
)

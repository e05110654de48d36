"""What is known of one metric: the shape of the catalogue."""

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Literal, TypeAlias

MetricType: TypeAlias = Literal["counter", "gauge", "histogram"]


class Per(StrEnum):
    """What has one value of a label: these labels name things, and there are as many series as things."""

    POD = "pod"


@dataclass(frozen=True, slots=True)
class Label:
    """One label.

    Attributes:
        name: as exposed.
        meaning: one sentence for a person.
        bound: every value that it can have; or how many it can have at most; or what has exactly one.
    """

    name: str
    meaning: str
    bound: tuple[str, ...] | int | Per

    @property
    def most(self) -> int:
        """Return the most values that it has on one thing that it belongs to."""
        if isinstance(self.bound, Per):
            return 1
        return self.bound if isinstance(self.bound, int) else len(self.bound)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what `/metrics`, the docs and the dashboards know of it.

    Attributes:
        name: as in queries: with `_total` of a counter, without the suffixes of a histogram.
        type: of the metric.
        unit: base unit; empty for a number of things, a flag or a mixture. vLLM does not always end the name with it.
        help: one sentence for a person.
        labels: in the order in which code gives their values.
        buckets: upper bounds of a histogram, without infinity.
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
        return Per.POD

    @property
    def series(self) -> int:
        """Return the most series that one such thing has, those of a histogram's buckets, sum and count included."""
        lines = len(self.buckets) + 3 if self.type == "histogram" else 1
        return lines * prod(label.most for label in self.labels)

"""What is known of one metric: the shape of the catalogues of operator and autoscaler."""

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Final, Literal, TypeAlias

#: Types of OpenMetrics; an info is a gauge of 1 whose labels say something.
MetricType: TypeAlias = Literal["counter", "gauge", "histogram", "info"]


class Per(StrEnum):
    """What has one value of a label: these labels name things, and there are as many series as things."""

    PROCESS = "process"
    DEPLOYMENT = "deployment"
    BENCHMARK = "benchmark"


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
        name: as in queries: with `_total` of a counter and `_info` of an info, without the suffixes of a histogram.
        type: of the metric.
        unit: base unit, which ends the name; empty for a number of things, a flag or a mixture.
        help: one or two sentences for a person.
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
        return next((label.bound for label in self.labels if isinstance(label.bound, Per)), Per.PROCESS)

    @property
    def series(self) -> int:
        """Return the most series that one such thing has, those of a histogram's buckets, sum and count included."""
        lines = len(self.buckets) + 3 if self.type == "histogram" else 1
        return lines * prod(label.most for label in self.labels)


NAMESPACE: Final = Label("namespace", "Namespace of the AutoGLMDeployment.", Per.DEPLOYMENT)
NAME: Final = Label("name", "Name of the AutoGLMDeployment.", Per.DEPLOYMENT)
#: The first labels of every series about an AutoGLMDeployment.
DEPLOYMENT: Final = (NAMESPACE, NAME)
#: The first labels of every series about an AutoGLMBenchmark.
BENCHMARK: Final = (
    Label("namespace", "Namespace of the AutoGLMBenchmark.", Per.BENCHMARK),
    Label("name", "Name of the AutoGLMBenchmark.", Per.BENCHMARK),
)

VERSION: Final = Label("version", "Version of the program.", Per.PROCESS)
PYTHON: Final = Label("python", "Version of Python that runs it.", Per.PROCESS)
VERB: Final = Label("verb", "HTTP method of the request.", ("DELETE", "GET", "PATCH", "POST", "PUT"))
CODE: Final = Label("code", "HTTP status code; 0 if no answer came.", 20)
EXPORT_RESULT: Final = Label(
    "result", "ok, failed: no collector took them, or dropped: the queue was full.", ("ok", "failed", "dropped")
)

"""What the metrics API answers from: the last snapshot and decision of each deployment."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.autoscaler.pods import Key
from autoglm_operator.autoscaler.snapshot import STALE_TICKS

METRIC_NAMES: Final = frozenset(signal.name for signal in SIGNALS)


class Unknown(Exception):  # noqa: N818  # says what it is
    """There is no such deployment or metric; the message names what there is."""


class Unavailable(Exception):  # noqa: N818  # says what it is
    """The metric exists and has no value that can be trusted now; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The last word on one deployment.

    Attributes:
        taken: monotonic time of the oldest sample in it.
        values: metric name → value.
        problems: metric name → why it has none.
        labels: of the deployment.
    """

    taken: float
    values: Mapping[str, float]
    problems: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Value:
    """One value as served.

    Attributes:
        namespace: of the deployment.
        name: of the deployment.
        value: in the metric's base unit.
        time: Unix time when it was measured.
    """

    namespace: str
    name: str
    value: float
    time: float


class Published:
    """The table that GETs read and the loop writes.

    Args:
        interval: seconds between two scrapes.
        monotonic: clock of the samples.
        wall: clock of the timestamps that are served.
    """

    def __init__(
        self,
        interval: float,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stale_seconds = STALE_TICKS * interval
        self._monotonic = monotonic
        self._wall = wall
        self._entries: dict[Key, Entry] = {}

    def put(self, key: Key, entry: Entry) -> None:
        """Take over the last word on a deployment."""
        self._entries[key] = entry

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._entries.pop(key, None)

    def one(self, namespace: str, name: str, metric: str) -> Value:
        """Return one metric of one deployment.

        Raises:
            Unknown: there is no such metric or deployment.
            Unavailable: it has no fresh value.
        """
        _check(metric)
        entry = self._entries.get((namespace, name))
        if entry is None:
            raise Unknown(
                f"AutoGLMDeployment {namespace}/{name} does not exist, or was created within the last seconds"
            )
        return self._value((namespace, name), entry, metric)

    def all(self, namespace: str, metric: str, matches: Callable[[Mapping[str, str]], bool]) -> list[Value]:
        """Return one metric of each matching deployment in a namespace that has a fresh value.

        Raises:
            Unknown: there is no such metric.
            Unavailable: deployments match, and none has a fresh value.
        """
        _check(metric)
        values, problem = [], None
        for key, entry in self._entries.items():
            if key[0] == namespace and matches(entry.labels):
                try:
                    values.append(self._value(key, entry, metric))
                except Unavailable as error:
                    problem = error
        if problem is not None and not values:
            raise problem
        return values

    def _value(self, key: Key, entry: Entry, metric: str) -> Value:
        age = self._monotonic() - entry.taken
        what = f"{metric} of AutoGLMDeployment {key[0]}/{key[1]}"
        if age > self._stale_seconds:
            raise Unavailable(f"{what} is {age:.1f} s old: the limit is {self._stale_seconds:.0f} s")
        value = entry.values.get(metric)
        if value is None:
            raise Unavailable(f"{what} has no value: {entry.problems.get(metric, 'it is not known yet')}")
        return Value(*key, value, self._wall() - age)


def _check(metric: str) -> None:
    if metric not in METRIC_NAMES:
        raise Unknown(f"metric {metric!r} does not exist: there are {', '.join(sorted(METRIC_NAMES))}")

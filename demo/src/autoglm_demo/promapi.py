"""Asks a Prometheus through its HTTP API."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

Json = dict[str, Any]
_TIMEOUT_SECONDS = 120.0


class QueryError(Exception):
    """Prometheus refused a query; the message holds the query and what it said."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer.

    Attributes:
        labels: with `__name__`, where it has one.
        points: (Unix time in seconds, value), in order of time; NaN and the infinities are values.
    """

    labels: dict[str, str]
    points: list[tuple[float, float]]


class Prometheus:
    """One Prometheus; use it in a `with` block."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def reload(self) -> None:
        """Make it read its configuration again.

        Raises:
            QueryError: the configuration is wrong.
        """
        answer = self._http.post("/-/reload")
        if not answer.is_success:
            raise QueryError(f"{self.url} does not take its configuration: {answer.text.strip()}")

    def instant(self, query: str, time: float) -> list[Series]:
        """Return the value of a query at one moment, as series of one point; a scalar is a series without labels."""
        return list(_series(self._data("/api/v1/query", query=query, time=time), query))

    def range(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """Return the values of a query from `start` to `end`, each `step` seconds."""
        data = self._data("/api/v1/query_range", query=query, start=start, end=end, step=step)
        return list(_series(data, query))

    def label_values(self, label: str, selectors: Sequence[str], start: float, end: float) -> list[str]:
        """Return the values of a label in the series that one of `selectors` matches; all series if there is none."""
        matches: dict[str, Any] = {"match[]": list(selectors)} if selectors else {}
        values: list[str] = self._data(f"/api/v1/label/{label}/values", start=start, end=end, **matches)
        return values

    def series(self, selector: str, start: float, end: float) -> list[dict[str, str]]:
        """Return the labels of the series that `selector` matches."""
        found: list[dict[str, str]] = self._data("/api/v1/series", **{"match[]": selector, "start": start, "end": end})
        return found

    def rules(self) -> list[Json]:
        """Return every rule that it evaluates, with its health and last error."""
        return [rule for group in self._data("/api/v1/rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[Json]:
        """Return the targets that it scrapes."""
        targets: list[Json] = self._data("/api/v1/targets", state="active")["activeTargets"]
        return targets

    def _data(self, path: str, **parameters: Any) -> Any:
        # POST, because the expressions of some panels are longer than a URL may be; not every endpoint takes it.
        query = "query" in parameters
        try:
            answer = (
                self._http.post(path, data=parameters) if query else self._http.get(path, params=parameters)
            ).json()
        except (httpx.TransportError, ValueError) as error:
            raise QueryError(f"{self.url}{path} gave no answer: {error!r}") from error
        if answer["status"] != "success":
            raise QueryError(f"{self.url}{path} refused {parameters}: {answer['errorType']}: {answer['error']}")
        return answer["data"]


def _series(data: Json, query: str) -> Iterator[Series]:
    match data["resultType"]:
        case "matrix":
            for item in data["result"]:
                yield Series(item["metric"], [(float(time), float(value)) for time, value in item["values"]])
        case "vector":
            for item in data["result"]:
                time, value = item["value"]
                yield Series(item["metric"], [(float(time), float(value))])
        case "scalar":
            time, value = data["result"]
            yield Series({}, [(float(time), float(value))])
        case other:
            raise QueryError(f"{query}: a panel cannot show a {other}")

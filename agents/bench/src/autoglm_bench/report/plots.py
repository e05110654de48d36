"""Which plots a report has. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from autoglm_bench.figures.stats import percentile
from autoglm_bench.report.svg import Point, Series, legend, plot

#: Points of one plot: more are not seen and make the file large.
_POINTS: Final = 2000
_STEPS: Final = 200


def plots(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of the report."""
    samples = document["samples"]
    limits = {one["name"].partition("_")[0]: one["limit"] * 1000 for one in document["objectives"]}
    good = [row for row, cause in enumerate(samples["cause"]) if cause is None]
    for name, key in (("TTFT", "ttft"), ("E2E", "duration")):
        dots = Series(name, _thin([(samples["due"][row], 1000 * samples[key][row]) for row in good]), "a", dots=True)
        limit = limits.get("e2e" if key == "duration" else key)
        yield _figure(f"{name} of each request", "intended time, s", "ms", [dots], limit)
    cumulative = [
        Series(name, _cumulative([1000 * samples[key][row] for row in good if samples[key][row] is not None]), style)
        for name, key, style in (
            ("TTFT", "ttft", "a"),
            ("E2E", "duration", "b"),
            ("ITL, mean of a request", "itl", "c"),
        )
    ]
    for series in cumulative:
        yield _figure(f"{series.name}: share of requests at or below", "ms", "%", [series], None)
    yield from _over_time(document, good)


def _over_time(document: Mapping[str, Any], good: Sequence[int]) -> Iterator[str]:
    samples, every = document["samples"], document["samples"]["every"]
    sent = Counter(int(due) for due in samples["due"])
    ended = Counter(int(samples["sent"][row] + samples["duration"][row]) for row in good)
    rates = [
        Series("sent", _each_second(sent, every), "a"),
        Series("answered", _each_second(ended, every), "c"),
    ]
    yield _figure("Requests a second", "s", "requests/s", rates, None)
    tokens = list(enumerate(document["perSecond"]["tokens"]))
    yield _figure("Output tokens a second", "s", "tokens/s", [Series("tokens", tokens, "a")], None)
    late = [(due, 1000 * max(0.0, sent - due)) for due, sent in zip(samples["due"], samples["sent"], strict=True)]
    lateness = Series("sent after the intended time", _thin(late), "b", dots=True)
    yield _figure("How late requests were sent", "intended time, s", "ms", [lateness], None)


def _figure(title: str, x: str, y: str, series: Sequence[Series], limit: float | None) -> str:
    drawn = plot(title, x, y, series, limit)
    if not drawn:
        return ""
    keys = legend(series) if len(series) > 1 else ""
    return f"<figure><figcaption>{title} {keys}</figcaption>{drawn}</figure>"


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    """Keep of each group its highest point: the slow requests are what one looks for."""
    every = -(-len(points) // _POINTS) or 1
    return [max(points[at : at + every], key=lambda point: point[1]) for at in range(0, len(points), every)]


def _cumulative(values: Sequence[float]) -> list[Point]:
    ascending = sorted(values)
    if not ascending:
        return []
    return [(percentile(ascending, 100 * step / _STEPS), 100 * step / _STEPS) for step in range(1, _STEPS + 1)]


def _each_second(counts: Mapping[int, int], every: int) -> list[Point]:
    return [(float(second), float(counts.get(second, 0) * every)) for second in range(max(counts, default=-1) + 1)]

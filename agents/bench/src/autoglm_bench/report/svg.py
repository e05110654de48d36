"""Plots as SVG: a few lines and points need no plotting library. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 640
_HEIGHT: Final = 240
_LEFT: Final = 64
_RIGHT: Final = 12
_TOP: Final = 12
_BOTTOM: Final = 34
_TICKS: Final = 5
#: Above the highest point, so that it is not cut.
_HEADROOM: Final = 1.05

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one colour.

    Attributes:
        name: in the legend.
        points: x and y.
        style: class of the style sheet: `a`, `b` or `c`.
        dots: dots instead of a line.
    """

    name: str
    points: Sequence[Point]
    style: str
    dots: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def plot(title: str, x_name: str, y_name: str, series: Sequence[Series], limit: float | None = None) -> str:
    """Return a plot; `limit` draws a horizontal line."""
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    x = _Scale(min(0.0, *(p[0] for p in points)), max(p[0] for p in points), _LEFT, _WIDTH - _RIGHT)
    top = max(*(p[1] for p in points), limit or 0.0, 1e-9) * _HEADROOM
    y = _Scale(0.0, top, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_axes(x, y, x_name, y_name),
        *(_dots(one, x, y) if one.dots else _line(one, x, y) for one in series),
    ]
    if limit is not None:
        at = f"{y(limit):.1f}"
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>')
    return "\n".join([*parts, "</svg>"])


def legend(series: Sequence[Series]) -> str:
    """Return the names of the series in their colours."""
    return " ".join(f'<span class="key {one.style}">{escape(one.name)}</span>' for one in series)


def _axes(x: _Scale, y: _Scale, x_name: str, y_name: str) -> Iterator[str]:
    for value in _ticks(y.low, y.high):
        at = f"{y(value):.1f}"
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
        yield _text("tick", f'x="{_LEFT - 6}" y="{at}" dominant-baseline="middle"', f"{value:g}", "end")
    for value in _ticks(x.low, x.high):
        yield _text("tick", f'x="{x(value):.1f}" y="{_HEIGHT - _BOTTOM + 14}"', f"{value:g}")
    yield _text("name", f'x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 4}"', x_name)
    yield _text("name", f'transform="translate(12 {(_HEIGHT - _BOTTOM) / 2}) rotate(-90)"', y_name)


def _text(style: str, place: str, text: str, anchor: str = "middle") -> str:
    return f'<text class="{style}" {place} text-anchor="{anchor}">{escape(text)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    span = (high - low) or 1.0
    raw = span / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]


def _line(series: Series, x: _Scale, y: _Scale) -> str:
    path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in series.points)
    return f'<polyline class="{series.style}" points="{path}"/>'


def _dots(series: Series, x: _Scale, y: _Scale) -> str:
    # One path instead of thousands of circles: a browser draws it at once.
    path = "".join(f"M{x(px):.1f} {y(py):.1f}h0" for px, py in series.points)
    return f'<path class="dots {series.style}" d="{path}"/>'

"""Numbers as people read them. Pure."""

from collections.abc import Mapping
from typing import Any, Final

_MILLI: Final = 1000
_SMALL: Final = 10.0
_LARGE: Final = 10_000.0


def milliseconds(seconds: float | None) -> str:
    """Return a latency: milliseconds, or seconds where that is shorter."""
    if seconds is None:
        return "-"
    value = _MILLI * seconds
    if value >= _LARGE:
        return f"{seconds:.1f} s"
    return f"{value:.0f} ms" if value >= _SMALL else f"{value:.2f} ms"


def number(value: float | None, unit: str = "") -> str:
    """Return a number with three or more digits."""
    if value is None:
        return "-"
    shown = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004  digits
    return f"{shown} {unit}".rstrip()


def share(value: float | None) -> str:
    """Return a share in percent."""
    return "-" if value is None else f"{100 * value:.3g} %"


def at(found: Mapping[str, Any] | None, percentile: int) -> str:
    """Return one percentile of a distribution in a document."""
    return "-" if found is None else milliseconds(found[f"p{percentile}"])

"""Numbers as they are stored: how many digits, and what is one when it comes back."""

import math


def short(value: float, digits: int) -> float:
    """Return `value` with so many significant digits."""
    return float(f"{value:.{digits}g}")


def is_number(value: object, *, signed: bool = True) -> bool:
    """Whether `value` is a finite number, of at least 0 unless `signed`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return good and (signed or value >= 0)  # type: ignore[operator]  # it is a number if it is good

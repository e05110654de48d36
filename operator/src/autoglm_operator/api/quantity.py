"""Amounts of memory, as Kubernetes writes them."""

import re
from typing import Final

MEBIBYTE: Final = 1 << 20
GIBIBYTE: Final = 1 << 30

_FORM: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?([kKMGTPE]i?|)")
_UNITS: Final[dict[str, int]] = {"": 1, "k": 1000} | {
    unit + binary: (1024 if binary else 1000) ** power
    for power, unit in enumerate("KMGTPE", start=1)
    for binary in ("i", "")
    if unit + binary != "K"
}


def byte_count(quantity: str) -> int:
    """Return the bytes of a quantity such as `40Gi`, `1.5G` or `85899345920`; parts of a byte are rounded up.

    Raises:
        ValueError: `quantity` is not of that form; milli-bytes and exponents are not taken.
    """
    found = _FORM.fullmatch(quantity)
    if found is None or found[3] not in _UNITS:
        raise ValueError(f"memory {quantity!r}: expected a number and a unit, such as 40Gi, 512Mi or 80G")
    whole, fraction = found[1], found[2] or ""
    parts: int = 10 ** len(fraction)
    return (int(whole + fraction) * _UNITS[found[3]] + parts - 1) // parts

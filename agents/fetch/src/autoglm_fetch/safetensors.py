"""Whether a safetensors file is whole, told from its header.

The format: 8 bytes, little endian, with the length of the header; the header, a JSON object with the offsets of each
tensor; the tensors (github.com/huggingface/safetensors).
"""

import json
from pathlib import Path
from typing import Any, Final

_LENGTH: Final = 8
#: Limit of the format's own reader.
_LONGEST_HEADER: Final = 100_000_000
#: Longer ones are not read: the largest open models have less than 1 MiB in each file.
_READ_HEADER: Final = 8 << 20


def problem(path: Path) -> str | None:
    """Return what is wrong with the file in words; `None` if nothing is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_LENGTH)
        length = int.from_bytes(start, "little")
        if len(start) < _LENGTH or not 0 < length <= min(_LONGEST_HEADER, size - _LENGTH):
            return f"it does not start as a safetensors file does ({start!r})"
        if length > _READ_HEADER:
            return None
        header = file.read(length)
    try:
        tensors = {key: value for key, value in json.loads(header).items() if key != "__metadata__"}
        end = max((_end(tensor) for tensor in tensors.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return "its header is not that of a safetensors file"
    expected = _LENGTH + length + end
    return None if expected == size else f"its header describes {expected} bytes, but it has {size}"


def _end(tensor: Any) -> int:
    return int(tensor["data_offsets"][1])

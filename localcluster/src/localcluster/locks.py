"""Locks between processes; the kernel releases them when the holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if need be, and which the holder may remove."""
    handle = None
    while handle is None:
        handle = _try(path)
    with handle:
        yield


def _try(path: Path) -> TextIO | None:
    """Return the locked file, or None if a former holder has removed it meanwhile: that lock keeps nobody out."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except FileNotFoundError:
        return None
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        if path.samefile(f"/proc/self/fd/{handle.fileno()}"):
            return handle
    except FileNotFoundError:
        pass
    handle.close()
    return None

"""The part that runs in front of an engine: waits for the weights, and makes the folder of its compile cache."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autoglm_fetch.folder import Folder, storage_errors

_logger = logging.getLogger(__name__)
_POLL_SECONDS: Final = 2.0
_LOG_EVERY_SECONDS: Final = 60.0
#: The engine runs with the same group; other pods of the claim may have another user.
_SHARED: Final = 0o2775


def wait_for(folders: Sequence[Path], make: Sequence[Path], stop: threading.Event) -> bool:
    """Make `make`, and return once every folder is whole; `False` if told to stop before.

    Raises:
        FetchError: the volume cannot be written.
    """
    for path in make:
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            if not path.stat().st_mode & 0o020:
                path.chmod(_SHARED)
    started = logged = time.monotonic()
    while absent := [path for path in folders if Folder(path).marker() is None]:
        now = time.monotonic()
        if now - logged >= _LOG_EVERY_SECONDS:
            logged = now
            _logger.info("waiting for weights", extra={"folder": str(absent[0]), "seconds": round(now - started)})
        if stop.wait(_POLL_SECONDS):
            return False
    return True

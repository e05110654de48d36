"""Evidence of a hang: what was known when it was found, in a file and in the log, before a restart destroys it."""

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_logger = logging.getLogger(__name__)

#: Evidence that is kept; the oldest makes room.
_MOST_FILES: Final = 4
_PREFIX: Final = "autoglm-hang-"
_NO_DUMP: Final = (
    "no engine gives one over HTTP: SGLang writes its own to its log after --watchdog-timeout; "
    "for vLLM run `py-spy dump` in the container"
)


class Evidence:
    """Writes evidence files.

    Args:
        metrics: returns the engine's metrics as they are.
        state: returns the `/state` document.
        folder: where to write; `None` takes the volume for temporary files.
    """

    def __init__(
        self, metrics: Callable[[], str], state: Callable[[], dict[str, Any]], folder: Path | None = None
    ) -> None:
        self._metrics = metrics
        self._state = state
        self._folder = folder

    def capture(self) -> Path | None:
        """Write a file and return its path; `None` where nothing can be written: then it is in the log only."""
        state = self._state()
        content = {"state": state, "threadDump": None, "threadDumpReason": _NO_DUMP, "metrics": self._metrics()}
        path, problem = None, ""
        try:
            path = _write(self._folder or Path(tempfile.gettempdir()), content, state["time"])
        except OSError as error:
            problem = f"not written: {error}"
        _logger.error(
            "evidence of the hang",
            extra={"file": str(path or problem), "engine": state["engine"], "gpus": state["gpus"]},
        )
        return path


def _write(folder: Path, content: dict[str, Any], time: float) -> Path:
    for old in sorted(folder.glob(f"{_PREFIX}*.json"))[: 1 - _MOST_FILES]:
        old.unlink()
    path = folder / f"{_PREFIX}{time:.0f}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path

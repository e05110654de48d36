"""A whole model: listed, checked for room, downloaded by several workers, and marked."""

import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from autoglm_fetch.download import download
from autoglm_fetch.files import File, select
from autoglm_fetch.folder import Folder, storage_errors
from autoglm_fetch.listing import list_files
from autoglm_fetch.progress import Progress
from autoglm_fetch.reasons import FetchError, Reason
from autoglm_fetch.source import Source
from autoglm_fetch.web import Web

_logger = logging.getLogger(__name__)
_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
#: A larger one is left out of what is reported: the kubelet keeps 4,096 bytes of the report.
_CONFIG_BYTES: Final = 3 << 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run ended.

    Attributes:
        bytes: of all files of the model that are there.
        seconds: that their download took.
        rate: bytes per second of the download; `None` if too little was downloaded to tell.
        revision: the commit that the files are of.
        config: content of the model's config.json, if it is small.
    """

    reason: Reason
    message: str
    bytes: int = 0
    seconds: float = 0.0
    rate: int | None = None
    revision: str = ""
    config: Mapping[str, Any] | None = field(default=None, hash=False)

    def document(self) -> dict[str, Any]:
        """Return what the container leaves as its last word."""
        return {
            "reason": self.reason.value,
            "message": self.message,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 1),
            "bytesPerSecond": self.rate,
            "revision": self.revision,
            "config": self.config,
        }


def fetch(source: Source, path: Path, web: Web, workers: int) -> Outcome:
    """Make `path` hold the files of `source`, whole and checked.

    Raises:
        FetchError: it cannot; what has arrived is kept for the next run.
    """
    folder = Folder(path)
    folder.make()
    with folder.locked(web.pace):
        marker = folder.marker()
        if marker is not None:
            return _there(source, marker, path)
        folder.unmark()
        listing = list_files(web, source)
        files = select(listing.files)
        found = {file.path: digest for file in files if (digest := folder.finished(file))}
        missing = [file for file in files if file.path not in found]
        folder.require_room(missing)
        progress = Progress(sum(file.size or 0 for file in missing), time.monotonic)
        started = web.pace.elapsed
        found |= _download_all(web, missing, folder, progress, workers)
        run = _Run(listing.revision, progress.received, web.pace.elapsed - started)
        return _marked(source, folder, found, run)


@dataclass(frozen=True, slots=True)
class _Run:
    """What this run did: bytes received, and the seconds that took."""

    revision: str
    received: int
    seconds: float


def _download_all(web: Web, files: list[File], folder: Folder, progress: Progress, workers: int) -> dict[str, str]:
    with ThreadPoolExecutor(workers) as pool:
        tasks: dict[Future[str], File] = {
            pool.submit(download, web, file, folder, progress.add): file for file in files
        }
        done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
        failed = [error for task in done if (error := task.exception()) is not None]
        if failed:
            web.pace.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise max(failed, key=lambda error: isinstance(error, FetchError) and error.permanent)
        return {file.path: task.result() for task, file in tasks.items()}


def _marked(source: Source, folder: Folder, digests: Mapping[str, str], run: _Run) -> Outcome:
    with storage_errors(folder.path):
        folder.remove_others(set(digests))
        sizes = {name: (folder.path / name).stat().st_size for name in sorted(digests)}
        rate = round(run.received / run.seconds) if run.received >= _MIB and run.seconds > 0 else None
        content = {
            "source": source.kind.value,
            "model": source.model,
            "asked": source.revision,
            "revision": run.revision,
            "bytes": sum(sizes.values()),
            "seconds": round(run.seconds, 3),
            "bytesPerSecond": rate,
            "files": sizes,
            "sha256": dict(sorted(digests.items())),
        }
        folder.mark(content)
    pace = f", {rate / _MIB:.1f} MiB/s" if rate else ""
    arrived = f"{run.received / _GIB:.2f} GiB in {run.seconds:.0f} s{pace}"
    message = f"downloaded {arrived}: {len(sizes)} files of {source.model}, checked"
    return _outcome(Reason.DOWNLOADED, message, content, folder.path)


def _there(source: Source, marker: Mapping[str, Any], path: Path) -> Outcome:
    if (marker.get("source"), marker.get("model"), marker.get("asked")) != (source.kind, source.model, source.revision):
        raise FetchError(
            Reason.CACHE_UNUSABLE,
            f"{path} holds {marker.get('model')} revision {marker.get('asked')}, not {source.model} revision "
            f"{source.revision}: remove the folder, or use another cache",
        )
    message = f"{marker['bytes'] / _GIB:.2f} GiB in {len(marker['files'])} files of {source.model} are there already"
    return _outcome(Reason.ALREADY_THERE, message, marker, path)


def _outcome(reason: Reason, message: str, marker: Mapping[str, Any], path: Path) -> Outcome:
    return Outcome(
        reason=reason,
        message=message,
        bytes=marker["bytes"],
        seconds=marker["seconds"],
        rate=marker["bytesPerSecond"],
        revision=marker["revision"],
        config=_config(path / "config.json"),
    )


def _config(path: Path) -> dict[str, Any] | None:
    """Return the model's configuration if it is small; what it means is not ours to judge."""
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        _logger.info("config.json is not reported", extra={"error": str(error)})
        return None
    small = isinstance(config, dict) and len(compact(config)) <= _CONFIG_BYTES
    return config if small else None


def compact(document: Mapping[str, Any]) -> bytes:
    """Return the shortest JSON of `document`."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")

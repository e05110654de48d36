"""The model's folder on the cache volume: lock, marker, what is finished, and room for the rest."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from autoglm_fetch.files import File
from autoglm_fetch.pace import Pace
from autoglm_fetch.reasons import FetchError, Reason

MARKER: Final = ".complete"
#: Our own notes inside the folder: the lock, parts of files, and stamps of finished ones.
NOTES: Final = ".fetch"
_GIB: Final = 1 << 30
#: Left free: file systems slow down, and other writers fail, when the last block is taken.
_SPARE_BYTES: Final = 64 << 20
_LOCK_PAUSE_SECONDS: Final = 1.0
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Folder:
    """One model's folder.

    A file gets its final name only when it is whole and on disk. Then a stamp with its identity is written, so that the
    next run need not read it again. The marker comes last: a process killed anywhere leaves a folder without one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notes = path / NOTES

    def make(self) -> None:
        """Make the folder and those of our notes.

        Raises:
            FetchError: the volume does not allow it.
        """
        with storage_errors(self.path):
            for name in ("parts", "stamps"):
                (self._notes / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self, pace: Pace) -> Iterator[None]:
        """Hold the folder alone, after any other process; the lock ends with its holder, however that ends."""
        with storage_errors(self.path), (self._notes / "lock").open("ab") as file:
            while not _try_lock(file.fileno(), self.path):
                pace.wait(_LOCK_PAUSE_SECONDS)
            yield

    def marker(self) -> dict[str, Any] | None:
        """Return what the marker says; `None` if the folder is not whole, or a file of it is not as the marker says."""
        try:
            found = json.loads((self.path / MARKER).read_text("utf-8"))
            sizes: Mapping[str, int] = found["files"]
            whole = all((self.path / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found if whole else None

    def unmark(self) -> None:
        """Say that the folder is not whole, before anything in it changes."""
        (self.path / MARKER).unlink(missing_ok=True)
        _sync_folder(self.path)

    def mark(self, content: Mapping[str, Any]) -> None:
        """Say that the folder is whole; the notes are not needed any more."""
        _write(self.path / MARKER, json.dumps(content, indent=1))
        shutil.rmtree(self._notes / "parts", ignore_errors=True)

    def target(self, file: File) -> Path:
        """Return the final path of a file.

        Raises:
            FetchError: a link in the folder leads out of it.
        """
        path = self.path.joinpath(*file.path.split("/"))
        if not path.parent.resolve().is_relative_to(self.path.resolve()):
            raise FetchError(Reason.CACHE_UNUSABLE, f"{path}: a link in the folder leads out of it: remove the folder")
        return path

    def part(self, file: File) -> Path:
        """Return where a file is gathered; one whose identity is unknown starts anew in each run."""
        path = self._notes / "parts" / (file.identity or _name(file))
        if file.identity is None:
            path.unlink(missing_ok=True)
        return path

    def finished(self, file: File) -> str | None:
        """Return the sha256 of a file that an earlier run finished in the wanted version; `None` if it did not."""
        try:
            identity, size, digest = self._stamp(file).read_text("ascii").split()
            there = self.target(file).stat().st_size
        except (OSError, ValueError):
            return None
        return digest if identity == file.identity and int(size) == there else None

    def finish(self, file: File, part: Path, sha256: str) -> None:
        """Give a whole file its final name."""
        target, stamp = self.target(file), self._stamp(file)
        stamp.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        size = part.stat().st_size
        part.replace(target)
        _sync_folder(target.parent)
        if file.identity is not None:
            _write(stamp, f"{file.identity} {size} {sha256}")

    def remove_others(self, names: set[str]) -> None:
        """Remove files of an earlier version: engines read every weights file in the folder."""
        for path in sorted(self.path.rglob("*"), reverse=True):
            relative = path.relative_to(self.path)
            if relative.parts[0] == NOTES or str(relative) in names or (path.is_dir() and not path.is_symlink()):
                continue
            path.unlink()

    def require_room(self, missing: list[File]) -> None:
        """Check that the files fit, before the first byte is asked for.

        Raises:
            FetchError: they do not.
        """
        needed = sum(max(0, (file.size or 0) - _size(self.part(file))) for file in missing)
        room = os.statvfs(self.path)
        free, total = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        if needed + _SPARE_BYTES > free:
            least = total - free + needed + _SPARE_BYTES
            raise FetchError(
                Reason.DISK_FULL,
                f"{len(missing)} files need {needed / _GIB:.2f} GiB more, but the cache volume has {free / _GIB:.2f} "
                f"GiB free of {total / _GIB:.2f} GiB: it needs at least {least / _GIB:.2f} GiB "
                "(spec.warmStart.cache.size)",
            )

    def _stamp(self, file: File) -> Path:
        return self._notes / "stamps" / _name(file)


def _name(file: File) -> str:
    # A path may have folders and any length; its identity of the path alone has neither.
    return File(file.path, "", etag="path").identity or ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise FetchError(
            Reason.CACHE_UNUSABLE, f"{path}: the volume's file system has no file locks ({error.strerror}): use another"
        ) from error
    return True


def _write(path: Path, text: str) -> None:
    """Replace a small file so that it is either the old or the new one, whatever happens."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the volume answers into a reason."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise FetchError(
                Reason.DISK_FULL, f"{path}: {error.strerror}: enlarge the cache (spec.warmStart.cache.size)"
            ) from error
        raise FetchError(
            Reason.CACHE_UNUSABLE,
            f"{error.filename or path}: {error.strerror}: the cache volume must be writable for "
            f"user {os.getuid()} or group {os.getgid()}",
        ) from error

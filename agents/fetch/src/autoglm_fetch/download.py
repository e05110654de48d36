"""One file: from the network to its final name, continued where it was cut."""

import hashlib
import os
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import httpx

from autoglm_fetch import safetensors
from autoglm_fetch.files import File
from autoglm_fetch.folder import Folder, storage_errors
from autoglm_fetch.reasons import FetchError, Reason
from autoglm_fetch.web import Web, raise_for_status

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK: Final = 1 << 20
_CONTENT_RANGE: Final = re.compile(r"^bytes ([0-9]+)-[0-9]+/([0-9]+|\*)$")


class Part:
    """A file that is being gathered, with the digests of what is there."""

    def __init__(self, path: Path, file: File, on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self.path = path
        self.length = 0
        self._handle = path.open("a+b", buffering=0)
        self._begin()
        self._handle.seek(0)
        while block := self._handle.read(_BLOCK):
            self._count(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def write(self, piece: bytes) -> None:
        """Append `piece`."""
        left = memoryview(piece)
        while left:
            # A disk that is nearly full takes some of it, and refuses the rest.
            written = self._handle.write(left) or 0
            self._count(left[:written])
            self._on_bytes(written)
            left = left[written:]

    def restart(self) -> None:
        """Drop what is there."""
        self._handle.truncate(0)
        self._begin()

    def settle(self) -> None:
        """Wait until everything is on disk."""
        os.fsync(self._handle.fileno())

    @property
    def sha256(self) -> str:
        """Return the digest of what is there."""
        return self._sha256.hexdigest()

    def problem(self) -> str | None:
        """Return what is wrong with the whole file in words; `None` if nothing is."""
        file = self._file
        if file.size is not None and self.length != file.size:
            return f"has {self.length} bytes, {file.size} expected"
        if file.sha256 is not None:
            return None if self.sha256 == file.sha256 else f"has sha256 {self.sha256}, {file.sha256} expected"
        if self._git is not None:
            found = self._git.hexdigest()
            return None if found == file.git_sha1 else f"has git blob id {found}, {file.git_sha1} expected"
        if file.path.endswith(".safetensors") and (why := safetensors.problem(self.path)):
            return f"is broken: {why}"
        return None

    def _begin(self) -> None:
        self.length = 0
        self._sha256 = hashlib.sha256()
        self._git: _Hash | None = None
        if self._file.sha256 is None and self._file.git_sha1 is not None and self._file.size is not None:
            # The id of a git blob is the SHA-1 of this and the content; it guards against accidents, not attackers.
            self._git = hashlib.sha1(b"blob %d\0" % self._file.size, usedforsecurity=False)

    def _count(self, block: bytes | memoryview) -> None:
        self.length += len(block)
        self._sha256.update(block)
        if self._git is not None:
            self._git.update(block)


def download(web: Web, file: File, folder: Folder, on_bytes: Callable[[int], None]) -> str:
    """Bring one file into the folder, and return its sha256.

    Raises:
        FetchError: it cannot be had, or is not the file that the hub listed.
    """
    with storage_errors(folder.path), Part(folder.part(file), file, on_bytes) as part:
        inherited = part.length > 0
        while True:
            _complete(web, file, part)
            why = part.problem()
            if why is None:
                break
            if not inherited:
                part.restart()
                raise FetchError(
                    Reason.INTEGRITY_FAILED,
                    f"{file.path} from {file.url} {why}: the hub or a proxy serves another file",
                )
            # What an earlier run or connection left may be what is wrong.
            inherited = False
            part.restart()
        part.settle()
        folder.finish(file, part.path, part.sha256)
        return part.sha256


def _complete(web: Web, file: File, part: Part) -> None:
    attempt = 0
    while file.size is None or part.length != file.size or part.length == 0:
        before = part.length
        try:
            _once(web, file, part)
        except FetchError as error:
            attempt = 1 if part.length > before else attempt + 1
            web.pace.after_failure(error, attempt)
        else:
            return


def _once(web: Web, file: File, part: Part) -> None:
    """Send one request for what is missing, and take what arrives."""
    headers = {}
    if part.length and (file.size is None or part.length < file.size) and file.identity is not None:
        headers["Range"] = f"bytes={part.length}-"
        if file.etag is not None:
            headers["If-Range"] = file.etag
    with web.stream(file.url, headers) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.restart()
            raise FetchError(Reason.HUB_UNREACHABLE, f"{file.path}: the server has no bytes from where it was cut")
        raise_for_status(response, web.has_token)
        total = _aligned(response, file, part)
        for piece in response.iter_raw():
            web.pace.check()
            if total is not None and part.length + len(piece) > total:
                raise FetchError(Reason.INTEGRITY_FAILED, f"{file.path}: the server sends more than {total} bytes")
            part.write(piece)
        if total is not None and part.length < total:
            raise FetchError(Reason.HUB_UNREACHABLE, f"{file.path}: cut after {part.length} of {total} bytes")


def _aligned(response: httpx.Response, file: File, part: Part) -> int | None:
    """Make the part end where the answer begins, and return the length of the whole; `None` if unknown.

    Raises:
        FetchError: the server's file has another length than the one listed.
    """
    total = file.size
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if response.status_code == HTTPStatus.PARTIAL_CONTENT and found and int(found[1]) == part.length:
        served = found[2]
    elif response.status_code == HTTPStatus.OK:
        if part.length:
            part.restart()
        served = response.headers.get("Content-Length", "")
    else:
        part.restart()
        raise FetchError(Reason.HUB_UNREACHABLE, f"{file.path}: the server sends another range than was asked for")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError(
            Reason.INTEGRITY_FAILED, f"{file.path}: the server sends it compressed, which was not asked for"
        )
    if served.isdecimal() and total is not None and int(served) != total:
        raise FetchError(
            Reason.INTEGRITY_FAILED, f"{file.path} from {file.url} has {served} bytes, but the hub lists {total}"
        )
    return total if total is not None else (int(served) if served.isdecimal() else None)

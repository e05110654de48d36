"""The Python sources of released engines, without their hundreds of megabytes of compiled code.

A wheel is a zip archive. Its table of contents and its .py members are read with HTTP range requests; the members' CRC
is checked. Which index a wheel comes from is decided by uv's own configuration. Everything lands under
`~/.cache/autoglm/flags` (or AUTOGLM_FLAGS_CACHE): one folder for each release, and one interpreter for all of them.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

CACHE: Final = Path(os.environ.get("AUTOGLM_FLAGS_CACHE") or Path.home() / ".cache/autoglm/flags")
#: What the parsers import and is small enough to be real.
PARSER_PACKAGES: Final = tuple(
    """
    aiohttp==3.14.5 cachetools==8.0.0 cloudpickle==3.1.2 fastapi==0.165.0 filelock==4.2.11 jinja2==3.1.6
    msgspec==0.22.0 numpy==2.4.6 openai==3.52.0 opentelemetry-api==1.45.2 orjson==3.13.0 packaging==26.3
    pillow==13.0.0 prometheus-client==0.26.0 psutil==7.2.2 pydantic==2.14.3 pyyaml==6.0.3 pyzmq==27.3.0
    regex==2026.11.15 requests==2.34.2 tqdm==4.70.1 typing-extensions==4.16.0
    """.split()  # noqa: SIM905  # one line for each would hide the rest
)
#: The table of contents of the largest wheel takes about 600 kB, at its end.
TAIL_BYTES: Final = 1 << 20
#: Members closer together than this are read with one request.
GAP_BYTES: Final = 128 << 10
#: A member's own header before its bytes: 30 fixed ones, its name, and fields of zip64 and of times.
HEADER_BYTES: Final = 512
TIMEOUT_SECONDS: Final = 60


class RemoteFile(io.RawIOBase):
    """A file behind a web server that answers range requests, read in the pieces that were fetched.

    Attributes:
        size: of the whole file, in bytes.
        fetched: bytes transferred so far.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        if urlsplit(url).scheme != "https":
            raise ValueError(f"{url}: expected an https address")
        self._url = url
        self._position = 0
        self._pieces: list[tuple[int, bytes]] = []
        self.fetched = 0
        tail, self.size = self._request(f"-{TAIL_BYTES}")
        self._pieces.append((self.size - len(tail), tail))

    def fetch(self, start: int, end: int) -> None:
        """Get the bytes from `start` up to `end` with one request."""
        data, _ = self._request(f"{start}-{min(end, self.size) - 1}")
        self._pieces.append((start, data))

    def _request(self, span: str) -> tuple[bytes, int]:
        request = urllib.request.Request(self._url, headers={"Range": f"bytes={span}"})  # noqa: S310  # https only
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # as above
            of_all = response.headers.get("Content-Range")
            if of_all is None:
                raise OSError(f"{self._url}: the index does not answer range requests")
            data: bytes = response.read()
        self.fetched += len(data)
        return data, int(of_all.rpartition("/")[2])

    def seekable(self) -> bool:
        """Say yes: zipfile jumps between members."""
        return True

    def readable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, without a request."""
        self._position = (0, self._position, self.size)[whence] + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return bytes from the pieces fetched, or fetch them."""
        wanted = self.size - self._position if size < 0 else min(size, self.size - self._position)
        for start, data in self._pieces:
            offset = self._position - start
            if offset >= 0 and offset + wanted <= len(data):
                self._position += wanted
                return data[offset : offset + wanted]
        self.fetch(self._position, self._position + wanted)
        return self.read(wanted)


def sources(engine: str, version: str) -> Path:
    """Return the folder with the Python files of a release, fetched if it is not there yet.

    Raises:
        subprocess.CalledProcessError: the index has no such release.
        OSError: it cannot be read.
    """
    folder = CACHE / f"{engine}-{version}"
    with _made_once(folder) as target:
        if target is not None:
            _download(_wheel(engine, version), target)
    return folder


def interpreter() -> Path:
    """Return the Python of the scratch environment that the parsers run in, made if it is not there yet."""
    folder = CACHE / f"python-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin/python"
    with _made_once(folder / ".ready") as target:
        if target is not None:
            _say(f"making {folder} with {len(PARSER_PACKAGES)} packages")
            uv = _uv()
            subprocess.run(
                [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], check=True
            )
            command = [uv, "pip", "install", "--quiet", "--python", str(python), *PARSER_PACKAGES]
            subprocess.run(command, check=True, cwd=tempfile.gettempdir())
            target.mkdir(parents=True)
    return python


@contextmanager
def _made_once(folder: Path) -> Iterator[Path | None]:
    """Yield a folder to fill, which becomes `folder` when all went well; `None` if `folder` is there."""
    if folder.exists():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as temporary:
        made = Path(temporary) / "made"
        yield made
        if not folder.exists():
            made.rename(folder)


def _download(url: str, folder: Path) -> None:
    remote = RemoteFile(url)
    with zipfile.ZipFile(remote) as wheel:
        members = sorted(
            (member for member in wheel.infolist() if member.filename.endswith(".py")),
            key=lambda member: member.header_offset,
        )
        for start, end in _spans(members):
            remote.fetch(start, end)
        for member in members:
            wheel.extract(member, folder)
    name = urlsplit(url).path.rpartition("/")[2]
    _say(f"{name}: {len(members)} Python files, {remote.fetched >> 20} of {remote.size >> 20} MiB fetched")


def _spans(members: list[zipfile.ZipInfo]) -> list[tuple[int, int]]:
    """Return the byte ranges to request for `members`, which are in the order of the archive."""
    spans: list[tuple[int, int]] = []
    for member in members:
        end = member.header_offset + member.compress_size + HEADER_BYTES
        if spans and member.header_offset - spans[-1][1] < GAP_BYTES:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((member.header_offset, end))
    return spans


def _wheel(engine: str, version: str) -> str:
    """Return the address of a wheel for Linux; the Python files are the same in each of a release."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [_uv(), "pip", "compile", "--quiet", "--no-deps", "--no-header", "--format", "pylock.toml"]
    resolved = subprocess.run(
        [*command, "--python-version", python, "-"],
        input=f"{engine}=={version}",
        capture_output=True,
        text=True,
        check=True,
        cwd=tempfile.gettempdir(),  # the checkout's own pyproject.toml is no business of this
    )
    wheels = [wheel["url"] for wheel in tomllib.loads(resolved.stdout)["packages"][0].get("wheels", ())]
    # Of wheels for several Pythons, the one for this Python: its tag is in the name.
    fitting = [url for url in wheels if any(tag in url for tag in ("none-any", "abi3", f"cp{python.replace('.', '')}"))]
    if not fitting:
        raise OSError(f"{engine} {version}: no wheel among {len(wheels)} fits Python {python}")
    url: str = next((url for url in fitting if "x86_64" in url), fitting[0])
    return url


def _uv() -> str:
    return os.environ.get("UV") or shutil.which("uv") or ".local/uv/bin/uv"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

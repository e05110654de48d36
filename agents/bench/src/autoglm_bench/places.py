"""Where reports are kept: a folder, or a bucket and a prefix on S3."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from autoglm_bench.files import FileError, write
from autoglm_bench.wire.s3 import S3Client, S3Error, Server
from autoglm_bench.wire.sigv4 import Credentials

ACCESS_KEY: Final = "AWS_ACCESS_KEY_ID"
SECRET_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  a name
SESSION_TOKEN: Final = "AWS_SESSION_TOKEN"  # noqa: S105  a name
DEFAULT_REGION: Final = "us-east-1"
_SCHEME: Final = "s3://"
_PLACE: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9][A-Za-z0-9._-]*)+)/?")
_ENDPOINT: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?")
_TYPES: Final = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
}


class Place(Protocol):
    """Keeps the files of one run."""

    def read(self, name: str) -> str:
        """Return a file.

        Raises:
            FileError: it cannot be read.
        """

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, each in whole or not at all.

        Raises:
            FileError: one cannot be written.
        """


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine, made when it is written to."""

    path: Path

    def read(self, name: str) -> str:
        """Return a file."""
        path = self.path / name
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise FileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error

    def write(self, files: Mapping[str, str]) -> None:
        """Write files."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{self.path} cannot be made: {error.strerror or error}") from error
        for name, text in files.items():
            write(self.path / name, text)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Objects of a bucket under a prefix.

    Attributes:
        bucket: its name.
        prefix: without slashes around it.
        server: where it is.
        credentials: who may write there.
    """

    bucket: str
    prefix: str
    server: Server
    credentials: Credentials

    def read(self, name: str) -> str:
        """Return an object."""
        try:
            with S3Client(self.server, self.credentials) as client:
                return client.get(self.bucket, f"{self.prefix}/{name}").decode()
        except (S3Error, ValueError) as error:
            raise FileError(f"{self._named(name)} cannot be read: {error}") from error

    def write(self, files: Mapping[str, str]) -> None:
        """Write objects."""
        with S3Client(self.server, self.credentials) as client:
            for name, text in files.items():
                try:
                    client.put(self.bucket, f"{self.prefix}/{name}", text.encode(), _TYPES[Path(name).suffix])
                except S3Error as error:
                    raise FileError(f"{self._named(name)} cannot be written: {error}") from error

    def _named(self, name: str) -> str:
        return f"{_SCHEME}{self.bucket}/{self.prefix}/{name}"


def is_bucket(text: str) -> bool:
    """Whether a place is named that is no folder."""
    return text.startswith(_SCHEME)


def place(flag: str, text: str, server: Server, environment: Mapping[str, str]) -> Place:
    """Return the place that a flag names.

    Args:
        flag: that is named in errors.
        text: a folder, or `s3://BUCKET/PREFIX`.
        server: where buckets are.
        environment: holds the key pair.

    Raises:
        ValueError: it is no place; the message names the flag and what is expected.
    """
    if not is_bucket(text):
        return Folder(Path(text))
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"{flag} {text}: expected a folder, or s3://BUCKET/PREFIX with a prefix such as runs/one")
    if lacking := [name for name in (ACCESS_KEY, SECRET_KEY) if not environment.get(name)]:
        raise ValueError(f"{flag} {text} needs {' and '.join(lacking)} in the environment")
    if server.endpoint and not _ENDPOINT.fullmatch(server.endpoint):
        raise ValueError(
            f"--s3-endpoint {server.endpoint}: expected a URL such as https://s3.example.com, without keys"
        )
    credentials = Credentials(
        environment[ACCESS_KEY].strip(), environment[SECRET_KEY].strip(), environment.get(SESSION_TOKEN, "").strip()
    )
    return Bucket(found[1], found[2].strip("/"), server, credentials)

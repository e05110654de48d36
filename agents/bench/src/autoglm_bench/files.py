"""Results as files."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from autoglm_bench.report.document import SCHEMA_VERSION


class FileError(Exception):
    """A file cannot be read or written; the message names it and says what was expected."""


def check_writable(path: Path) -> None:
    """Find out before the load whether its result can be written.

    Raises:
        FileError: it cannot.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileError(f"--save {path}: {folder} is no folder; expected one that is there")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise FileError(
            f"--save {path}: it cannot be written there; expected a file in a folder that can be written to"
        )


def write(path: Path, text: str) -> None:
    """Write a file in whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # noqa: PTH101  mkstemp's own mode would hide it from others
        os.replace(name, path)  # noqa: PTH105
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error


def read_result(path: Path) -> dict[str, Any]:
    """Read a result.

    Raises:
        FileError: it is none of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 text: {error}") from error
    return parse_result(str(path), text)


def parse_result(where: str, text: str) -> dict[str, Any]:
    """Return the result in a text. Pure.

    Args:
        where: it is from, for errors.
        text: as `run -o json` writes it.

    Raises:
        FileError: it is none of this version.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{where} is not JSON ({error}); expected the output of autoglm-bench run -o json") from error
    found = document.get("schemaVersion") if isinstance(document, dict) else None
    if found != SCHEMA_VERSION or "samples" not in document:
        raise FileError(
            f"{where} has schemaVersion {found!r}; expected {SCHEMA_VERSION}, as autoglm-bench run -o json writes it"
        )
    result: dict[str, Any] = document
    return result


def read_lines(flag: str, path: Path) -> list[str]:
    """Read the lines of a text file that a flag names.

    Raises:
        FileError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise FileError(f"{flag} {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{flag} {path} is not UTF-8 text: {error}") from error

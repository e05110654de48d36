"""The files of a model: which of those listed are needed, and which paths are safe."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from autoglm_fetch.reasons import FetchError, Reason

#: The largest open models have a few hundred files.
MOST_FILES: Final = 5_000
_LONGEST_PATH: Final = 512
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")
#: Files that engines read: weights, configurations, tokenizers, chat templates, and code that a model brings.
_SUFFIXES: Final = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken", ".py"})
_OLD_WEIGHTS: Final = ".bin"
#: The same weights once more, in formats that neither engine is given.
_SKIPPED_FOLDERS: Final = frozenset({"original", "onnx", "openvino", "coreml", "gguf", "metal", "flax", "tf"})
_WEIGHTS: Final = (".safetensors", _OLD_WEIGHTS)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model.

    Attributes:
        path: relative to the model's folder, with `/`.
        url: where it is.
        size: bytes; `None` if the hub does not say.
        sha256: of its content, if the hub says.
        git_sha1: of its content as a git blob, if the hub says.
        etag: strong validator of the version that was listed, if the server gives one.
    """

    path: str
    url: str
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    etag: str | None = None

    @property
    def has_digest(self) -> bool:
        """Whether its content can be checked."""
        return self.sha256 is not None or (self.git_sha1 is not None and self.size is not None)

    @property
    def identity(self) -> str | None:
        """Return a name of exactly this content; `None` if nothing tells it from another version."""
        if not (self.has_digest or self.etag):
            return None
        words = (self.path, str(self.size), self.sha256 or "", self.git_sha1 or "", self.etag or "")
        return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


def checked(files: Sequence[File]) -> list[File]:
    """Return `files` if each may be written below the model's folder.

    Raises:
        FetchError: a path leaves the folder, is taken twice, or is one that we use ourselves.
    """
    if len(files) > MOST_FILES:
        raise FetchError(Reason.LISTING_REFUSED, f"the hub lists {len(files)} files; a model has at most {MOST_FILES}")
    seen: set[str] = set()
    for file in files:
        why = _unsafe(file.path)
        if why is None and file.path in seen:
            why = "it is listed twice"
        if why is None and file.size is not None and file.size < 0:
            why = f"its size is {file.size}"
        if why is not None:
            raise FetchError(Reason.LISTING_REFUSED, f"the hub lists the file {file.path[:80]!r}: {why}")
        seen.add(file.path)
    parents = {str(parent) for path in seen for parent in PurePosixPath(path).parents}
    if clash := sorted(parents & seen):
        raise FetchError(Reason.LISTING_REFUSED, f"the hub lists {clash[0]!r} as a file and as a folder")
    return list(files)


def _unsafe(path: str) -> str | None:
    parts = path.split("/")
    if not path or len(path) > _LONGEST_PATH:
        return f"a path has 1 to {_LONGEST_PATH} characters"
    if path.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        return "it would be written outside the model's folder"
    if _CONTROL.search(path):
        return "it holds a control character or a backslash"
    return None


def select(files: Sequence[File]) -> list[File]:
    """Return the files that an engine needs, the largest first: safetensors where there are any.

    Raises:
        FetchError: there are no weights among them.
    """
    wanted = [file for file in files if _readable(file.path)]
    tensors = [file.path for file in wanted if file.path.endswith(".safetensors")]
    if tensors:
        wanted = [file for file in wanted if not file.path.endswith(_OLD_WEIGHTS)]
    if any(PurePosixPath(path).name.startswith("model") for path in tensors):
        # Mistral's own layout beside that of transformers: the same weights twice.
        wanted = [file for file in wanted if not PurePosixPath(file.path).name.startswith("consolidated")]
    if not any(file.path.endswith(_WEIGHTS) for file in wanted):
        suffixes = sorted({PurePosixPath(file.path).suffix or file.path for file in files})[:8]
        found = ", ".join(suffixes) or "nothing"
        raise FetchError(
            Reason.NO_WEIGHTS,
            f"no safetensors weights among {len(files)} files (found {found}): name the original model",
        )
    return sorted(wanted, key=lambda file: (-(file.size or 0), file.path))


def _readable(path: str) -> bool:
    parts = PurePosixPath(path)
    if any(part in _SKIPPED_FOLDERS or part.startswith(".") for part in parts.parts):
        return False
    if parts.suffix == _OLD_WEIGHTS:
        # Not training_args.bin, optimizer.bin and the like.
        return parts.name.startswith("pytorch_model")
    return parts.suffix in _SUFFIXES

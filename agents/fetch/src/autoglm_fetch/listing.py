"""The list of a model's files, as Hugging Face, ModelScope or a folder on a web server gives it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from autoglm_fetch.files import File, checked
from autoglm_fetch.reasons import FetchError, Reason
from autoglm_fetch.source import Kind, Source
from autoglm_fetch.web import Web

INDEX: Final = "model.safetensors.index.json"
SUMS: Final = "SHA256SUMS"
SINGLE: Final = "model.safetensors"
#: What models keep beside their weights. None of them is in every model.
SMALL_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "tiktoken.model",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "quantize_config.json",
    "hf_quant_config.json",
    "params.json",
    "tekken.json",
)
_SUM_LINE: Final = re.compile(r"^([0-9a-fA-F]{64}) [ *](?:\./)?(.+)$")
_SHA256: Final = re.compile(r"^[0-9a-f]{64}$")
_SHA1: Final = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a model.

    Attributes:
        revision: the commit that the files are of; what was asked for if the hub does not say.
    """

    revision: str
    files: tuple[File, ...]


def list_files(web: Web, source: Source) -> Listing:
    """Return every file that the source has.

    Raises:
        FetchError: the list cannot be had, or is not one.
    """
    found = _LISTERS[source.kind](web, source)
    return Listing(found.revision, tuple(checked(found.files)))


def _hugging_face(web: Web, source: Source) -> Listing:
    url = f"{source.endpoint}/api/models/{quote(source.model)}/revision/{quote(source.revision, safe='')}?blobs=true"
    info = _document(web, url)
    # From the commit, not from the branch: a push during the download must not mix two versions.
    commit = str(info.get("sha") or source.revision)
    base = f"{source.endpoint}/{quote(source.model)}/resolve/{quote(commit, safe='')}/"
    return Listing(commit, tuple(_sibling(item, base, url) for item in _items(info.get("siblings"), url)))


def _sibling(item: Mapping[str, Any], base: str, url: str) -> File:
    lfs = item.get("lfs")
    large: Mapping[str, Any] = lfs if isinstance(lfs, dict) else {}
    path = _text(item.get("rfilename"), url)
    return File(
        path=path,
        url=base + quote(path),
        size=_size(large.get("size", item.get("size"))),
        sha256=_digest(large.get("sha256"), _SHA256),
        # Of a large file, git holds only a pointer: the blob id is not that of the content.
        git_sha1=None if large else _digest(item.get("blobId"), _SHA1),
    )


def _model_scope(web: Web, source: Source) -> Listing:
    base = f"{source.endpoint}/api/v1/models/{quote(source.model)}/repo"
    revision = quote(source.revision, safe="")
    url = f"{base}/files?Revision={revision}&Recursive=true"
    info = _document(web, url)
    data = info.get("Data")
    if not isinstance(data, dict):
        raise FetchError(Reason.MODEL_NOT_FOUND, f"{url} answers {info.get('Message') or 'without data'!s:.200}")
    files = tuple(
        File(
            path=(path := _text(item.get("Path"), url)),
            url=f"{base}?Revision={revision}&FilePath={quote(path, safe='')}",
            size=_size(item.get("Size")),
            sha256=_digest(item.get("Sha256"), _SHA256),
        )
        for item in _items(data.get("Files"), url)
        if item.get("Type") != "tree"
    )
    return Listing(source.revision, files)


def _folder(web: Web, source: Source) -> Listing:
    base = source.model.rstrip("/") + "/"
    sums = _optional(web, base + SUMS)
    if sums is not None:
        digests = dict(_sums(sums, base + SUMS))
        named = list(digests)
    else:
        digests = {}
        index = _optional(web, base + INDEX)
        weights = [INDEX, *_shards(index, base + INDEX)] if index is not None else [SINGLE]
        named = [*weights, *SMALL_FILES]
    # Before any request is made with them.
    checked([File(path, base) for path in named])
    found = [_on_server(web, base, path, digests.get(path)) for path in named]
    missing = [path for path, file in zip(named, found, strict=True) if file is None and path not in SMALL_FILES]
    if missing:
        raise FetchError(
            Reason.MODEL_NOT_FOUND,
            f"{base} has no {missing[0]} ({len(missing)} of {len(named)} files are missing): expected {SUMS}, {INDEX} "
            f"or {SINGLE}, and what it names, in that folder",
        )
    return Listing("", tuple(file for file in found if file is not None))


def _on_server(web: Web, base: str, path: str, digest: str | None) -> File | None:
    headers = web.head(base + quote(path))
    if headers is None:
        return None
    etag, length = headers.get("ETag", ""), headers.get("Content-Length", "")
    strong = etag if etag.startswith('"') else None
    return File(path, base + quote(path), int(length) if length.isdecimal() else None, sha256=digest, etag=strong)


def _optional(web: Web, url: str) -> bytes | None:
    try:
        return web.read(url)
    except FetchError as error:
        if error.reason is Reason.MODEL_NOT_FOUND:
            return None
        raise


def _sums(text: bytes, url: str) -> list[tuple[str, str]]:
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    found = [_SUM_LINE.match(line) for line in lines]
    if not all(found):
        raise FetchError(Reason.LISTING_REFUSED, f"{url}: expected lines of `sha256sum`: digest, two spaces, path")
    return [(match[2], match[1].lower()) for match in found if match]


def _shards(index: bytes, url: str) -> list[str]:
    weights = _parse(index, url).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise FetchError(Reason.LISTING_REFUSED, f"{url}: expected weight_map, tensor names with the files they are in")
    return sorted({_text(name, url) for name in weights.values()})


def _document(web: Web, url: str) -> dict[str, Any]:
    return _parse(web.read(url), url)


def _parse(body: bytes, url: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FetchError(Reason.LISTING_REFUSED, f"{url}: expected JSON, got {body[:60]!r}") from error
    if not isinstance(document, dict):
        raise FetchError(Reason.LISTING_REFUSED, f"{url}: expected a JSON object, got {body[:60]!r}")
    return document


def _items(found: object, url: str) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise FetchError(Reason.LISTING_REFUSED, f"{url}: expected a list of files, got {found!r:.60}")
    return found


def _text(found: object, url: str) -> str:
    if not isinstance(found, str):
        raise FetchError(Reason.LISTING_REFUSED, f"{url}: expected the path of a file, got {found!r:.60}")
    return found


def _size(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _digest(found: object, form: re.Pattern[str]) -> str | None:
    return found if isinstance(found, str) and form.match(found) else None


_LISTERS: Final[Mapping[Kind, Callable[[Web, Source], Listing]]] = {
    Kind.HUGGING_FACE: _hugging_face,
    Kind.MODEL_SCOPE: _model_scope,
    Kind.URL: _folder,
}

"""A fake hub: real HTTP, with the layouts of Hugging Face, ModelScope and a plain folder, and faults.

What it imitates: listing with sizes and digests, redirects to a CDN on another port, ranges, strong ETags, the header
`X-Error-Code` and the answers of a hub in trouble. Where a fault needs an order of events it is put in a queue for one
path, and each GET of that path takes one.
"""

import hashlib
import json
import socket
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "org/tiny"
TOKEN = "hf_very_secret"  # noqa: S105  # of the fake hub
Answer = Callable[["Handler"], None]


def safetensors(tensors: int, size: int, seed: int = 0) -> bytes:
    """Return a valid safetensors file with `tensors` tensors of `size` bytes each."""
    header = {
        f"layer.{index}": {"dtype": "U8", "shape": [size], "data_offsets": [index * size, (index + 1) * size]}
        for index in range(tensors)
    }
    text = json.dumps(header).encode()
    block = hashlib.sha256(str(seed).encode()).digest()
    data = (block * (tensors * size // len(block) + 1))[: tensors * size]
    return struct.pack("<Q", len(text)) + text + data


def tiny_model(shard_bytes: int = 200_000) -> dict[str, bytes]:
    """Return the files of a small model, with some that an engine does not need."""
    shards = {f"model-0000{n}-of-00003.safetensors": safetensors(4, shard_bytes // 4, n) for n in (1, 2, 3)}
    index = {"metadata": {}, "weight_map": {f"w{n}": name for n, name in enumerate(shards)}}
    return {
        **shards,
        "model.safetensors.index.json": json.dumps(index).encode(),
        "config.json": json.dumps({"architectures": ["TinyForCausalLM"], "hidden_size": 64}, indent=2).encode(),
        "tokenizer.json": b'{"version": "1.0"}',
        "pytorch_model-00001-of-00001.bin": b"the same weights",
        "original/consolidated.00.pth": b"the same weights",
        "onnx/model.onnx": b"the same weights",
        "README.md": b"# Tiny",
        ".gitattributes": b"*.safetensors filter=lfs",
    }


@dataclass
class Hub:
    """The state behind the handlers, and what was asked.

    Attributes:
        files: content by path.
        faults: answers that come before the right one, by path.
        requests: (server, method, path, headers) of each request.
        listed: what is said of a file instead of the truth, by path.
        extra: more entries of the listing.
        token: needed to read anything, if set.
        redirect: whether weights come from the CDN server.
        digests: whether the listing has digests.
        pace: bytes per second of the answers; 0 for no limit.
    """

    files: dict[str, bytes] = field(default_factory=tiny_model)
    faults: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    requests: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra: list[dict[str, Any]] = field(default_factory=list)
    token: str | None = None
    redirect: bool = False
    digests: bool = True
    etags: bool = True
    pace: int = 0
    url: str = ""
    cdn: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        """Return the headers of the requests for a file."""
        return [head for _, verb, target, head in self.requests if verb == method and target == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    role = "hub"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        name = self._name(path, query)
        with self.hub.lock:
            self.hub.requests.append((self.role, self.command, name, dict(self.headers)))
            fault = self.hub.faults[name].popleft() if self.command == "GET" and self.hub.faults[name] else None
        with suppress(OSError):  # a client that was cut, or that had enough
            if fault is not None:
                fault(self)
            elif (
                self.role == "hub"
                and self.hub.token
                and self.headers.get("Authorization") != f"Bearer {self.hub.token}"
            ):
                self.answer(401, b"", {"X-Error-Code": "GatedRepo"})
            else:
                self._serve(name)

    def _name(self, path: str, query: dict[str, list[str]]) -> str:
        """Return the file that is asked for, or `listing`."""
        if path.startswith("/api/models/") or path.endswith("/repo/files"):
            return "listing"
        if "FilePath" in query:
            return query["FilePath"][0]
        return path.removeprefix(f"/{MODEL}/resolve/{COMMIT}/").removeprefix("/models/tiny/").removeprefix("/cdn/")

    def _serve(self, name: str) -> None:
        if name == "listing":
            body = self._model_scope() if "/repo/files" in self.path else self._hugging_face()
            self.answer(200, json.dumps(body).encode())
        elif name not in self.hub.files:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif self.hub.redirect and self.role == "hub" and name.endswith(".safetensors"):
            self.answer(302, b"", {"Location": f"{self.hub.cdn}/cdn/{name}?signature=secret"})
        else:
            self.content(self.hub.files[name])

    def content(self, body: bytes) -> None:
        """Answer with a file, or the range that is asked for."""
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"' if self.hub.etags else ""
        headers = {"ETag": etag} if etag else {}
        wanted = self.headers.get("Range", "")
        if wanted and self.headers.get("If-Range", etag) == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.answer(416, b"")
                return
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.answer(206, body[start:], headers)
            return
        self.answer(200, body, headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        step = max(1, self.hub.pace // 20) if self.hub.pace else len(body)
        for start in range(0, len(body), step or 1):
            self.wfile.write(body[start : start + step])
            if self.hub.pace:
                threading.Event().wait(0.05)

    def _hugging_face(self) -> dict[str, Any]:
        entries = [self._sibling(path, body) for path, body in self.hub.files.items()]
        return {"id": MODEL, "sha": COMMIT, "siblings": [*entries, *self.hub.extra]}

    def _sibling(self, path: str, body: bytes) -> dict[str, Any]:
        size = len(body)
        entry: dict[str, Any] = {"rfilename": path, "size": size}
        if self.hub.digests and path.endswith((".safetensors", ".bin")):
            entry["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": size, "pointerSize": 134}
        elif self.hub.digests:
            blob = b"blob %d\0" % size + body
            entry["blobId"] = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
        return entry | self.hub.listed.get(path, {})

    def _model_scope(self) -> dict[str, Any]:
        files = [
            {"Path": path, "Type": "blob", "Size": len(body), "Sha256": hashlib.sha256(body).hexdigest()}
            for path, body in self.hub.files.items()
        ]
        return {"Code": 200, "Data": {"Files": [{"Path": "onnx", "Type": "tree", "Size": 0}, *files]}}


def status(code: int, **headers: str) -> Answer:
    """Answer with `code`."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler: handler.answer(code, b"no", named)


def cut(after: int) -> Answer:
    """Break off after so many bytes of the answer, whatever it is a part of."""

    def act(handler: Handler) -> None:
        name = handler._name(unquote(urlsplit(handler.path).path), {})
        body = handler.hub.files[name]
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        handler.wfile.write(body[start : start + after])
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return act


def serves(body: bytes, **headers: str) -> Answer:
    """Answer with another content."""
    return lambda handler: handler.answer(200, body, {key.replace("_", "-"): value for key, value in headers.items()})


@contextmanager
def running(hub: Hub, address: str = "127.0.0.1") -> Iterator[Hub]:
    """Serve `hub` and its CDN on an address of this machine."""
    servers = []
    for role in ("hub", "cdn"):
        kind = type(f"{role}Handler", (Handler,), {"hub": hub, "role": role})
        server = ThreadingHTTPServer((address, 0), kind)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        servers.append((server, thread))
    hub.url, hub.cdn = (f"http://{address}:{server.server_port}" for server, _ in servers)
    try:
        yield hub
    finally:
        for server, thread in servers:
            server.shutdown()
            server.server_close()
            thread.join()

"""One HTTP/1.1 connection that streams: the hot path, so on asyncio's transport and without a layer between.

Each piece is timed when the kernel hands it over, before anything of it is parsed. What the protocol allows and engines
send is understood: chunked, counted and closing bodies, informational answers. Whatever else is a failure with a cause.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from autoglm_bench.result import Cause, Failure

#: Called with the time and a piece of the body.
OnBody = Callable[[float, bytes], None]

_HEAD_BYTES: Final = 1 << 16
_NO_BODY: Final = frozenset({204, 304})
_FIRST_FINAL: Final = 200
_CHUNK_LINE_BYTES: Final = 1 << 10


class Connection(asyncio.Protocol):
    """A connection; one request at a time.

    Attributes:
        status: of the answer under way; 0 before its head came.
        reusable: whether another request may be sent once this one has ended.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ended: asyncio.Future[None] | None = None
        self._rest = b""
        self._read: Callable[[float, bytes], bytes] = self._nothing
        self._left = 0
        self.status = 0
        self.reusable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, on_body: OnBody) -> asyncio.Future[None]:
        """Send a request; the result ends with the answer, or with a `Failure`.

        Args:
            request: head and body.
            on_body: called with each piece of the body.
        """
        if self._transport is None or self._transport.is_closing():
            raise Failure(Cause.CUT_OFF, "the engine closed the connection before the request")
        self._ended = self._loop.create_future()
        self._on_body, self._read, self._rest, self.status = on_body, self._head, b"", 0
        self._transport.write(request)
        return self._ended

    def close(self) -> None:
        """Close at once; what was not read is thrown away."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Time what came, and take it apart."""
        now = self._loop.time()
        rest = self._rest + data if self._rest else data
        try:
            while rest:
                before = rest
                rest = self._read(now, rest)
                if len(rest) == len(before):
                    break
            self._rest = rest
        except Failure as failure:
            self._end(failure)
        except ValueError as error:
            self._end(Failure(Cause.PROTOCOL, f"not an HTTP answer: {error}"))

    def eof_received(self) -> None:
        """The engine sends no more: the end of a body without a length, else a failure."""
        if self._read == self._to_the_end:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what is under way."""
        self.reusable = False
        self._end(Failure(Cause.CUT_OFF, repr(error) if error else "the engine closed the connection"))

    def fail(self, failure: Failure) -> None:
        """End what is under way with a failure."""
        self._end(failure)

    def _end(self, failure: Failure | None) -> None:
        self._read = self._nothing
        if failure is not None:
            self.reusable = False
        if self._ended is not None and not self._ended.done():
            if failure is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(failure)

    def _head(self, _now: float, data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _HEAD_BYTES:
                raise ValueError(f"its head is longer than {_HEAD_BYTES} bytes")
            return data
        first, *lines = data[:end].split(b"\r\n")
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise ValueError(f"it begins with {first[:40]!r}")
        status = int(rest[:3])
        if status >= _FIRST_FINAL:
            self.status = status
            self._choose_body(version, _fields(lines))
        return data[end + 4 :]

    def _choose_body(self, version: bytes, fields: dict[bytes, bytes]) -> None:
        self.reusable = version == b"HTTP/1.1" and b"close" not in fields.get(b"connection", b"").lower()
        if self.status in _NO_BODY:
            self._end(None)
        elif b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            self._read = self._chunk_size
        elif b"content-length" in fields:
            self._left = _size(fields[b"content-length"], 10)
            self._read = self._counted
            if self._left == 0:
                self._end(None)
        else:
            self.reusable = False
            self._read = self._to_the_end

    def _chunk_size(self, _now: float, data: bytes) -> bytes:
        end = data.find(b"\r\n")
        if end < 0:
            if len(data) > _CHUNK_LINE_BYTES:
                raise ValueError(f"a chunk begins with {data[:40]!r}")
            return data
        self._left = _size(data[:end].partition(b";")[0], 16)
        self._read = self._chunk if self._left else self._trailer
        return data[end + 2 :]

    def _chunk(self, now: float, data: bytes) -> bytes:
        left = self._left
        if len(data) < left:
            # Handed on in pieces: a chunk may be as long as the engine likes.
            self._left = left - len(data)
            self._on_body(now, data)
            return b""
        if left:
            self._left = 0
            self._on_body(now, data[:left])
        if len(data) < left + 2:
            return data[left:]
        if data[left : left + 2] != b"\r\n":
            raise ValueError(f"a chunk ends with {data[left : left + 2]!r}")
        self._read = self._chunk_size
        return data[left + 2 :]

    def _trailer(self, _now: float, data: bytes) -> bytes:
        end = data.find(b"\r\n")
        if end < 0:
            if len(data) > _HEAD_BYTES:
                raise ValueError(f"its trailer is longer than {_HEAD_BYTES} bytes")
            return data
        if end == 0:
            self._end(None)
        return data[end + 2 :]

    def _counted(self, now: float, data: bytes) -> bytes:
        left = self._left
        self._left = left - len(data[:left])
        self._on_body(now, data[:left])
        if self._left == 0:
            self._end(None)
        return data[left:]

    def _to_the_end(self, now: float, data: bytes) -> bytes:
        self._on_body(now, data)
        return b""

    def _nothing(self, _now: float, _data: bytes) -> bytes:
        # Bytes that nobody asked for: the connection cannot be trusted with another request.
        self.reusable = False
        return b""


def _size(text: bytes, base: int) -> int:
    size = int(text, base)
    if size < 0:
        raise ValueError(f"a length is {text[:40]!r}")
    return size


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    fields = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise ValueError(f"a line of its head is {line[:40]!r}")
        fields[name.strip().lower()] = value.strip()
    return fields

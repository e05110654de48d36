"""One streaming chat request, timed."""

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from autoglm_bench.result import Answer, Cause, Failure
from autoglm_bench.wire.addresses import Endpoint
from autoglm_bench.wire.events import DETAIL_CHARACTERS, EventReader
from autoglm_bench.wire.http1 import Connection

_OK: Final = 200
_CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask.

    Attributes:
        url: base URL of the API, such as `http://autoglm-phone:8000/v1`.
        model: served name of the model.
        timeout: seconds until a request is given up.
        api_key: sent as a bearer token; empty for none.
        reuse_connections: keep connections open. Off by default: a Service picks a pod for each connection, so
            reused ones would stay with the pods of the start.
    """

    url: str
    model: str
    timeout: float = 300.0
    api_key: str = ""
    reuse_connections: bool = False


class ChatClient:
    """Sends chat requests to one target; an asynchronous context manager.

    There is no bound on connections: a request that waits for a free one would not be sent at its time.

    Args:
        target: whom to ask.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._endpoint = Endpoint(target.url)
        self._idle: deque[Connection] = deque()
        key = f"Authorization: Bearer {target.api_key}\r\n" if target.api_key else ""
        keep = "keep-alive" if target.reuse_connections else "close"
        self._head = (
            f"POST {self._endpoint.path}/chat/completions HTTP/1.1\r\nHost: {self._endpoint.authority}\r\n"
            f"Accept: text/event-stream\r\nContent-Type: application/json\r\nConnection: {keep}\r\n{key}"
        ).encode()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    async def ask(self, body: bytes, *, traceparent: str = "", keep_text: bool = False) -> Answer:
        """Send one request and read its stream to the end; a failure is in the answer, never raised.

        Args:
            body: JSON of the request.
            traceparent: W3C trace context to send; empty for none.
            keep_text: keep the text of the answer.
        """
        loop = asyncio.get_running_loop()
        answer = Answer(loop.time())
        reader = EventReader(answer, keep_text=keep_text)
        connection = None
        try:
            connection = await self._connection(answer)
            await self._exchange(connection, self._request(body, traceparent), answer, reader)
        except Failure as failure:
            answer.cause, answer.detail = failure.cause, str(failure)
        finally:
            answer.finished = loop.time()
            if connection is not None:
                self._put_back(connection)
        return answer

    def _request(self, body: bytes, traceparent: str) -> bytes:
        trace = b"traceparent: %b\r\n" % traceparent.encode() if traceparent else b""
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, trace, len(body), body)

    async def _exchange(self, connection: Connection, request: bytes, answer: Answer, reader: EventReader) -> None:
        refusal = bytearray()

        def on_body(now: float, data: bytes) -> None:
            if connection.status == _OK:
                reader.feed(now, data)
            elif len(refusal) < DETAIL_CHARACTERS:
                refusal.extend(data[:DETAIL_CHARACTERS])
            else:
                connection.fail(Failure(Cause.STATUS, ""))

        late = Failure(Cause.TIMEOUT, f"not finished within {self._target.timeout:g} s")
        loop = asyncio.get_running_loop()
        timer = loop.call_at(answer.sent + self._target.timeout, connection.fail, late)
        try:
            await connection.send(request, on_body)
        except Failure:
            if connection.status in {0, _OK}:
                if reader.done:  # what came after the mark of the end does not matter
                    return reader.finish()
                raise
        finally:
            timer.cancel()
        if connection.status != _OK:
            text = refusal[:DETAIL_CHARACTERS].decode(errors="replace")
            raise Failure(Cause.STATUS, f"HTTP {connection.status} {text}".strip())
        return reader.finish()

    async def _connection(self, answer: Answer) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        seconds = min(_CONNECT_SECONDS, self._target.timeout)
        try:
            async with asyncio.timeout(seconds):
                connection = await self._open()
        except TimeoutError as error:
            raise Failure(Cause.TIMEOUT, f"not connected within {seconds:g} s") from error
        except OSError as error:
            raise Failure(Cause.REFUSED, str(error)) from error
        answer.connected = asyncio.get_running_loop().time()
        return connection

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        family, address = await self._endpoint.address()
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(opened, address)
            name = self._endpoint.host if self._endpoint.tls else None
            _, connection = await loop.create_connection(
                Connection, sock=opened, ssl=self._endpoint.tls, server_hostname=name
            )
        except BaseException:
            opened.close()
            raise
        return connection

    def _put_back(self, connection: Connection) -> None:
        if self._target.reuse_connections and connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()

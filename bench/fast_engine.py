"""A server that streams chat answers as fast as one core can: what clients are measured against.

Raw asyncio without an HTTP library, so that the server is not what limits. It answers `GET /v1/models` and
`POST /v1/chat/completions`; each token is one event, `--interval` seconds after the one before (0: as fast as the
socket takes them, still one write each). With `--spread` the times differ from request to request and are known
beforehand: those of a prompt that holds `request7` are `planned(7, …)`. It prints its URL and serves until killed.
"""

import argparse
import asyncio
import json
import re
import sys
from typing import Final, cast

MODEL: Final = "fast"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NUMBER: Final = re.compile(rb"\brequest(\d+)\b")
#: Multiples of these, modulo 1, fill the unit interval evenly and do not go together.
_STEPS: Final = (0.618033988749895, 0.414213562373095)
_MAX_TOKENS: Final = re.compile(rb'"max_tokens": ?(\d+)')
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(document: dict[str, object] | None) -> bytes:
    event = b"data: " + (b"[DONE]" if document is None else json.dumps(document).encode()) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _choice(delta: dict[str, str], finish: str | None = None) -> bytes:
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return _chunk(common | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


_ROLE: Final = _HEAD + _choice({"role": "assistant", "content": ""})
_TOKEN: Final = _choice({"content": " word"})
_DONE: Final = _chunk(None) + b"0\r\n\r\n"


def planned(number: int, first: float, interval: float, spread: float) -> tuple[float, float]:
    """Return the time to first token and between tokens of one request: evenly between both ends of the spread."""
    places = [number * step % 1 for step in _STEPS]
    low, wide = 1 - spread, 2 * spread
    return first * (low + wide * places[0]), interval * (low + wide * places[1])


def _end(tokens: int, prompt_bytes: int) -> bytes:
    usage = {
        "prompt_tokens": prompt_bytes // 4,
        "completion_tokens": tokens,
        "total_tokens": prompt_bytes // 4 + tokens,
    }
    return _choice({}, "length") + _chunk({"choices": [], "usage": usage}) + _DONE


class Connection(asyncio.Protocol):
    """One connection: requests one after another."""

    def __init__(self, first: float, interval: float, spread: float) -> None:
        self._times = first, interval, spread
        self._interval = interval
        self._received = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end]
        length = int(found[1]) if (found := _LENGTH.search(head)) else 0
        if len(self._received) < end + 4 + length:
            return
        body = self._received[end + 4 : end + 4 + length]
        self._received = self._received[end + 4 + length :]
        if head.startswith(b"POST"):
            tokens = int(found[1]) if (found := _MAX_TOKENS.search(body)) else 16
            number = int(found[1]) if (found := _NUMBER.search(body)) else 0
            first, self._interval = planned(number, *self._times)
            self._loop.call_at(self._loop.time() + first, self._begin, tokens, length)
        else:
            models = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(models)
            self._transport.write(head + models)

    def _begin(self, tokens: int, length: int) -> None:
        self._transport.write(_ROLE)
        self._token(1, tokens, length, self._loop.time())

    def _token(self, number: int, tokens: int, length: int, due: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_TOKEN)
        if number == tokens:
            self._transport.write(_end(tokens, length))
        elif self._interval:
            due += self._interval
            self._loop.call_at(due, self._token, number + 1, tokens, length, due)
        else:
            self._loop.call_soon(self._token, number + 1, tokens, length, due)


async def serve(port: int, first: float, interval: float, spread: float) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(first, interval, spread), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def main() -> int:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--first", type=float, default=0.0, help="seconds from the request to the first token")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between tokens")
    parser.add_argument("--spread", type=float, default=0.0, help="both times ± this share, by the request's number")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.port, options.first, options.interval, options.spread))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""HTTP GET on loopback with one deadline for all of it, and no more read than is asked for."""

import contextlib
import http.client
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, cast
from urllib.parse import urlsplit

from autoglm_agent.engine.sample import ScrapeError

_CHUNK_BYTES: Final = 64 << 10


class _Timed(io.RawIOBase):
    """Reads of a socket that all end at one moment: a peer that drips costs no more than one that is silent."""

    def __init__(self, connection: socket.socket, deadline: float, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._deadline = deadline
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        return self._connection.recv_into(buffer)


class _Source:
    """What `http.client` needs of a socket."""

    def __init__(self, stream: _Timed) -> None:
        self._stream = stream

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(self._stream, _CHUNK_BYTES)


class Http:
    """GETs from one address.

    Args:
        url: such as `http://127.0.0.1:8000`.
        clock: monotonic time in seconds.

    Raises:
        ValueError: the URL is not `http://HOST:PORT`.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._address = engine_address(url)
        self._clock = clock

    @contextlib.contextmanager
    def get(self, path: str, timeout: float) -> Iterator[http.client.HTTPResponse]:
        """Return the answer to a GET, its body not yet read; everything until the block ends takes `timeout` at most.

        Raises:
            ScrapeError: there is no answer, or none that is HTTP.
        """
        host, port = self._address
        try:
            with socket.create_connection(self._address, timeout) as connection:
                deadline = self._clock() + timeout
                connection.sendall(_request(path, host, port))
                stream = _Timed(connection, deadline, self._clock)
                with http.client.HTTPResponse(cast("Any", _Source(stream)), method="GET") as response:
                    response.begin()
                    yield response
        except TimeoutError as error:
            raise ScrapeError("timeout", f"GET {path} has not answered within {timeout:g} s") from error
        except ConnectionRefusedError as error:
            raise ScrapeError("refused", f"nothing listens on {host}:{port}") from error
        except http.client.RemoteDisconnected as error:
            raise ScrapeError("malformed", f"GET {path} was cut off") from error
        except http.client.HTTPException as error:
            raise ScrapeError("malformed", f"GET {path} answered something that is not HTTP") from error
        except OSError as error:
            raise ScrapeError("refused", f"GET {path} failed: {error.strerror or error}") from error

    @contextlib.contextmanager
    def body(self, path: str, timeout: float) -> Iterator[Iterator[bytes]]:
        """Return the body of a GET that answered 200, in chunks; the reader decides how much of it to read.

        Raises:
            ScrapeError: as `get`, or the answer is not 200.
        """
        with self.get(path, timeout) as response:
            if response.status != http.client.OK:
                raise ScrapeError("http", f"GET {path} answered {response.status}")
            yield iter(lambda: response.read1(_CHUNK_BYTES), b"")


def _request(path: str, host: str, port: int) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    return f"{head}User-Agent: autoglm-agent\r\nConnection: close\r\n\r\n".encode()


def engine_address(url: str) -> tuple[str, int]:
    """Return host and port of an engine URL.

    Raises:
        ValueError: the URL is not `http://HOST:PORT`.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise ValueError(f"engine URL is {url!r}; expected http://HOST:PORT, such as http://127.0.0.1:8000")
    return parts.hostname, parts.port or 80

"""Whether the engine beside the agent answers."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

#: A loaded engine answers late, and a late answer is still a sign of life.
TIMEOUT_SECONDS: Final = 5.0
#: A check takes its timeout and the interval at most; an older one means that nobody checks any more.
STALE_SECONDS: Final = 2 * TIMEOUT_SECONDS + 5
_STATUS_LINE_BYTES: Final = 1024
_OK: Final = 200


class EngineState(StrEnum):
    """Condition of the engine; `STARTING` until it has answered for the first time since the agent started."""

    STARTING = "starting"
    ALIVE = "alive"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What is known of the engine.

    Attributes:
        state: its condition.
        reason: what the last check saw.
        since: monotonic time from which the state holds.
        checked: monotonic time at which the last check ended; `None` before the first.
    """

    state: EngineState
    reason: str
    since: float
    checked: float | None = None

    def fresh(self, now: float) -> bool:
        """Return whether there has been a check recently enough to go by."""
        return self.checked is not None and now - self.checked <= STALE_SECONDS

    def alive(self, now: float) -> bool:
        """Return whether the engine answered the last check, and that is recent."""
        return self.state is EngineState.ALIVE and self.fresh(now)


def advance(status: EngineStatus, problem: str | None, now: float) -> EngineStatus:
    """Return the status after a check that ended at `now` and found `problem`, or found the engine well."""
    if problem is None:
        state = EngineState.ALIVE
    elif status.state is EngineState.STARTING:
        state = EngineState.STARTING
    else:
        state = EngineState.UNREACHABLE
    since = status.since if state is status.state else now
    return EngineStatus(state, problem or "GET /health answered 200", since, now)


class EngineWatch:
    """Checks an engine; other threads read `status`, which is replaced and never changed.

    Args:
        url: address of the engine, such as `http://127.0.0.1:8000`.
        clock: monotonic time in seconds.
        timeout: seconds that one check may take in all.
    """

    def __init__(self, url: str, clock: Callable[[], float], timeout: float = TIMEOUT_SECONDS) -> None:
        self._host, self._port = engine_address(url)
        self._clock = clock
        self._timeout = timeout
        self.status = EngineStatus(EngineState.STARTING, "not checked yet", clock())

    def check(self) -> None:
        """Ask the engine once."""
        problem = self._problem()
        self.status = advance(self.status, problem, self._clock())

    def _problem(self) -> str | None:
        deadline = self._clock() + self._timeout
        try:
            with socket.create_connection((self._host, self._port), self._timeout) as connection:
                request = f"GET /health HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nConnection: close\r\n\r\n"
                connection.sendall(request.encode())
                line = self._status_line(connection, deadline)
        except TimeoutError:
            return f"GET /health has not answered within {self._timeout:g} s"
        except ConnectionRefusedError:
            return f"nothing listens on {self._host}:{self._port}"
        except OSError as error:
            return f"GET /health failed: {error.strerror or error}"
        return _verdict(line)

    def _status_line(self, connection: socket.socket, deadline: float) -> bytes:
        """Return the first line of the answer, or what came of it.

        Only this line matters, so nothing after it is read: neither a body of any size nor one that drips can
        cost memory or time.
        """
        line = b""
        while b"\n" not in line and len(line) < _STATUS_LINE_BYTES:
            remaining = deadline - self._clock()
            if remaining <= 0:
                raise TimeoutError
            connection.settimeout(remaining)
            chunk = connection.recv(_STATUS_LINE_BYTES - len(line))
            if not chunk:
                break
            line += chunk
        return line.split(b"\n", 1)[0]


def _verdict(status_line: bytes) -> str | None:
    parts = status_line.split()
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():  # noqa: PLR2004
        return "GET /health answered something that is not HTTP" if status_line else "GET /health was cut off"
    code = int(parts[1])
    return None if code == _OK else f"GET /health answered {code}"


def engine_address(url: str) -> tuple[str, int]:
    """Return host and port of an engine URL.

    Raises:
        ValueError: the URL is not `http://HOST:PORT`.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise ValueError(f"engine URL is {url!r}; expected http://HOST:PORT, such as http://127.0.0.1:8000")
    return parts.hostname, parts.port or 80

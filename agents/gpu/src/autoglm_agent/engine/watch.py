"""Asks the engine: whether it serves, what its metrics say, which models it has. The only I/O with the engine."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from autoglm_agent.engine.exposition import names_of, parse
from autoglm_agent.engine.health import TIMEOUT_SECONDS, EngineState, EngineStatus, advance
from autoglm_agent.engine.http import Http
from autoglm_agent.engine.names import EngineKind
from autoglm_agent.engine.sample import EngineSample, ScrapeError

_logger = logging.getLogger(__name__)

_SCRAPE_SECONDS: Final = 3.0
#: After an answer that costs much to refuse, the engine is left alone for this long.
_BACKOFF_SECONDS: Final = 8.0
_COSTLY: Final = frozenset({"too_large", "timeout"})
_MODELS_SECONDS: Final = 30.0
_MODELS_BYTES: Final = 256 << 10
_MOST_MODELS: Final = 128
_MOST_NAME: Final = 256
_RAW_BYTES: Final = 256 << 10
_OK: Final = 200


class EngineWatch:
    """Asks one engine; one thread calls it.

    Args:
        url: address of the engine, such as `http://127.0.0.1:8000`.
        clock: monotonic time in seconds.
        timeout: seconds that a check of its health may take.

    Attributes:
        status: whether it answers; replaced and never changed.
        models: names of models and LoRA adapters that it serves; `None` where it does not tell.
        down: why its metrics are not to be had; empty if they are.
        errors: failed scrapes since the start by reason.
        ignored: series that were left out because no engine can mean their value.
    """

    def __init__(self, url: str, clock: Callable[[], float], timeout: float = TIMEOUT_SECONDS) -> None:
        self._http = Http(url, clock)
        self._clock = clock
        self._timeout = timeout
        self._kind: EngineKind | None = None
        self._scrape_after = 0.0
        self._models_after = 0.0
        self._said = False
        self.status = EngineStatus(EngineState.STARTING, "not checked yet", clock())
        self.models: tuple[str, ...] | None = None
        self.down = ""
        self.errors: Counter[str] = Counter()
        self.ignored: tuple[str, ...] = ()

    def check(self) -> None:
        """Ask whether it serves."""
        path = names_of(self._kind).health_path
        try:
            # Only the status matters, so the body is not read, whatever its size.
            with self._http.get(path, self._timeout) as response:
                problem = "" if response.status == _OK else f"GET {path} answered {response.status}"
        except ScrapeError as error:
            problem = str(error)
        self.status = advance(self.status, problem, f"GET {path} answered {_OK}", self._clock())

    def scrape(self) -> EngineSample | None:
        """Return what its metrics say; `None` if they are not to be had, or were too costly a moment ago."""
        now = self._clock()
        if now < self._scrape_after:
            return None
        try:
            with self._http.body("/metrics", _SCRAPE_SECONDS) as chunks:
                sample = parse(chunks, now)
        except ScrapeError as error:
            self.errors[error.reason] += 1
            self._scrape_after = now + (_BACKOFF_SECONDS if error.reason in _COSTLY else 0.0)
            self._say(str(error))
            return None
        self._kind = sample.kind
        self._say("")
        if sample.ignored != self.ignored:
            self.ignored = sample.ignored
            _logger.warning("engine metrics left out: impossible values", extra={"series": sample.ignored})
        return sample

    def refresh_models(self) -> None:
        """Ask for the models, at most every 30 s; an engine with an API key does not tell, and is not pressed."""
        now = self._clock()
        if now < self._models_after:
            return
        self._models_after = now + _MODELS_SECONDS
        try:
            with self._http.body("/v1/models", self._timeout) as chunks:
                self.models = _models(_bounded(chunks, _MODELS_BYTES))
        except ScrapeError:
            self.models = None

    def raw_metrics(self) -> str:
        """Return the beginning of its `/metrics` as it is, for evidence; or why it is not to be had."""
        try:
            with self._http.body("/metrics", _SCRAPE_SECONDS) as chunks:
                return b"".join(_up_to(chunks, _RAW_BYTES)).decode(errors="replace")
        except ScrapeError as error:
            return str(error)

    def _say(self, problem: str) -> None:
        """Log the first failure and the recovery, not each of them; a port that is not open yet is no failure."""
        said = self._said
        self._said = bool(problem) and (said or self.status.state is not EngineState.STARTING)
        if self._said and not said:
            _logger.warning("engine metrics are down", extra={"reason": problem})
        if said and not problem:
            _logger.info("engine metrics are back")
        self.down = problem


def _up_to(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        yield chunk[: most - size]
        size += len(chunk)
        if size >= most:
            return


def _bounded(chunks: Iterator[bytes], most: int) -> bytes:
    body = b"".join(_up_to(chunks, most + 1))
    if len(body) > most:
        raise ScrapeError("too_large", f"/v1/models is larger than {most >> 10} KiB")
    return body


def _models(body: bytes) -> tuple[str, ...]:
    try:
        names = [str(entry["id"])[:_MOST_NAME] for entry in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ScrapeError("malformed", f"/v1/models is no list of models: {error!r}") from error
    return tuple(names[:_MOST_MODELS])

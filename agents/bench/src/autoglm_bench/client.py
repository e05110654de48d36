"""One streaming chat request, timed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import httpx

from autoglm_bench.result import Cause

_OK: Final = 200
_DETAIL_CHARACTERS: Final = 200
#: One event of an honest engine is far smaller; this bounds what a broken one can make us hold.
_EVENT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """What to ask, and of whom.

    Attributes:
        url: base URL of the API, such as `http://autoglm-phone:8000/v1`.
        model: served name of the model.
        output_tokens: tokens that each answer has.
        timeout: seconds until a request is given up.
        reuse_connections: keep connections open. Off by default: a Service picks a pod for each connection, so
            reused ones would stay with the pods of the start.
    """

    url: str
    model: str
    output_tokens: int
    timeout: float = 300.0
    reuse_connections: bool = False


@dataclass(slots=True)
class Answer:
    """What came back; times are monotonic seconds.

    Attributes:
        sent: when the request was sent.
        finished: when the last of it was seen.
        tokens_at: when each piece of text came: a token, or several in one event.
        prompt_tokens: as the engine counts them; `None` if it does not tell.
        output_tokens: as the engine counts them, else the number of pieces.
        cause: why it failed; `None` if it did not.
        detail: what was seen of the failure.
    """

    sent: float
    finished: float
    tokens_at: list[float] = field(default_factory=list)
    prompt_tokens: int | None = None
    output_tokens: int = 0
    cause: Cause | None = None
    detail: str = ""


class _FailedError(Exception):
    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class ChatClient:
    """Sends chat requests to one target; an asynchronous context manager.

    Args:
        target: what to ask.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._url = f"{target.url.rstrip('/')}/chat/completions"
        self._http = httpx.AsyncClient(
            # No bound on connections: a request that waits for a free one would not be sent at its time.
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=None if target.reuse_connections else 0
            ),
            timeout=httpx.Timeout(None, connect=min(10.0, target.timeout)),
            # The engine is to be measured, not a proxy named in the environment.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, prompt: str) -> Answer:
        """Send one request and read its stream to the end; a failure is in the answer, never raised."""
        answer = Answer(time.monotonic(), 0.0)
        try:
            async with asyncio.timeout(self._target.timeout):
                await self._stream(prompt, answer)
        except _FailedError as error:
            answer.cause, answer.detail = error.cause, str(error)
        except (TimeoutError, httpx.ConnectTimeout):
            answer.cause, answer.detail = Cause.TIMEOUT, f"not finished within {self._target.timeout:g} s"
        except httpx.ConnectError as error:
            answer.cause, answer.detail = Cause.REFUSED, str(error)
        except httpx.NetworkError as error:
            answer.cause, answer.detail = Cause.CUT_OFF, repr(error)
        except httpx.RemoteProtocolError as error:
            answer.cause, answer.detail = Cause.CUT_OFF, str(error)
        except httpx.HTTPError as error:
            answer.cause, answer.detail = Cause.PROTOCOL, repr(error)
        answer.finished = time.monotonic()
        answer.output_tokens = answer.output_tokens or len(answer.tokens_at)
        return answer

    async def _stream(self, prompt: str, answer: Answer) -> None:
        async with self._http.stream("POST", self._url, json=self._body(prompt)) as response:
            if response.status_code != _OK:
                raise _FailedError(Cause.STATUS, f"HTTP {response.status_code} {await _beginning(response)}".strip())
            finished = False
            async for event in _events(response):
                if event == b"[DONE]":
                    if not finished or not answer.tokens_at:
                        raise _FailedError(Cause.CUT_OFF, "the stream ended without text or without a finish_reason")
                    return
                finished |= _take(event, answer)
            raise _FailedError(Cause.CUT_OFF, f"the stream ended after {len(answer.tokens_at)} pieces without [DONE]")

    def _body(self, prompt: str) -> dict[str, Any]:
        return {
            "model": self._target.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self._target.output_tokens,
            # The load must not depend on what the model makes of random words. vLLM and SGLang know this field.
            "ignore_eos": True,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


async def _beginning(response: httpx.Response) -> str:
    text = b""
    async for chunk in response.aiter_bytes():
        text += chunk
        if len(text) >= _DETAIL_CHARACTERS:
            break
    return text[:_DETAIL_CHARACTERS].decode(errors="replace")


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the data of each server-sent event."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
        if len(rest) > _EVENT_BYTES:
            raise _FailedError(Cause.PROTOCOL, f"an event is longer than {_EVENT_BYTES} bytes")


def _take(event: bytes, answer: Answer) -> bool:
    """Add one event to the answer; return whether it carries a finish reason."""
    try:
        content = json.loads(event)
        if error := content.get("error"):
            raise _FailedError(Cause.ENGINE_ERROR, str(error)[:_DETAIL_CHARACTERS])
        if usage := content.get("usage"):
            answer.prompt_tokens, answer.output_tokens = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        choice: dict[str, Any] = next(iter(content.get("choices") or ()), {})
        delta = choice.get("delta") or {}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise _FailedError(Cause.PROTOCOL, f"not a chat event: {event[:80]!r}") from error
    # Thinking models stream their reasoning first; its first token is the first the user waits for.
    if delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning"):
        answer.tokens_at.append(time.monotonic())
    return bool(choice.get("finish_reason"))

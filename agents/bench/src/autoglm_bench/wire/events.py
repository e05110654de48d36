"""Server-sent events of a chat answer: taken apart as they come."""

import json
from typing import Any, Final

from autoglm_bench.result import Answer, Cause, Failure

DETAIL_CHARACTERS: Final = 200
#: One event of an honest engine is far smaller; this bounds what a broken one can make us hold.
_EVENT_BYTES: Final = 1 << 20


class EventReader:
    """Adds events to an answer as they come.

    Args:
        answer: what they are added to.
        keep_text: keep the text too, for the next turn of a session or for a judgement.

    Attributes:
        done: whether the mark of the end came.
    """

    def __init__(self, answer: Answer, *, keep_text: bool) -> None:
        self._answer = answer
        self._keep_text = keep_text
        self._texts: list[str] = []
        self._rest = b""
        self.done = False

    def feed(self, now: float, data: bytes) -> None:
        """Take a piece of the body that came at `now`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(now, line[5:].strip())
        if len(self._rest) > _EVENT_BYTES:
            raise Failure(Cause.PROTOCOL, f"an event is longer than {_EVENT_BYTES} bytes")

    def finish(self) -> None:
        """Check that the answer is whole, and hand over its text.

        Raises:
            Failure: it is not.
        """
        answer = self._answer
        answer.text = "".join(self._texts)
        if not self.done:
            raise Failure(Cause.CUT_OFF, f"the stream ended after {len(answer.tokens_at)} pieces without [DONE]")
        if not answer.finish_reason or not answer.tokens_at:
            raise Failure(Cause.CUT_OFF, "the stream ended without text or without a finish_reason")

    def _event(self, now: float, event: bytes) -> None:
        if event == b"[DONE]":
            self.done = True
            return
        try:
            content = json.loads(event)
            if error := content.get("error"):
                raise Failure(Cause.ENGINE_ERROR, str(error)[:DETAIL_CHARACTERS])
            if usage := content.get("usage"):
                self._usage(usage)
            choice: dict[str, Any] = next(iter(content.get("choices") or ()), {})
            delta = choice.get("delta") or {}
            # Thinking models stream their reasoning first; its first token is the first the user waits for.
            text = delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")
            reason = choice.get("finish_reason")
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise Failure(Cause.PROTOCOL, f"not a chat event: {event[:80]!r}") from error
        if text:
            self._answer.tokens_at.append(now)
            if self._keep_text:
                self._texts.append(str(text))
        if reason:
            self._answer.finish_reason = str(reason)

    def _usage(self, usage: dict[str, Any]) -> None:
        answer = self._answer
        answer.prompt_tokens, answer.output_tokens = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        answer.cached_tokens = None if cached is None else int(cached)

"""The OpenAI-compatible API without HTTP: bodies to requests, tokens to answers, errors in vLLM's shape."""

import json
import random
from dataclasses import dataclass
from typing import Any, Final

from autoglm_simulator.flags import Settings
from autoglm_simulator.prompts import InvalidPromptError, Prompt, from_completion, from_messages, reply_length, words
from autoglm_simulator.requests import Request

_COMPLETION_MAX_TOKENS: Final = 16  # OpenAI's default for /v1/completions
_ERROR_TYPES: Final = {
    400: "BadRequestError",
    404: "NotFoundError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}


class ApiError(Exception):
    """An answer that is an error, with its HTTP status and the parameter at fault."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param

    def body(self) -> dict[str, Any]:
        """Return the error in vLLM's shape."""
        kind = _ERROR_TYPES[self.status]
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.status}}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between chat and plain completions."""

    id_prefix: str
    object: str
    chunk_object: str
    chat: bool


CHAT: Final = Dialect("chatcmpl-", "chat.completion", "chat.completion.chunk", chat=True)
COMPLETION: Final = Dialect("cmpl-", "text_completion", "text_completion", chat=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API, ready to run."""

    id: str
    created: int
    model: str
    dialect: Dialect
    prompt: Prompt
    request: Request
    stream: bool
    include_usage: bool

    def text(self, start: int, end: int) -> str:
        """Return the text of tokens `start` to `end` of the answer."""
        return words(self.prompt.seed, start, end)

    def usage(self, generated: int) -> dict[str, int]:
        """Return the token counts of an answer of `generated` tokens."""
        prompt = self.prompt.tokens
        return {"prompt_tokens": prompt, "total_tokens": prompt + generated, "completion_tokens": generated}

    def answer(self, generated: int, finish_reason: str) -> dict[str, Any]:
        """Return the whole answer."""
        text = self.text(0, generated)
        content = {"message": {"role": "assistant", "content": text}} if self.dialect.chat else {"text": text}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}
        return self._frame(self.dialect.object, [choice]) | {"usage": self.usage(generated)}

    def chunk(self, start: int, end: int, finish_reason: str | None) -> str:
        """Return the server-sent event of tokens `start` to `end`; the first one also names the role."""
        text = self.text(start, end)
        if not self.dialect.chat:
            return self._event([{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}])
        role = self._event([_delta({"role": "assistant", "content": ""}, None)]) if start == 0 else ""
        return role + self._event([_delta({"content": text}, finish_reason)])

    def closing(self, generated: int) -> str:
        """Return the events after the last token: usage where it was asked for, and the end mark."""
        usage = self._event([], {"usage": self.usage(generated)}) if self.include_usage else ""
        return f"{usage}data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> str:
        frame = self._frame(self.dialect.chunk_object, choices) | (more or {})
        return f"data: {json.dumps(frame, separators=(',', ':'))}\n\n"

    def _frame(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


def _delta(delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def read_call(dialect: Dialect, body: object, settings: Settings, *, number: int, arrival: float, created: int) -> Call:
    """Return the call that `body` asks for.

    Args:
        dialect: Chat or plain completion.
        body: Decoded JSON.
        settings: What the engine was started with.
        number: The call's number since the start; part of its id.
        arrival: Engine time at which it came.
        created: Unix time for the answer.

    Raises:
        ApiError: The body is refused.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "expected a JSON object as the body")
    model = body.get("model") or settings.served_model_names[0]
    if model not in settings.served_model_names:
        raise ApiError(404, f"The model `{model}` does not exist.", "model")
    if _count(body, "n", 1) != 1:
        raise ApiError(400, "n: only 1 choice per request is simulated", "n")
    try:
        prompt = from_messages(body.get("messages")) if dialect.chat else from_completion(body.get("prompt"))
    except InvalidPromptError as error:
        raise ApiError(400, str(error), "messages" if dialect.chat else "prompt") from error
    output_tokens, finish_reason = _output(dialect, body, prompt, settings)
    options = body.get("stream_options")
    return Call(
        id=f"{dialect.id_prefix}{number:032x}",
        created=created,
        model=model,
        dialect=dialect,
        prompt=prompt,
        request=Request(prompt.tokens, output_tokens, arrival, finish_reason, prompt.prefix),
        stream=bool(body.get("stream")),
        include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
    )


def _output(dialect: Dialect, body: dict[str, Any], prompt: Prompt, settings: Settings) -> tuple[int, str]:
    """Return how many tokens the answer has and why it ends."""
    room = settings.max_model_len - prompt.tokens
    if room < 1:
        raise ApiError(
            400,
            f"The decoder prompt (length {prompt.tokens}) is longer than the maximum model length of "
            f"{settings.max_model_len}, or leaves no room for an answer. Make the prompt shorter.",
            "messages" if dialect.chat else "prompt",
        )
    field = "max_completion_tokens" if dialect.chat and body.get("max_completion_tokens") else "max_tokens"
    largest = _count(body, field, room if dialect.chat else min(room, _COMPLETION_MAX_TOKENS))
    if largest > room:
        raise ApiError(
            400,
            f"'{field}' is too large: {largest}. This model's maximum context length is {settings.max_model_len} "
            f"tokens and your request has {prompt.tokens} input tokens ({largest} > {settings.max_model_len} - "
            f"{prompt.tokens}).",
            field,
        )
    smallest = _count(body, "min_tokens", 0)
    if smallest > largest:
        raise ApiError(
            400, f"min_tokens must be less than or equal to {field}={largest}, got {smallest}.", "min_tokens"
        )
    if body.get("ignore_eos"):
        return largest, "length"
    rng = random.Random(settings.seed << 32 | prompt.seed)
    length = reply_length(rng, max(1, smallest), largest)
    return length, "stop" if length < largest else "length"


def _count(body: dict[str, Any], field: str, default: int) -> int:
    value = body.get(field)
    if value is None:
        return default
    smallest = 0 if field == "min_tokens" else 1
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise ApiError(400, f"{field} must be a whole number of at least {smallest}, got {value!r}.", field)
    return value

"""The user's own requests: one JSON object a line. Pure.

Each line has `messages` (as in a chat request) or `prompt` (one user message), and may have `id` and `max_tokens`.
Expected answers stand in a file of their own: lines of `id` and `answer`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoglm_bench.load.arrivals import Shape
from autoglm_bench.load.workload import Session, Step, request


@dataclass(frozen=True, slots=True)
class Line:
    """One request of the user's file."""

    id: str
    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int | None


class LinesWorkload:
    """The lines of a file, one after the other and then from the start.

    Args:
        lines: at least one.
        output_tokens: the most that an answer has where the line does not say it.
        natural_end: the model ends its answers.
        keeps_text: keep the answers, for a judgement.
    """

    expects_actions = False

    def __init__(self, lines: Sequence[Line], output_tokens: int, *, natural_end: bool, keeps_text: bool) -> None:
        self._lines = lines
        self._output_tokens = output_tokens
        self._natural_end = natural_end
        self.keeps_text = keeps_text

    def session(self, number: int, shape: Shape | None = None) -> Session:
        """Return session `number`: one request."""
        del shape  # lengths are those of the file
        line = self._lines[number % len(self._lines)]
        # About four bytes of UTF-8 are a token.
        tokens = max(1, len(_texts(line.messages).encode()) // 4)
        again = tokens if number >= len(self._lines) else 0
        return Session(number, (Step(tokens, line.max_tokens or self._output_tokens, again),), line.id)

    def body(self, model: str, session: Session, step: int, answers: Sequence[str]) -> bytes:
        """Return the JSON of one request."""
        del step, answers  # a session is one request
        line = self._lines[session.number % len(self._lines)]
        return request(model, line.messages, session.steps[0].output_tokens, self._natural_end)

    def document(self) -> dict[str, Any]:
        """Return what the result says of the workload."""
        content = json.dumps([[line.id, line.messages, line.max_tokens] for line in self._lines], sort_keys=True)
        return {
            "name": "file",
            "lines": len(self._lines),
            "contentHash": hashlib.sha256(content.encode()).hexdigest(),
            "outputTokens": str(self._output_tokens),
            "naturalEnd": self._natural_end,
        }


def _texts(messages: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for message in messages:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [str(part.get("text", "")) for part in content]
    return " ".join(parts)


def read_lines(name: str, lines: Iterable[str]) -> list[Line]:
    """Read the user's requests.

    Raises:
        ValueError: a line is not of the form, an id stands twice, or there is none.
    """
    found = [_line(name, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ValueError(f"{name} holds no request")
    _check_ids(name, [line.id for line in found])
    return found


def read_answers(name: str, lines: Iterable[str]) -> dict[str, str]:
    """Read the expected answers: `id` → text.

    Raises:
        ValueError: a line is not of the form, an id stands twice, or there is none.
    """
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _object(name, number, line)
            if not isinstance(row.get("answer"), str) or "id" not in row:
                raise ValueError(
                    f'{name} line {number}: expected {{"id": …, "answer": "…"}}; found {line.strip()[:80]}'
                )
            found.append((str(row["id"]), row["answer"]))
    if not found:
        raise ValueError(f"{name} holds no expected answer")
    _check_ids(name, [key for key, _ in found])
    return dict(found)


def _check_ids(name: str, ids: Sequence[str]) -> None:
    if twice := sorted({key for key in ids if ids.count(key) > 1}) if len(set(ids)) < len(ids) else []:
        raise ValueError(f"{name} has the id {twice[0]!r} more than once; expected each once")


def _line(name: str, number: int, line: str) -> Line:
    row = _object(name, number, line)
    messages = row.get("messages")
    if messages is None and isinstance(row.get("prompt"), str):
        messages = [{"role": "user", "content": row["prompt"]}]
    if not isinstance(messages, list) or not messages or not all(_is_message(message) for message in messages):
        raise ValueError(
            f"{name} line {number}: expected messages with role and content, or prompt: {line.strip()[:80]}"
        )
    most = row.get("max_tokens")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise ValueError(f"{name} line {number}: max_tokens is {most!r}; expected 1 or more")
    return Line(str(row.get("id", f"line-{number}")), tuple(messages), most)


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    return isinstance(content, str) or (isinstance(content, list) and all(isinstance(part, dict) for part in content))


def _object(name: str, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{name} line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(  # noqa: TRY004  as every other line that is not of the form
            f"{name} line {number} is no JSON object: {line.strip()[:80]}"
        )
    return row

"""What becomes of one request."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

#: A request sent later than this after its time counts as late: the generator, not the engine, was too slow.
LATE_SECONDS: Final = 0.02


class Cause(StrEnum):
    """Why a request failed."""

    REFUSED = "refused"
    STATUS = "status"
    TIMEOUT = "timeout"
    CUT_OFF = "cut_off"
    ENGINE_ERROR = "engine_error"
    PROTOCOL = "protocol"
    INTERRUPTED = "interrupted"


class Failure(Exception):  # noqa: N818  what failed is the request; it is an outcome and no error of this program
    """A request failed.

    Attributes:
        cause: why.
    """

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


@dataclass(slots=True)
class Answer:
    """What came back; times are monotonic seconds.

    Attributes:
        sent: when the request was begun, before the connection was opened.
        connected: when the connection was there; `None` if it was kept from an earlier request or never came.
        finished: when the last of it was seen.
        tokens_at: when each piece of text came: a token, or several in one event.
        text: what was answered; empty unless it was asked to be kept.
        prompt_tokens: as the engine counts them; `None` if it does not tell.
        cached_tokens: of these, those from its prefix cache; `None` if it does not tell.
        output_tokens: as the engine counts them; `None` if it does not tell.
        finish_reason: as the engine gives it.
        cause: why it failed; `None` if it did not.
        detail: what was seen of the failure.
    """

    sent: float
    connected: float | None = None
    finished: float = 0.0
    tokens_at: list[float] = field(default_factory=list)
    text: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str = ""
    cause: Cause | None = None
    detail: str = ""

    @property
    def tokens(self) -> int:
        """Tokens received: as the engine counts them, else the number of pieces."""
        return len(self.tokens_at) if self.output_tokens is None else self.output_tokens

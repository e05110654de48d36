"""What becomes of one request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: A request sent later than this after its time counts as late: the generator, not the engine, was too slow.
LATE_SECONDS: Final = 0.1


class Cause(StrEnum):
    """Why a request failed."""

    REFUSED = "refused"
    STATUS = "status"
    TIMEOUT = "timeout"
    CUT_OFF = "cut_off"
    ENGINE_ERROR = "engine_error"
    PROTOCOL = "protocol"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one request; times are seconds.

    Attributes:
        number: position in the order of arrival, from 0.
        phase: name of the phase it belongs to.
        due: when it was to be sent, from the start of the load.
        sent: when it was sent, from the start of the load.
        ttft: from sending to the first token; `None` if there was none.
        itls: between consecutive pieces of text.
        duration: from sending to the end.
        prompt_tokens: as the engine counts them; `None` if it does not tell.
        output_tokens: tokens received.
        cause: why it failed; `None` if it did not.
        detail: what was seen of the failure.
    """

    number: int
    phase: str
    due: float
    sent: float
    ttft: float | None
    itls: tuple[float, ...]
    duration: float
    prompt_tokens: int | None
    output_tokens: int
    cause: Cause | None
    detail: str

    @property
    def late(self) -> bool:
        """Whether it was sent noticeably after its time."""
        return self.sent - self.due > LATE_SECONDS

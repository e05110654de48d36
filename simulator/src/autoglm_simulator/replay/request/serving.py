"""What a fleet request by request has beyond the speeds and objectives of `Fleet`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Serving:
    """How requests reach the replicas, and what can go wrong with those.

    Attributes:
        step_tokens: Tokens that an iteration of an engine computes at most, decoding and prefill together. The default
            keeps an iteration of the reference plant below 0.3 s; 8192 lets one of full prompts take 1.1 s.
        prefix_caching: Whether a replica keeps prompt blocks for reuse, the least recently used evicted first.
        view_seconds: Seconds between two looks of the router at the load of the replicas.
        failed_starts: Share of the starts that fail at their end and begin again (0-1).
        undrain: Whether replicas that drain serve again when more are ordered.
    """

    step_tokens: int = 2048
    prefix_caching: bool = True
    view_seconds: int = 1
    failed_starts: float = 0.0
    undrain: bool = True

    def __post_init__(self) -> None:
        if self.view_seconds < 1:
            raise ValueError(f"view_seconds is {self.view_seconds}, expected at least 1: a look takes a whole second.")
        if not 0.0 <= self.failed_starts < 1.0:
            raise ValueError(f"failed_starts is {self.failed_starts:g}, expected at least 0 and less than 1.")

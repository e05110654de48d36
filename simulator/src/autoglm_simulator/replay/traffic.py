"""What arrives in each second of a replay."""

from dataclasses import dataclass


@dataclass
class Traffic:
    """One value for each second.

    Attributes:
        rate: Expected requests per second: what the trace says, without the noise of arrivals.
        arrivals: Requests that arrive.
        input_tokens: Prompt tokens per request.
        output_tokens: Output tokens per request.
    """

    rate: list[float]
    arrivals: list[float]
    input_tokens: list[float]
    output_tokens: list[float]

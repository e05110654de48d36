"""The single requests of a replay: those of the trace as recorded, or as many as the scaled traffic has.

A trace of requests that is not scaled is replayed as it was recorded. Where it is scaled, each arrival of the traffic
takes the lengths of a request that was recorded in the same minute, in their order. One that is taken again stands for
another client: its prefix is its own, or scaling a trace up would fill the prefix cache with copies.

A trace of rates has only means: each prompt has that of its second, and outputs are spread around theirs as in recorded
conversations. Equal outputs would let whole bursts end together, and a router that counts requests would then send the
next burst to one replica.
"""

import json
import random
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from autoglm_simulator.profiles import BLOCK_TOKENS
from autoglm_simulator.replay.traces import WINDOW, Arrival, Trace, TraceError
from autoglm_simulator.replay.traffic import Traffic

HASH_TOKENS: Final = 512
"""Prompt tokens that one of Mooncake's `hash_ids` stands for."""

OUTPUT_SPREAD: Final = 0.75
"""Standard deviation of the outputs over their mean, gamma: Azure's conversation trace has 0.77, Mooncake's 0.73."""

_PER_HASH: Final = HASH_TOKENS // BLOCK_TOKENS
_CLIENT_BITS: Final = 40
"""Bits of a block's number that are the trace's own; those above say for which client it was taken again."""


class Call(NamedTuple):
    """One request.

    Attributes:
        time: Seconds since the start of the trace.
        input_tokens: Length of the prompt.
        output_tokens: Tokens that it generates.
        hashes: Of each 512 tokens of the prompt with all before them; empty where nothing can be reused.
        client: Which copy of the recorded client it comes from.
    """

    time: float
    input_tokens: int
    output_tokens: int
    hashes: tuple[int, ...] = ()
    client: int = 0

    def prefix(self) -> list[int]:
        """Return the hash of each full KV block of the prompt."""
        own = self.client << _CLIENT_BITS
        blocks = chain.from_iterable(range(own + one * _PER_HASH, own + (one + 1) * _PER_HASH) for one in self.hashes)
        return list(blocks)[: self.input_tokens // BLOCK_TOKENS]


def calls_for(path: Path, trace: Trace, traffic: Traffic, seed: int, *, scaled: bool) -> list[Call]:
    """Return the requests of a replay.

    Args:
        path: The file of the trace, for its prefixes.
        trace: The same, read.
        traffic: Its arrivals; only their number of seconds matters for a trace of requests that is not scaled.
        seed: Of what is drawn.
        scaled: Whether the traffic has another mean than the trace.

    Raises:
        TraceError: The prefixes of the trace are not good.
    """
    hashes = read_hashes(path) if trace.kind == "mooncake" else []
    if trace.arrivals and not scaled:
        return recorded_calls(trace, hashes, len(traffic.arrivals))
    return sampled_calls(trace, hashes, traffic, seed)


def recorded_calls(trace: Trace, hashes: Sequence[tuple[int, ...]], seconds: int) -> list[Call]:
    """Return the requests of the first `seconds` of a trace as they were recorded.

    Args:
        trace: A trace of requests.
        hashes: Of each of its requests (`read_hashes`); empty where it has none.
        seconds: Where to end.
    """
    calls = [_call(arrival, arrival.time, hashes, place, 0) for place, arrival in enumerate(trace.arrivals)]
    return [call for call in calls if call.time < seconds]


def sampled_calls(trace: Trace, hashes: Sequence[tuple[int, ...]], traffic: Traffic, seed: int) -> list[Call]:
    """Return as many requests in each second as `traffic` has, with the lengths of the requests of `trace`.

    Args:
        trace: Of requests or of rates.
        hashes: Of each of its requests (`read_hashes`); empty where it has none.
        traffic: The arrivals of each second.
        seed: Of the moments within a second, and of the outputs of a trace of rates.
    """
    rng = random.Random(seed)
    times = [
        sorted(second + rng.random() for _ in range(round(count))) for second, count in enumerate(traffic.arrivals)
    ]
    if not trace.arrivals:
        lengths = zip(traffic.input_tokens, traffic.output_tokens, strict=True)
        return [
            Call(time, max(1, round(inputs)), _output(rng, outputs))
            for inside, (inputs, outputs) in zip(times, lengths, strict=True)
            for time in inside
        ]
    size = int(WINDOW)
    found: list[Call] = []
    first = 0
    for start in range(0, len(times), size):
        end = first
        while end < len(trace.arrivals) and trace.arrivals[end].time < start + size:
            end += 1
        # A minute without requests of its own takes the latest before it, as its mean lengths do.
        first = min(first, end - 1)
        found.extend(_spread(trace, hashes, range(first, end), list(chain(*times[start : start + size]))))
        first = end
    return found


def _output(rng: random.Random, mean: float) -> int:
    shape = OUTPUT_SPREAD**-2
    return max(1, round(rng.gammavariate(shape, mean / shape)))


def _spread(trace: Trace, hashes: Sequence[tuple[int, ...]], places: range, times: list[float]) -> Iterator[Call]:
    """Yield a request for each of `times`, taken in order and as evenly as can be from those at `places`."""
    client, before = 0, -1
    for number, time in enumerate(times):
        place = places[number * len(places) // len(times)]
        client = client + 1 if place == before else 0
        before = place
        yield _call(trace.arrivals[place], time, hashes, place, client)


def _call(arrival: Arrival, time: float, hashes: Sequence[tuple[int, ...]], place: int, client: int) -> Call:
    lengths = max(1, round(arrival.input_tokens)), max(1, round(arrival.output_tokens))
    return Call(time, *lengths, hashes[place] if hashes else (), client)


def read_hashes(path: Path) -> list[tuple[int, ...]]:
    """Read the `hash_ids` of a Mooncake trace that `read_trace` accepts, in the order of `Trace.arrivals`.

    Raises:
        TraceError: A line's `hash_ids` are not whole numbers from 0 on.
    """
    found: list[tuple[tuple[float, ...], tuple[int, ...]]] = []
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                item = json.loads(text)
                hashes = _hashes(f"{path.name}:{line}", item.get("hash_ids", []))
                order = tuple(float(item[name]) for name in ("timestamp", "input_length", "output_length"))
                found.append((order, hashes))
    return [hashes for _, hashes in sorted(found)]


def _hashes(where: str, value: object) -> tuple[int, ...]:
    expected = f"expected whole numbers from 0 to {2**_CLIENT_BITS // _PER_HASH - 1}"
    if not isinstance(value, list):
        raise TraceError(f"{where}: field hash_ids: got {value!r}, {expected}")
    for one in value:
        if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < 2**_CLIENT_BITS // _PER_HASH:
            raise TraceError(f"{where}: field hash_ids: got {one!r}, {expected}")
    return tuple(value)

"""Where the time of a request goes: the engine's own histograms before and after, beside what was measured. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: engine → part → base names of the histograms whose sums make it, with their sign.
_PARTS: Final[Mapping[str, Mapping[str, tuple[tuple[str, int], ...]]]] = {
    "vllm": {
        "queue": (("vllm:request_queue_time_seconds", 1),),
        "prefill": (("vllm:request_prefill_time_seconds", 1),),
        "decode": (("vllm:request_decode_time_seconds", 1),),
    },
    "sglang": {
        "queue": (("sglang:queue_time_seconds", 1),),
        "prefill": (("sglang:time_to_first_token_seconds", 1), ("sglang:queue_time_seconds", -1)),
        "decode": (("sglang:e2e_request_latency_seconds", 1), ("sglang:time_to_first_token_seconds", -1)),
    },
}
#: By which an engine is known, and its requests are counted.
_LATENCY: Final = {"vllm": "vllm:e2e_request_latency_seconds", "sglang": "sglang:e2e_request_latency_seconds"}
_CACHED: Final = {"vllm": "vllm:prefix_cache_hits_total", "sglang": "sglang:cached_tokens_total"}
#: What is read of an engine's metrics.
NAMES: Final[Mapping[str, str]] = {
    **{
        f"{base}{end}": ""
        for base in (*_LATENCY.values(), *(b for parts in _PARTS.values() for t in parts.values() for b, _ in t))
        for end in ("_sum", "_count")
    },
    **dict.fromkeys(_CACHED.values(), ""),
}


@dataclass(frozen=True, slots=True)
class Split:
    """Mean seconds of a request in each place, or why they are not known.

    Attributes:
        seconds: `queue`, `prefill`, `decode`, and `network`, the rest of what was measured: connection, transfer,
            proxies, the engine's HTTP server and tokenizer, this program. Empty if not known.
        requests: that the engine counted meanwhile.
        cached_tokens: prompt tokens from its prefix cache meanwhile; `None` if it does not tell.
        note: what is to be known of the figures, or why there are none.
    """

    seconds: Mapping[str, float]
    requests: int
    cached_tokens: int | None
    note: str


def split(before: Mapping[str, float], after: Mapping[str, float], latency: float | None, requests: int) -> Split:
    """Return where the time went.

    Args:
        before: the engine's metrics before the load.
        after: and after it.
        latency: mean seconds of the requests, as measured here; `None` if none succeeded.
        requests: how many succeeded.
    """
    engine = next((name for name, base in _LATENCY.items() if f"{base}_sum" in after), None)
    if engine is None:
        return Split({}, 0, None, "its metrics hold no latency histogram of vLLM or SGLang")
    change = {name: value - before.get(name, 0.0) for name, value in after.items()}
    cached = change.get(_CACHED[engine])
    told = None if cached is None else int(cached)
    counted = int(change.get(f"{_LATENCY[engine]}_count", 0.0))
    if any(value < 0 for value in change.values()):
        return Split({}, counted, None, "its counters went back: it was restarted in between")
    if not counted or latency is None:
        return Split({}, counted, told, "it counted no request that ended meanwhile")
    means = {part: _mean(terms, change) for part, terms in _PARTS[engine].items()}
    if missing := [part for part, mean in means.items() if mean is None]:
        return Split({}, counted, told, f"its metrics do not tell {', '.join(missing)}")
    known = {part: mean for part, mean in means.items() if mean is not None}
    seconds = {"network": latency - sum(known.values()), **known}
    note = "" if counted == requests else f"it counted {counted} requests, of which {requests} were this run's"
    if counted < requests:
        note += ": other pods answered the rest"
    elif counted > requests:
        note += ": others asked too"
    return Split(seconds, counted, told, note)


def _mean(terms: tuple[tuple[str, int], ...], change: Mapping[str, float]) -> float | None:
    total = 0.0
    for base, sign in terms:
        count = change.get(f"{base}_count", 0.0)
        if count <= 0:
            return None
        total += sign * change[f"{base}_sum"] / count
    return total

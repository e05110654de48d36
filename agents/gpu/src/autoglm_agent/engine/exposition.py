"""Reads an engine's `/metrics` as it comes: allow-listed series only, within bounds, whatever the engine sends."""

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from autoglm_agent.engine.histograms import Histogram
from autoglm_agent.engine.names import TABLE, EngineKind, Latency, Names, Value
from autoglm_agent.engine.sample import EngineSample, Rank, ScrapeError, Total

#: vLLM with eight data-parallel ranks answers about 1 MB; what is larger is not read to its end.
MOST_BYTES: Final = 4 << 20
#: Series that are read, of those on the list; more than one engine can have.
MOST_SERIES: Final = 20_000
#: A longer line is no series.
_MOST_LINE_BYTES: Final = 64 << 10
_MOST_RANKS: Final = 64
_MOST_BOUNDS: Final = 256
_GB: Final = 1 << 30
_AWAKE: Final = 'sleep_state="awake"'

_Part = tuple[EngineKind, Value | Latency, str]


def _parts() -> dict[bytes, _Part]:
    """Return what each series is, by its name: engine, quantity, and for histograms which of their three series."""
    found: dict[bytes, _Part] = {}
    for kind, names in TABLE.items():
        found |= {name.encode(): (kind, value, "") for value, name in names.values.items()}
        for latency, name in names.latencies.items():
            found |= {f"{name}{end}".encode(): (kind, latency, end) for end in ("_bucket", "_sum", "_count")}
    return found


_PARTS: Final = _parts()
# One pass in C over a body of which nine tenths are other families.
_LINE: Final = re.compile(
    rb"^(" + b"|".join(map(re.escape, _PARTS)) + rb")(?:\{(.*)\})?[ \t]+(\S+)[ \t]*$", re.MULTILINE
)
# Quotes inside a label's value are escaped, so this finds the label and never a part of another's value.
_LABEL: Final = re.compile(r'(?:^|,)([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_BOUND: Final = re.compile(rb'(?:^|,)le="([^"]*)"')


class _Collector:
    """Adds up the series of one exposition."""

    def __init__(self) -> None:
        self.kind: EngineKind | None = None
        self.series = 0
        self.values: dict[Value, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.buckets: dict[Latency, dict[float, float]] = defaultdict(dict)
        self.sums: dict[tuple[Latency, str], float] = defaultdict(float)
        self.ignored: set[str] = set()
        self.labels: dict[Value, list[tuple[str, float]]] = defaultdict(list)
        self._rank: dict[bytes, str | None] = {}

    def block(self, block: bytes) -> None:
        """Take in complete lines."""
        for name, labels, text in _LINE.findall(block):
            kind, what, end = _PARTS[name]
            self.kind = self.kind or kind
            if kind is not self.kind:
                continue
            self.series += 1
            if self.series > MOST_SERIES:
                raise ScrapeError("too_large", f"more than {MOST_SERIES} series of interest: one engine has fewer")
            value = _number(text)
            if value is None:
                self.ignored.add(name.decode())
            elif isinstance(what, Latency):
                self._latency(what, end, labels, value)
            else:
                self._value(what, labels, value)

    def _latency(self, latency: Latency, end: str, labels: bytes, value: float) -> None:
        if end != "_bucket":
            self.sums[latency, end] += value
            return
        found = _BOUND.search(labels)
        bound = _number(found[1], infinite=True) if found else None
        buckets = self.buckets[latency]
        if bound is None or (bound not in buckets and len(buckets) > _MOST_BOUNDS):
            self.ignored.add(f"{latency.value} bucket")
        else:
            buckets[bound] = buckets.get(bound, 0.0) + value

    def _value(self, what: Value, labels: bytes, value: float) -> None:
        if what in {Value.SLEEP_STATE, Value.CACHE_CONFIG}:
            if len(self.labels[what]) < _MOST_RANKS:
                self.labels[what].append((labels.decode(errors="replace"), value))
            return
        rank = self._rank_of(labels)
        if rank is not None and (rank in self.values[what] or len(self.values[what]) < _MOST_RANKS):
            self.values[what][rank].append(value)

    def _rank_of(self, labels: bytes) -> str | None:
        """Return the data-parallel rank; `None` for a further pipeline stage, which tells the same again."""
        if labels not in self._rank:
            if len(self._rank) > MOST_SERIES:
                self._rank.clear()
            assert self.kind is not None  # noqa: S101  # a line was found
            found = dict(_LABEL.findall(labels.decode(errors="replace")))
            later = found.get("pp_rank", "0") != "0"
            self._rank[labels] = None if later else found.get(TABLE[self.kind].rank_label, "")
        return self._rank[labels]


def parse(chunks: Iterable[bytes], taken: float) -> EngineSample:
    """Return the sample in an exposition that comes in chunks.

    Series with a value that no engine can mean (negative, infinite, not a number) are left out and named.

    Raises:
        ScrapeError: it is too large, or is not the exposition of an engine.
    """
    collector = _Collector()
    size, rest = 0, b""
    for chunk in chunks:
        size += len(chunk)
        if size > MOST_BYTES:
            raise ScrapeError("too_large", f"/metrics is larger than {MOST_BYTES >> 20} MiB: it is not read further")
        lines, newline, tail = chunk.rpartition(b"\n")
        if newline:
            collector.block(rest + lines)
            rest = tail
        else:
            rest += tail
        if len(rest) > _MOST_LINE_BYTES:
            raise ScrapeError("malformed", f"/metrics has a line of more than {_MOST_LINE_BYTES >> 10} KiB")
    collector.block(rest)
    return _sample(collector, size, taken)


def _sample(found: _Collector, size: int, taken: float) -> EngineSample:
    values, kind = found.values, found.kind
    if kind is None or not values[Value.RUNNING] or not values[Value.WAITING]:
        wanted = " or ".join(names.values[Value.RUNNING] for names in TABLE.values())
        raise ScrapeError("incomplete", f"no {wanted} in {size} bytes of /metrics: is this vLLM or SGLang?")
    latencies = TABLE[kind].latencies
    return EngineSample(
        taken=taken,
        kind=kind,
        running=_total(values, Value.RUNNING) or 0.0,
        waiting=_total(values, Value.WAITING) or 0.0,
        kv_cache=_usage(values[Value.KV_CACHE], found.ignored),
        prompt_tokens=_total(values, Value.PROMPT_TOKENS),
        generation_tokens=_total(values, Value.GENERATION_TOKENS),
        finished=_total(values, Value.FINISHED),
        preemptions=_total(values, Value.PREEMPTIONS),
        # SGLang looks up every prompt token and has no counter of its own for that.
        prefix_queries=_total(values, Value.PREFIX_QUERIES if kind is EngineKind.VLLM else Value.PROMPT_TOKENS),
        prefix_hits=_total(values, Value.PREFIX_HITS),
        histograms={each: whole for each in latencies if (whole := _histogram(found, each))},
        totals={
            each: Total(found.sums[each, "_count"], found.sums[each, "_sum"])
            for each in latencies
            if (each, "_count") in found.sums and (each, "_sum") in found.sums
        },
        ranks=_ranks(values),
        held=_held(found),
        kv_tokens=_kv_tokens(found),
        weights_bytes=_most(values[Value.WEIGHTS_GB], _GB),
        ignored=tuple(sorted(found.ignored)),
    )


def _number(text: bytes, *, infinite: bool = False) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value >= 0 and (infinite or value != math.inf) else None


def _total(values: Mapping[Value, Mapping[str, list[float]]], what: Value) -> float | None:
    ranks = values.get(what)
    return sum(map(sum, ranks.values())) if ranks else None


def _most(ranks: Mapping[str, list[float]], factor: float) -> float | None:
    return max(map(max, ranks.values())) * factor if ranks else None


def _usage(ranks: Mapping[str, list[float]], ignored: set[str]) -> float | None:
    shares = [share for rank in ranks.values() for share in rank]
    if any(share > 1 for share in shares):
        ignored.add(Value.KV_CACHE.value)
        return None
    return sum(shares) / len(shares) if shares else None


#: Not the requests that ended: clients that give up on a hung engine end theirs too.
_PROGRESS: Final = (Value.PROMPT_TOKENS, Value.GENERATION_TOKENS, Value.STEP_TOKENS)


def _ranks(values: Mapping[Value, Mapping[str, list[float]]]) -> dict[str, Rank]:
    """Return the ranks; counters without a rank label are everybody's."""
    result = {}
    for rank, running in values[Value.RUNNING].items():
        counters = [values[what] for what in _PROGRESS if what in values]
        tokens = sum(sum(counter.get(rank, counter.get("", ()))) for counter in counters)
        usage = values[Value.KV_CACHE].get(rank)
        result[rank] = Rank(sum(running), max(usage) if usage else None, tokens)
    return result


def _held(found: _Collector) -> str:
    awake = [value for labels, value in found.labels[Value.SLEEP_STATE] if _AWAKE in labels]
    if awake and not all(awake):
        return "the engine sleeps"
    return "the engine is paused" if _total(found.values, Value.PAUSED) else ""


def _kv_tokens(found: _Collector) -> float | None:
    if told := _total(found.values, Value.KV_TOKENS):
        return told
    tokens = 0.0
    for labels, _ in found.labels[Value.CACHE_CONFIG]:
        config = dict(_LABEL.findall(labels))
        size, blocks = (_number(config.get(key, "").encode()) for key in ("block_size", "num_gpu_blocks"))
        tokens += (size or 0.0) * (blocks or 0.0)
    return tokens or None


def _histogram(found: _Collector, latency: Latency) -> Histogram | None:
    buckets = found.buckets[latency]
    bounds = sorted(buckets)
    counts = array("d", (buckets[bound] for bound in bounds))
    if not bounds:
        return None
    if bounds[-1] != math.inf or any(a > b for a, b in pairwise(counts)):
        found.ignored.add(f"{latency.value} histogram")
        return None
    return Histogram(tuple(bounds[:-1]), counts)


def names_of(kind: EngineKind | None) -> Names:
    """Return the names of an engine; vLLM's for one that has not said what it is."""
    return TABLE[kind or EngineKind.VLLM]

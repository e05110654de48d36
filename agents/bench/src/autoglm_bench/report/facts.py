"""What there is to know of a run beside its latencies: one line each, the same in every form of the report. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from autoglm_bench.words import at, milliseconds, number, share


def facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each fact that is known."""
    for name, tell in _FACTS:
        if text := tell(document):
            yield name, text


def objective_met(document: Mapping[str, Any]) -> bool | None:
    """Return whether a run held its objective, for a search at any rate; `None` where there is none."""
    if document["search"]:
        return document["search"]["limit"] is not None
    held = [one["held"] for one in document["objectives"]]
    return all(held) if held else None


def _goodput(document: Mapping[str, Any]) -> str:
    found = document["goodput"]
    if found is None:
        return ""
    return f"{found['perSecond']:.3g} requests/s inside the objective ({found['requests']} of {document['requests']})"


def _objectives(document: Mapping[str, Any]) -> str:
    # The trials of a search are judged one by one; over all of them an objective means nothing.
    if document["search"]:
        return ""
    return ", ".join(
        f"{one['name']} {milliseconds(one['measured'])} of {milliseconds(one['limit'])} "
        f"({'held' if one['held'] else 'broken'})"
        for one in document["objectives"]
    )


def _sending(document: Mapping[str, Any]) -> str:
    found = document["lateness"]
    if found is None:
        return ""
    return (
        f"P50 {milliseconds(found['p50'])}, P99 {milliseconds(found['p99'])}, max {milliseconds(found['max'])} "
        f"after the intended time; {document['late']} late"
    )


def _from_due(document: Mapping[str, Any]) -> str:
    ttft, duration = document["ttftFromDue"], document["durationFromDue"]
    return f"TTFT P99 {at(ttft, 99)}, E2E P99 {at(duration, 99)}" if ttft else ""


def _tokens(document: Mapping[str, Any]) -> str:
    text = f"{number(document['outputTokens'])} output"
    if document["promptTokens"] is not None:
        text += f", {number(document['promptTokens'])} prompt"
    if document["cachedTokens"] is not None:
        text += f" ({number(document['cachedTokens'])} from the prefix cache)"
    return text


def _split(document: Mapping[str, Any]) -> str:
    found = document["latencySplit"]
    if found is None:
        return ""
    text = ", ".join(f"{part} {milliseconds(seconds)}" for part, seconds in found["seconds"].items())
    return "; ".join(filter(None, (text, found["note"])))


def _gpu(document: Mapping[str, Any]) -> str:
    found = document["gpu"]
    if found is None:
        return ""
    memory = found["memoryPeakBytes"]
    parts = [
        f"memory at most {memory / 2**30:.3g} GiB" if memory is not None else "",
        f"power {number(found['powerMeanWatts'], 'W')}" if found["powerMeanWatts"] is not None else "",
        f"{found['joulesPerOutputToken']:.3g} J per output token" if found["joulesPerOutputToken"] is not None else "",
    ]
    return f"{', '.join(filter(None, parts))} ({found['gpus']} GPUs; {found['method']})"


def _stability(document: Mapping[str, Any]) -> str:
    cv, ocs = document["latencyCv"], document["overallConsistency"]
    if cv is None and ocs is None:
        return ""
    return f"CV of the ITL {number(cv)} (even below 0.15), OCS {number(ocs)} (consistent above 0.92)"


def _littles_law(document: Mapping[str, Any]) -> str:
    found = document["littlesLaw"]
    if found is None:
        return ""
    return (
        f"{found['concurrency']:.3g} under way / {milliseconds(found['latency'])} = {found['expected']:.3g} requests/s"
        f", measured {found['measured']:.3g} ({100 * found['difference']:+.2g} %)"
    )


def _score(document: Mapping[str, Any]) -> str:
    found = document["score"]
    if found["value"] is None:
        return ""
    parts = [
        f"{name} {share(part['value'])} at weight {part['weight']:.3g} ({part['method']})"
        if part["value"] is not None
        else f"{name} left out ({part['method']})"
        for name, part in found["parts"].items()
    ]
    return f"{found['value']:.1f} of 100: {'; '.join(parts)}"


_FACTS = (
    ("objective", _objectives),
    ("goodput", _goodput),
    ("sending", _sending),
    ("from the intended time", _from_due),
    ("tokens", _tokens),
    ("mean latency split", _split),
    ("GPU", _gpu),
    ("stability", _stability),
    ("cross-check", _littles_law),
    ("score", _score),
)

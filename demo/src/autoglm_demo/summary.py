"""The figures of one demo run: pure functions of the samples and the load generator's report."""

from collections.abc import Sequence
from typing import Any

from autoglm_demo.observe import Sample


def scale_up_seconds(samples: Sequence[Sample], spike_start: float) -> float | None:
    """Return the time from the start of the spike until a further replica was ordered, in seconds."""
    before = [sample.wanted for sample in samples if sample.time < spike_start]
    base = before[-1] if before else 1
    return next(
        (
            round(sample.time - spike_start, 2)
            for sample in samples
            if sample.time >= spike_start and sample.wanted > base
        ),
        None,
    )


def summarise(
    ready_seconds: float, samples: Sequence[Sample], report: dict[str, Any], spike_start: float
) -> dict[str, Any]:
    """Return the content of `summary.json`.

    Args:
        ready_seconds: from `kubectl apply` until the condition Ready was True.
        samples: in order of time.
        report: what `autoglm-bench` printed.
        spike_start: seconds since the epoch.
    """
    phases = {part["name"]: part for part in report["phases"]}
    return {
        "ready_seconds": round(ready_seconds, 2),
        "scale_up_seconds": scale_up_seconds(samples, spike_start),
        "replicas_max": max(sample.ready for sample in samples),
        "replicas_end": samples[-1].ready,
        "requests": report["requests"],
        "failed_requests": report["failed"],
        "ttft_p99_before": _ttft_p99(phases["before"]),
        "ttft_p99_during": _ttft_p99(phases["during"]),
        "ttft_p99_after": _ttft_p99(phases["after"]),
    }


def _ttft_p99(part: dict[str, Any]) -> float | None:
    """Return the P99 TTFT of a phase in seconds, or `None` if no request of it succeeded."""
    return round(part["ttft"]["p99"], 3) if part["ttft"] else None

"""What the engines of one deployment say of themselves, for `status.serving`: pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Final

from autoglm_operator.api.status import AdapterStatus, Bottleneck, PodFault, Serving
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.scaling.quantiles import Histogram, Increase, pool, quantile

_P99: Final = 0.99
#: Fewer answers tell nothing of the longest in a hundred.
_LEAST_ANSWERS: Final = 100
_MOST_FAULTS: Final = 16
_SEVERITIES: Final = {"critical": 0, "warning": 1, "info": 2}
#: What moves by less is no news.
_CHANGE: Final = 0.1


def serving(
    pods: Iterable[tuple[EnginePod, History]],
    adapters: Sequence[str],
    before: Serving | None,
    bottleneck: Bottleneck | None = None,
) -> Serving | None:
    """Return what the ready pods say; figures that hardly moved stay as they were written.

    Args:
        pods: with what is known of each; what they serve is asked of the ready ones alone.
        adapters: names in the spec.
        before: what is written now.
        bottleneck: what limits them.
    """
    rows = list(pods)
    known = [history for pod, history in rows if pod.ready and history.samples]
    faults = _faults(rows)
    before = before or Serving()
    if not known:
        return _some(before.model_copy(update={"faults": faults, "bottleneck": bottleneck}))
    samples = [history.samples[-1] for history in known]
    sizes = [sample.kv_tokens for sample in samples if sample.kv_tokens]
    return Serving(
        kv_cache_tokens=min(sizes, default=before.kv_cache_tokens),
        output_tokens_p99=_whole(_steady(before.output_tokens_p99, _p99(samples, _answers))),
        itl_p99_seconds=_steady(before.itl_p99_seconds, _p99(samples, _pace)),
        adapters=tuple(AdapterStatus(name=name, ready_replicas=_serve(known, name)) for name in adapters),
        faults=faults,
        requested_max_num_seqs=min(_requested(known), default=None),
        bottleneck=bottleneck,
    )


def _some(said: Serving) -> Serving | None:
    return None if said == Serving() else said


def _faults(rows: Iterable[tuple[EnginePod, History]]) -> tuple[PodFault, ...]:
    found = [(pod.name, fault) for pod, history in rows if history.gpu for fault in history.gpu.faults]
    found.sort(key=lambda item: (_SEVERITIES.get(item[1].severity, len(_SEVERITIES)), item[0], item[1].code))
    return tuple(PodFault(pod=pod, **asdict(fault)) for pod, fault in found[:_MOST_FAULTS])


def _requested(histories: Iterable[History]) -> list[int]:
    asked = (history.gpu.requested_max_num_seqs for history in histories if history.gpu)
    return [number for number in asked if number is not None]


def _serve(histories: Iterable[History], adapter: str) -> int:
    return sum(history.gpu is not None and adapter in history.gpu.models for history in histories)


def _answers(sample: EngineSample) -> Histogram | None:
    return sample.answer_tokens


def _pace(sample: EngineSample) -> Histogram | None:
    return sample.itl


def _p99(samples: Iterable[EngineSample], choose: Callable[[EngineSample], Histogram | None]) -> float | None:
    """Return the 99th percentile since the engines started, to two digits."""
    found = [histogram for sample in samples if (histogram := choose(sample)) is not None]
    observed = pool(Increase(histogram.bounds, tuple(histogram.counts)) for histogram in found)
    if observed is None or observed.observations < _LEAST_ANSWERS:
        return None
    value = quantile(_P99, observed)
    return None if value is None else float(f"{value:.2g}")


def _steady(before: float | None, now: float | None) -> float | None:
    if now is None or (before is not None and abs(now - before) <= _CHANGE * before):
        return before
    return now


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)

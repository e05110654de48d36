"""Every series out of the present state; a scrape touches neither GPU nor engine."""

from collections.abc import Iterator

from autoglm_agent import __version__, metrics
from autoglm_agent.device import ClockEvent, GpuSample
from autoglm_agent.engine.view import Figures
from autoglm_agent.metric import Metric
from autoglm_agent.metrics import GPU_FIGURES, QUANTILE_LABELS, SIGNAL_NAMES
from autoglm_agent.sampler import Snapshot
from autoglm_agent.signals.memory import MemoryFigures, MemorySignals
from autoglm_agent.state import State

#: A series: metric, values of its labels in their order, value.
Row = tuple[Metric, tuple[str, ...], float]


def rows(state: State) -> Iterator[Row]:
    """Return every series that has a value: metric, label values, value."""
    yield from _gpus(state.snapshot, state.memory, state.now)
    yield from _faults(state.snapshot)
    yield from _engine(state)
    if figures := state.report.fresh(state.now):
        yield from _figures(figures)
    yield from _judgement(state)
    yield from _agent(state.snapshot)
    if state.otlp_failures is not None:
        yield metrics.OTLP_FAILURES, (), state.otlp_failures


def _gpus(snapshot: Snapshot, memory: MemorySignals, now: float) -> Iterator[Row]:
    for sample in snapshot.samples.values():
        labels = (str(sample.index), sample.uuid, sample.name)
        yield metrics.SAMPLE_AGE, labels, now - sample.taken
        if sample.fresh(now):
            yield from _gpu(sample, labels)
            if watched := memory.gpus.get(sample.uuid):
                yield from _memory(watched, labels)


def _gpu(sample: GpuSample, labels: tuple[str, ...]) -> Iterator[Row]:
    for field, metric in GPU_FIGURES.items():
        value = getattr(sample, field)
        if value is not None:
            yield metric, labels, float(value)
    if sample.clock_events is not None:
        for event in ClockEvent:
            active = bool(sample.clock_events & event)
            yield metrics.CLOCK_EVENT, (*labels, str(event.name).lower()), float(active)


def _memory(watched: MemoryFigures, labels: tuple[str, ...]) -> Iterator[Row]:
    if watched.change is not None:
        yield metrics.MEMORY_CHANGE, labels, watched.change
    if watched.exhausted_in is not None:
        yield metrics.MEMORY_EXHAUSTION, labels, watched.exhausted_in


def _faults(snapshot: Snapshot) -> Iterator[Row]:
    for fault in snapshot.faults:
        yield metrics.FAULT, (fault.gpu, fault.code, fault.severity.value, fault.action.value), 1.0
    for (uuid, xid), count in snapshot.xids.items():
        yield metrics.XID_ERRORS, (uuid, str(xid)), count


def _engine(state: State) -> Iterator[Row]:
    engine, report, now = state.engine, state.report, state.now
    if engine.checked is not None:
        yield metrics.ENGINE_CHECK_AGE, (), now - engine.checked
        if engine.fresh(now):
            yield metrics.ENGINE_UP, (), float(engine.alive(now))
        yield metrics.ENGINE_METRICS_UP, (), float(report.fresh(now) is not None and not report.down)
        yield metrics.ENGINE_SCRAPE_SECONDS, (), report.scrape_seconds
    for reason, count in report.errors.items():
        yield metrics.ENGINE_SCRAPE_ERRORS, (reason,), count


def _figures(figures: Figures) -> Iterator[Row]:
    sample = figures.sample
    yield metrics.ENGINE_INFO, (sample.kind.value,), 1.0
    values = (
        (metrics.ENGINE_RUNNING, sample.running),
        (metrics.ENGINE_WAITING, sample.waiting),
        (metrics.ENGINE_KV_USAGE, sample.kv_cache),
        (metrics.ENGINE_KV_TOKENS, sample.kv_tokens),
        (metrics.ENGINE_KV_FREE, figures.kv_reserved_free_tokens),
        (metrics.ENGINE_WEIGHTS, sample.weights_bytes),
        (metrics.ENGINE_GENERATION_RATE, figures.generation_rate),
        (metrics.ENGINE_PROMPT_RATE, figures.prompt_rate),
        (metrics.ENGINE_PREEMPTION_RATE, figures.preemption_rate),
        (metrics.ENGINE_PREFIX_HITS, figures.prefix_hit_ratio),
        (metrics.ENGINE_LATENCY_CV, figures.stability.cv),
        (metrics.ENGINE_OCS, figures.stability.ocs),
        (metrics.ENGINE_STABLE, figures.stability.stable),
    )
    for metric, value in values:
        if value is not None:
            yield metric, (), float(value)
    for latency, quantiles in figures.quantiles.items():
        for label, value in zip(QUANTILE_LABELS, quantiles, strict=True):
            yield metrics.ENGINE_LATENCY, (latency.value, label), value


def _judgement(state: State) -> Iterator[Row]:
    report = state.report
    verdict = report.verdict
    yield metrics.ENGINE_HUNG, (), float(verdict.hung)
    yield metrics.ENGINE_HANGS, (), report.hangs
    if verdict.limit:
        yield metrics.ENGINE_SILENT, (), verdict.silent
        yield metrics.ENGINE_PATIENCE, (), verdict.limit
    if report.kv_exhausted_in is not None:
        yield metrics.ENGINE_KV_EXHAUSTION, (), report.kv_exhausted_in
    for of, value in (("pace", report.pace_deviation), ("memory", report.memory_deviation)):
        if value is not None:
            yield metrics.DEVIATION, (of,), value
    on = report.fired.keys() | state.memory.fired.keys()
    for name in SIGNAL_NAMES:
        yield metrics.SIGNAL, (name,), float(name in on)
    yield metrics.TOLERANCE_INFO, (report.tolerance.value, report.reaction.value), 1.0
    if report.elastic is not None:
        yield metrics.ELASTIC_REQUEST, (), report.elastic.max_num_seqs


def _agent(snapshot: Snapshot) -> Iterator[Row]:
    yield metrics.SOURCE_INFO, (snapshot.source,), 1.0
    yield metrics.SOURCE_UP, (), float(not snapshot.down)
    if snapshot.finished is not None:
        yield metrics.READ_SECONDS, (), snapshot.read_seconds
    yield metrics.BUILD_INFO, (__version__,), 1.0
    for reason, count in snapshot.errors.items():
        yield metrics.READ_ERRORS, (snapshot.source, reason), count

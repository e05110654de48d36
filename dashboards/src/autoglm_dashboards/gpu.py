"""The GPUs: memory and its pressure, how much they work, power, and health."""

from collections.abc import Sequence
from typing import Final

from autoglm_agent import metrics as agent
from autoglm_agent.metrics import GPU_FIGURES
from autoglm_dashboards import foreign, layout, scope
from autoglm_dashboards.kinds import graph, names, tile
from autoglm_dashboards.layout import Section
from autoglm_dashboards.panels import ORANGE, RED, Column, Json, Judgement, Panel, Target
from autoglm_dashboards.promql import Metric, aggregate, first_of, or_zero, rate, select
from autoglm_dashboards.scope import BY_GPU, BY_POD, ENGINE, GPU_NAME, PROCESS

#: Reasons for lower clocks that an idle GPU, or one set to them, has too.
_HARMLESS: Final = "gpu_idle|applications_clocks_setting|sync_boost|display_clock_setting"
_THROTTLED: Final = f'{ENGINE}, reason!~"{_HARMLESS}"'


def _by_gpu(metric: Metric) -> str:
    return aggregate("max", select(metric, ENGINE), BY_GPU)


def _rate_by_gpu(metric: Metric) -> str:
    return aggregate("sum", rate(metric, ENGINE), BY_GPU)


def _figure(title: str, meaning: str, unit: str, name: str, *, maximum: float | None = None, width: int = 8) -> Panel:
    metric = GPU_FIGURES[name]
    cumulative = metric.type == "counter"
    query = _rate_by_gpu(metric) if cumulative else _by_gpu(metric)
    return graph(title, f"{meaning} {names(metric)}", unit, {GPU_NAME: query}, maximum=maximum, width=width)


_USED: Final = f"{_by_gpu(agent.MEMORY_USED)} / {_by_gpu(agent.MEMORY_TOTAL)}"
_TILES: Final = (
    tile(
        "GPUs",
        f"GPUs that agents see; those without an agent beside them are not in it. {names(agent.MEMORY_TOTAL)}",
        "short",
        aggregate("count", _by_gpu(agent.MEMORY_TOTAL)),
    ),
    tile(
        "Faults",
        f"Faults that hold now, informative ones left out; the table below names them. {names(agent.FAULT)}",
        "short",
        or_zero(aggregate("sum", select(agent.FAULT, f'{ENGINE}, severity!="info"'))),
        Judgement(critical=1),
    ),
    tile(
        "Fullest memory",
        "Share of the memory in use on the fullest GPU. Engines reserve theirs at start: a high value alone is no "
        "fault. " + names(agent.MEMORY_USED, agent.MEMORY_TOTAL),
        "percentunit",
        aggregate("max", _USED),
        Judgement(warning=0.95, critical=0.98),
    ),
    tile(
        "GPUs throttled",
        "GPUs whose clocks are lowered by heat or power; idle clocks, and clocks that somebody set, are not counted. "
        + names(agent.CLOCK_EVENT),
        "short",
        or_zero(aggregate("count", f"{aggregate('max', select(agent.CLOCK_EVENT, _THROTTLED), BY_GPU)} == 1")),
        Judgement(warning=1),
    ),
    tile(
        "Power",
        f"Power of all GPUs together; hosts and cooling are not in it. {names(GPU_FIGURES['power_watts'])}",
        "watt",
        aggregate("sum", _by_gpu(GPU_FIGURES["power_watts"])),
    ),
    tile(
        "Oldest sample",
        "Time since the GPU answered that has been silent longest; its values are left out once they are stale. "
        + names(agent.SAMPLE_AGE),
        "s",
        aggregate("max", _by_gpu(agent.SAMPLE_AGE)),
        Judgement(warning=10, critical=60),
    ),
)

_MEMORY: Final = (
    graph(
        "GPU memory in use",
        "Share of the memory in use, by GPU, by all processes. Engines reserve theirs at start: it shows that "
        "memory is "
        f"held, not that it is busy. {names(agent.MEMORY_USED, agent.MEMORY_TOTAL)}",
        "percentunit",
        {GPU_NAME: _USED},
        judgement=Judgement(warning=0.95, critical=0.98),
        maximum=1,
        width=8,
    ),
    graph(
        "Pressure",
        "Signals of the agents that are on: memory or KV cache full or soon full, requests put back, heat. The "
        "number is "
        f"of pods. {names(agent.SIGNAL)}",
        "short",
        {"{{signal}}": aggregate("sum", select(agent.SIGNAL, ENGINE), ("signal",))},
        stacked=True,
        decimals=0,
        width=8,
    ),
    graph(
        "Change of memory",
        "Bytes each second by which the memory in use grew over the last minute; falling is not drawn below 0. Steady "
        f"growth ends in an exhausted memory. {names(agent.MEMORY_CHANGE)}",
        "Bps",
        {GPU_NAME: f"clamp_min({_by_gpu(agent.MEMORY_CHANGE)}, 0)"},
        width=8,
    ),
)

_WORK: Final = (
    _figure(
        "SM use",
        "Share of SM cycles with at least one warp; needs profiling, and is absent without it.",
        "percentunit",
        "sm_utilization",
        maximum=1,
        width=6,
    ),
    _figure(
        "Tensor use",
        "Share of cycles in which a tensor pipe was busy: near 1 the deployment is bound by computing. Needs "
        "profiling.",
        "percentunit",
        "tensor_utilization",
        maximum=1,
        width=6,
    ),
    _figure(
        "DRAM bandwidth",
        "Share of the peak memory bandwidth: near 1 decoding is bound by it. Needs profiling.",
        "percentunit",
        "dram_utilization",
        maximum=1,
        width=6,
    ),
    _figure(
        "GPU utilization",
        "Share of the time in which any kernel ran. Not how much of the GPU worked: one small kernel counts in full.",
        "percentunit",
        "utilization",
        maximum=1,
        width=6,
    ),
)

_POWER: Final = (
    graph(
        "Power and its limit",
        "Power by GPU, and the limit that is enforced on it; at the limit the clocks fall. "
        + names(GPU_FIGURES["power_watts"], GPU_FIGURES["power_limit_watts"]),
        "watt",
        {
            GPU_NAME: _by_gpu(GPU_FIGURES["power_watts"]),
            f"limit {GPU_NAME}": _by_gpu(GPU_FIGURES["power_limit_watts"]),
        },
        colors={"/^limit/": RED},
        dashed=("/^limit/",),
        width=6,
    ),
    _figure(
        "Mean power from energy",
        "Energy used each second, from the GPU's own meter: it misses no peak between two samples.",
        "watt",
        "energy_joules",
        width=6,
    ),
    _figure(
        "Temperature", "Temperature of each GPU; its memory may be hotter.", "celsius", "temperature_celsius", width=6
    ),
    graph(
        "Throttling by reason",
        "GPUs whose clocks are lowered, by reason; idle clocks, and clocks that somebody set, are left out. "
        + names(agent.CLOCK_EVENT),
        "short",
        {"{{reason}}": aggregate("sum", select(agent.CLOCK_EVENT, _THROTTLED), ("reason",))},
        stacked=True,
        decimals=0,
        width=6,
    ),
)

_HEALTH: Final = (
    Panel(
        "Faults by GPU",
        "Faults that hold now, and what the agent makes of them: restart the engine, take no traffic, or leave the "
        "node. "
        f"An empty table is good news. {names(agent.FAULT)}",
        "table",
        "short",
        (
            Target(
                f"{aggregate('max', select(agent.FAULT, ENGINE), (*BY_POD, 'uuid', 'code', 'severity', 'action'))} "
                ">= 0",
                "{{code}}",
            ),
        ),
        columns=(
            Column("Pod", "pod"),
            Column("Namespace", "namespace"),
            Column("GPU", "uuid"),
            Column("Fault", "code"),
            Column("Severity", "severity"),
            Column("Action", "action"),
            Column("Holds", "A", words={"1": ("yes", RED), "0": ("no", ORANGE)}),
        ),
    ),
    graph(
        "XID errors",
        "XID errors each second by number, since the agents began to listen; NVIDIA's catalog and the runbook say what "
        f"to do about each. {names(agent.XID_ERRORS)}",
        "ops",
        {"XID {{xid}} {{pod}}": aggregate("sum", rate(agent.XID_ERRORS, ENGINE), (*BY_POD, "xid"))},
    ),
    _figure(
        "Uncorrected memory errors",
        "ECC errors each second that could not be corrected: the data was lost, the process ends.",
        "ops",
        "ecc_uncorrected",
    ),
    _figure(
        "Corrected memory errors",
        "ECC errors each second that were corrected: no harm yet, a rise announces it.",
        "ops",
        "ecc_corrected",
    ),
    _figure(
        "Rows that failed to remap",
        "1 where a memory row could not be remapped: replace the GPU.",
        "short",
        "row_remap_failed",
    ),
)


def _renamed(names_of: Sequence[tuple[Metric, float]]) -> str:
    return first_of(
        *(
            aggregate("max", select(metric, PROCESS), ("instance", "gpu")) + (f" * {factor}" if factor != 1 else "")
            for metric, factor in names_of
        )
    )


_EXPORTER_NAME: Final = "{{instance}} GPU {{gpu}}"


def _dcgm(title: str, meaning: str, unit: str, figures: dict[str, Sequence[tuple[Metric, float]]]) -> Panel:
    used = [metric for pairs in figures.values() for metric, _ in pairs]
    queries = {f"{label} {_EXPORTER_NAME}".strip(): _renamed(pairs) for label, pairs in figures.items()}
    return graph(title, f"{meaning} {names(*used)}", unit, queries, maximum=1 if unit == "percentunit" else None)


_DCGM: Final = (
    _dcgm(
        "Pipes of every GPU",
        "Shares of SM, tensor pipe and memory bandwidth in use; profiling has to be on.",
        "percentunit",
        {"SM": foreign.DCGM_SM, "tensor": foreign.DCGM_TENSOR, "DRAM": foreign.DCGM_DRAM},
    ),
    _dcgm("Memory of every GPU", "Memory in use, whoever uses it.", "bytes", {"": foreign.DCGM_MEMORY}),
    _dcgm("Power of every GPU", "Power of each GPU of the cluster.", "watt", {"": foreign.DCGM_POWER}),
    _dcgm(
        "Last XID of every GPU",
        "Number of the last XID, for ever: only a change of it is news.",
        "short",
        {"": foreign.DCGM_XID},
    ),
)


def dashboard() -> Json:
    """Return the dashboard of the GPUs."""
    return layout.dashboard(
        "autoglm-gpu",
        "AutoGLM / GPU",
        "Are the GPUs sound, and do they work? From the agents beside the engines; figures that a GPU does not "
        "tell, as "
        "with MIG or without profiling, are absent.",
        scope.variables(one=True),
        (
            Section("Are they sound?", _TILES),
            Section("Is the memory enough?", _MEMORY),
            Section("Do they work?", _WORK),
            Section("Do power or heat hold them back?", _POWER),
            Section("What is broken?", _HEALTH),
            Section("All GPUs of the cluster: needs dcgm-exporter", _DCGM, collapsed=True),
        ),
    )

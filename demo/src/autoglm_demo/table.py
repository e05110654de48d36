"""The live table."""

from rich.table import Table

from autoglm_demo.observe import Sample


def table(sample: Sample, seconds: float, phase: str) -> Table:
    """Return what is on screen `seconds` after the traffic began."""
    grid = Table(title=f"{phase} traffic, {seconds:.0f} s", title_justify="left")
    for heading in (
        "replicas",
        "ready",
        "wanted by the law",
        "waiting",
        "running",
        "P99 TTFT",
        "KV cache",
        "GPU memory",
    ):
        grid.add_column(heading, justify="right")
    grid.add_row(
        str(sample.wanted),
        str(sample.ready),
        _number(sample.desired),
        _number(sample.queue),
        _number(sample.running),
        _seconds(sample.ttft_p99),
        _percent(sample.kv_cache),
        _percent(sample.gpu_memory),
    )
    grid.caption = sample.decision or "no scaling decision yet"
    return grid


def line(sample: Sample, seconds: float, phase: str) -> str:
    """Return the same as one line, for an output that is no terminal."""
    return (
        f"  {seconds:5.0f} s  {phase:<6}  replicas {sample.wanted} ready {sample.ready}  "
        f"waiting {_number(sample.queue):>4} running {_number(sample.running):>4}  "
        f"P99 TTFT {_seconds(sample.ttft_p99):>7}  KV {_percent(sample.kv_cache):>5}  "
        f"GPU memory {_percent(sample.gpu_memory):>5}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.0f} %"

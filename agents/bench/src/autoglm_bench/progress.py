"""What is seen while a load runs: one line that changes on a terminal, plain lines elsewhere."""

import json
from collections.abc import Callable
from typing import Any, Final, TextIO

from autoglm_bench.drive import OnProgress, Progress
from autoglm_bench.figures.stats import percentile
from autoglm_bench.words import milliseconds

_BAR: Final = 20
_MILLI: Final = 1000
#: Seconds between two updates.
TERMINAL_SECONDS: Final = 0.5
PLAIN_SECONDS: Final = 10.0


def shower(stream: TextIO, form: str = "text") -> tuple[OnProgress, float, Callable[[], None]]:
    """Return what shows the progress on a stream, at which interval in seconds, and what ends it.

    Args:
        stream: to write to.
        form: `text` for people, `json` for a program.
    """
    if form == "text" and stream.isatty():

        def redraw(progress: Progress) -> None:
            stream.write(f"\r\033[K{line(progress)}")
            stream.flush()

        def clear() -> None:
            stream.write("\r\033[K")
            stream.flush()

        return redraw, TERMINAL_SECONDS, clear

    def write(progress: Progress) -> None:
        stream.write((line(progress) if form == "text" else json_line(progress)) + "\n")
        stream.flush()

    return write, PLAIN_SECONDS, lambda: None


def json_line(progress: Progress) -> str:
    """Return the progress as a line of JSON, of which controllers read the newest. Pure."""
    told: dict[str, Any] = {"percent": int(100 * progress.share), "failed": progress.failed}
    for name, values in (("ttftP99", progress.ttfts), ("itlP99", progress.itls)):
        if values:
            told[name] = f"{percentile(sorted(values), 99) * _MILLI:.0f}ms"
    if progress.bracket:
        told["search"] = progress.bracket
    return json.dumps({"progress": told})


def line(progress: Progress) -> str:
    """Return the progress in one line. Pure."""
    bar = "#" * round(progress.share * _BAR)
    phase = "  ".join(filter(None, (progress.phase, progress.bracket)))
    ttfts = sorted(progress.ttfts)
    p99 = milliseconds(percentile(ttfts, 99)) if ttfts else "-"
    pace = progress.tokens / progress.interval if progress.interval > 0 else 0.0
    return (
        f"[{bar:<{_BAR}}] {progress.seconds:.0f} s  {phase}  sent {progress.sent}  "
        f"in flight {progress.in_flight}  failed {progress.failed}  late {progress.late}  {pace:.0f} tok/s  "
        f"TTFT P99 {p99}"
    )

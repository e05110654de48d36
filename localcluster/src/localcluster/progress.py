"""Steps with elapsed seconds: a spinner on a terminal, one plain line for each finished step elsewhere.

All of it goes to standard error, so that standard output holds only what was asked for.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

console = Console(stderr=True, highlight=False)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Show that something is being done, and afterwards how long it took."""
    started = time.monotonic()
    mark = "✗"
    try:
        if console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, console=console, transient=True) as bar:
                bar.add_task(text)
                yield
        else:
            yield
        mark = "✓"
    finally:
        console.print(f"{mark} {text} ({time.monotonic() - started:.1f} s)", markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Show a line."""
    console.print(text, markup=False, soft_wrap=True)

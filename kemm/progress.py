"""Progress bars on standard error for whatever takes over two seconds; silent lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Tick = Callable[..., Any]
Progress = Callable[[str, int], Tick]  # (what, how many) → tick(n, note="")


def silent(what: str, total: int) -> Tick:
    """Show nothing."""
    return lambda n=1, note="": None


@contextmanager
def bars() -> Iterator[Progress]:
    """Rich bars in a terminal; elsewhere one line when a stretch of work ends that took over two seconds."""
    if not sys.stderr.isatty():
        yield _lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as shown:

        def progress(what: str, total: int) -> Tick:
            task = shown.add_task(what, total=max(total, 1), note="")

            def tick(n: int = 1, note: str = "") -> None:
                shown.update(task, advance=n, note=note or shown.tasks[task].fields["note"])

            return tick

        yield progress


def _lines(what: str, total: int) -> Tick:
    started, done = time.perf_counter(), 0

    def tick(n: int = 1, note: str = "") -> None:
        nonlocal done
        before, done = done, done + n
        seconds = time.perf_counter() - started
        if seconds > 2 and before < total <= done:
            print(f"{what}: {total:,} in {seconds:.1f} s {note}".rstrip(), file=sys.stderr, flush=True)

    return tick

"""What the benchmarks share: contenders in turn, each in a process of its own, and one table at the end.

A measure is a function of a module of ``benchmarks``. It gets its arguments as one dict, returns ``{"value": …}`` in
the measure's unit and may add ``"note"`` and other numbers; what it can't import, or ``Skipped``, leaves it out of the
table, which says so. A module that defines ``prepare(arguments)`` has it called before. Nothing is imported before it
is asked for, so that a process holds only what its measure uses, and peers run under any Python that has them:

    python -m benchmarks.frame MODULE FUNCTION JSON
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Arguments = dict[str, Any]


class Skipped(Exception):
    """The measure can't be taken here; the text says what is missing."""


@dataclass(frozen=True)
class Contender:
    """``function`` of ``benchmarks.module``, its own arguments, and whether it runs under ``--peer-python``."""

    module: str
    function: str
    arguments: Arguments = field(default_factory=dict)
    is_elsewhere: bool = False


@dataclass(frozen=True)
class Measure:
    """A unit and who is measured in it; the first is what the others are compared with.

    ``in_turns``: their processes live side by side and take a run each in every round (``benchmarks.turns``), instead
    of one after another; for what a machine's moods would decide otherwise. Their functions give ``values``.
    """

    unit: str
    contenders: Mapping[str, Contender]
    in_turns: bool = False

    @property
    def more_is_better(self) -> bool:
        """Of rates and shares more, of times and sizes less."""
        return self.unit.endswith("/s") or self.unit.startswith("%")


Measures = Mapping[str, Measure]
Row = dict[str, Any]


def parser(document: str | None, rounds: int = 3, threads: int | None = None) -> argparse.ArgumentParser:
    """The options of every benchmark; ``threads`` of a process by default (None: all cores)."""
    made = argparse.ArgumentParser(description=(document or "").split("\n")[0])
    made.add_argument("--only", action="append", help="measures by name or pattern; may be repeated")
    made.add_argument("--rounds", type=int, default=rounds, help=f"alternating rounds (default {rounds})")
    said = "all cores" if threads is None else threads
    made.add_argument(
        "--threads", type=int, default=threads or os.cpu_count() or 1, help=f"of each process (default {said})"
    )
    made.add_argument("--peer-python", help="a Python that has the peers which are not installed here")
    made.add_argument("--list", action="store_true", help="print the measures and their contenders, run none")
    made.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return made


def main(
    measures: Measures,
    options: argparse.Namespace,
    about: Mapping[str, Any],
    prepare: Callable[[list[str]], Callable[[str], Arguments]],
    finish: Callable[[list[Row]], None] = lambda rows: None,
) -> int:
    """Measure what ``--only`` names, or all; print the table, or JSON.

    Args:
        about: what the table's title says besides the machine.
        prepare: gets the names of the chosen measures, gives a function: name → arguments of its contenders.
        finish: may add to the rows' notes.
    """
    chosen = [name for name in measures if any(fnmatch.fnmatch(name, only) for only in options.only or ["*"])]
    if not chosen:
        print(f"error: no measure is called {options.only}: there are {', '.join(measures)}", file=sys.stderr)
        return 2
    if options.list:
        for name in chosen:
            print(f"{name} ({measures[name].unit}): {'; '.join(measures[name].contenders)}")
        return 0
    if options.peer_python and not shutil.which(options.peer_python):
        print(f"error: --peer-python {options.peer_python} can't be run; give the path of a Python", file=sys.stderr)
        return 2
    rows = _alternate({name: measures[name] for name in chosen}, options, prepare(chosen))
    finish(rows)
    machine = {"python": platform.python_version(), "machine": f"{os.cpu_count()} cores, {platform.machine()}"}
    title = {**machine, "threads": options.threads, **about, "rounds": options.rounds}
    if options.json:
        print(json.dumps({"about": title, "rows": rows}, ensure_ascii=False, indent=1))
    else:
        _show(rows, title)
    return 0


def note(text: str) -> None:
    """Say what is going on, beside the table."""
    print(text, file=sys.stderr, flush=True)


def python(arguments: list[str], executable: str = sys.executable, threads: int = 1) -> str:
    """Run Python with the repository first on its path; return what it printed, or end with its error."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": str(threads),
        "NUMBA_NUM_THREADS": str(threads),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as an installed package: compiling ours takes 20 ms of an import
    done = subprocess.run([executable, *arguments], cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(arguments)[:200]}\n{done.stderr[-2000:]}")
    return done.stdout


def take(contender: Contender, arguments: Arguments, executable: str | None = None, threads: int = 1) -> Row:
    """Take one measure in a process of its own; ``out`` is an empty folder for it, unless its arguments name one."""
    elsewhere = executable if executable and contender.is_elsewhere else sys.executable
    out = tempfile.mkdtemp(prefix="kemm-benchmark-", dir=arguments.get("work"))
    try:
        given = json.dumps({"out": out, **arguments, **contender.arguments, "threads": threads})
        printed = python(["-m", "benchmarks.frame", contender.module, contender.function, given], elsewhere, threads)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    line = next(line for line in reversed(printed.splitlines()) if line.startswith("RESULT "))
    result: Row = json.loads(line.removeprefix("RESULT "))
    return result


def peak() -> int:
    """The most bytes of memory that this process has held, and one that it started, at its own worst moment."""
    return 1024 * sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _alternate(measures: Measures, options: argparse.Namespace, arguments: Callable[[str], Arguments]) -> list[Row]:
    """All rounds; a row has the values and peaks of each, and what else the last one gave."""
    from benchmarks.turns import take_turns

    rows = {
        (name, who): {
            "measure": name,
            "contender": who,
            "unit": measure.unit,
            "more_is_better": measure.more_is_better,
            "values": [],
            "peak_mb": [],
            "note": "",
            "skipped": "",
        }
        for name, measure in measures.items()
        for who in measure.contenders
    }
    for name, measure in measures.items():
        if measure.in_turns:
            note(f"{name}, in turns:")
            for who, found in take_turns(measure, arguments(name), options.rounds, options.threads).items():
                if peak_mb := found.pop("peak_mb", None):
                    rows[name, who].update(found, peak_mb=[peak_mb])
    for number in range(1, options.rounds + 1):
        for (name, who), row in rows.items():
            if row["skipped"] or measures[name].in_turns:
                continue
            note(f"round {number}: {name}, {who} …")
            found = take(measures[name].contenders[who], arguments(name), options.peer_python, options.threads)
            if "skipped" in found:
                row["skipped"] = found["skipped"]
                continue
            row["values"].append(found.pop("value"))
            row["peak_mb"].append(found.pop("peak_mb"))
            row.update(found)
            note(f"    {_figure(row['values'][-1])} {row['unit']}, {row['peak_mb'][-1]:,.0f} MB")
    return [row | {"median": statistics.median(row["values"]) if row["values"] else None} for row in rows.values()]


def _ratio(mine: Row, other: Row) -> float:
    """How many times better the first is: the median of the rounds, each compared with the same round."""
    pairs = zip(mine["values"], other["values"], strict=False)
    return statistics.median(a / b if other["more_is_better"] else b / a for a, b in pairs)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _show(rows: list[Row], about: Mapping[str, Any]) -> None:
    """A contender is compared with the first of its measure, or with the one of ours that it names after a comma."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=", ".join(f"{name}: {value}" for name, value in about.items()), box=SIMPLE_HEAD)
    for name in ("measure", "", "median", "least", "most", "", "the first is", "peak MB", ""):
        table.add_column(name, justify="right" if name and name != "measure" else "left")
    last, ours = "", {}
    for row in rows:
        name, variant = row["measure"], row["contender"].partition(", ")[2]
        is_first, last = name != last, name
        median, cells = row["median"], [name if is_first else "", row["contender"]]
        if is_first:
            ours = {"": row, "kind": row["contender"].split(",")[0]}
        if median is None:
            table.add_row(*cells, "", "", "", "", "", "", f"left out: {row['skipped']}")
            continue
        mine, ratio = ours.get(variant, ours[""]), ""
        if row["contender"].split(",")[0] == ours["kind"]:
            ours[variant] = row
        if mine["median"] and median and not is_first and not row["unit"].startswith("%"):
            ratio = f"{_ratio(mine, row):,.2f}×"
        figures = [_figure(value) for value in (median, min(row["values"]), max(row["values"]))]
        table.add_row(*cells, *figures, row["unit"], ratio, f"{max(row['peak_mb']):,.0f}", row["note"])
    console = Console()
    if not console.is_terminal:
        console.width = 170
    console.print(table)


def _measure() -> None:
    """One measure, in this process: its result and the most memory that the process ever held, as JSON.

    A process starts with its parent's peak in this count, so that the parent must stay small.
    """
    module, function, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    try:
        found = import_module(f"benchmarks.{module}")
        getattr(found, "prepare", lambda arguments: None)(given)
        result = getattr(found, function)(given)
    except (Skipped, ImportError) as error:
        result = {"skipped": str(error)}
    print("RESULT " + json.dumps(result | {"peak_mb": peak() / 2**20}))


if __name__ == "__main__":
    from benchmarks import frame

    frame._measure()  # of the module by its own name: `Skipped` is then the one that measures raise

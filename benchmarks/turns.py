"""Contenders whose processes live side by side and take turns, one run each, so that the machine's moods are shared.

A shared machine's speed moves by a third within minutes; what is compared must be timed within the same seconds. Each
process warms up alone, then waits; every round gives each one turn, and rows are compared round by round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, cast

from benchmarks.frame import ROOT, Arguments, Contender, Measure, Row, note

READY = "READY"


def turns(arguments: Arguments) -> Iterator[None]:
    """One item for each of the ``turns`` of this process, when it is given; nothing else may run meanwhile."""
    for _ in range(arguments["turns"]):
        print(READY, flush=True)
        if not sys.stdin.readline():
            raise SystemExit("error: the benchmark that gave the turns has ended")
        yield
    print(READY, flush=True)


def take_turns(measure: Measure, arguments: Arguments, rounds: int, threads: int) -> dict[str, Row]:
    """Run all contenders of a measure in turns.

    Returns:
        Contender → what its function gave: ``values``, one of each turn, and what else it says, or ``skipped``.
    """
    running: dict[str, subprocess.Popen[str]] = {}
    found: dict[str, Row] = {}
    try:
        for who, contender in measure.contenders.items():
            note(f"{who} warms up …")
            process = running[who] = _start(contender, {**arguments, "turns": rounds, "threads": threads})
            if (result := _until_ready(process)) is not None:
                found[who] = result
                running.pop(who).wait()
        for number in range(1, rounds + 1):
            note(f"round {number} of {rounds} …")
            for who, process in running.items():
                time.sleep(0.2)  # until the last one's threads no longer spin
                print("go", file=cast(IO[str], process.stdin), flush=True)
                if _until_ready(process) is not None:
                    raise SystemExit(f"error: {who} ended before its turns did")
        for who, process in running.items():
            found[who] = _until_ready(process) or {}
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return found


def _start(contender: Contender, arguments: Arguments) -> subprocess.Popen[str]:
    threads = str(arguments["threads"])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    given = json.dumps({**arguments, **contender.arguments})
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.frame", contender.module, contender.function, given],
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _until_ready(process: subprocess.Popen[str]) -> Row | None:
    """Wait until the process waits for its turn (None), or has ended: its result."""
    for line in cast(IO[str], process.stdout):
        if line.startswith(READY):
            return None
        if line.startswith("RESULT "):
            result: Row = json.loads(line.removeprefix("RESULT "))
            return result
    raise SystemExit(f"error: {' '.join(cast(list[str], process.args))[:200]} ended with status {process.wait()}")

"""The whole way once, on real data: ingest, index, generate, pre-train, evaluate, ask. One command, resumable by stage.

``stages.json`` in the output folder says which stages are done, with seconds and peak memory. Ctrl-C at any time; the
same command goes on. A stage that was cut off starts again; pre-training goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from kg.errors import InputError

STAGES = ("ingest", "index", "generate", "pre-train", "evaluate", "ask")


def run(out: Path, size: str = "full", fresh: bool = False, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run the stages that are not done yet, then write ``report.html`` and ``report.json``.

    Args:
        out: the folder for everything that is made.
        size: ``full``, or ``small``: 2,000 synsets, 60 countries and a short training, to see that everything works.
        fresh: start again; what an earlier quick start made in ``out`` is removed.
        overrides: settings as ``key=value``, over those of the quick start.

    Returns:
        What ``report.json`` holds.

    Raises:
        InputError: ``out`` holds something else, or a quick start of another size.
        KeyboardInterrupt: passed on; run again to go on.
    """
    from kemm.progress import bars
    from kemm.quickstart.stages import QuickStart
    from kemm.quickstart.stopwatch import Stopwatch

    if size not in ("full", "small"):
        raise InputError(f"no quick start is called {size!r}; there are full and small")
    out = out.absolute()
    record = out / "stages.json"
    if fresh and record.is_file():
        shutil.rmtree(out)
    if out.exists() and any(out.iterdir()) and not record.is_file():
        raise InputError(f"{out} holds something that no quick start made; give another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    done: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {"size": size, "stages": {}}
    if done["size"] != size:
        raise InputError(
            f"{out} holds a quick start of size {done['size']}; add --fresh, or give another folder with --out"
        )
    record.write_text(json.dumps(done))
    with bars() as progress:
        quick = QuickStart(out, size, progress, overrides)
        for stage in STAGES:
            if stage in done["stages"]:
                continue
            with Stopwatch() as watch:
                figures = quick.run(stage)
            done["stages"][stage] = {"seconds": watch.seconds, "peak_mb": watch.peak_mb, "figures": figures}
            partial = record.with_suffix(".partial")
            partial.write_text(json.dumps(done))
            partial.replace(record)
        report = quick.report(done["stages"])
        quick.close()
    return report

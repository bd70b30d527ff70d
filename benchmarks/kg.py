"""Speed, memory and disk of ``kg`` beside its peers, in one run and one table.

    python benchmarks/kg.py                                   # all measures, 3 alternating rounds, about an hour
    python benchmarks/kg.py --only 'load*' --rounds 5 --json
    python benchmarks/kg.py --peer-python PYTHON              # a Python with pykeen, torch-geometric and torch-sparse
    python benchmarks/kg.py --long 10000000                   # bounded memory, up to ten million triples

Every measure runs in a fresh process, the contenders in turn, so that a busy minute hits all of them alike; a row gives
the median of the rounds, the least and the most, and the most memory that the process ever held (``getrusage``). The
graphs: WordNet with labels and glosses as N-Triples and as Turtle, FB15k-237 four times as TSV (``kg_graphs``). What is
measured, and how: ``kg_loading``, ``kg_walking``, ``kg_asking``. A peer that is not installed is left out, and the
table says so.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: The size of the files that the targets are stated for, and how much longer the long one is.
NUM_TRIPLES, LONGER, COPIES = 1_230_000, 4, 4


@dataclass(frozen=True)
class Measure:
    """What is measured: ``contenders`` are name → measure, which ``kg_measures`` finds; ours first."""

    name: str
    unit: str
    contenders: dict[str, str]
    inputs: str
    more_is_better: bool = True


MEASURES = (
    Measure(
        "load N-Triples",
        "triples/s",
        {
            "kg": "load_ours",
            "kg, into PostgreSQL": "load_ours_postgresql",
            "pyoxigraph, bulk load to disk": "load_pyoxigraph",
            "pyoxigraph, parse only": "parse_pyoxigraph",
            "rdflib, into memory": "load_rdflib",
        },
        "nt",
    ),
    Measure("load N-Triples ×4", "triples/s", {"kg": "load_ours"}, "nt4"),
    Measure("load N-Triples, long", "triples/s", {"kg": "load_ours"}, "long"),
    Measure(
        "load Turtle",
        "triples/s",
        {"kg": "load_ours", "pyoxigraph, bulk load to disk": "load_pyoxigraph"},
        "ttl",
    ),
    Measure(
        "load TSV",
        "triples/s",
        {"kg": "load_ours", "PyKEEN TriplesFactory": "load_pykeen", "polars, to ids": "load_polars"},
        "tsv",
    ),
    Measure(
        "disk", "bytes/triple", {"kg, strings apart": "disk_ours", "pyoxigraph": "disk_pyoxigraph"}, "nt-store", False
    ),
    Measure(
        "2 hops, fan-out 16",
        "entities/s",
        {
            "kg, one by one": "hops_ours",
            "kg, batched": "hops_ours_batched",
            "kg, from the store": "hops_ours_store",
            "networkx": "hops_networkx",
            "rdflib": "hops_rdflib",
            "pyoxigraph": "hops_pyoxigraph",
            "PyG NeighborLoader, one by one": "hops_pyg",
            "PyG NeighborLoader, batched": "hops_pyg_batched",
        },
        "tsv-store",
    ),
    Measure("PageRank, top 100", "seeds/s", {"kg": "ppr_ours", "networkx": "ppr_networkx"}, "tsv-store"),
    Measure("open + 1 hop", "ms", {"kg": "open_ours", "pyoxigraph": "open_pyoxigraph"}, "nt-store", False),
    Measure(
        "SPARQL, join and group",
        "ms",
        {"kg.rdf": "sparql_ours", "rdflib, in memory": "sparql_rdflib", "pyoxigraph": "sparql_pyoxigraph"},
        "nt-store",
        False,
    ),
)
#: Functions that want the Python given by ``--peer-python``, where one is.
ELSEWHERE = {"load_pykeen", "hops_pyg", "hops_pyg_batched"}


@dataclass
class Row:
    """One contender of one measure over all rounds."""

    measure: str
    contender: str
    unit: str
    more_is_better: bool
    values: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    note: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    skipped: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None


def main() -> int:
    options = _arguments()
    chosen = [m for m in MEASURES if any(fnmatch.fnmatch(m.name, pattern) for pattern in options.only)]
    if not options.long:
        chosen = [measure for measure in chosen if measure.inputs != "long"]
    if not chosen:
        print(
            f"error: no measure is called {options.only}: there are {', '.join(m.name for m in MEASURES)}",
            file=sys.stderr,
        )
        return 2
    work = Path(options.work or tempfile.mkdtemp(prefix="kemm-benchmark-")).resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        rows, about = _measure(chosen, options, work)
    finally:
        if not options.work:
            shutil.rmtree(work, ignore_errors=True)
    result = {"about": about, "rows": [asdict(row) | {"median": row.median} for row in rows]}
    if options.json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        _show(rows, about)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", default=[], help="measures by name or pattern; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument("--triples", type=int, default=NUM_TRIPLES, help=f"of WordNet (default {NUM_TRIPLES:,})")
    parser.add_argument("--copies", type=int, default=COPIES, help=f"of FB15k-237 (default {COPIES})")
    parser.add_argument("--long", type=int, default=0, help="also load so many triples, to see that memory is bounded")
    parser.add_argument("--data", help="folder with fb15k-237 (default ../shared/data)")
    parser.add_argument("--work", help="folder for files and stores, kept (default: a temporary one, removed)")
    parser.add_argument("--peer-python", help="a Python that has the peers which are not installed here")
    parser.add_argument("--postgresql", default="", help="URL of a database to load into; what is in it is deleted")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    options.only = options.only or ["*"]
    return options


def _measure(chosen: list[Measure], options: argparse.Namespace, work: Path) -> tuple[list[Row], dict[str, Any]]:
    data = Path(options.data) if options.data else ROOT.parent / "shared" / "data"
    sizes = {"nt": options.triples, "nt4": LONGER * options.triples, "long": options.long}
    needed = {measure.inputs for measure in chosen}
    wanted = sorted({options.triples} | {size for name, size in sizes.items() if name in needed})
    _note("writing the graphs …")
    arguments = [str(work), str(data / "fb15k-237"), *map(str, wanted), str(options.copies)]
    files = json.loads(_python(sys.executable, ["-m", "benchmarks.kg_graphs", *arguments]).splitlines()[-1])
    paths: dict[str, dict[str, Any]] = {
        name: {"file": files["wordnet"][str(size)][0]} for name, size in sizes.items() if str(size) in files["wordnet"]
    }
    paths["ttl"] = {"file": files["wordnet"][str(options.triples)][1]}
    paths["tsv"] = {"file": files["fb15k"]}
    if "nt-store" in needed:
        paths["nt-store"] = _stores(work / "nt", paths["nt"]["file"], peer=True)
        with Path(paths["nt"]["file"]).open(encoding="utf-8") as lines:  # this process stays small: see kg_measures
            first = lines.readline().split(" ", 1)[0].strip("<>")
        paths["nt-store"] |= {"starts": [first]}
    if "tsv-store" in needed:
        paths["tsv-store"] = _stores(work / "tsv", files["fb15k"], peer=False) | {"tsv": files["fb15k"]}
        starts = _run(sys.executable, "choose_starts", paths["tsv-store"])["value"]
        paths["tsv-store"] |= {"starts": starts}
    rows = {(m.name, name): Row(m.name, name, m.unit, m.more_is_better) for m in chosen for name in m.contenders}
    for number in range(1, options.rounds + 1):
        for measure in chosen:
            for name, function in measure.contenders.items():
                row = rows[measure.name, name]
                if row.skipped:
                    continue
                _note(f"round {number}: {measure.name}, {name} …")
                python = options.peer_python if options.peer_python and function in ELSEWHERE else sys.executable
                with tempfile.TemporaryDirectory(dir=work) as out:
                    result = _run(
                        python, function, paths[measure.inputs] | {"out": out, "postgresql": options.postgresql}
                    )
                if "skipped" in result:
                    row.skipped = result["skipped"]
                    continue
                row.values.append(result["value"])
                row.peak_mb.append(result["peak_mb"])
                row.note, row.parts = result.get("note", ""), result.get("parts", {})
    about = {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "wordnet": f"{options.triples:,} triples",
        "fb15k": f"{files['origin']} ×{options.copies}",
        "rounds": options.rounds,
    }
    return list(rows.values()), about


def _stores(folder: Path, file: str, peer: bool) -> dict[str, Any]:
    """Load a file once for the measures that start from a store."""
    folder.mkdir(exist_ok=True)
    paths = {"file": file, "out": str(folder)}
    if not (folder / "ours.db").exists():
        _note(f"loading {Path(file).name} …")
        _run(sys.executable, "load_ours", paths)
    if peer and not (folder / "oxigraph").exists():
        _run(sys.executable, "load_pyoxigraph", paths)
    return {"file": file, "store": str(folder / "ours.db"), "oxigraph": str(folder / "oxigraph")}


def _run(python: str, function: str, paths: dict[str, Any]) -> dict[str, Any]:
    """Take one measure in a process of its own."""
    printed = _python(python, ["-m", "benchmarks.kg_measures", function, json.dumps(paths)])
    line = next(line for line in reversed(printed.splitlines()) if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


def _python(python: str, arguments: list[str]) -> str:
    # Peers read PYTHONPATH, too: the repository has no module that hides one of theirs. Bytecode is kept, as an
    # installed package has it: compiling ours anew takes 20 ms of an import.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([python, *arguments], cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(arguments)[:200]}\n{done.stderr[-2000:]}")
    return done.stdout


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(rows: list[Row], about: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=", ".join(f"{name}: {value}" for name, value in about.items()), box=SIMPLE_HEAD)
    for name in ("measure", "", "median", "least", "most", "", "kg is", "peak MB", ""):
        table.add_column(name, justify="right" if name in ("median", "least", "most", "kg is", "peak MB") else "left")
    last = ""
    ours: dict[str, float | None] = {}
    for row in rows:
        variant = row.contender.partition(", ")[2]
        if row.measure != last:
            ours = {"": row.median}
        elif row.contender.startswith("kg"):
            ours[variant] = row.median
        ratio, mine = "", ours.get(variant) or ours[""]
        if row.median and mine and not row.contender.startswith("kg"):
            ratio = f"{mine / row.median if row.more_is_better else row.median / mine:,.1f}×"
        name = row.measure if row.measure != last else ""
        last = row.measure
        if row.median is None:
            table.add_row(name, row.contender, "", "", "", "", "", "", f"left out: {row.skipped}")
            continue
        figures = [
            f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            for value in (row.median, min(row.values), max(row.values))
        ]
        table.add_row(name, row.contender, *figures, row.unit, ratio, f"{max(row.peak_mb):,.0f}", row.note)
    console = Console()
    if not console.is_terminal:
        console.width = 170
    console.print(table)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # this folder has a kg.py, which is not the package
    raise SystemExit(main())

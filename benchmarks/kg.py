"""Speed, memory and disk of ``kg`` beside its peers, in one run and one table.

    python -m benchmarks.kg                                   # all measures, 3 alternating rounds, about an hour
    python -m benchmarks.kg --only 'load*' --rounds 5 --json
    python -m benchmarks.kg --peer-python PYTHON              # a Python with pykeen, torch-geometric and torch-sparse
    python -m benchmarks.kg --long 10000000                   # bounded memory, up to ten million triples

Every measure runs in a fresh process, the contenders in turn, so that a busy minute hits all of them alike; a row gives
the median of the rounds, the least and the most, and the most memory that the process ever held (``getrusage``). The
graphs: WordNet with labels and glosses as N-Triples and as Turtle, FB15k-237 four times as TSV (``kg_graphs``). What is
measured, and how: ``kg_loading``, ``kg_walking``, ``kg_asking``. A peer that is not installed is left out, and the
table says so.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import frame
from benchmarks.frame import Arguments, Contender, Measure

DATA = frame.ROOT.parent / "shared" / "data"
#: The size of the files that the targets are stated for, and how much longer the long one is.
NUM_TRIPLES, LONGER, COPIES = 1_230_000, 4, 4


#: The first word of a measure's function → the module that has it.
MODULES = {
    **dict.fromkeys(("load", "parse", "disk"), "kg_loading"),
    **dict.fromkeys(("choose", "hops", "ppr"), "kg_walking"),
    **dict.fromkeys(("open", "sparql"), "kg_asking"),
}
#: Functions that want the Python given by ``--peer-python``, where one is.
ELSEWHERE = {"load_pykeen", "hops_pyg", "hops_pyg_batched"}


def _contender(function: str) -> Contender:
    return Contender(MODULES[function.split("_")[0]], function, is_elsewhere=function in ELSEWHERE)


def _measure(unit: str, contenders: dict[str, str]) -> Measure:
    return Measure(unit, {name: _contender(function) for name, function in contenders.items()})


#: measure → its unit and who is measured; ours first
MEASURES = {
    "load N-Triples": _measure(
        "triples/s",
        {
            "kg": "load_ours",
            "kg, into PostgreSQL": "load_ours_postgresql",
            "pyoxigraph, bulk load to disk": "load_pyoxigraph",
            "pyoxigraph, parse only": "parse_pyoxigraph",
            "rdflib, into memory": "load_rdflib",
        },
    ),
    "load N-Triples ×4": _measure("triples/s", {"kg": "load_ours"}),
    "load N-Triples, long": _measure("triples/s", {"kg": "load_ours"}),
    "load Turtle": _measure("triples/s", {"kg": "load_ours", "pyoxigraph, bulk load to disk": "load_pyoxigraph"}),
    "load TSV": _measure(
        "triples/s", {"kg": "load_ours", "PyKEEN TriplesFactory": "load_pykeen", "polars, to ids": "load_polars"}
    ),
    "disk": _measure("bytes/triple", {"kg, strings apart": "disk_ours", "pyoxigraph": "disk_pyoxigraph"}),
    "2 hops, fan-out 16": _measure(
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
    ),
    "PageRank, top 100": _measure("seeds/s", {"kg": "ppr_ours", "networkx": "ppr_networkx"}),
    "open + 1 hop": _measure("ms", {"kg": "open_ours", "pyoxigraph": "open_pyoxigraph"}),
    "SPARQL, join and group": _measure(
        "ms",
        {"kg.rdf": "sparql_ours", "rdflib, in memory": "sparql_rdflib", "pyoxigraph": "sparql_pyoxigraph"},
    ),
}
#: measure → the graph that it is taken of
INPUTS = {
    "load N-Triples": "nt",
    "load N-Triples ×4": "nt4",
    "load N-Triples, long": "long",
    "load Turtle": "ttl",
    "load TSV": "tsv",
    "disk": "nt-store",
    "2 hops, fan-out 16": "tsv-store",
    "PageRank, top 100": "tsv-store",
    "open + 1 hop": "nt-store",
    "SPARQL, join and group": "nt-store",
}


def main() -> int:
    options = _arguments()
    measures = MEASURES if options.long else {name: m for name, m in MEASURES.items() if INPUTS[name] != "long"}
    work = Path(options.work or tempfile.mkdtemp(prefix="kemm-benchmark-")).resolve()
    work.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {"wordnet": f"{options.triples:,} triples"}
    try:
        return frame.main(measures, options, about, functools.partial(_prepare, options, work, about))
    finally:
        if not options.work:
            shutil.rmtree(work, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = frame.parser(__doc__)
    parser.add_argument("--triples", type=int, default=NUM_TRIPLES, help=f"of WordNet (default {NUM_TRIPLES:,})")
    parser.add_argument("--copies", type=int, default=COPIES, help=f"of FB15k-237 (default {COPIES})")
    parser.add_argument("--long", type=int, default=0, help="also load so many triples, to see that memory is bounded")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with fb15k-237 (default ../shared/data)")
    parser.add_argument("--work", help="folder for files and stores, kept (default: a temporary one, removed)")
    parser.add_argument("--postgresql", default="", help="URL of a database to load into; what is in it is deleted")
    return parser.parse_args()


def _prepare(
    options: argparse.Namespace, work: Path, about: dict[str, Any], chosen: list[str]
) -> Callable[[str], Arguments]:
    """Write the graphs, and load those that measures start from; name → paths for its contenders."""
    sizes = {"nt": options.triples, "nt4": LONGER * options.triples, "long": options.long}
    needed = {INPUTS[name] for name in chosen}
    wanted = sorted({options.triples} | {size for name, size in sizes.items() if name in needed})
    frame.note("writing the graphs …")
    given = [str(work), str(options.data / "fb15k-237"), *map(str, wanted), str(options.copies)]
    files = json.loads(frame.python(["-m", "benchmarks.kg_graphs", *given]).splitlines()[-1])
    about["fb15k"] = f"{files['origin']} ×{options.copies}"
    paths: dict[str, Arguments] = {
        name: {"file": files["wordnet"][str(size)][0]} for name, size in sizes.items() if str(size) in files["wordnet"]
    }
    paths["ttl"] = {"file": files["wordnet"][str(options.triples)][1]}
    paths["tsv"] = {"file": files["fb15k"]}
    if "nt-store" in needed:
        paths["nt-store"] = _stores(work / "nt", paths["nt"]["file"], peer=True)
        with Path(paths["nt"]["file"]).open(encoding="utf-8") as lines:  # this process stays small: see the frame
            first = lines.readline().split(" ", 1)[0].strip("<>")
        paths["nt-store"] |= {"starts": [first]}
    if "tsv-store" in needed:
        paths["tsv-store"] = _stores(work / "tsv", files["fb15k"], peer=False) | {"tsv": files["fb15k"]}
        starts = frame.take(_contender("choose_starts"), paths["tsv-store"])["value"]
        paths["tsv-store"] |= {"starts": starts}
    return lambda name: paths[INPUTS[name]] | {"work": str(work), "postgresql": options.postgresql}


def _stores(folder: Path, file: str, peer: bool) -> Arguments:
    """Load a file once for the measures that start from a store."""
    folder.mkdir(exist_ok=True)
    paths = {"file": file, "out": str(folder)}
    if not (folder / "ours.db").exists():
        frame.note(f"loading {Path(file).name} …")
        frame.take(_contender("load_ours"), paths)
    if peer and not (folder / "oxigraph").exists():
        frame.take(_contender("load_pyoxigraph"), paths)
    return {"file": file, "store": str(folder / "ours.db"), "oxigraph": str(folder / "oxigraph")}


if __name__ == "__main__":
    sys.exit(main())

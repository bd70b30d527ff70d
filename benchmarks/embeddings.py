"""Speed and memory of ``kg.embeddings`` beside PyKEEN and plain products, in one run and one table.

    python benchmarks/embeddings.py --peer-python PYTHON      # a Python that has pykeen 1.11
    python benchmarks/embeddings.py --only 'ranks*' --rounds 5 --json

Every measure runs in a fresh process, the contenders in turn; a row gives the median of the rounds, the least and the
most, the same by processor time, and the most memory that the process ever held. All contenders get the same triples
(FB15k-237), dimension (128; of ComplEx and RotatE 128 complex numbers), batch and number of threads. What is measured,
and how: ``embedding_measures`` and ``embedding_graph_measures``. That ranks and scores are the same as PyKEEN's, and
what graph encoders give the same as PyG's and PyKEEN's, are tests: tests/kg/embeddings, tests/kg/gnn.

LibKGE has no wheel: it takes part where the peers' Python can import it (see ``embedding_libkge``).
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: Measures that run under the Python that has the peers.
PEERS = re.compile("pykeen|peer")
MODELS = ("distmult", "complex", "transe", "rotate")

#: measure → (unit, contender → function of ``embedding_measures`` and its arguments); ours first.
MEASURES: dict[str, tuple[str, dict[str, tuple[str, dict[str, Any]]]]] = {
    **{
        f"ranks, {model}": (
            "triples/s",
            {
                "kg": ("ranks_ours", {"model": model}),
                "PyKEEN": ("ranks_pykeen", {"model": model}),
                "LibKGE": ("ranks_peer_libkge", {"model": model}),
            },
        )
        for model in MODELS
    },
    "1-vs-all, complex": (
        "queries/s",
        {
            "kg": ("all_ours", {"precision": "float32"}),
            "kg, bfloat16": ("all_ours", {"precision": "bfloat16"}),
            "kg, bfloat16, answers together": ("all_ours", {"precision": "bfloat16", "group": 16}),
            "PyKEEN, LCWA": ("all_pykeen", {}),
            "LibKGE, 1vsAll": ("all_peer_libkge", {}),
            "three products alone": ("all_products", {"precision": "float32"}),
            "three products alone, bfloat16": ("all_products", {"precision": "bfloat16"}),
        },
    ),
    **{
        f"32 negatives, {model}": (
            "triples/s",
            {
                "kg": ("negatives_ours", {"model": model}),
                "kg, shared": ("negatives_ours", {"model": model, "shared": True}),
                "PyKEEN, sLCWA": ("negatives_pykeen", {"model": model}),
            },
        )
        for model in MODELS
    },
    "whole graph, R-GCN": (
        "edges/s",
        {"kg": ("graph_rgcn_ours", {}), "PyG, RGCNConv": ("graph_rgcn_pyg", {})},
    ),
    "whole graph, CompGCN": (
        "edges/s",
        {
            "kg": ("graph_compgcn_ours", {"composition": "mult"}),
            "PyKEEN": ("graph_compgcn_pykeen", {"composition": "Multiplication"}),
        },
    ),
    "whole graph, relational attention": (
        "edges/s",
        {"kg": ("graph_rgat_ours", {}), "PyG, GATv2Conv": ("graph_gatv2_pyg", {})},
    ),
    "sampled subgraphs, 10 and 10 of a hop": (
        "seeds/s",
        {"kg": ("graph_sampled_ours", {}), "PyG, NeighborLoader": ("graph_sampled_peer", {})},
    ),
}


def main() -> int:
    options = _arguments()
    chosen = {
        name: measure
        for name, measure in MEASURES.items()
        if any(fnmatch.fnmatch(name, pattern) for pattern in options.only or ["*"])
    }
    if not chosen:
        print(f"error: no measure is called {options.only}: there are {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    data = Path(options.data) if options.data else ROOT.parent / "shared" / "data" / "fb15k-237"
    common = {"data": str(data), "threads": options.threads, "dimension": options.dimension, "batch": options.batch}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for number in range(1, options.rounds + 1):
        for name, (unit, contenders) in chosen.items():
            for contender, (function, arguments) in contenders.items():
                row = rows.setdefault(
                    (name, contender), {"unit": unit, "values": [], "by_processor": [], "peak_mb": [], "skipped": ""}
                )
                if row["skipped"]:
                    continue
                print(f"round {number}: {name}, {contender} …", file=sys.stderr, flush=True)
                python = options.peer_python if options.peer_python and PEERS.search(function) else sys.executable
                result = _run(python, function, common | arguments)
                if "skipped" in result:
                    row["skipped"] = result["skipped"]
                    continue
                for key, value in (("values", "value"), ("by_processor", "by_processor"), ("peak_mb", "peak_mb")):
                    row[key].append(result[value])
                row["note"] = result.get("note", "")
                print(f"    {result['by_processor']:,.0f} {unit} by processor time", file=sys.stderr, flush=True)
    about = {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "data": data.name,
        "dimension": options.dimension,
        "batch": options.batch,
        "threads": options.threads,
        "rounds": options.rounds,
    }
    listed = [{"measure": name, "contender": contender, **row} for (name, contender), row in rows.items()]
    if options.json:
        print(json.dumps({"about": about, "rows": listed}, ensure_ascii=False, indent=1))
    else:
        _show(listed, about)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", help="measures by name or pattern; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument("--data", help="folder of a set (default ../shared/data/fb15k-237)")
    parser.add_argument("--dimension", type=int, default=128, help="of vectors (default 128)")
    parser.add_argument("--batch", type=int, default=512, help="triples or queries a step (default 512)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each process (default: all)")
    parser.add_argument("--peer-python", help="a Python that has pykeen, where this one has not")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser.parse_args()


def _run(python: str, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Take one measure in a process of its own."""
    threads = str(arguments["threads"])
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    module = "embedding_measures"
    if function.startswith("graph_"):
        module = "embedding_graph_measures"
    elif function.endswith("_libkge"):
        module = "embedding_libkge"
    command = [python, "-m", f"benchmarks.{module}", function, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"error: {function} {arguments}\n{done.stderr[-2000:]}")
    line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


def _show(rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    print(", ".join(f"{name}: {value}" for name, value in about.items()))
    print()
    columns = ("measure", "contender", "median", "least", "most", "by CPU", "unit", "kg is", "peak MB", "note")
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    ours: float | None = None
    for row in rows:
        if row["skipped"]:
            print(f"| {row['measure']} | {row['contender']} |" + " |" * 7 + f" left out: {row['skipped']} |")
            continue
        median, by_processor = statistics.median(row["values"]), statistics.median(row["by_processor"])
        if row["contender"] == "kg":
            ours = median
        ratio = "" if row["contender"].startswith("kg") or ours is None else f"{ours / median:.1f}×"
        figures = [f"{value:,.0f}" for value in (median, min(row["values"]), max(row["values"]), by_processor)]
        cells = [row["measure"], row["contender"], *figures, row["unit"], ratio, f"{max(row['peak_mb']):,.0f}"]
        print(f"| {' | '.join([*cells, row['note']])} |")


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    raise SystemExit(main())

"""Speed and memory of ``retrieval`` beside its peers, in one run and one table.

    python benchmarks/retrieval.py                            # all measures, 3 alternating rounds
    python benchmarks/retrieval.py --only 'dense*' --rounds 5 --json
    python benchmarks/retrieval.py --list                     # what there is to measure
    python benchmarks/retrieval.py --index FOLDER             # text vectors of an index that `kemm index` wrote

Every measure runs in a fresh process, the contenders in turn; a row gives the median of the rounds, the least and the
most, and the most memory that the process ever held. Times are of the processor, on one thread, so that a busy machine
matters little. What is measured, and how: `retrieval_dense`, `retrieval_lexical`, `retrieval_linking`,
`retrieval_metaqa`, `retrieval_latency`; the same every round: `retrieval_fvqa`, `retrieval_glosses` (recalls) and
`retrieval_pictures` (accuracies). A peer that is not installed is left out, and the table says so.
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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_PICTURES = "retrieval_pictures"
#: Photos → entities: accuracies in percent on a test part, once; see `retrieval_pictures`.
PICTURES: dict[str, tuple[str, dict[str, tuple[str, str, dict[str, Any]]]]] = {
    "photo → entity, Caltech-101, 97 synsets": (
        "% top-1",
        {
            "zero-shot, ImageNet's classes": (_PICTURES, "caltech", {"how": "classes"}),
            "zero-shot, and made-up classifiers": (_PICTURES, "caltech", {"how": "among"}),
            "1-shot": (_PICTURES, "caltech", {"how": "1-shot"}),
            "1-shot with zero-shot": (_PICTURES, "caltech", {"how": "1-shot with zero-shot"}),
            "trained, linear head": (_PICTURES, "caltech", {"how": "linear head"}),
            "trained, entity_image": (_PICTURES, "caltech", {"how": "entity_image"}),
        },
    ),
    "photo → entity, Grocery, 81 products": (
        "% top-1",
        {
            "zero-shot, iconic picture": (_PICTURES, "grocery", {"how": "iconic"}),
            "zero-shot, iconic, both centred": (_PICTURES, "grocery", {"how": "iconic, centred"}),
            "1-shot": (_PICTURES, "grocery", {"how": "1-shot"}),
            "trained, linear head": (_PICTURES, "grocery", {"how": "linear head"}),
            "trained, entity_image": (_PICTURES, "grocery", {"how": "entity_image"}),
        },
    ),
    "photo → entity, all of WordNet": (
        "% true first links",
        {"zero-shot, climbing": (_PICTURES, "open_wordnet", {})},
    ),
    "photo → none of these": (
        "% of absent refused",
        {
            "zero-shot, ImageNet's classes": (_PICTURES, "none_of_these", {"how": "classes"}),
            "zero-shot, and made-up classifiers": (_PICTURES, "none_of_these", {"how": "among"}),
            "1-shot": (_PICTURES, "none_of_these", {"how": "1-shot"}),
            "trained, entity_image": (_PICTURES, "none_of_these", {"how": "entity_image"}),
        },
    ),
    "collage of two photos": (
        "% both found",
        {"zero-shot, regions": (_PICTURES, "collages", {"count": 100})},
    ),
}
_OURS = ("our words", "MiniLM alone")
#: Recalls on a test part, once; see `retrieval_fvqa` and `retrieval_glosses`.
RECALLS: dict[str, tuple[str, dict[str, tuple[str, str, dict[str, Any]]]]] = {
    name: (
        "% recall@1",
        {
            **{way: (module, "way", {"way": way}) for way in ways},
            "bm25s": (module, "way_bm25s", {"stemmed": False}),
            "bm25s, stemmed": (module, "way_bm25s", {"stemmed": True}),
        },
    )
    for name, module, ways in (
        (
            "FVQA, question → fact",
            "retrieval_fvqa",
            ("learned ranker", "fused by rank, late interaction, nothing learned", *_OURS),
        ),
        (
            "WordNet, definition → synset",
            "retrieval_glosses",
            ("fused by learned weights, head", "fused by reciprocal rank, no head", *_OURS),
        ),
    )
}
#: measure → (unit, less is better; contender → (module, function, its arguments)), ours first.
MEASURES: dict[str, tuple[str, dict[str, tuple[str, str, dict[str, Any]]]]] = {
    **{
        f"dense, {kind}, {how}": (
            "µs/query",
            {
                "retrieval": ("retrieval_dense", "search_ours", {"kind": kind, "how": how}),
                "FAISS": ("retrieval_dense", "search_faiss", {"kind": kind, "how": how}),
            },
        )
        for kind in ("exact", "ivf", "hnsw")
        for how in ("single", "batch")
    },
    "lexical, build": (
        "ms",
        {
            "retrieval": ("retrieval_lexical", "build_ours", {}),
            "bm25s": ("retrieval_lexical", "build_bm25s", {}),
            "SQLite FTS5": ("retrieval_lexical", "build_fts5", {}),
        },
    ),
    "lexical, gloss → synset": (
        "µs/query",
        {
            "retrieval": ("retrieval_lexical", "search_ours", {}),
            "tantivy, glosses alone": ("retrieval_lexical", "search_tantivy", {}),
            "bm25s": ("retrieval_lexical", "search_bm25s", {}),
            "SQLite FTS5": ("retrieval_lexical", "search_fts5", {}),
        },
    ),
    "WordNet, word in a sentence → synset": (
        "µs/mention",
        {
            "retrieval": ("retrieval_linking", "link_with_head", {}),
            "without the head": ("retrieval_linking", "link_without", {}),
            "MiniLM alone": ("retrieval_linking", "link_minilm", {}),
            "first sense": ("retrieval_linking", "link_first_sense", {}),
            "bm25s": ("retrieval_linking", "link_bm25s", {}),
        },
    ),
    "MetaQA, linking": ("ms/question", {"retrieval": ("retrieval_metaqa", "link", {})}),
    **{
        f"MetaQA, {hops} hop": ("ms/question", {"retrieval": ("retrieval_metaqa", "answer", {"hops": hops})})
        for hops in (1, 2, 3)
    },
    **RECALLS,
    "retrieve, all of it": (
        "ms/question",
        {
            "retrieval": ("retrieval_latency", "row", {"whose": "ours"}),
            "rdflib, networkx, FTS5": ("retrieval_latency", "row", {"whose": "peer"}),
        },
    ),
    **PICTURES,
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
    if options.list:
        for name, (unit, contenders) in chosen.items():
            print(f"{name} ({unit}): {'; '.join(contenders)}")
        return 0
    work = tempfile.mkdtemp(prefix="kemm-benchmark-")
    common = {"work": work, "size": options.size, "index": options.index or "", "features": options.features or ""}
    common |= {"store": options.store or ""}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for number in range(1, options.rounds + 1):
            for name, (unit, contenders) in chosen.items():
                for contender, (module, function, arguments) in contenders.items():
                    row = rows.setdefault(
                        (name, contender), {"unit": unit, "values": [], "peak_mb": [], "note": "", "skipped": ""}
                    )
                    if row["skipped"]:
                        continue
                    print(f"round {number}: {name}, {contender} …", file=sys.stderr, flush=True)
                    result = _run(options.peer_python, module, function, common | arguments)
                    if "skipped" in result:
                        row["skipped"] = result["skipped"]
                        continue
                    row["values"].append(result["value"])
                    row["peak_mb"].append(result["peak_mb"])
                    row["note"] = result.get("note", "")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    about = {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "vectors": f"of {options.index}" if options.index else f"{options.size:,} drawn",
        "rounds": options.rounds,
    }
    listed = [
        {"measure": name, "contender": contender, **row, "median": statistics.median(row["values"] or [0])}
        for (name, contender), row in rows.items()
    ]
    if options.json:
        print(json.dumps({"about": about, "rows": listed}, ensure_ascii=False, indent=1))
    else:
        _show(listed, about)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", help="measures by name or pattern; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument("--size", type=int, default=120_000, help="vectors drawn, and synsets read at most")
    parser.add_argument("--index", help="folder that `kemm index` wrote: its text vectors instead of drawn ones")
    parser.add_argument("--store", help="the store that --index is of, for the time of a whole `retrieve`")
    parser.add_argument("--features", help="folder to keep features and vectors in; by default they go with the run")
    parser.add_argument("--list", action="store_true", help="print the measures and their contenders, run none")
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has bm25s, where this one has not")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser.parse_args()


def _run(peer_python: str, module: str, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Take one measure in a process of its own, on one thread."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    python = peer_python if function.endswith("bm25s") else sys.executable
    code = f"from benchmarks import retrieval_inputs, {module}; retrieval_inputs.take({module}.{function})"
    done = subprocess.run(
        [python, "-c", code, json.dumps(arguments)], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise SystemExit(f"error: {function} {arguments}\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _show(rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=", ".join(f"{name}: {value}" for name, value in about.items()), box=SIMPLE_HEAD)
    for name in ("measure", "", "median", "least", "most", "", "retrieval is", "peak MB", ""):
        table.add_column(name, justify="right" if name in ("median", "least", "most", "peak MB") else "left")
    ours = {row["measure"]: row["median"] for row in reversed(rows)}
    last = ""
    for row in rows:
        name, last = row["measure"] if row["measure"] != last else "", row["measure"]
        if row["skipped"]:
            table.add_row(name, row["contender"], "", "", "", "", "", "", f"left out: {row['skipped']}")
            continue
        is_time = "% " not in row["unit"] and row["contender"] != "retrieval"
        ratio = f"{row['median'] / ours[row['measure']]:.2f}× as fast" if is_time else ""
        figures = [f"{value:,.1f}" for value in (row["median"], min(row["values"]), max(row["values"]))]
        table.add_row(name, row["contender"], *figures, row["unit"], ratio, f"{max(row['peak_mb']):,.0f}", row["note"])
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    raise SystemExit(main())

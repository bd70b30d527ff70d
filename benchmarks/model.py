"""Speed and memory of the multiway Transformer beside its peers, in one run and one table.

    python benchmarks/model.py                                  # all measures, 3 alternating rounds, on all cores
    python benchmarks/model.py --only 'training*' --rounds 5 --json
    python benchmarks/model.py --clock processor --threads 1    # on a busy machine
    python benchmarks/model.py --peer-path FOLDER               # where `pip install --no-deps --target FOLDER
                                                                # torchscale fairscale` has put torchscale

12 layers of 384, 197 tokens of a picture and 32 of a text; a step is forward, backward and fused AdamW, all numbers of
the one type. Every measure runs in a fresh process, the contenders in turn; a row gives the median of the rounds, the
least and the most, the share of the matrix products' peak that the step's arithmetic is, and the most memory that the
process ever held. What is measured, and how: `model_steps`. A peer that is not installed is left out, and the table
says so.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RELEASED: dict[str, Any] = {"experts": "all", "order": "sub"}
PAPER: dict[str, Any] = {"experts": "ffn", "order": "pre"}
PEERS = {
    "torchscale BEiT-3": ("torchscale", {}),
    "transformers ViLT": ("vilt", {}),
    "timm ViT-S, picture alone": ("vit", {}),
}
#: measure → (unit, contender → (function of ``model_steps``, its arguments)), what the others are compared with first.
MEASURES: dict[str, tuple[str, dict[str, tuple[str, dict[str, Any]]]]] = {}
for dtype in ("float32", "bfloat16"):
    MEASURES |= {
        f"{name}, {dtype}": (unit, {who: (f, given | {"dtype": dtype}) for who, (f, given) in contenders.items()})
        for name, unit, contenders in (
            ("products", "GFLOP/s", {"384 → 1536": ("matrix_peak", {})}),
            (
                "training",
                "samples/s",
                {"kemm, as released": ("multiway", RELEASED), "kemm, pre-LN": ("multiway", PAPER), **PEERS},
            ),
            ("compiled", "samples/s", {"kemm, torch.compile": ("multiway", RELEASED | {"is_compiled": True})}),
            ("checkpointed", "samples/s", {"kemm": ("multiway", RELEASED | {"is_checkpointed": True})}),
            ("with 64 facts", "samples/s", {"kemm, pre-LN": ("multiway", PAPER | {"facts": True})}),
            (
                "uneven texts",
                "samples/s",
                {
                    "padded": ("multiway", RELEASED | {"is_uneven": True}),
                    "packed": ("multiway", RELEASED | {"is_uneven": True, "is_packed": True}),
                },
            ),
            (
                "uneven texts and facts",
                "samples/s",
                {
                    "padded": ("multiway", PAPER | {"is_uneven": True, "facts": True}),
                    "packed": ("multiway", PAPER | {"is_uneven": True, "facts": True, "is_packed": True}),
                },
            ),
            (
                "generation",
                "tokens/s",
                {"without cache": ("generate", {"has_cache": False}), "with": ("generate", {"has_cache": True})},
            ),
        )
    }
#: Sizes that the arithmetic of a step follows from; a contender that is not named has 229 tokens.
WIDTH, LAYERS, TOKENS = 384, 12, {"timm ViT-S, picture alone": 197}


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
    common = {"batch": options.batch, "threads": options.threads, "clock": options.clock, "steps": options.steps}
    common["peer_path"] = options.peer_path
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for number in range(1, options.rounds + 1):
        for name, (unit, contenders) in chosen.items():
            for contender, (function, arguments) in contenders.items():
                row = rows.setdefault((name, contender), {"unit": unit, "values": [], "peak_mb": [], "skipped": ""})
                if row["skipped"]:
                    continue
                print(f"round {number}: {name}, {contender} …", file=sys.stderr, flush=True)
                result = _run(function, common | arguments)
                row["skipped"] = result.get("skipped", "")
                if not row["skipped"]:
                    row["values"].append(result["value"])
                    row["peak_mb"].append(result["peak_mb"])
                    said = f"    {result['value']:,.2f} {unit}, {result['peak_mb']:,.0f} MB"
                    print(said, file=sys.stderr, flush=True)
    listed = [
        {"measure": name, "contender": contender, **row, "median": statistics.median(row["values"] or [0])}
        for (name, contender), row in rows.items()
    ]
    about = {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "batch": options.batch,
        "threads": options.threads,
        "clock": options.clock,
        "rounds": options.rounds,
    }
    if options.json:
        print(json.dumps({"about": about, "rows": listed}, ensure_ascii=False, indent=1))
    else:
        _show(listed, about)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", help="measures by name or pattern; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument("--batch", type=int, default=16, help="samples a step (default 16)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a measure after the first; the least counts")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what time is taken by")
    parser.add_argument("--peer-path", default="", help="folder to import torchscale and fairscale from")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser.parse_args()


def _run(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Take one measure in a process of its own."""
    threads = str(arguments["threads"])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads}
    code = f"import json, sys; from benchmarks import model_steps as m; m.take(m.{function}, json.loads(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise SystemExit(f"error: {function} {arguments}\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def arithmetic(tokens: int) -> float:
    """GFLOP of one sample's step: 24 D² a token and layer for products, 4 L D for attention, and that three times."""
    return 3 * LAYERS * tokens * (24 * WIDTH**2 + 4 * tokens * WIDTH) / 1e9


def _show(rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=", ".join(f"{name}: {value}" for name, value in about.items()), box=SIMPLE_HEAD)
    for name in ("measure", "", "median", "least", "most", "", "to the first", "of peak", "peak MB"):
        table.add_column(name, justify="left" if name in ("measure", "") else "right")
    first = {row["measure"]: row["median"] for row in reversed(rows)}
    peaks = {row["measure"].removeprefix("products, "): row["median"] for row in rows if row["unit"] == "GFLOP/s"}
    last = ""
    for row in rows:
        name, last = row["measure"] if row["measure"] != last else "", row["measure"]
        if row["skipped"]:
            table.add_row(name, row["contender"], "", "", "", f"left out: {row['skipped']}")
            continue
        figures = [f"{value:,.2f}" for value in (row["median"], min(row["values"]), max(row["values"]))]
        dtype, share = row["measure"].rsplit(", ", 1)[1], ""
        if row["measure"].startswith("training") and dtype in peaks:
            share = f"{row['median'] * arithmetic(TOKENS.get(row['contender'], 229)) / peaks[dtype]:.0%}"
        ratio = f"{row['median'] / first[row['measure']]:.2f}"
        table.add_row(name, row["contender"], *figures, row["unit"], ratio, share, f"{max(row['peak_mb']):,.0f}")
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    raise SystemExit(main())

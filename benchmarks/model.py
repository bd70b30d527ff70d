"""Speed and memory of the multiway Transformer beside its peers, in one run and one table.

    python -m benchmarks.model                                  # all measures, 10 rounds, on all cores
    python -m benchmarks.model --only 'training*' --rounds 20 --json
    python -m benchmarks.model --clock processor --threads 1    # on a busy machine
    python -m benchmarks.model --peer-path FOLDER               # where `pip install --no-deps --target FOLDER
                                                                # torchscale fairscale` has put torchscale

12 layers of 384, 197 tokens of a picture and 32 of a text; a step is forward, backward and fused AdamW, all numbers of
the one type. Contenders live side by side, each in a process of its own, and take a step each in every round; a row
gives the median of the rounds, the least and the most, how many times as fast the first was (the median over rounds),
the share of the matrix products' peak, taken right before, that the step's arithmetic is, and the most memory that the
process ever held. Generation is taken in one process after another. What is measured, and how: `model_steps`. A peer
that is not installed is left out, and the table says so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

from benchmarks import frame
from benchmarks.frame import Contender, Measure, Row

RELEASED: dict[str, Any] = {"experts": "all", "order": "sub"}
PAPER: dict[str, Any] = {"experts": "ffn", "order": "pre"}
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "torchscale BEiT-3": ("torchscale", {}),
    "transformers ViLT": ("vilt", {}),
    "timm ViT-S, picture alone": ("vit", {}),
}
OURS = "kemm, as released"
#: measure → its unit and who is measured (functions of ``model_steps``), what the others are compared with first.
STEPS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "training": {OURS: ("multiway", RELEASED), "kemm, pre-LN": ("multiway", PAPER), **PEERS},
    "ways to train": {
        OURS: ("multiway", RELEASED),
        "kemm, torch.compile": ("multiway", RELEASED | {"is_compiled": True}),
        "kemm, checkpointed": ("multiway", RELEASED | {"is_checkpointed": True}),
    },
    "with 64 facts": {
        "kemm, pre-LN, no facts": ("multiway", PAPER),
        "kemm, their tokens given": ("multiway", PAPER | {"facts": True}),
        "kemm, subgraphs built and encoded": ("multiway", PAPER | {"facts": "built"}),
    },
    "uneven texts": {
        "padded": ("multiway", RELEASED | {"is_uneven": True}),
        "packed": ("multiway", RELEASED | {"is_uneven": True, "is_packed": True}),
    },
    "uneven texts and facts": {
        "padded": ("multiway", PAPER | {"is_uneven": True, "facts": True}),
        "packed": ("multiway", PAPER | {"is_uneven": True, "facts": True, "is_packed": True}),
    },
}
WRITING = {"without cache": ("generate", {"has_cache": False}), "with": ("generate", {"has_cache": True})}
MEASURES: dict[str, Measure] = {}
for dtype in ("float32", "bfloat16"):
    for name, contenders in {**STEPS, "generation": WRITING}.items():
        made = {who: Contender("model_steps", f, given | {"dtype": dtype}) for who, (f, given) in contenders.items()}
        is_step = name in STEPS
        MEASURES[f"{name}, {dtype}"] = Measure("samples/s" if is_step else "tokens/s", made, in_turns=is_step)
#: Sizes that the arithmetic of a step follows from; a contender that is not named has 229 tokens.
WIDTH, LAYERS, TOKENS = 384, 12, {"timm ViT-S, picture alone": 197}


def main() -> int:
    options = _arguments()
    about = {"batch": options.batch, "clock": options.clock}
    common = about | {"peer_path": options.peer_path}
    return frame.main(MEASURES, options, about, lambda _: lambda name: common, _shares)


def _arguments() -> argparse.Namespace:
    parser = frame.parser(__doc__, rounds=10)
    parser.add_argument("--batch", type=int, default=16, help="samples a step (default 16)")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what time is taken by")
    parser.add_argument("--peer-path", default="", help="folder to import torchscale and fairscale from")
    return parser.parse_args()


def arithmetic(tokens: int) -> float:
    """GFLOP of one sample's step: 24 D² a token and layer for products, 4 L D for attention, and that three times."""
    return 3 * LAYERS * tokens * (24 * WIDTH**2 + 4 * tokens * WIDTH) / 1e9


def _shares(rows: list[Row]) -> None:
    """Say of each training step what share of the products' peak, taken right before it, its arithmetic is."""
    for row in rows:
        if row["measure"].startswith("training") and row["median"]:
            work = arithmetic(TOKENS.get(row["contender"], 229))
            share = statistics.median(
                rate * work / peak for rate, peak in zip(row["values"], row["peaks"], strict=True)
            )
            row["note"] = f"{share:.0%} of the products' peak"


if __name__ == "__main__":
    sys.exit(main())

"""Speed of pre-training beside its peers, in one run and one table: whole steps, epochs on frozen towers, the loader.

    python -m benchmarks.pretrain                                   # all measures, 3 alternating rounds, on all cores
    python -m benchmarks.pretrain --only 'whole step*' --rounds 5 --json
    python -m benchmarks.pretrain --clock processor --threads 1     # on a busy machine; not for the loader

A whole step is forward, backward and fused AdamW of ITC, ITM, MLM and MIM at 12 layers of 384, 197 tokens of a picture
and at most 32 of a text, all numbers of the one type. What each contender computes: `pretrain_steps`; epochs and the
loader: `pretrain_data`. Every measure runs in processes of its own, those of whole steps side by side and in turns, a
step each in every round, the others one after another; a row gives the median of the rounds, the least and the most,
and the most memory that the process ever held.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version

from benchmarks import frame
from benchmarks.frame import Contender, Measure

#: measure → its unit and who is measured, what the others are compared with first.
MEASURES: dict[str, Measure] = {
    f"whole step, {dtype}": Measure(
        "samples/s",
        {
            who: Contender("pretrain_steps", function, given | {"dtype": dtype})
            for who, (function, given) in {
                "kemm": ("shared", {"drop": "everywhere", "wrong": "either"}),
                "kemm, two wrong pairs each": ("shared", {"drop": "everywhere"}),
                "kemm, whole pictures too": ("shared", {"drop": True}),
                "transformers FlavaForPreTraining": ("flava", {}),
                "a forward for each objective": ("apart", {}),
            }.items()
        },
        in_turns=True,
    )
    for dtype in ("float32", "bfloat16")
}
for tower in ("vit_small", "vit_base"):
    given = {"tower": f"timm:{tower}_patch16_224", "things": 96, "batch": 48}  # as the quick start
    MEASURES[f"epoch, frozen {tower}"] = Measure(
        "samples/s",
        {
            f"{number} epoch": Contender("pretrain_data", "epoch", given | {"epoch": place})
            for number, place in (("second", 2), ("first", 1))
        },
    )
MEASURES["waiting for data"] = Measure(
    "percent of the steps",
    {f"{ahead} batches ahead": Contender("pretrain_data", "waiting", {"ahead": ahead, "steps": 4}) for ahead in (2, 0)},
)


def main() -> int:
    options = _arguments()
    about = {"batch": options.batch, "clock": options.clock, "torch": version("torch")}
    common = {"batch": options.batch, "clock": options.clock}
    return frame.main(MEASURES, options, about, lambda _: lambda name: common)


def _arguments() -> argparse.Namespace:
    parser = frame.parser(__doc__)
    parser.add_argument("--batch", type=int, default=16, help="samples a step (default 16)")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what time is taken by")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

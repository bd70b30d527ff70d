"""The same numbers from the same weights: our systems beside their reference implementations, as one table.

    python -m benchmarks.parity                       # all, as Markdown
    python -m benchmarks.parity --only 'blip*'
    python -m benchmarks.parity --out docs/parity.md

Both sides are tiny, with random weights that are copied by the system's table of names (``kemm.systems``), in float32
on the CPU. A row gives the largest absolute difference of any output or loss, at most 1e-5 to hold, and of any
gradient, at most 1e-4 (divided by the gradient's largest entry where that is above 1). A reference whose package is not
installed is listed as not compared.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import sys
from pathlib import Path

from benchmarks.parity_case import GRADIENTS, OUTPUTS, Agreement, Case, compare
from kemm.compat import mend_torchvision

#: Modules that hold ``CASES``, by family.
FAMILIES = (
    "parity_text",
    "parity_multiway",
    "parity_blip",
    "parity_blip2",
    "parity_t5",
    "parity_pictures",
    "parity_luke",
    "parity_idefics",
    "parity_coca",
    "parity_timm",
    "parity_pairs",
    "parity_single_stream",
    "parity_two_streams",
)


def cases() -> list[Case]:
    """Every case, family by family."""
    mend_torchvision()
    from transformers.utils import logging

    logging.disable_progress_bar()
    return [case for family in FAMILIES for case in importlib.import_module(f"benchmarks.{family}").CASES]


def row(case: Case) -> tuple[str, bool]:
    """A line of the table, and whether it holds or could not be compared."""
    try:
        found = compare(case)
    except ModuleNotFoundError as error:
        return f"| {case.system} | {case.reference} | not compared: {error.name} is not installed | | | |", True
    return _row(case, found), found.holds


def _row(case: Case, found: Agreement) -> str:
    worst = max(found.outputs, key=found.outputs.__getitem__)
    verdict = "equal" if found.holds else f"**differs** ({worst}, {found.worst})"
    return (
        f"| {case.system} | {case.reference} | {', '.join(found.outputs)} | {found.outputs[worst]:.0e} "
        f"| {found.gradients:.0e} | {verdict} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="systems, with * for anything; may be given many times")
    parser.add_argument("--out", type=Path, help="file to write instead of printing")
    arguments = parser.parse_args()
    chosen = [
        case
        for case in cases()
        if not arguments.only or any(fnmatch.fnmatch(case.system, pattern) for pattern in arguments.only)
    ]
    rows = [row(case) for case in chosen]
    lines = [
        "# The same numbers from the same weights",
        "",
        "Written by `python -m benchmarks.parity --out docs/parity.md`. "
        f"Equal: outputs within {OUTPUTS:.0e}, gradients within {GRADIENTS:.0e}, float32.",
        "",
        "| system | reference | compared | outputs | gradients | |",
        "|---|---|---|---|---|---|",
        *(text for text, _ in rows),
        "",
    ]
    if arguments.out:
        arguments.out.write_text("\n".join(lines))
    else:
        print("\n".join(lines))
    return 0 if all(holds for _, holds in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

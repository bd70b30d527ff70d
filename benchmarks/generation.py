"""Writing text with a cache beside writing it without one, and beside transformers, in one table.

    python benchmarks/generation.py                    # 3 alternating rounds
    python benchmarks/generation.py --tokens 32 --rounds 5 --threads 2 --json

Random weights, 12 layers × 384, batch 16, a vocabulary of 30,522; no text may end early, so that every way writes as
many tokens. Each measure runs in a fresh process, the contenders in turn. Times are of the processor (user and system),
so that a busy machine matters little; a row gives the median of the rounds, the least and the most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WIDTH, LAYERS, HEADS, VOCABULARY, PICTURE, END = 384, 12, 6, 30_522, 197, 1

#: what is written → how; ours with a cache first
MEASURES = {
    "text alone, greedy": ("cached", "uncached", "GPT-2 of transformers"),
    "after a picture's 197 tokens, greedy": ("cached", "uncached"),
    "reading 197 tokens across, greedy": ("cached", "uncached"),
    "reading 197 tokens across, 4 beams": ("cached", "uncached"),
}


def model_of(measure: str, batch: int) -> tuple[Any, Any]:
    """The model that a measure is of, and what makes its first cache."""
    import torch

    from kemm.fuse.multiway import MultiwayTransformer
    from kemm.generate.decoder import PrefixDecoder, TextDecoder

    torch.manual_seed(0)
    picture = torch.randn(batch, PICTURE, WIDTH)
    if measure.startswith("after"):
        fusion = MultiwayTransformer(WIDTH, LAYERS, HEADS, ("vision", "language"))
        prefix = PrefixDecoder(VOCABULARY, WIDTH, 64, fusion).eval()
        return prefix, lambda: prefix.start({"vision": picture})
    across = measure.startswith("reading")
    decoder = TextDecoder(VOCABULARY, WIDTH, LAYERS, HEADS, 64, WIDTH if across else None).eval()
    return decoder, lambda: decoder.start(context=picture if across else None, batch=batch)


def take(measure: str, how: str, tokens: int, batch: int) -> float:
    """Processor seconds for ``tokens`` tokens of each of ``batch`` rows."""
    import torch

    begin = torch.full((batch, 1), END)
    if how.startswith("GPT-2"):
        write = transformers_writer(begin)
    else:
        from kemm.generate.beams import beam_search
        from kemm.generate.filters import MinimumLength
        from kemm.generate.one_by_one import greedy

        model, start = model_of(measure, batch)

        def write(count: int) -> None:
            each, cache = (model, start()) if how == "cached" else (Uncached(model, start), None)
            options: dict[str, Any] = {"end": END, "longest": count, "filters": [MinimumLength(count, END)]}
            (beam_search if "beams" in measure else greedy)(each, begin, cache, **options)

    with torch.inference_mode():
        write(2)
        began = time.process_time()
        write(tokens)
        return time.process_time() - began


class Uncached:
    """Reads everything anew at each step: the prefix or context, and what is written; its cache is what it has read."""

    def __init__(self, model: Any, start: Any) -> None:
        self.model, self.start = model, start

    def step(self, tokens: Any, cache: Any) -> tuple[Any, Any]:
        import torch

        from kemm.generate.cache import select_rows

        read = tokens if cache is None else torch.cat([cache, tokens], dim=1)
        first = self.start()
        texts = len(first.mask)
        if len(read) != texts:  # beams
            first = select_rows(first, torch.arange(texts).repeat_interleave(len(read) // texts))
        return self.model.step(read, first)[0], read


def transformers_writer(begin: Any) -> Any:
    from kemm.compat import mend_torchvision

    mend_torchvision()
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=64,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=2,
    )
    gpt2 = GPT2LMHeadModel(config).eval()
    return lambda count: gpt2.generate(begin, do_sample=False, max_new_tokens=count, min_new_tokens=count)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tokens", type=int, default=32, help="tokens written in each row (default 32)")
    parser.add_argument("--batch", type=int, default=16, help="texts written at once (default 16)")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    rows: dict[tuple[str, str], list[float]] = {}
    for number in range(1, options.rounds + 1):
        for measure, contenders in MEASURES.items():
            for how in contenders:
                print(f"round {number}: {measure}, {how} …", file=sys.stderr, flush=True)
                asked = (measure, how, options.tokens, options.batch)
                code = f"from benchmarks import generation; print(generation.take(*{asked!r}))"
                environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(options.threads)}
                done = subprocess.run(
                    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment
                )
                if done.returncode:
                    raise SystemExit(f"error: {measure}, {how}\n{done.stderr[-2000:]}")
                rows.setdefault((measure, how), []).append(float(done.stdout.splitlines()[-1]))
    listed = [
        {"measure": measure, "contender": how, "median": statistics.median(seconds), "seconds": seconds}
        for (measure, how), seconds in rows.items()
    ]
    if options.json:
        print(json.dumps({"tokens": options.tokens, "batch": options.batch, "rows": listed}, indent=1))
    else:
        show(listed, options.tokens, options.batch)
    return 0


def show(listed: list[dict[str, Any]], tokens: int, batch: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{tokens} tokens, batch {batch}, processor seconds", box=SIMPLE_HEAD)
    for name in ("what", "how", "median", "least", "most", "× of cached"):
        table.add_column(name, justify="left" if name in ("what", "how") else "right")
    ours = {row["measure"]: row["median"] for row in listed if row["contender"] == "cached"}
    for row in listed:
        figures = [row["median"], min(row["seconds"]), max(row["seconds"]), row["median"] / ours[row["measure"]]]
        table.add_row(row["measure"], row["contender"], *(f"{figure:.2f}" for figure in figures))
    Console(width=110).print(table)


if __name__ == "__main__":
    raise SystemExit(main())

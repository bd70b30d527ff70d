"""Writing text with a cache beside writing it without one, and beside transformers, in one table.

    python -m benchmarks.generation                    # 3 alternating rounds
    python -m benchmarks.generation --tokens 32 --rounds 5 --threads 2 --json

Random weights, 12 layers × 384, batch 16, a vocabulary of 30,522; no text may end early, so that every way writes as
many tokens. Each measure runs in a fresh process, the contenders in turn. Times are of the processor (user and system),
so that a busy machine matters little; a row gives the median of the rounds, the least and the most.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks import frame
from benchmarks.frame import Arguments, Contender, Measure

WIDTH, LAYERS, HEADS, VOCABULARY, PICTURE, END = 384, 12, 6, 30_522, 197, 1

#: what is written → how; ours with a cache first
MEASURES = {
    what: Measure("s", {how: Contender("generation", "take", {"what": what, "how": how}) for how in ways})
    for what, ways in {
        "text alone, greedy": ("cached", "uncached", "GPT-2 of transformers"),
        "after a picture's 197 tokens, greedy": ("cached", "uncached"),
        "reading 197 tokens across, greedy": ("cached", "uncached"),
        "reading 197 tokens across, 4 beams": ("cached", "uncached"),
    }.items()
}


def model_of(measure: str, batch: int) -> tuple[Any, Any]:
    """The model that a measure is of, and what makes its first cache."""
    import torch

    from kemm.fuse.multiway import MultiwayTransformer
    from kemm.generate.decoder import PrefixDecoder, TextDecoder, TextEnds

    torch.manual_seed(0)
    picture = torch.randn(batch, PICTURE, WIDTH)
    if measure.startswith("after"):
        fusion = MultiwayTransformer(WIDTH, LAYERS, HEADS, ("vision", "language"))
        prefix = PrefixDecoder(TextEnds(VOCABULARY, WIDTH, 64), fusion).eval()
        return prefix, lambda: prefix.start({"vision": picture})
    across = measure.startswith("reading")
    decoder = TextDecoder(VOCABULARY, WIDTH, LAYERS, HEADS, 64, WIDTH if across else None).eval()
    return decoder, lambda: decoder.start(context=picture if across else None, batch=batch)


def take(arguments: Arguments) -> dict[str, Any]:
    """Processor seconds for ``tokens`` tokens of each of ``batch`` rows."""
    import torch

    measure, how, tokens, batch = (arguments[name] for name in ("what", "how", "tokens", "batch"))
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
        return {"value": time.process_time() - began}


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
    parser = frame.parser(__doc__, threads=1)
    parser.add_argument("--tokens", type=int, default=32, help="tokens written in each row (default 32)")
    parser.add_argument("--batch", type=int, default=16, help="texts written at once (default 16)")
    options = parser.parse_args()
    about = {"tokens": options.tokens, "batch": options.batch}
    return frame.main(MEASURES, options, about, lambda _: lambda name: about)


if __name__ == "__main__":
    sys.exit(main())

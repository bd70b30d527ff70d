"""What ``benchmarks/model.py`` measures: training steps of our model and of its peers, and generation."""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.frame import Arguments
from benchmarks.turns import turns

#: D, layers, H, side of picture and patch, words of a text, of the vocabulary, knowledge tokens
WIDTH, LAYERS, HEADS, IMAGE, PATCH, WORDS, VOCABULARY, FACTS = 384, 12, 6, 224, 16, 32, 1000, 64


def prepare(arguments: Arguments) -> None:
    """What every measure starts from."""
    from kemm.compat import mend_torchvision

    mend_torchvision()
    if arguments["peer_path"]:
        sys.path.append(arguments["peer_path"])  # now, and last: fairscale brings a package `benchmarks`, too
    torch.set_num_threads(arguments["threads"])
    torch.manual_seed(0)


def multiway(arguments: Arguments) -> dict[str, Any]:
    """Ours: ``experts`` and ``order``, and what else the arguments ask for."""
    from kemm.fuse.multiway import MultiwayTransformer
    from kemm.systems.beit3 import BEiT3

    model = BEiT3(VOCABULARY, IMAGE, PATCH, WIDTH, LAYERS, HEADS, text_positions=WORDS)
    modalities = ("vision", "language", "knowledge") if arguments.get("facts") else ("vision", "language")
    model.fusion = MultiwayTransformer(
        WIDTH,
        LAYERS,
        HEADS,
        modalities,
        experts=arguments["experts"],
        order=arguments["order"],
        is_checkpointed=arguments.get("is_checkpointed", False),
    )
    batch, real = arguments["batch"], {}
    if arguments.get("is_uneven"):
        real["language"] = torch.arange(WORDS) < lengths(batch)[:, None]
        if arguments.get("facts"):
            numbers = torch.randint(0, FACTS + 1, (batch, 1), generator=torch.Generator().manual_seed(0))
            real["knowledge"] = torch.arange(FACTS) < numbers
    pixels, words = _batch(arguments)
    facts = _drawn(arguments, batch, FACTS, WIDTH) if arguments.get("facts") else None
    subgraphs = None
    if arguments.get("facts") == "built":
        from kemm.data.ahead import Ahead
        from kemm.fuse.knowledge import FactEncoder

        model.facts, subgraphs = FactEncoder(WIDTH, WIDTH, "compgcn", 2), Ahead(_subgraphs(arguments), range(1_000))

    def forward() -> Iterator[Tensor]:
        tokens = {
            "vision": model.vision_positions(model.patches(pixels)),
            "language": model.language_positions(model.words(words)),
        }
        if subgraphs is not None:
            tokens["knowledge"] = model.facts(next(subgraphs))
        elif facts is not None:
            tokens["knowledge"] = facts
        out = model.fusion(tokens, real, is_packed=arguments.get("is_packed", False))
        return (part[real[name]] if name in real else part for name, part in out.items())

    return _training(arguments, model, forward)


def torchscale(arguments: Arguments) -> dict[str, Any]:
    from torchscale.architecture.config import EncoderConfig
    from torchscale.model.BEiT3 import BEiT3

    model = BEiT3(
        EncoderConfig(
            multiway=True,
            vocab_size=VOCABULARY,
            img_size=IMAGE,
            patch_size=PATCH,
            encoder_embed_dim=WIDTH,
            encoder_attention_heads=HEADS,
            encoder_ffn_embed_dim=4 * WIDTH,
            encoder_layers=LAYERS,
            no_output_layer=True,
        )
    )
    pixels, words = _batch(arguments)
    return _training(arguments, model, lambda: iter([model(words, pixels)["encoder_out"]]))


def vilt(arguments: Arguments) -> dict[str, Any]:
    from transformers import ViltConfig, ViltModel

    config = ViltConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        image_size=IMAGE,
        patch_size=PATCH,
        vocab_size=VOCABULARY,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_image_length=(IMAGE // PATCH) ** 2,
    )
    model = ViltModel(config, add_pooling_layer=False)
    pixels, words = _batch(arguments)
    seen = torch.ones(len(pixels), IMAGE, IMAGE, dtype=torch.long)
    return _training(
        arguments,
        model,
        lambda: iter([model(input_ids=words, pixel_values=pixels, pixel_mask=seen).last_hidden_state]),
    )


def vit(arguments: Arguments) -> dict[str, Any]:
    import timm

    model = timm.create_model("vit_small_patch16_224", num_classes=0)
    pixels, _ = _batch(arguments)
    return _training(arguments, model, lambda: iter([model.forward_features(pixels)]))


def generate(arguments: Arguments) -> dict[str, Any]:
    """Tokens/s of 32 words after a picture, greedy by the nearest word, with a cache or all anew for each."""
    from kemm.fuse import masks
    from kemm.systems.beit3 import BEiT3

    model = BEiT3(VOCABULARY, IMAGE, PATCH, WIDTH, LAYERS, HEADS, text_positions=WORDS).to(dtype(arguments)).eval()
    pixels, _ = _batch(arguments)
    vision = (IMAGE // PATCH) ** 2 + 1

    @torch.no_grad()
    def write() -> None:
        words = torch.zeros(len(pixels), 1, dtype=torch.long)
        cache = model.fusion.new_cache() if arguments["has_cache"] else None
        seen = model.vision_positions(model.patches(pixels))
        for place in range(WORDS):
            if cache is None or place == 0:
                tokens = {"vision": seen, "language": model.language_positions(model.words(words))}
                mask = masks.prefix(vision + words.shape[1], vision)
            else:
                tokens = {"language": model.language_positions(model.words(words[:, -1:]), offset=place)}
                mask = None
            out = model.fusion(tokens, mask=mask, cache=cache)["language"][:, -1]
            words = torch.cat([words, (out @ model.words.weight.T).argmax(-1, keepdim=True)], dim=1)

    return {"value": arguments["batch"] * WORDS / best(arguments, write, 2)}


def _training(arguments: Arguments, model: nn.Module, forward: Callable[[], Iterator[Tensor]]) -> dict[str, Any]:
    run = torch.compile(forward) if arguments.get("is_compiled") else forward
    return steps_in_turns(arguments, model, lambda: sum(part.float().square().mean() for part in run()))


def steps_in_turns(arguments: Arguments, model: nn.Module, loss: Callable[[], Any]) -> dict[str, Any]:
    """Samples/s of forward, backward and fused AdamW, all numbers of the one type; of each turn's two steps the second.

    ``peaks``: GFLOP/s of a feed-forward layer's product, taken right before each step.
    """
    model.to(dtype(arguments)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    x, w = _drawn(arguments, 3664, WIDTH), _drawn(arguments, 4 * WIDTH, WIDTH)
    values, peaks = [], []
    step()
    for _ in turns(arguments):
        step()
        peaks.append(2 * 3664 * WIDTH * 4 * WIDTH / best(arguments, lambda: functional.linear(x, w), 10) / 1e9)
        values.append(arguments["batch"] / seconds(arguments, step))
    return {"values": values, "peaks": peaks}


def best(arguments: Arguments, run: Callable[[], object], times: int) -> float:
    """Least time in seconds of several runs, by the clock asked for; the first, which warms, is not counted."""
    run()
    return min(seconds(arguments, run) for _ in range(times))


def seconds(arguments: Arguments, run: Callable[[], object]) -> float:
    """Of one run, by the clock asked for."""
    clock = time.process_time if arguments["clock"] == "processor" else time.perf_counter
    start = clock()
    run()
    return clock() - start


def dtype(arguments: Arguments) -> torch.dtype:
    dtype = getattr(torch, arguments["dtype"])
    assert isinstance(dtype, torch.dtype)
    return dtype


def _drawn(arguments: Arguments, *shape: int) -> Tensor:
    return torch.randn(*shape).to(dtype(arguments))


def _subgraphs(arguments: Arguments) -> Callable[[int], Any]:
    """The facts of a batch by its number: 64 around each of its things, two steps far, from a bank of 20,000 texts."""
    import numpy as np

    from kemm.data.fact_table import NUM_MARKS, NUM_NODE_MARKS, FactTable
    from kemm.data.facts import Facts, collate_facts

    bank = np.random.default_rng(0).normal(size=(20_000, WIDTH)).astype(np.float32)

    def table(rng: np.random.Generator) -> FactTable:
        def rows(count: int) -> np.ndarray:
            return rng.integers(0, len(bank), count)

        return FactTable(
            node_text=rows(FACTS + 1),
            node_marks=rng.random((FACTS + 1, NUM_NODE_MARKS), dtype=np.float32),
            node_entity=np.full(FACTS + 1, -1),
            near=np.concatenate([np.zeros(FACTS // 2, int), rng.integers(1, FACTS // 2, FACTS // 2)]),
            far=np.arange(1, FACTS + 1),
            forward=rng.random(FACTS) < 0.5,
            relation=rows(FACTS),
            path=rows(FACTS),
            marks=rng.random((FACTS, NUM_MARKS), dtype=np.float32),
            log_score=np.zeros(FACTS, np.float32),
            parent=np.full(FACTS, -1),
            answers=("",) * FACTS,
            paths=(("",),) * FACTS,
        )

    def batch_of(number: int) -> Facts:
        rng = np.random.default_rng(number)
        made = collate_facts([table(rng) for _ in range(arguments["batch"])], bank, FACTS)
        assert made is not None
        typed = {n: v.to(dtype(arguments)) if v.is_floating_point() else v for n, v in vars(made).items()}
        return Facts(**typed)

    return batch_of


def _batch(arguments: Arguments) -> tuple[Tensor, Tensor]:
    batch = arguments["batch"]
    return _drawn(arguments, batch, 3, IMAGE, IMAGE), torch.randint(VOCABULARY, (batch, WORDS))


def lengths(batch: int) -> Tensor:
    """(B,) words and marks, and two for start and end, of FVQA's questions."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "fvqa" / "train0.json.gz"
    if not path.exists():
        raise ImportError(f"no texts to take lengths from: {path.name} of FVQA is not beside the repository")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        questions = [entry["question"] for entry in json.load(lines).values()]
    found = torch.tensor([min(WORDS, 2 + len(re.findall(r"\w+|[^\w\s]", question))) for question in questions])
    return found[torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:batch]]

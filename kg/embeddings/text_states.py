"""What the frozen lower layers of a text encoder say of every entity, kept on disk and mapped: token states in float16.

    states = TextStates.open("runs/cache", bert, texts, layers=3, max_tokens=32)
    for places, x, mask in states.batches(entities, 128):   # of texts of like length: little padding
        x                                                    # (B, T, D) float32, what layer 3 (counted from 0) reads

A state takes 2 D bytes: WN18RR's 40,943 texts have 0.8 M tokens, 0.6 GB at width 384. Where all layers are frozen, the
mean of a text's states is all that is asked for, and kept as its only one. A file is named for what it was made of
(weights, texts, lengths, layers), so that another encoder or text never finds it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kg.embeddings.bert import Bert
from kg.embeddings.triples import Array

_FORMAT = 1


@dataclass(frozen=True)
class TextStates:
    """States of texts one after the other.

    Attributes:
        flat: (S, D) float16. starts: (N + 1,), where each text's begin and end.
    """

    flat: Array
    starts: Array

    @classmethod
    def open(
        cls,
        folder: str | Path,
        bert: Bert,
        texts: Sequence[str],
        *,
        layers: int,
        max_tokens: int,
        batch: int = 256,
        note: Callable[[str], None] = lambda text: None,
    ) -> TextStates:
        """Map the states that ``folder`` holds of these texts after the first ``layers`` layers, or make them first."""
        name = _name(bert, texts, layers, max_tokens)
        target = Path(folder) / f"{name}.npy"
        ids, starts = bert.tokenize(texts, max_tokens)
        is_pooled = layers == len(bert.layers)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{name}.{os.getpid()}.partial")
            note(f"encoding {len(texts):,} texts, {len(ids):,} tokens, through {layers} frozen layers")
            try:
                shape = (len(texts) if is_pooled else len(ids), bert.width)
                flat = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
                for rows, padded, mask in _like_long(ids, starts, np.arange(len(texts)), batch):
                    found = lower(bert, padded, mask, layers)
                    if is_pooled:
                        flat[rows] = mean(found, mask).to(torch.float16).numpy()
                        continue
                    for row, one in zip(rows.tolist(), found.to(torch.float16).numpy()):
                        begin, end = starts[row], starts[row + 1]
                        flat[begin:end] = one[: end - begin]
                flat.flush()
                del flat
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)
        return cls(np.load(target, mmap_mode="r"), np.arange(len(texts) + 1) if is_pooled else starts)

    def batches(self, texts: Array, batch: int) -> Iterator[tuple[Array, Tensor, Tensor]]:
        """Yield texts in batches of like length: places in ``texts`` (B,), states (B, T, D) and mask (B, T)."""
        for places, states, mask in _like_long(self.flat, self.starts, texts, batch):
            yield places, states.float(), mask


@torch.no_grad()
def lower(bert: Bert, ids: Tensor, mask: Tensor, layers: int) -> Tensor:
    """Return the states after the first ``layers`` layers, (B, T) → (B, T, D), without gradient."""
    x = bert.embed(ids.long())
    for layer in bert.layers[:layers]:
        x = layer(x, mask)
    return x


def mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the states of tokens, (B, T, D) and (B, T) → (B, D), in float32."""
    weights = mask[..., None].float()
    return (states.float() * weights).sum(1) / weights.sum(1)


def _like_long(flat: Array, starts: Array, texts: Array, batch: int) -> Iterator[tuple[Array, Tensor, Tensor]]:
    """Yield places, padded rows of ``flat`` (B, T, …) and mask (B, T), sorted by length."""
    lengths = starts[texts + 1] - starts[texts]
    order = np.argsort(lengths, kind="stable")
    for begin in range(0, len(order), batch):
        places = order[begin : begin + batch]
        long = lengths[places]
        columns = np.arange(long.max())
        mask = columns < long[:, None]  # (B, T)
        found = flat[np.where(mask, starts[texts[places]][:, None] + columns, starts[texts[places]][:, None])]
        yield places, torch.from_numpy(found), torch.from_numpy(mask)


def _name(bert: Bert, texts: Sequence[str], layers: int, max_tokens: int) -> str:
    digest = hashlib.sha256(json.dumps([_FORMAT, layers, max_tokens, list(texts)]).encode())
    for name, value in bert.state_dict().items():
        if not name.startswith("layers.") or int(name.split(".")[1]) < layers:
            digest.update(value.numpy().tobytes())
    return f"states-{digest.hexdigest()[:24]}"

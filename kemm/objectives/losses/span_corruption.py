"""Texts to be continued or filled in by a decoder: T5's spans with sentinels, and a cut into prefix and rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def random_parts(total: int, parts: int, generator: torch.Generator) -> list[int]:
    """``total`` as a sum of ``parts`` numbers ≥ 1, every such sum alike likely."""
    cuts = (torch.randperm(total - 1, generator=generator)[: parts - 1] + 1).sort().values.tolist()
    return [end - start for start, end in zip([0, *cuts], [*cuts, total])]


def noise_mask(length: int, generator: torch.Generator, density: float = 0.15, mean_span: float = 3.0) -> Tensor:
    """Which of ``length`` tokens are taken out: (length,) bool, kept and taken spans by turns, kept first.

        n = round(density · length),   spans = round(n / mean_span),   both at least 1

    T5 (Raffel et al., 2020, arXiv:1910.10683). As in its code every text ends in a taken span. A text of fewer than two
    tokens loses none.
    """
    if length < 2:
        return torch.zeros(length, dtype=torch.bool)
    taken = min(max(round(length * density), 1), length - 1)
    spans = min(max(round(taken / mean_span), 1), taken, length - taken)
    pairs = zip(random_parts(length - taken, spans, generator), random_parts(taken, spans, generator))
    return torch.tensor([is_taken for kept, out in pairs for is_taken in [False] * kept + [True] * out])


def with_sentinels(ids: Sequence[int], taken: Sequence[bool], sentinels: Sequence[int]) -> tuple[list[int], list[int]]:
    """What the encoder reads and what the decoder writes.

        Thank you [for inviting] me to your party [last] week
        → Thank you <X> me to your party <Y> week,   <X> for inviting <Y> last <Z>

    The paper's example; its code leaves out the closing sentinel when the text ends in a span, the paper has it always.
    End-of-sequence marks are the caller's.

    Raises:
        ValueError: fewer sentinels than spans and one.
    """
    read: list[int] = []
    written: list[int] = []
    span = -1
    for place, (token, is_taken) in enumerate(zip(ids, taken)):
        if not is_taken:
            read.append(token)
            continue
        if place == 0 or not taken[place - 1]:
            span += 1
            if span + 1 >= len(sentinels):
                raise ValueError(f"{len(sentinels)} sentinels are too few for this text: give one more than its spans")
            read.append(sentinels[span])
            written.append(sentinels[span])
        written.append(token)
    return read, [*written, sentinels[span + 1]] if span >= 0 else written


def prefix_lengths(lengths: Tensor, generator: torch.Generator, least: int = 0) -> Tensor:
    """Where each text is cut: uniform over least … length − 1, so that at least one token is left to write.

    SimVLM (Wang et al., 2022, arXiv:2108.10904). A text of at most ``least`` tokens is cut before its last one, an
    empty one at 0.

    Args:
        lengths: (B,) real tokens of each.

    Returns:
        (B,) tokens in the prefix.
    """
    room = (lengths - least).clamp(min=1)
    drawn = (torch.rand(lengths.shape, generator=generator) * room).long().clamp(max=room - 1)
    return (least + drawn).minimum((lengths - 1).clamp(min=0))

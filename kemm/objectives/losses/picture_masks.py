"""Which patches of a picture or film are hidden: at random, in blocks, in tubes, by a teacher's attention.

Every row hides the same number of patches, so that the shown ones can be laid out as one tensor and the hidden ones
need not be encoded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def hide_random(batch: int, patches: int, share: float, generator: torch.Generator) -> Tensor:
    """Hide round(share · P) patches of each, all alike likely (MAE, He et al., 2022, arXiv:2111.06377; share .75).

    Returns:
        (B, P) bool, true at the hidden.
    """
    order = torch.rand(batch, patches, generator=generator).argsort(1).argsort(1)
    return order < round(share * patches)


def hide_blocks(
    batch: int,
    height: int,
    width: int,
    share: float,
    generator: torch.Generator,
    least: int = 16,
    narrowest: float = 0.3,
) -> Tensor:
    """Hide round(share · P) patches of each in rectangles (BEiT, Bao et al., 2022, arXiv:2106.08254; share .4).

        area ~ U[least, still wanted],   ratio ~ logU[narrowest, 1/narrowest]
        a = √(area · ratio),   b = √(area / ratio)

    There the last block may overshoot or fall short; here it is cut, and what no block reached is filled up at random,
    so that the number is exact.

    Args:
        height, width: of the grid of patches; P is their product.
        least: patches of the smallest block.

    Returns:
        (B, P) bool, rows of the grid one after another.
    """
    wanted = round(share * height * width)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=generator))

    def place(size: int, of: int) -> int:
        return int(torch.randint(of - size + 1, (1,), generator=generator))

    hidden = torch.zeros(batch, height, width, dtype=torch.bool)
    for grid in hidden:
        for _ in range(10 * max(1, wanted // least)):  # attempts
            missing = wanted - int(grid.sum())
            if missing <= 0:
                break
            area = uniform(min(least, missing), missing)
            ratio = math.exp(uniform(math.log(narrowest), -math.log(narrowest)))
            tall, broad = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if not (0 < tall <= height and 0 < broad <= width):
                continue
            top, left = place(tall, height), place(broad, width)
            block = torch.zeros_like(grid)
            block[top : top + tall, left : left + broad] = True
            new = (block & ~grid).flatten().nonzero().squeeze(1)[:missing]
            grid.view(-1)[new] = True
        rest = (~grid).flatten().nonzero().squeeze(1)
        missing = wanted - int(grid.sum())
        grid.view(-1)[rest[torch.randperm(len(rest), generator=generator)[:missing]]] = True
    return hidden.flatten(1)


def as_tubes(hidden: Tensor, frames: int) -> Tensor:
    """The same patches in every frame, so that none can be copied from the next (VideoMAE, arXiv:2203.12602; share .9).

    Args:
        hidden: (B, P) of one frame, from any of these functions.

    Returns:
        (B, frames · P), frame after frame.
    """
    return hidden.repeat(1, frames)


def hide_unattended(attention: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Keep what a teacher attends to, hide round(share · P) others (UMT, Li et al., 2023, arXiv:2303.16058; share .8).

    Args:
        attention: (B, P), of the teacher's summary token to the patches, not negative. Its negative exponent, or 1 −
        it,
            hides what is attended most instead (attended masking of VIOLET, arXiv:2111.12681).
        generator: draw the kept without replacement in proportion to attention; none: keep the most attended.

    Returns:
        (B, P) bool, true at the hidden.
    """
    score = attention.float()
    if generator is not None:
        noise = -torch.rand(score.shape, generator=generator).clamp(1e-30, 1 - 1e-7).log()
        score = score.clamp(min=1e-20).log() - noise.log()
    return score.argsort(dim=1, stable=True).argsort(1) < round(share * score.shape[1])

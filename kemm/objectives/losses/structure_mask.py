"""Structural knowledge masking: hide a thing in one modality and, the more, what tells of it around it.

ROSITA (Cui et al., 2021, arXiv:2108.07073): words and regions are nodes of one graph; an anchor is a thing that is both
shown and named, its edges say how much a node knows of it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mask_chances(anchor: Tensor, edges: Tensor, is_node: Tensor, base: float, most: float) -> Tensor:
    """How likely each node is hidden.

        p_i = 1 at an anchor,   else base + (most − base) · max_{anchors j} e_ij

    That what an anchor's neighbours tell is hidden more than the rest is the paper's; its own chances were not at hand,
    the formula is ours.

    Args:
        anchor: (B, N) bool. edges: (B, N, N) weights in [0, 1], zero where there is none.
        is_node: (B, N) bool, false at padding.
        base: the chance of a node unrelated to any anchor, ``most`` of one fully known by it.

    Returns:
        (B, N) in [0, 1], zero at padding.
    """
    to_anchor = (edges * (anchor & is_node)[:, None, :]).amax(2) if edges.shape[2] else edges.sum(2)
    chance = (base + (most - base) * to_anchor).masked_fill(anchor, 1.0)
    return chance.masked_fill(~is_node, 0.0)


def hide_structure(chances: Tensor, generator: torch.Generator) -> Tensor:
    """Draw each node by its own chance (B, N): (B, N) bool."""
    return torch.rand(chances.shape, generator=generator) < chances

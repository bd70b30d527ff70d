"""Aligning words with regions or patches by optimal transport.

UNITER's word–region alignment (Chen et al., 2020, arXiv:1909.11740; also ViLT's, arXiv:2102.03334), solved by IPOT, the
inexact proximal point method of Xie et al. (2020, arXiv:1802.04307).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise


def cosine_cost(words: Tensor, regions: Tensor) -> Tensor:
    """C_tr = 1 − cos(w_t, v_r): (B, T, D), (B, R, D) → (B, T, R), from 0 to 2."""
    return 1 - F.normalize(words, dim=-1) @ F.normalize(regions, dim=-1).mT


@torch.no_grad()
def ipot(
    cost: Tensor, rows: Tensor | None = None, columns: Tensor | None = None, beta: float = 0.5, iterations: int = 50
) -> Tensor:
    """The transport plan between the even distributions over two sequences, nearly the exact one.

        T ← 1,  A = exp(−C/β),  σ = 1/m;   repeat  Q = A ⊙ T,  δ = a / Qσ,  σ = b / Qᵀδ,  T = diag(δ) Q diag(σ)

    a = 1/n over the n rows that are there and b = 1/m over the m columns, so that T sums to 1. Columns sum to b
    exactly, rows to a as it converges.

    Args:
        cost: C, (B, T, R).
        rows: (B, T) bool, those that are there. columns: (B, R) bool. None is all.
        beta: β, the step of the proximal point; smaller converges in fewer iterations.
        iterations: 50 in UNITER and ViLT. After them Tr(CᵀT) of random costs is within 0.01 of the exact optimum, which
            a test holds it to.

    Returns:
        The plan, (B, T, R), without a gradient; 0 where padded, and all 0 for a pair without rows or without columns.
    """
    there = torch.ones_like(cost, dtype=torch.bool)
    if rows is not None:
        there = there & rows[:, :, None]
    if columns is not None:
        there = there & columns[:, None, :]
    work = precise(cost)
    a = there.any(2).to(work)
    b = there.any(1).to(work)
    a, b = a / a.sum(1, keepdim=True).clamp(min=1), b / b.sum(1, keepdim=True).clamp(min=1)
    kernel = (-work / beta).exp().masked_fill(~there, 0.0)
    plan, sigma = there.to(work), b
    tiny = torch.finfo(work.dtype).tiny
    for _ in range(iterations):
        q = kernel * plan
        delta = a / (q @ sigma[..., None]).squeeze(-1).clamp(min=tiny)  # (B, T)
        sigma = b / (q.mT @ delta[..., None]).squeeze(-1).clamp(min=tiny)  # (B, R)
        plan = delta[:, :, None] * q * sigma[:, None, :]
    return plan.to(cost.dtype)


def word_region(
    words: Tensor,
    regions: Tensor,
    word_mask: Tensor | None = None,
    region_mask: Tensor | None = None,
    beta: float = 0.5,
    iterations: int = 50,
) -> Tensor:
    """What it costs to carry each text's words to its picture's regions.

        L_b = Tr(Cᵀ sg[T]),   C = 1 − cos

    Args:
        words: (B, T, D). regions: (B, R, D). word_mask: (B, T) bool. region_mask: (B, R) bool.

    Returns:
        (B,) a distance a pair. UNITER trains with (Σ over matched − Σ over unmatched pairs) / B, times 0.1.
    """
    cost = cosine_cost(precise(words), precise(regions))
    return (cost * ipot(cost.detach(), word_mask, region_mask, beta, iterations)).sum((1, 2))

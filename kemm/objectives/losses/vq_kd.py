"""A tokenizer of pictures that distils a teacher: vector-quantised knowledge distillation (BEiT v2).

    z_p = argmin_j ‖l₂(h_p) − l₂(v_j)‖,   L = −Σ_p cos(o_p, t_p) + ‖sg[l₂(h_p)] − l₂(v_z)‖² + ‖l₂(h_p) − sg[l₂(v_z)]‖²

Peng et al. (2022, arXiv:2208.06366). As in their code the codebook follows a running mean instead of its gradient, so
the middle term is left out, and every mean is over patches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The code of each vector (…, D): the one of ``codebook`` (V, D) at the smallest angle; the lowest of equals."""
    return (F.normalize(precise(vectors), dim=-1) @ F.normalize(precise(codebook), dim=-1).T).argmax(-1)


def straight_through(vectors: Tensor, codebook: Tensor, codes: Tensor) -> Tensor:
    """q = l₂(h) + sg[l₂(v_z) − l₂(h)]: the code's value, the vector's gradient, (…, D)."""
    unit = F.normalize(precise(vectors), dim=-1)
    return unit + (F.normalize(precise(codebook), dim=-1)[codes] - unit).detach()


def tokenizer_loss(
    decoded: Tensor, teacher: Tensor, vectors: Tensor, codebook: Tensor, codes: Tensor, commitment: float = 1.0
) -> Tensor:
    """L = mean_p (1 − cos(o_p, t_p)) + β mean_p ‖l₂(h_p) − sg[l₂(v_z)]‖² / D, a scalar.

    The 1 makes perfection 0, as in their code; the mean over D in the second term is theirs too.

    Args:
        decoded, teacher: (…, D_t), o and t. vectors: (…, D), h. codebook: (V, D). codes: (…,), z.
        commitment: β.
    """
    cosine = F.cosine_similarity(precise(decoded), precise(teacher).detach(), dim=-1)
    chosen = F.normalize(precise(codebook), dim=-1)[codes].detach()
    return (1 - cosine).mean() + commitment * (F.normalize(precise(vectors), dim=-1) - chosen).square().mean()


@torch.no_grad()
def moved_codebook(codebook: Tensor, vectors: Tensor, codes: Tensor, decay: float = 0.99) -> Tensor:
    """The codebook after a step: v_j ← l₂(γ v_j + (1 − γ) l₂(mean of l₂(h) over the vectors with code j)).

    A code that nothing took stays as it is. With several processes the sums are to be added up before: give this all of
    their vectors.

    Args:
        codebook: (V, D), unit rows. vectors: (N, D). codes: (N,). decay: γ.

    Returns:
        (V, D), unit rows; ``codebook`` itself is not changed.
    """
    unit = F.normalize(vectors.to(codebook.dtype), dim=-1)
    total = torch.zeros_like(codebook).index_add_(0, codes, unit)
    used = torch.bincount(codes, minlength=len(codebook)) > 0
    moved = F.normalize(decay * codebook + (1 - decay) * F.normalize(total, dim=-1), dim=-1)
    return torch.where(used[:, None], moved, codebook)

"""Contrast of matching pairs with all others of a batch, whatever the two kinds are.

All take a similarity s (A, B), already divided by its temperature, s_ij = ⟨a_i, b_j⟩ / τ; any two modalities, or a
tower and a queue (B > A), will do.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise
from kg.errors import InputError


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """−Σ_j y_j log softmax_j s, averaged over rows.

    Args:
        logits: (A, B). A column of −∞ is no candidate and costs nothing.
        target: (A, B), rows that sum to 1. A row of zeros has no positive and is left out of the mean.

    Returns:
        A scalar; 0, with a gradient of 0, when no row has a positive.
    """
    log_p = precise(logits).log_softmax(-1).masked_fill(target == 0, 0.0)  # else 0 · −∞
    rows = (target.sum(-1) > 0).sum().clamp(min=1)
    return -(target * log_p).sum() / rows


def info_nce(similarity: Tensor, target: Tensor | None = None, target_back: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE.

        L = ½ (CE(s, y) + CE(sᵀ, y'))

    CLIP (Radford et al., 2021, arXiv:2103.00020).

    Args:
        similarity: s, (B, B).
        target: y, (B, B), each row a distribution; None is the diagonal.
        target_back: y', (B, B), for the columns; None is the diagonal.

    Raises:
        InputError: s isn't square.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise InputError(f"a contrast both ways needs a square similarity, got {tuple(similarity.shape)}")
    diagonal = torch.eye(len(similarity), dtype=similarity.dtype, device=similarity.device)
    forth = soft_cross_entropy(similarity, diagonal if target is None else target)
    back = soft_cross_entropy(similarity.T, diagonal if target_back is None else target_back)
    return 0.5 * (forth + back)


@torch.no_grad()
def momentum_target(similarity: Tensor, alpha: float, positives: Tensor | None = None) -> Tensor:
    """What ALBEF takes for the truth when pairs from the web match only loosely.

        y = α softmax(s_m) + (1 − α) one-hot

    Li et al. (2021, arXiv:2107.07651), α = 0.4 after a ramp over two epochs.

    Args:
        similarity: s_m, (A, B), of the momentum encoders, over the same τ; the batch's own keys first, then the
            queue's.
        alpha: α in [0, 1].
        positives: (A, B) bool; None is the diagonal. Several in a row share the one-hot's weight evenly, as BLIP's
            retrieval fine-tuning does by picture numbers.

    Returns:
        y, (A, B), without a gradient.

    Raises:
        InputError: α is no share, or there are more rows than columns and no ``positives``.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}; give a share from 0 (pairs alone) to 1 (the teacher alone)")
    if positives is None:
        if similarity.shape[0] > similarity.shape[1]:
            raise InputError(f"{tuple(similarity.shape)} has rows whose own pair is no column; give the positives")
        positives = torch.eye(*similarity.shape, dtype=torch.bool, device=similarity.device)
    return alpha * similarity.softmax(-1) + (1 - alpha) * spread(positives, similarity.dtype)


def spread(positives: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """An even distribution over each row's positives (A, B) bool; zeros where a row has none: (A, B)."""
    return positives.to(dtype) / positives.sum(-1, keepdim=True).clamp(min=1)


def label_contrast(similarity: Tensor, labels: Tensor) -> Tensor:
    """UniCL: every pair with the same label or text is a positive.

        L = ½ Σ_{both ways} mean_i −1/|P(i)| Σ_{k∈P(i)} log softmax_k s_i,   P(i) = {k : labels_k = labels_i}

    Yang et al. (2022, arXiv:2204.03610), used by Florence and, with a memory, by OmniVL's label-aware contrast; they
    sum the two ways, we average them.

    Args:
        similarity: s, (B, B).
        labels: (B,).
    """
    target = spread(labels[:, None] == labels[None, :], similarity.dtype)
    return info_nce(similarity, target, target)


def any_positive(similarity: Tensor, positives: Tensor) -> Tensor:
    """MIL-NCE: it is enough that some of the positives is near.

        L = mean_i −log (Σ_{j∈P(i)} exp s_ij / Σ_j exp s_ij)

    Miech et al. (2020, arXiv:1912.06430), for clips with several loosely aligned captions; they sum, we average over
    the rows that have a positive. Theirs has the column's negatives in the denominator too, which are left out here.

    Args:
        similarity: s, (A, B).
        positives: (A, B) bool.
    """
    kept, similarity = positives.any(-1), precise(similarity)
    if not kept.any():
        return similarity.sum() * 0.0
    s = similarity[kept]
    return (s.logsumexp(-1) - s.masked_fill(~positives[kept], -torch.inf).logsumexp(-1)).mean()


def hardest_negative_hinge(similarity: Tensor, margin: float = 0.2, labels: Tensor | None = None) -> Tensor:
    """The hinge of VSE++ against the hardest negative of the batch.

        L = mean_i ([m + max_{j∉P(i)} s_ij − s_ii]₊ + [m + max_{j∉P(i)} s_ji − s_ii]₊)

    Faghri et al. (2018, arXiv:1707.05612), as GPO trains with it (Chen et al., 2021, arXiv:2011.04305), m = 0.2 and s
    the cosine; they sum over the batch, we average, and pairs of the same label are no negatives.

    Args:
        similarity: s, (B, B), not divided by a temperature.
        labels: (B,); None when all differ. A row without a negative costs nothing.
    """
    similarity = precise(similarity)
    own = similarity.diagonal()
    same = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    if labels is not None:
        same = labels[:, None] == labels[None, :]
    wrong = similarity.masked_fill(same, -torch.inf)
    forth, back = wrong.amax(1), wrong.amax(0)
    return (F.relu(margin + forth - own) + F.relu(margin + back - own)).mean()

"""Each pair of a batch judged alone: SigLIP (Zhai et al., 2023, arXiv:2303.15343)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise


def sigmoid_contrast(
    similarity: Tensor, scale: float | Tensor = 10.0, bias: float | Tensor = -10.0, positives: Tensor | None = None
) -> Tensor:
    """The loss of SigLIP.

        L = −1/A Σ_ij log σ(y_ij (t s_ij + b)),   y_ij = 1 for a pair, −1 otherwise

    Args:
        similarity: s, (A, B), cosines.
        scale: t, as it multiplies; SigLIP learns its logarithm, from ln 10.
        bias: b, learned from −10: nearly all pairs of a batch are negatives.
        positives: (A, B) bool; None is the diagonal. SigLIP has one a row.
    """
    similarity = precise(similarity)
    if positives is None:
        positives = torch.eye(*similarity.shape, dtype=torch.bool, device=similarity.device)
    sign = positives.to(similarity.dtype) * 2 - 1
    return -F.logsigmoid(sign * (scale * similarity + bias)).sum() / len(similarity)

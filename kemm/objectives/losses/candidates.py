"""Choosing among candidates: the cross-entropy behind masked entities, masked relations and linking."""

from __future__ import annotations

import torch
from torch import Tensor

from kemm.objectives.losses.averages import mean_where, precise

NEVER = -1e4  # a logit that no candidate reaches; finite, so that a row without candidates has no NaN in its gradient


def choice_loss(logits: Tensor, right: Tensor, is_candidate: Tensor | None = None) -> Tensor:
    """L = mean over rows of −Σ_k y_k log softmax(z)_k,   y even over the right candidates of the row.

    A row none of whose candidates is right does not count.

    Args:
        logits: (…, K). right: (…, K) bool. is_candidate: (…, K) bool, false at padding; none: all are.
    """
    logits = precise(logits)
    if is_candidate is not None:
        right = right & is_candidate
        logits = logits.masked_fill(~is_candidate, NEVER)
    chance = logits.log_softmax(-1)
    count = right.sum(-1)
    return mean_where(-chance.masked_fill(~right, 0.0).sum(-1) / count.clamp(min=1), count > 0)


def any_right_loss(logits: Tensor, right: Tensor, is_candidate: Tensor | None = None) -> Tensor:
    """L = mean over rows of −log Σ_{right k} softmax(z)_k: which of the right ones is chosen does not matter.

    Marginal likelihood (KRISP and pointer networks point so); arguments as in ``choice_loss``.
    """
    logits = precise(logits)
    if is_candidate is not None:
        right = right & is_candidate
        logits = logits.masked_fill(~is_candidate, NEVER)
    found = torch.logsumexp(logits.masked_fill(~right, 2 * NEVER), -1)
    return mean_where(logits.logsumexp(-1) - found, right.any(-1))

"""Training a retriever by what its reader made of the facts: RA-VQA's joint loss, and distillation.

Of a question, K facts: ``is_fact`` (B, K) bool is false at padding. Losses are means over the questions or facts that
count, zero where none does.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import mean_where, precise
from kemm.objectives.losses.candidates import NEVER, any_right_loss


def joint_retrieval(reader: Tensor, retriever: Tensor, right: Tensor, is_fact: Tensor) -> Tensor:
    """RA-VQA's loss (Lin and Byrne, 2022, arXiv:2210.03809).

        p_f = softmax_f retriever logit,   r_f = σ(reader logit),   y_f = [f answers]
        P⁺ = {f : y_f, r_f > ½},   P⁻ = {f : not y_f, r_f < ½}
        L = mean_f BCE(r_f, y_f) − mean_{P⁺} log p_f − mean_{P⁻} log(1 − p_f)

    Their + log p_f over P⁻ has no lower bound; log(1 − p_f) has the same sign of slope. Of a fact that neither reader
    nor answer settles nothing is learned, as there.

    Args:
        reader, retriever: (B, K) logits. right: (B, K) bool, y.
    """
    reader = precise(reader)
    chance = precise(retriever).masked_fill(~is_fact, NEVER).log_softmax(-1)
    reading = F.binary_cross_entropy_with_logits(
        reader.masked_fill(~is_fact, 0.0), right.to(reader.dtype), reduction="none"
    )
    believed = reader.detach() > 0
    others = torch.log1p(-chance.exp().clamp(max=1 - 1e-6))
    return (
        mean_where(reading, is_fact)
        - mean_where(chance, right & believed & is_fact)
        - mean_where(others, ~right & ~believed & is_fact)
    )


def distillation(reader: Tensor, retriever: Tensor, is_fact: Tensor) -> Tensor:
    """L = mean over questions of KL(sg[a] ‖ p),   a = softmax of the reader, p of the retriever, over the facts.

    Izacard and Grave (2021, arXiv:2012.04584). A question without facts does not count.

    Args:
        reader, retriever: (B, K) logits.
    """
    used = precise(reader).masked_fill(~is_fact, NEVER).log_softmax(-1).detach()
    chance = precise(retriever).masked_fill(~is_fact, NEVER).log_softmax(-1)
    return mean_where((used.exp() * (used - chance)).sum(-1), is_fact.any(-1))


def log_chance(reader: Tensor, right: Tensor, is_fact: Tensor) -> Tensor:
    """log Σ_{right f} a_f, (B,), a = softmax of the reader's logits (B, K) over the facts; very low where none is."""
    chance = precise(reader).masked_fill(~is_fact, NEVER).log_softmax(-1)
    return chance.masked_fill(~(right & is_fact), NEVER).logsumexp(-1)


def reader_loss(reader: Tensor, right: Tensor, is_fact: Tensor) -> Tensor:
    """L = mean over questions that a fact answers of −log Σ_{right f} a_f: what makes the reader worth copying."""
    return any_right_loss(reader, right, is_fact)

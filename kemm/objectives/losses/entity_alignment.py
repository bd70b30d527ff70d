"""Words and the entities that they mention: ERNIE's denoising alignment and KnowBert's linking loss."""

from __future__ import annotations

import torch
from torch import Tensor

from kemm.objectives.losses.averages import mean_where, precise
from kemm.objectives.losses.candidates import choice_loss

HIDDEN = -1


def corrupt_alignment(
    entities: Tensor,
    is_entity: Tensor,
    num_entities: int,
    generator: torch.Generator,
    replaced: float = 0.05,
    masked: float = 0.15,
) -> Tensor:
    """What the model is given of the aligned entities: 5 % are another one, 15 % are hidden, 80 % are theirs.

    ERNIE (Zhang et al., 2019, arXiv:1905.07129): the first makes up for wrong links, the second for missing ones.

    Args:
        entities: (B, M) numbers below ``num_entities``. is_entity: (B, M) bool.

    Returns:
        (B, M) numbers, ``HIDDEN`` where hidden; padding as it was. With a single entity none is replaced.
    """
    drawn = torch.rand(entities.shape, generator=generator)
    step = torch.randint(1, max(num_entities, 2), entities.shape, generator=generator)
    others = (entities + step) % num_entities  # a step of 1 … n − 1 never comes back to itself
    given = torch.where(is_entity & (drawn < replaced), others, entities)
    return given.masked_fill(is_entity & (drawn >= replaced) & (drawn < replaced + masked), HIDDEN)


def denoising_alignment(
    words: Tensor, candidates: Tensor, right: Tensor, is_mention: Tensor, is_candidate: Tensor
) -> Tensor:
    """L = mean over mentions i of −log p(e_i | w_i),   p(e_j | w_i) = softmax_j ⟨W w_i, e_j⟩.

    Candidates are the entities of the same text, as there; W is the caller's head.

    Args:
        words: (B, M, D), W w at each mention's first token. candidates: (B, K, D).
        right: (B, M), place of the true entity among the candidates. is_mention: (B, M). is_candidate: (B, K).
    """
    logits = precise(words) @ precise(candidates).transpose(1, 2)  # (B, M, K)
    is_right = torch.arange(candidates.shape[1], device=words.device) == right[..., None]
    return choice_loss(logits, is_right & is_mention[..., None], is_candidate[:, None, :].expand_as(logits))


def linking_likelihood(scores: Tensor, gold: Tensor, is_candidate: Tensor) -> Tensor:
    """L = mean over mentions m with a known entity of −log softmax_k(ψ_mk)[gold].

    KnowBert (Peters et al., 2019, arXiv:1909.04164); one candidate may be "none of these".

    Args:
        scores: (…, K), ψ. gold: (…,), place of the right candidate, negative where unknown. is_candidate: (…, K) bool.
    """
    return choice_loss(scores, torch.arange(scores.shape[-1], device=scores.device) == gold[..., None], is_candidate)


def linking_margin(scores: Tensor, gold: Tensor, is_candidate: Tensor, margin: float) -> Tensor:
    """L = mean over mentions of max(0, γ − ψ_gold) + Σ_{k ≠ gold} max(0, γ + ψ_mk): KnowBert's other loss.

    Arguments as in ``linking_likelihood``; ``margin`` is γ.
    """
    scores = precise(scores)
    is_gold = torch.arange(scores.shape[-1], device=scores.device) == gold[..., None]
    loss = torch.where(is_gold, margin - scores, margin + scores).clamp(min=0)
    return mean_where(loss.masked_fill(~is_candidate, 0.0).sum(-1), (is_gold & is_candidate).any(-1))

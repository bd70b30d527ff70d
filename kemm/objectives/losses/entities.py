"""Naming what is hidden in the knowledge: entities, relations, types."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import mean_where, precise
from kemm.objectives.losses.candidates import choice_loss


def masked_entity(states: Tensor, entities: Tensor, right: Tensor, temperature: float = 1.0) -> Tensor:
    """L = mean over hidden m of −log softmax_k(⟨h_m, e_k⟩ / τ)[right]; several right ones share evenly.

    The entities to choose from may be a whole table (LUKE, Yamada et al., 2020, arXiv:2010.01057) or those of the batch
    (ERNIE, Zhang et al., 2019, arXiv:1905.07129).

    Args:
        states: (M, D) of hidden places. entities: (K, D). right: (M, K) bool; a row without any does not count.
    """
    return choice_loss(precise(states) @ precise(entities).T / temperature, right)


def masked_relation(head: Tensor, tail: Tensor, relations: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """L = mean_m −log softmax_r(⟨h_m ∘ t_m, r⟩ / τ)[r_m]: which relation stood between head and tail.

    The score is DistMult's, so that it agrees with link prediction by it. Relations between two pictures are asked for
    in the same way, their states in the place of entities' vectors.

    Args:
        head, tail: (M, D). relations: (R, D). target: (M,) numbers of relations, negative where unknown.
    """
    logits = precise(head * tail) @ precise(relations).T / temperature
    return mean_where(F.cross_entropy(logits, target.clamp(min=0), reduction="none"), target >= 0)


def entity_typing(logits: Tensor, types: Tensor, is_entity: Tensor, is_known: Tensor | None = None) -> Tensor:
    """L = mean over entities i and types c of BCE(σ(z_ic), y_ic): an entity has any number of types.

    ERNIE's typing (Zhang et al., 2019, arXiv:1905.07129).

    Args:
        logits: (B, M, C). types: (B, M, C) bool. is_entity: (B, M) bool. is_known: (B, M, C), false where the graph
        doesn't
            say, which is no evidence against; none: all is known.
    """
    loss = F.binary_cross_entropy_with_logits(precise(logits), types.to(precise(logits).dtype), reduction="none")
    counts = is_entity[..., None].expand_as(types)
    return mean_where(loss, counts if is_known is None else counts & is_known)

"""Path completion: where does a walk along given relations end?

Guu et al. (2015, arXiv:1506.01094): a relation moves a vector, a path moves it by one relation after another.
"""

from __future__ import annotations

from torch import Tensor

from kemm.objectives.losses.averages import precise
from kemm.objectives.losses.candidates import choice_loss


def follow(start: Tensor, relations: Tensor, is_step: Tensor, by_product: bool = False) -> Tensor:
    """x = e + Σ_s r_s (TransE), or x = e ∘ Π_s r_s (DistMult).

    Args:
        start: (B, D). relations: (B, S, D). is_step: (B, S) bool, false at padding: paths may differ in length.

    Returns:
        (B, D). Both forgo the order of the steps.
    """
    relations = precise(relations)
    if by_product:
        return precise(start) * relations.masked_fill(~is_step[..., None], 1.0).prod(1)
    return precise(start) + relations.masked_fill(~is_step[..., None], 0.0).sum(1)


def path_completion(reached: Tensor, entities: Tensor, right: Tensor, by_product: bool = False) -> Tensor:
    """L = mean over paths of −log softmax_k(score)[right],   score = ⟨x, e_k⟩ by product, −‖x − e_k‖² by sum.

    Args:
        reached: (B, D), of ``follow``. entities: (K, D). right: (B, K) bool, all ends that the graph knows; they share
        evenly.
    """
    reached, entities = precise(reached), precise(entities)
    product = reached @ entities.T  # (B, K)
    if by_product:
        return choice_loss(product, right)
    return choice_loss(2 * product - entities.square().sum(1) - reached.square().sum(1, keepdim=True), right)

"""Contrasts between a graph and its texts and pictures, and texts enriched by the graph.

Knowledge-CLIP (Pan et al., 2022, arXiv:2210.06901) encodes triples whose ends are pictures or texts by one model and
contrasts within the batch (τ = .07 is CLIP's start, not theirs); K-LITE (Shen et al., 2022, arXiv:2204.09222) writes
knowledge into the caption.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise


def batch_contrast(query: Tensor, key: Tensor, key_id: Tensor, temperature: float) -> Tensor:
    """L = mean_i −log e^{s_ii} / (e^{s_ii} + Σ_{j: id_j ≠ id_i} e^{s_ij}),   s_ij = cos(q_i, k_j) / τ.

    Rows whose key is the same thing are no negatives of each other.

    Args:
        query, key: (B, D). key_id: (B,).
    """
    similarity = F.normalize(precise(query), dim=-1) @ F.normalize(precise(key), dim=-1).T / temperature
    same = (key_id[:, None] == key_id[None, :]) & ~torch.eye(len(key_id), dtype=torch.bool, device=key_id.device)
    return (
        F.cross_entropy(similarity.masked_fill(same, -torch.inf), torch.arange(len(key_id), device=key_id.device))
        if len(key_id)
        else similarity.sum()
    )


def entity_entity(head_and_relation: Tensor, tail: Tensor, tail_id: Tensor, temperature: float = 0.07) -> Tensor:
    """E2E: (h, r, –) finds its tail among the tails of the batch; each a picture or a text.

    Args:
        head_and_relation: (B, D), the encoding of the triple without its tail. tail: (B, D). tail_id: (B,) numbers.
    """
    return batch_contrast(head_and_relation, tail, tail_id, temperature)


def entity_relation(head_and_tail: Tensor, relations: Tensor, relation: Tensor, temperature: float = 0.07) -> Tensor:
    """E2R: (h, –, t) finds its relation among all R of the graph: mean_i CE(cos(q_i, r_·) / τ, r_i).

    Args:
        head_and_tail: (B, D). relations: (R, D). relation: (B,) numbers below R.
    """
    if not len(relation):
        return head_and_tail.sum() + relations.sum() * 0.0
    similarity = F.normalize(precise(head_and_tail), dim=-1) @ F.normalize(precise(relations), dim=-1).T
    return F.cross_entropy(similarity / temperature, relation)


def graph_entity(around: Tensor, entity: Tensor, entity_id: Tensor, temperature: float = 0.07) -> Tensor:
    """G2E: what a GNN makes of an entity's neighbourhood ↔ its own text or picture, ½ of each direction.

    Args:
        around, entity: (B, D). entity_id: (B,) numbers.
    """
    return 0.5 * (
        batch_contrast(around, entity, entity_id, temperature) + batch_contrast(entity, around, entity_id, temperature)
    )


def enriched(name: str, kinds: Sequence[str] = (), definition: str = "") -> str:
    """K-LITE's caption of a concept: its name, what it is a kind of from near to far, and its definition.

        takoyaki, dumpling, dish, a ball-shaped Japanese dumpling made of batter

    What the graph doesn't know is left out, so a bare name stays as it was. The order and the
    commas are ours.
    """
    known = [name.strip(), *(kind.strip() for kind in kinds), definition.strip().rstrip(".")]
    return ", ".join(part for part in known if part)

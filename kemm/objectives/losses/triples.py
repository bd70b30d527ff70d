"""Link prediction beside masked words: KEPLER's TransE, DRAGON's DistMult, negatives, and edges to hide."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise


def transe_distance(head: Tensor, relation: Tensor, tail: Tensor, norm: int = 1) -> Tensor:
    """d = ‖h + r − t‖_p over the last axis (Bordes et al., 2013); KEPLER has p = 1. Shapes broadcast."""
    return torch.linalg.vector_norm(precise(head + relation - tail), ord=norm, dim=-1)


def distmult_score(head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
    """φ = Σ_d h_d r_d t_d / √D (Yang et al., 2015, arXiv:1412.6575); the root is DRAGON's. Shapes broadcast."""
    return precise(head * relation * tail).sum(-1) / head.shape[-1] ** 0.5


def negative_sampling(positive: Tensor, negatives: Tensor, margin: float = 0.0, wrong: Tensor | None = None) -> Tensor:
    """L = mean_m [−log σ(γ + φ_m) − 1/n_m Σ_{wrong i} log σ(−γ − φ′_mi)],   φ a score, higher for truth.

    KEPLER (Wang et al., 2021, arXiv:1911.06136): φ = −``transe_distance`` of text vectors, γ its margin. DRAGON
    (Yasunaga et al., 2022, arXiv:2210.09338): φ = ``distmult_score``, 64 negatives. Written with log σ, so that nothing
    overflows.

    Args:
        positive: (M,). negatives: (M, n).
        wrong: (M, n) bool, false at drawn triples that are true after all; none: all are wrong. A triple without any
        wrong
            one has its first term alone.

    Returns:
        A scalar, zero for no triples.
    """
    if not len(positive):
        return positive.sum() + negatives.sum()
    right = -F.logsigmoid(margin + precise(positive))
    other = -F.logsigmoid(-margin - precise(negatives))
    wrong = torch.ones_like(negatives, dtype=torch.bool) if wrong is None else wrong
    return (right + other.masked_fill(~wrong, 0.0).sum(1) / wrong.sum(1).clamp(min=1)).mean()


def draw_negatives(
    head: Tensor, tail: Tensor, num_nodes: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Triples with one end replaced by any other node; half of ``count`` a new tail, the rest a new head.

    Args:
        head, tail: (M,) numbers of nodes. num_nodes: at least 2.

    Returns:
        Heads and tails, (M, count) each. That a drawn triple may be true is for the caller to look up (``wrong``).

    Raises:
        ValueError: fewer than two nodes: there is no other one.
    """
    if num_nodes < 2:
        raise ValueError("a graph of one node has no wrong triples: it needs two nodes")
    step = torch.randint(1, num_nodes, (len(head), count), generator=generator)
    new_tail = torch.arange(count) < (count + 1) // 2
    heads = torch.where(new_tail, head[:, None], (head[:, None] + step) % num_nodes)
    tails = torch.where(new_tail, (tail[:, None] + step) % num_nodes, tail[:, None])
    return heads, tails


def hide_edges(num_edges: int, generator: torch.Generator, share: float = 0.15) -> Tensor:
    """Which edges are taken out of the graph and asked for: (M,) bool, max(1, round(share · M)) of them (DRAGON)."""
    wanted = min(max(1, round(share * num_edges)), num_edges)
    hidden = torch.zeros(num_edges, dtype=torch.bool)
    hidden[torch.randperm(num_edges, generator=generator)[:wanted]] = True
    return hidden

"""NBFNet: a query's score of every node by a learned Bellman–Ford over all paths from the head.

Nodes have no vectors of their own, so it works on graphs whose entities were never seen.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from kg.gnn.messages import sum_products
from kg.gnn.plan import EdgePlan
from kg.gnn.spread import spread_of_products

Aggregate = Literal["sum", "mean", "pna"]

#: Variances and mean logarithms below count as this, so that roots and quotients have derivatives.
_SMALLEST = 1e-6


class NBFLayer(nn.Module):
    """h'_v = ReLU(LN(W [h_v ; A({h_u ∘ w_q(r)}_(u,r,v) ∪ {h⁰_v})])) + h_v,  w_q(r) = (B q + b)_r.

    A step of the generalised Bellman–Ford (Zhu et al., 2021, arXiv:2106.06935, equations 3 and 4) with DistMult's
    message and, as in the authors' code, a residual. A is the sum, the mean, or "pna" (their best): mean, highest,
    lowest and standard deviation, each as it is, times s_v and over s_v, with s_v = ln(1 + |N(v)|) over its mean
    (Corso et al., 2020, arXiv:2004.05718, equation 8).

    Args:
        width: D.
        num_relations: R, inverses counted.
        aggregate: A, "sum", "mean" or "pna".
        dependent: w depends on the query; otherwise it is a table of the layer's (the authors' setting on WN18RR).
    """

    def __init__(self, width: int, num_relations: int, aggregate: Aggregate = "sum", dependent: bool = True) -> None:
        super().__init__()
        self.relations: nn.Linear | nn.Embedding = (
            nn.Linear(width, num_relations * width) if dependent else nn.Embedding(num_relations, width)
        )
        self.update = nn.Linear((13 if aggregate == "pna" else 2) * width, width)
        self.norm = nn.LayerNorm(width)
        self.num_relations, self.aggregate = num_relations, aggregate

    def forward(self, x: Tensor, boundary: Tensor, query: Tensor, plan: EdgePlan, kept: Tensor) -> Tensor:
        """Take a step for B queries at once: (N, B, D), (N, B, D), (B, D), (M,) 1 or 0 an edge → (N, B, D)."""
        if isinstance(self.relations, nn.Linear):
            weights = self.relations(query).unflatten(1, (self.num_relations, -1)).transpose(0, 1)  # (R, B, D)
        else:
            weights = self.relations.weight[:, None].expand(-1, *query.shape)  # (R, B, D)
        gathered = self.gather(x, weights.flatten(1), boundary, plan, kept)
        return torch.relu(self.norm(self.update(torch.cat([x, *gathered], -1)))) + x

    def gather(self, x: Tensor, weights: Tensor, boundary: Tensor, plan: EdgePlan, kept: Tensor) -> list[Tensor]:
        """Return what A gives, one or twelve tensors (N, B, D); weights (R, B·D)."""
        degrees = kept.new_zeros(plan.num_nodes).index_add(0, plan.target, kept)[:, None, None] + 1  # with h⁰_v
        if self.aggregate != "pna":
            summed = sum_products(x.flatten(1), weights, kept, plan).view(x.shape) + boundary
            return [summed if self.aggregate == "sum" else summed / degrees]
        spread = spread_of_products(x.flatten(1), weights, boundary.flatten(1), kept, plan)
        total, square, top, low = (part.view(x.shape) for part in spread)
        mean = total / degrees
        deviation = (square / degrees - mean * mean).clamp_min(_SMALLEST).sqrt()
        scale = degrees.log()
        scale = scale / scale.mean().clamp_min(_SMALLEST)
        parts = [mean, top, low, deviation]
        return [*parts, *(part * scale for part in parts), *(part / scale.clamp_min(0.01) for part in parts)]


class NBFNet(nn.Module):
    """f(h, r, v) = MLP([h_v^(T) ; q_r]) after T steps from h⁰_v = [v = h] q_r (Zhu et al., 2021, equations 5 and 6).

    Args:
        width: D.
        num_relations: R, inverses counted.
        layers: T.
        aggregate, dependent: as of ``NBFLayer``.
    """

    def __init__(
        self,
        width: int,
        num_relations: int,
        layers: int = 6,
        aggregate: Aggregate = "sum",
        dependent: bool = True,
    ) -> None:
        super().__init__()
        self.queries = nn.Embedding(num_relations, width)
        self.layers = nn.ModuleList(NBFLayer(width, num_relations, aggregate, dependent) for _ in range(layers))
        self.score = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, 1))

    def forward(self, heads: Tensor, relations: Tensor, plan: EdgePlan, kept: Tensor | None = None) -> Tensor:
        """Return the scores of all nodes as tails, (B,), (B,) → (B, N).

        Args:
            kept: (M,), 0 for edges that no path may take and 1 for the others; by default all may be taken.
        """
        kept = torch.ones(len(plan.source)) if kept is None else kept
        query = self.queries(relations)  # (B, D)
        boundary = query.new_zeros(plan.num_nodes, *query.shape)
        boundary = boundary.index_put((heads, torch.arange(len(heads))), query)  # (N, B, D)
        x = boundary
        for layer in self.layers:
            x = layer(x, boundary, query, plan, kept)
        scores: Tensor = self.score(torch.cat([x, query.expand_as(x)], -1))[..., 0]  # (N, B)
        return scores.T

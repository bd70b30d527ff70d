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

    def forward(
        self, x: Tensor, boundary: Tensor, query: Tensor, plan: EdgePlan, kept: Tensor, degrees: Tensor
    ) -> Tensor:
        """Take a step for B queries at once.

        Args:
            x, boundary: (N, B, D).
            query: (B, D).
            kept: (M,) 1 or 0 an edge.
            degrees: (N,), messages of each node, h⁰_v among them.

        Returns:
            (N, B, D).
        """
        if isinstance(self.relations, nn.Linear):
            weights = self.relations(query).unflatten(1, (self.num_relations, -1)).transpose(0, 1)  # (R, B, D)
        else:
            weights = self.relations.weight[:, None].expand(-1, *query.shape)  # (R, B, D)
        weights, degrees = weights.flatten(1), degrees[:, None, None]
        width, linear = x.shape[-1], nn.functional.linear
        if self.aggregate == "pna":
            # [x ; A ; s A ; A / s] times the update's columns, without the twelve parts of A side by side in memory
            features = self._spread(x, weights, boundary, plan, kept, degrees)  # (N, B, 4D)
            own, *of_scales = self.update.weight.split([width, *[4 * width] * 3], 1)
            once, times, over = linear(features, torch.cat(of_scales)).chunk(3, -1)
            scale = degrees.log()
            scale = scale / scale.mean().clamp_min(_SMALLEST)
            summed = linear(x, own, self.update.bias) + once + scale * times + over / scale.clamp_min(0.01)
        else:
            gathered = sum_products(x.flatten(1), weights, kept, plan).view(x.shape) + boundary
            if self.aggregate == "mean":
                gathered = gathered / degrees
            summed = self.update(torch.cat([x, gathered], -1))
        return torch.relu(self.norm(summed)) + x

    def _spread(
        self, x: Tensor, weights: Tensor, boundary: Tensor, plan: EdgePlan, kept: Tensor, degrees: Tensor
    ) -> Tensor:
        """Return mean, highest, lowest and standard deviation of each node's messages, (N, B, 4D)."""
        spread = spread_of_products(x.flatten(1), weights, boundary.flatten(1), kept, plan)
        total, square, top, low = (part.view(x.shape) for part in spread)
        mean = total / degrees
        deviation = (square / degrees - mean * mean).clamp_min(_SMALLEST).sqrt()
        return torch.cat([mean, top, low, deviation], -1)


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
        query = self.queries(relations)  # (B, D)
        kept = query.new_ones(len(plan.source)) if kept is None else kept
        degrees = kept.new_zeros(plan.num_nodes).index_add(0, plan.target, kept) + 1
        boundary = query.new_zeros(plan.num_nodes, *query.shape)
        boundary = boundary.index_put((heads, torch.arange(len(heads), device=heads.device)), query)  # (N, B, D)
        x = boundary
        for layer in self.layers:
            x = layer(x, boundary, query, plan, kept, degrees)
        scores: Tensor = self.score(torch.cat([x, query.expand_as(x)], -1))[..., 0]  # (N, B)
        return scores.T

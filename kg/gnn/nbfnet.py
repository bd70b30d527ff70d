"""NBFNet: a query's score of every node by a learned Bellman–Ford over all paths from the head.

Nodes have no vectors of their own, so it works on graphs whose entities were never seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kg.gnn.messages import sum_products
from kg.gnn.plan import EdgePlan


class NBFLayer(nn.Module):
    """h'_v = ReLU(LN(W [h_v ; h⁰_v + Σ_(u,r,v) h_u ∘ w_q(r)])),  w_q(r) = (A q + a)_r.

    A step of the generalised Bellman–Ford (Zhu et al., 2021, arXiv:2106.06935, equations 3 and 4) with DistMult's
    message and the sum as aggregate. Differences: the mean may replace the sum, the update is residual where asked.

    Args:
        width: D.
        num_relations: R, inverses counted.
        mean: divide by the number of edges into a node, the boundary counted.
        residual: add h_v.
        dependent: w depends on the query; otherwise it is a table of the layer's (the authors' setting on WN18RR).
    """

    def __init__(
        self, width: int, num_relations: int, mean: bool = False, residual: bool = True, dependent: bool = True
    ) -> None:
        super().__init__()
        self.relations: nn.Linear | nn.Embedding = (
            nn.Linear(width, num_relations * width) if dependent else nn.Embedding(num_relations, width)
        )
        self.update = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)
        self.num_relations, self.mean, self.residual = num_relations, mean, residual

    def forward(self, x: Tensor, boundary: Tensor, query: Tensor, plan: EdgePlan, kept: Tensor) -> Tensor:
        """Take a step for B queries at once: (N, B, D), (N, B, D), (B, D), (M,) 1 or 0 an edge → (N, B, D)."""
        if isinstance(self.relations, nn.Linear):
            weights = self.relations(query).unflatten(1, (self.num_relations, -1)).transpose(0, 1)  # (R, B, D)
        else:
            weights = self.relations.weight[:, None].expand(-1, *query.shape)  # (R, B, D)
        summed = sum_products(x.flatten(1), weights.flatten(1), kept, plan).view(x.shape) + boundary
        if self.mean:
            summed = summed / (kept.new_zeros(plan.num_nodes).index_add(0, plan.target, kept) + 1)[:, None, None]
        new = torch.relu(self.norm(self.update(torch.cat([x, summed], -1))))
        return new + x if self.residual else new


class NBFNet(nn.Module):
    """f(h, r, v) = MLP([h_v^(T) ; q_r]) after T steps from h⁰_v = [v = h] q_r (Zhu et al., 2021, equations 5 and 6).

    Args:
        width: D.
        num_relations: R, inverses counted.
        layers: T.
        mean, dependent: as of ``NBFLayer``.
    """

    def __init__(
        self, width: int, num_relations: int, layers: int = 6, mean: bool = False, dependent: bool = True
    ) -> None:
        super().__init__()
        self.queries = nn.Embedding(num_relations, width)
        self.layers = nn.ModuleList(NBFLayer(width, num_relations, mean, dependent=dependent) for _ in range(layers))
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

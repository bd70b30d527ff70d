"""SACN's encoder: a graph convolution whose edges are weighed by a learned number a relation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kg.gnn.messages import sum_rows
from kg.gnn.plan import EdgePlan


class WeightedConvolution(nn.Module):
    """h'_v = h_v W + Σ_(u,r) α_r h_u W + b.

    The weighted graph convolution of SACN (Shang et al., 2019, arXiv:1811.04441, equations 1 to 3), before its
    activation. An inverse relation has a weight of its own where the plan numbers it so; the authors' code shares it.

    Args:
        in_width, out_width: of node vectors.
        num_relations: R.
    """

    def __init__(self, in_width: int, out_width: int, num_relations: int) -> None:
        super().__init__()
        self.transform = nn.Linear(in_width, out_width, bias=False)
        self.strength = nn.Parameter(torch.ones(num_relations))
        self.bias = nn.Parameter(torch.zeros(out_width))

    def forward(self, x: Tensor, plan: EdgePlan) -> Tensor:
        """Encode nodes, (N, in) → (N, out)."""
        h = self.transform(x)  # W after the sum and before it are the same; out is rarely wider than in
        return h + sum_rows(h, plan.source, self.strength[plan.relation], plan) + self.bias

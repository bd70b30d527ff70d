"""GraphSAGE: a node and the mean of its neighbours, whatever the relation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kg.gnn.messages import sum_rows
from kg.gnn.plan import EdgePlan


class SAGELayer(nn.Module):
    """h'_v = W₁ mean_(u → v) h_u + b + W₂ h_v.

    Hamilton, Ying & Leskovec, 2017, arXiv:1706.02216, algorithm 1 with the mean and without its normalisation. The same
    numbers as PyG's ``SAGEConv``, whose parameters have the same names and shapes.

    Args:
        in_width, out_width: of node vectors.
    """

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.lin_l = nn.Linear(in_width, out_width)
        self.lin_r = nn.Linear(in_width, out_width, bias=False)

    def forward(self, x: Tensor, plan: EdgePlan) -> Tensor:
        """Encode nodes, (N, in) → (N, out)."""
        degrees = torch.diff(plan.starts).float()
        mean = sum_rows(x, plan.source, (1 / degrees)[plan.target], plan)  # (N, in)
        encoded: Tensor = self.lin_l(mean) + self.lin_r(x)
        return encoded

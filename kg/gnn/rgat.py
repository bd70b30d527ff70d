"""R-GAT: attention over typed edges, with one transform a distinct (relation, node) instead of one an edge."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from kg.gnn.messages import full, sum_rows
from kg.gnn.plan import EdgePlan


class RGATLayer(nn.Module):
    """h'_v = b + Σ_(u,r) α_urv W_r h_u,  α = softmax over edges into v of LeakyReLU(Qᵀ W_r h_v + Kᵀ W_r h_u).

    Relational graph attention, additive, across relations (Busbridge et al., 2019, arXiv:1904.05811, sections 2.2 and
    2.3). The same numbers as PyG's ``RGATConv`` with its defaults, whose parameters have the same names and shapes;
    that one gathers a matrix an edge, which no full graph of half a million edges survives.

    Args:
        in_width, out_width: of node vectors; out is per head.
        num_relations: R.
        heads: H; their outputs are put side by side.
    """

    def __init__(self, in_width: int, out_width: int, num_relations: int, heads: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_relations, in_width, heads * out_width))
        self.q = nn.Parameter(torch.empty(heads * out_width, heads))
        self.k = nn.Parameter(torch.empty(heads * out_width, heads))
        self.bias = nn.Parameter(torch.zeros(heads * out_width))
        for parameter in (self.weight, self.q, self.k):
            nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor, plan: EdgePlan) -> Tensor:
        """Encode nodes, (N, in) → (N, H · out)."""
        transformed = plan.sources.transform(x, self.weight)  # (P, H · out)
        of_source = transformed @ self.k  # (P, H)
        of_target = plan.targets.transform(x, self.weight @ self.q)  # (P', H)
        logits = leaky_relu(of_target[plan.targets.of_edge] + of_source[plan.sources.of_edge], 0.2)  # (M, H)
        attention = softmax_into(logits, plan)
        return sum_rows(transformed, plan.sources.of_edge, attention, plan) + self.bias


def softmax_into(logits: Tensor, plan: EdgePlan) -> Tensor:
    """Return the softmax of (M, H) logits over the edges into each node."""
    logits = full(logits)
    into = plan.target[:, None].expand_as(logits)
    size = (plan.num_nodes, logits.shape[1])
    highest = logits.new_full(size, -torch.inf).scatter_reduce(0, into, logits.detach(), "amax")
    raised = torch.exp(logits - highest[plan.target])
    total = logits.new_zeros(size).index_add(0, plan.target, raised)
    return raised / total[plan.target]

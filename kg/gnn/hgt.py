"""HGT: attention with a projection for each type of node and matrices for each relation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kg.errors import InputError
from kg.gnn.messages import products, sum_rows
from kg.gnn.plan import EdgePlan
from kg.gnn.rgat import softmax_into


class TypedLinear(nn.Module):
    """W_τ(v) h_v + b_τ(v): a linear map for each of T types of node."""

    def __init__(self, in_width: int, out_width: int, num_types: int) -> None:
        super().__init__()
        self.of_type = nn.ModuleList(nn.Linear(in_width, out_width) for _ in range(num_types))

    def forward(self, x: Tensor, node_type: Tensor) -> Tensor:
        """(N, in), (N,) int64 → (N, out)."""
        places = [(node_type == number).nonzero()[:, 0] for number in range(len(self.of_type))]
        parts = [linear(x[where]) for linear, where in zip(self.of_type, places)]
        return torch.cat(parts)[torch.cat(places).argsort()]


class HGTLayer(nn.Module):
    """h'_v = σ(s_τ(v)) A_τ(v) gelu(Σ_(u,r) α_urv V_τ(u) h_u M_r) + (1 − σ(s_τ(v))) h_v, for each head.

        α = softmax over edges into v of μ_r ⟨K_τ(u) h_u W_r, Q_τ(v) h_v⟩ / √d

    Heterogeneous graph transformer (Hu et al., 2020, arXiv:2003.01332, equations 2 to 5), d numbers a head; without the
    last term where widths differ. The same numbers as PyG's ``HGTConv`` on a graph in which a relation always joins the
    same two types. K h_u W_r is computed once for each distinct (r, u).

    Args:
        in_width, out_width: of node vectors.
        num_types: T, of nodes.
        num_relations: R.
        heads: H, divides ``out_width``.

    Raises:
        InputError: it does not.
    """

    def __init__(self, in_width: int, out_width: int, num_types: int, num_relations: int, heads: int = 1) -> None:
        super().__init__()
        if out_width % heads:
            raise InputError(f"heads ({heads}) must divide the width {out_width}")
        self.heads, part = heads, out_width // heads
        self.key, self.query, self.value = (TypedLinear(in_width, out_width, num_types) for _ in range(3))
        self.out = TypedLinear(out_width, out_width, num_types)
        self.key_relation, self.value_relation = (
            nn.Parameter(torch.empty(heads, num_relations, part, part)) for _ in range(2)
        )
        self.prior = nn.Parameter(torch.ones(num_relations, heads))  # μ
        self.skip = nn.Parameter(torch.ones(num_types)) if in_width == out_width else None
        for parameter in (self.key_relation, self.value_relation):
            nn.init.uniform_(parameter, -((3 / part) ** 0.5), (3 / part) ** 0.5)

    def forward(self, x: Tensor, node_type: Tensor, plan: EdgePlan) -> Tensor:
        """Encode nodes, (N, in), (N,) int64 → (N, out)."""
        keys = self._brought(self.key(x, node_type), self.key_relation, plan)  # (P, out)
        values = self._brought(self.value(x, node_type), self.value_relation, plan)
        of_edge, query = plan.sources.of_edge, self.query(x, node_type)
        logits = products(keys, of_edge, query, self.heads, plan) * self.prior[plan.relation]  # (M, H)
        attention = softmax_into(logits * (query.shape[1] / self.heads) ** -0.5, plan)
        summed = sum_rows(values, of_edge, attention, plan)
        encoded: Tensor = self.out(nn.functional.gelu(summed), node_type)
        if self.skip is None:
            return encoded
        share = self.skip.sigmoid()[node_type, None]
        return share * encoded + (1 - share) * x

    def _brought(self, h: Tensor, weights: Tensor, plan: EdgePlan) -> Tensor:
        """Return what each distinct (relation, source) brings, head by head, (P, out)."""
        parts = zip(h.chunk(self.heads, 1), weights.unbind(0))
        return torch.cat([plan.sources.transform(part, of_head) for part, of_head in parts], 1)

"""R-GCN: a matrix for each relation, of bases or of blocks, applied once for each distinct (relation, source)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from kg.errors import InputError
from kg.gnn.messages import sum_rows
from kg.gnn.plan import EdgePlan


class RGCNLayer(nn.Module):
    """h'_v = W₀ h_v + b + Σ_r 1/|N_r(v)| Σ_(u ∈ N_r(v)) W_r h_u.

    Schlichtkrull et al., 2018, arXiv:1703.06103, equation 2, with

        bases   W_r = Σ_b a_rb V_b                (equation 3)
        blocks  W_r = diag(Q_1r, …, Q_Br)         (equation 4)

    The same numbers as PyG's ``RGCNConv``, whose parameters have the same names and shapes. There every relation makes
    a sum over all nodes; here W_r h_u is computed once for each distinct (r, u), and summed without a message an edge.

    Args:
        in_width, out_width: of node vectors.
        num_relations: R.
        num_bases, num_blocks: at most one of them.
    """

    def __init__(
        self,
        in_width: int,
        out_width: int,
        num_relations: int,
        num_bases: int | None = None,
        num_blocks: int | None = None,
    ) -> None:
        super().__init__()
        if num_bases is not None and num_blocks is not None:
            raise InputError("R-GCN takes num_bases or num_blocks, not both")
        if num_blocks is not None and (in_width % num_blocks or out_width % num_blocks):
            raise InputError(f"num_blocks ({num_blocks}) must divide the widths {in_width} and {out_width}")
        self.num_blocks = num_blocks
        shape: tuple[int, ...] = (num_bases or num_relations, in_width, out_width)
        if num_blocks is not None:
            shape = (num_relations, num_blocks, in_width // num_blocks, out_width // num_blocks)
        self.weight = nn.Parameter(torch.empty(shape))
        self.comp = nn.Parameter(torch.empty(num_relations, num_bases)) if num_bases is not None else None
        self.root = nn.Parameter(torch.empty(in_width, out_width))
        self.bias = nn.Parameter(torch.zeros(out_width))
        for parameter in (self.weight, self.comp, self.root):
            if parameter is not None:
                bound = (6 / (parameter.shape[-2] + parameter.shape[-1])) ** 0.5
                nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor, plan: EdgePlan, norm: Tensor | None = None) -> Tensor:
        """Encode nodes, (N, in) → (N, out), with (M,) ``norm`` in place of 1/|N_r(v)| where it is given."""
        pairs = plan.sources
        if self.num_blocks is not None:
            parts = x.unflatten(1, (self.num_blocks, -1)).unbind(1)  # B of (N, in / B)
            blocks = self.weight.unbind(1)  # B of (R, in / B, out / B)
            transformed = torch.cat([pairs.transform(part, block) for part, block in zip(parts, blocks)], 1)
        else:
            weights = self.weight if self.comp is None else torch.einsum("rb,bio->rio", self.comp, self.weight)
            transformed = pairs.transform(x, weights)  # (P, out)
        summed = sum_rows(transformed, pairs.of_edge, plan.mean_in_relation if norm is None else norm, plan)
        return torch.addmm(self.bias, x, self.root) + summed


class RGCN(nn.Module):
    """A stack of R-GCN layers with ReLU between them.

    Args:
        widths: of the input and of each layer's output.
        num_relations: R.
        num_bases, num_blocks: as of ``RGCNLayer``.
        dropout: of node vectors between layers.
        edge_dropout: probability with which an edge is left out in training, before |N_r(v)| is counted (section 5.1).
    """

    def __init__(
        self,
        widths: list[int],
        num_relations: int,
        num_bases: int | None = None,
        num_blocks: int | None = None,
        dropout: float = 0.0,
        edge_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.edge_dropout = edge_dropout
        self.layers = nn.ModuleList(
            RGCNLayer(one, two, num_relations, num_bases, num_blocks) for one, two in itertools.pairwise(widths)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, plan: EdgePlan) -> Tensor:
        """Encode nodes, (N, widths[0]) → (N, widths[-1])."""
        for number, layer in enumerate(self.layers):
            if number:
                x = self.dropout(torch.relu(x))
            norm = None
            if self.training and self.edge_dropout:
                kept = torch.rand(len(plan.source)) >= self.edge_dropout  # drawn here: the same on every device
                norm = plan.mean_among(kept.float().to(x.device))
            x = layer(x, plan, norm)
        return x

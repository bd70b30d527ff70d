"""CompGCN with relation vectors given by the caller, so that a relation never seen in training still has a message."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing


class CompGCNLayer(MessagePassing):
    """One round of messages along typed edges, in both directions.

        h'_v = h_v + GELU(W_self LN(h_v) + 1/|N(v)| Σ_{(u,r) ∈ N(v)} W_dir(r) (LN(h_u) ∘ z_r))

    Composition by product, as in CompGCN (Vashishth et al., 2020, arXiv:1911.03082, "mult"). Differences: the relation
    vectors ``z`` come from outside (text), the mean replaces the symmetric norm, and the update is residual.
    """

    def __init__(self, width: int) -> None:
        super().__init__(aggr="mean")
        self.norm = nn.LayerNorm(width)
        self.itself = nn.Linear(width, width)
        self.along = nn.Linear(width, width, bias=False)
        self.against = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        h = self.norm(x)
        both = torch.cat([edge_index, edge_index.flip(0)], dim=1)  # (2, 2M)
        composed = torch.cat(
            [self.along(h[edge_index[0]] * edge_attr), self.against(h[edge_index[1]] * edge_attr)]
        )  # (2M, D)
        return x + torch.nn.functional.gelu(
            self.itself(h) + self.propagate(both, message_in=composed, size=(len(x), len(x)))
        )

    def message(self, message_in: Tensor) -> Tensor:
        return message_in


class CompGCN(nn.Module):
    """A stack of ``CompGCNLayer``.

    Args:
        width: D of nodes and relations.
        layers: rounds of messages; each lets a node see one hop further.
    """

    def __init__(self, width: int, layers: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CompGCNLayer(width) for _ in range(layers))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """Encode nodes.

        Args:
            x: (N, D) node vectors of all subgraphs of the batch, one after the other.
            edge_index: (2, M) int64, head and tail of each edge.
            edge_attr: (M, D) relation vectors.

        Returns:
            (N, D) node vectors.
        """
        for layer in self.layers:
            x = layer(x, edge_index, edge_attr)
        return x

"""QA-GNN's attention over a retrieved subgraph: nodes have a type and a relevance to the question, edges a type.

DRAGON and GreaseLM use the same layer between text layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import degree, softmax

from kg.errors import InputError


class TypedAttentionLayer(nn.Module):
    """h'_t = MLP(Σ_(s → t) |N_s| α_st m_st), α_st = softmax over the edges out of s of ⟨q_s, k_st⟩ / √d, for each head.

        m_st = W_m [h_s ; f_s ; e_st]     q_s = W_q [h_s ; f_s]     k_st = W_k [h_t ; f_t ; e_st]

    Yasunaga et al., 2021, arXiv:2104.06378, equations 2 to 8; f are features of type and relevance, e those of an edge.
    Every node has an edge to itself, counted in |N_s|, the edges out of s. That factor is in the authors' code, not in
    the paper: without it a node that points to many would say little to each.

    Args:
        width: D.
        heads: H, divides the width.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"heads ({heads}) must divide the width {width}")
        self.heads = heads
        self.key, self.message = nn.Linear(3 * width, width), nn.Linear(3 * width, width)
        self.query = nn.Linear(2 * width, width)
        self.update = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, features: Tensor, edge_index: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Encode nodes.

        Args:
            x, features: (N, D).
            edge_index: (2, M), self-loops among them.
            edges: (M, D).

        Returns:
            (N, D), and the attention α, (M, H).
        """
        both = torch.cat([x, features], 1)  # (N, 2D)
        source, target = edge_index
        key = self.key(torch.cat([both[target], edges], 1)).unflatten(1, (self.heads, -1))  # (M, H, d)
        message = self.message(torch.cat([both[source], edges], 1)).unflatten(1, (self.heads, -1))
        query = self.query(both)[source].unflatten(1, (self.heads, -1))
        attention = softmax((query * key).sum(-1) * key.shape[-1] ** -0.5, source, num_nodes=len(x))  # (M, H)
        weights = attention * degree(source, len(x))[source, None]
        summed = torch.zeros_like(x).index_add(0, target, (message * weights[..., None]).flatten(1))
        return self.update(summed), attention


class TypedAttention(nn.Module):
    """QA-GNN's encoder: GELU(V_h h⁰ + V_x h^(T)) after T layers, f = GELU [W_u 1_type ; W_ρ sin(1.1^j ρ)]_j.

    Edge features are MLP([type ; type of source ; type of target]), types one-hot and self-loops a type of their own,
    shared by the layers (sections 3.3 and 3.4 of the paper; sin(1.1^j ρ) from the authors' code).

    Args:
        width: D, even.
        num_node_types, num_edge_types: inverses of edges counted.
        layers: T.
        heads, dropout: of each layer.
    """

    def __init__(
        self,
        width: int,
        num_node_types: int,
        num_edge_types: int,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % 2:
            raise InputError(f"the width is shared by type and relevance, so it must be even (got {width})")
        self.num_node_types, self.num_edge_types = num_node_types, num_edge_types
        self.of_type = nn.Linear(num_node_types, width // 2)
        self.of_relevance = nn.Linear(width // 2, width // 2)
        self.edge = nn.Sequential(
            nn.Linear(num_edge_types + 1 + 2 * num_node_types, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width),
        )
        self.layers = nn.ModuleList(TypedAttentionLayer(width, heads) for _ in range(layers))
        self.before, self.after = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, node_type: Tensor, relevance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode nodes of all subgraphs of a batch, one after the other.

        Args:
            x: (N, D).
            edge_index, edge_type: (2, M) and (M,) int64.
            node_type: (N,) int64.
            relevance: (N,), of each node to its question.

        Returns:
            (N, D), and the attention of each layer, (T, M, H): what to show as the reason of an answer.
        """
        one_hot = nn.functional.one_hot
        types = one_hot(node_type, self.num_node_types).float()
        waves = torch.sin(relevance[:, None] * 1.1 ** torch.arange(x.shape[1] // 2, device=x.device))  # (N, D / 2)
        gelu = nn.functional.gelu
        features = torch.cat([gelu(self.of_type(types)), gelu(self.of_relevance(waves))], 1)  # (N, D)
        loops = torch.arange(len(x), device=x.device).expand(2, -1)
        ends = torch.cat([edge_index, loops], 1)  # (2, M + N)
        kinds = torch.cat([edge_type, edge_type.new_full((len(x),), self.num_edge_types)])
        of_edge = torch.cat([one_hot(kinds, self.num_edge_types + 1).float(), types[ends[0]], types[ends[1]]], 1)
        edges = self.edge(of_edge)
        h, attentions = x, []
        for layer in self.layers:
            h, attention = layer(h, features, ends, edges)
            h = self.dropout(gelu(h))
            attentions.append(attention[: len(edge_type)])
        return self.dropout(gelu(self.before(x) + self.after(h))), torch.stack(attentions)

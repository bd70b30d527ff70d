"""A tower for subgraphs: one of ``kg.gnn`` over the nodes of many small graphs, given back graph by graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.encoders.encoder import Encoder, Features, mean_over
from kg.gnn import GNNS
from kg.registry import resolve


class GraphTokens(Encoder):
    """Nodes and relations, known by vectors (of their text), → one token a node.

    Args:
        features: width of the vectors given.
        width: D.
        gnn: of ``kg.gnn.GNNS``.
        layers: rounds of messages.

    Raises:
        InputError: there is no such graph encoder.
    """

    modality = "knowledge"

    def __init__(self, features: int = 384, width: int = 384, gnn: str = "compgcn", layers: int = 2) -> None:
        super().__init__()
        self.node, self.relation = nn.Linear(features, width), nn.Linear(features, width)
        self.gnn = resolve(GNNS, gnn, "graph encoder")(width, layers)
        self.norm = nn.LayerNorm(width)
        self.width, self.name = width, f"graph/{gnn}/{width}x{layers}"

    def features(  # type: ignore[override]
        self, nodes: Tensor, edges: Tensor, relations: Tensor, graph: Tensor, num_graphs: int
    ) -> Features:
        """Encode B graphs.

        Args:
            nodes: ``(N, D_f)`` of all graphs.
            edges: ``(2, M)`` int64, head and tail of each among all nodes.
            relations: ``(M, D_f)``.
            graph: ``(N,)`` int64, ascending: the graph of each node.
            num_graphs: B, those without nodes included.

        Returns:
            Tokens padded to the largest graph.
        """
        h = self.norm(self.gnn(self.node(nodes), edges, self.relation(relations)))
        counts = graph.bincount(minlength=num_graphs)
        first = counts.cumsum(0) - counts
        place = torch.arange(len(graph), device=graph.device) - first[graph]
        tokens = h.new_zeros(num_graphs, int(counts.max()) if num_graphs else 0, self.width)
        tokens = tokens.index_put((graph, place), h)
        mask = torch.arange(tokens.shape[1], device=graph.device) < counts[:, None]
        return Features(tokens, mean_over(tokens, mask), mask)

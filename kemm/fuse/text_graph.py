"""GreaseLM: a language model's layers and a graph's in pairs, which exchange one token for one node.

Zhang et al., 2022, arXiv:2201.08860; DRAGON (Yasunaga et al., 2022, arXiv:2210.09338) trains the same with a
masked-word and a link-prediction objective.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from kemm.fuse import masks
from kemm.fuse.block import Block, BlockOptions
from kg.gnn import GNNS
from kg.registry import resolve


class TextGraphPairs(nn.Module):
    """After each pair of layers, text and graph mix through the interaction token and the interaction node.

        h = block(h),   e = GNN(e),   [h_0; e_0] ← [h_0; e_0] + MLP([h_0; e_0])

    The token is the first of the text, the node the first of each graph, linked to the others by the caller. Unlike
    there, the MLP's last layer starts at zero: the text model starts as it was.

    Args:
        width, heads, layers: of the text's blocks.
        node_width: of the nodes.
        gnn: the graph encoder, by name; one layer in each pair.
        mix_hidden: of the MLP; the sum of the widths unless given.
        options: see `Block`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        layers: int,
        node_width: int,
        gnn: str = "compgcn",
        mix_hidden: int | None = None,
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__()
        self.width, both = width, width + node_width
        make = resolve(GNNS, gnn, "graph encoder")
        self.blocks = nn.ModuleList(Block(width, heads, **options) for _ in range(layers))
        self.graphs = nn.ModuleList(make(node_width, 1) for _ in range(layers))
        self.mixers = nn.ModuleList()
        for _ in range(layers):
            last = nn.Linear(mix_hidden or both, both)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.mixers.append(nn.Sequential(nn.LayerNorm(both), nn.Linear(both, mix_hidden or both), nn.GELU(), last))

    def forward(
        self,
        text: Tensor,
        text_mask: Tensor | None,
        nodes: Tensor,
        edges: Tensor,
        relations: Tensor,
        first: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Fuse.

        Args:
            text: (B, T, D), the interaction token first; ``text_mask`` (B, T) bool, true at real words.
            nodes: (N, D_n) of all B graphs; ``first`` (B,) where each one's interaction node stands.
            edges, relations: (2, M) node numbers and (M, D_n) vectors of the edges' relations.

        Returns:
            text and nodes.
        """
        mask = None if text_mask is None else masks.keys(text_mask)
        for block, graph, mix in zip(self.blocks, self.graphs, self.mixers, strict=True):
            text, nodes = block(text, mask=mask), graph(nodes, edges, relations)
            both = torch.cat([text[:, 0], nodes[first]], dim=1)
            token, node = (both + mix(both)).split([self.width, nodes.shape[1]], dim=1)
            text = torch.cat([token[:, None], text[:, 1:]], dim=1)
            nodes = nodes.index_copy(0, first, node)
        return text, nodes

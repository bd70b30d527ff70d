"""Encoders of a whole knowledge graph for link prediction: layers over the training triples in both directions.

    encoder = CompGCNStack(TrainingGraph(train, num_entities, num_relations), width=128)
    entities, relations = encoder(entities, relations)       # (E, D), (2R or R, D') → the same shapes

Inverse relations are numbered from R on. Every stack takes vectors of entities and relations and gives both; those that
do nothing to relations give them back.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kg.errors import InputError
from kg.gnn.composition import Composition, CompositionLayer
from kg.gnn.hgt import HGTLayer
from kg.gnn.plan import EdgePlan
from kg.gnn.rgat import RGATLayer
from kg.gnn.rgcn import RGCN
from kg.gnn.sacn import WeightedConvolution
from kg.gnn.sage import SAGELayer


class TrainingGraph(NamedTuple):
    """Triples (head, relation, tail), (M, 3), of E entities and R relations."""

    triples: np.ndarray
    num_entities: int
    num_relations: int


class GraphStack(nn.Module, abc.ABC):
    """The contract. ``transforms_relations``: it takes and gives 2R relation vectors as wide as entities'."""

    transforms_relations = False

    @abc.abstractmethod
    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return new vectors of entities and of relations."""


class RGCNStack(GraphStack):
    """R-GCN as in Schlichtkrull et al., 2018 (arXiv:1703.06103): ReLU between layers, none at the end.

    Args:
        graph: the triples along which messages go.
        width: of entities.
        layers: how many.
        num_bases, num_blocks, dropout, edge_dropout: as of ``RGCN``.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        width: int,
        layers: int = 2,
        num_bases: int | None = None,
        num_blocks: int | None = None,
        dropout: float = 0.0,
        edge_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.plan = EdgePlan.both_ways(*graph)
        self.net = RGCN([width] * (layers + 1), 2 * graph.num_relations, num_bases, num_blocks, dropout, edge_dropout)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x, self.plan.on(x.device)), z


class CompGCNStack(GraphStack):
    """CompGCN as in Vashishth et al., 2020 (arXiv:1911.03082); its relations are transformed along with entities.

    Args:
        graph, width, layers: as of ``RGCNStack``.
        composition: φ of ``CompositionLayer``.
        dropout: of what comes along edges, and of the last layer's output.
    """

    transforms_relations = True

    def __init__(
        self,
        graph: TrainingGraph,
        width: int,
        layers: int = 1,
        composition: Composition = "mult",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        heads, relations, tails = torch.from_numpy(np.asarray(graph.triples, dtype=np.int64).T)
        sizes = graph.num_entities, graph.num_relations
        self.forwards = EdgePlan.make(torch.stack([heads, tails]), relations, *sizes)
        self.backwards = EdgePlan.make(torch.stack([tails, heads]), relations, *sizes)
        self.layers = nn.ModuleList(CompositionLayer(width, width, composition, dropout) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        plans = self.forwards.on(x.device), self.backwards.on(x.device)
        for layer in self.layers:
            x, z = layer(x, z, *plans)
        return self.dropout(x), z


class RGATStack(GraphStack):
    """h' = h + LN(RGAT(h)), ReLU between layers: relational attention with residuals, so that depth does not hurt.

    Busbridge et al., 2019 (arXiv:1904.05811) classify nodes; residuals and norms are ours.

    Args:
        graph, width, layers: as of ``RGCNStack``.
        heads: of attention; they divide the width.
        dropout: of node vectors between layers.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        width: int,
        layers: int = 1,
        heads: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_heads(heads, width)
        self.plan = EdgePlan.both_ways(*graph)
        self.layers = nn.ModuleList(
            RGATLayer(width, width // heads, 2 * graph.num_relations, heads=heads) for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        plan = self.plan.on(x.device)
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms)):
            x = x + norm(layer(self.dropout(torch.relu(x) if number else x), plan))
        return x, z


class SACNStack(GraphStack):
    """SACN's encoder: tanh(BN(weighted convolution)) layer by layer (Shang et al., 2019, arXiv:1811.04441).

    Args:
        graph, width, layers: as of ``RGCNStack``.
        dropout: of node vectors after each layer.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        width: int,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.plan = EdgePlan.both_ways(*graph)
        self.layers = nn.ModuleList(WeightedConvolution(width, width, 2 * graph.num_relations) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        plan = self.plan.on(x.device)
        for layer, norm in zip(self.layers, self.norms):
            x = self.dropout(torch.tanh(norm(layer(x, plan))))
        return x, z


class SAGEStack(GraphStack):
    """GraphSAGE as in Hamilton et al., 2017 (arXiv:1706.02216): ReLU between layers, none at the end.

    It takes no notice of relations, which only the decoder tells apart: a measure of what telling them apart is worth.

    Args:
        graph, width, layers: as of ``RGCNStack``.
        dropout: of node vectors between layers.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        width: int,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.plan = EdgePlan.both_ways(*graph)
        self.layers = nn.ModuleList(SAGELayer(width, width) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        plan = self.plan.on(x.device)
        for number, layer in enumerate(self.layers):
            x = layer(self.dropout(torch.relu(x)) if number else x, plan)
        return x, z


class HGTStack(GraphStack):
    """HGT as in Hu et al., 2020 (arXiv:2003.01332), all entities being of one type; each layer has its own way past it.

    Args:
        graph, width, layers: as of ``RGCNStack``.
        heads: of attention; they divide the width.
        dropout: of node vectors after each layer.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        width: int,
        layers: int = 1,
        heads: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_heads(heads, width)
        self.plan = EdgePlan.both_ways(*graph)
        self.register_buffer("node_type", torch.zeros(graph.num_entities, dtype=torch.int64), persistent=False)
        self.layers = nn.ModuleList(
            HGTLayer(width, width, 1, 2 * graph.num_relations, heads=heads) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        plan = self.plan.on(x.device)
        for layer in self.layers:
            x = self.dropout(layer(x, self.node_type, plan))
        return x, z


def _check_heads(heads: int, width: int) -> None:
    if width % heads:
        raise InputError(f"model.encoder.heads ({heads}) must divide the width of entities ({width})")

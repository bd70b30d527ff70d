"""Knowledge as tokens: a GNN reads the retrieved subgraph, and every fact becomes one token of the fusion encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.data.entity_vectors import EntityVectors
from kemm.data.fact_table import NUM_MARKS, NUM_NODE_MARKS
from kemm.data.facts import Facts
from kemm.fuse.entity_table import EntityTable
from kg.gnn import GNNS
from kg.registry import resolve


class FactEncoder(nn.Module):
    """Facts → tokens.

        x_v = W_t text_v + W_m marks_v (+ W_e LN(e_v)),   h = GNN(x; edges typed by z_r = W_r text_r)
        token_f = LN(W_near h_near + W_far h_far + W_far' x_far + z_r + W_p text_path + W_f marks_f)

    Everything starts from text, so a new entity or relation needs no training. Vectors e_v of an embedding run can be
    added, for the entities that have one: see ``EntityTable``.

    Args:
        text_width: D_t of the text tower's vectors.
        width: D of the fusion encoder.
        gnn, gnn_layers: the graph encoder, by name, and its rounds.
        vectors, is_tuned: those of the embedding run, and whether they learn.
    """

    def __init__(
        self,
        text_width: int,
        width: int,
        gnn: str,
        gnn_layers: int,
        vectors: EntityVectors | None = None,
        is_tuned: bool = False,
    ) -> None:
        super().__init__()
        self.node = nn.Linear(text_width, width)
        self.node_marks = nn.Linear(NUM_NODE_MARKS, width, bias=False)
        self.relation = nn.Linear(text_width, width)
        self.path = nn.Linear(text_width, width)
        self.marks = nn.Linear(NUM_MARKS, width)
        self.gnn = resolve(GNNS, gnn, "graph encoder")(width, gnn_layers)
        self.near = nn.Linear(width, width, bias=False)
        self.far = nn.Linear(2 * width, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.mask_vector = nn.Parameter(torch.zeros(text_width))
        self.entities = EntityTable(vectors, width, is_tuned) if vectors is not None else None

    def forward(
        self, facts: Facts, masked_nodes: Tensor | None = None, masked_relations: Tensor | None = None
    ) -> Tensor:
        """Encode.

        Args:
            facts: the evidence of B questions.
            masked_nodes: (N,) bool, nodes whose text, and vector, is hidden (masked entity modelling).
            masked_relations: (M,) bool, facts whose relation is hidden, and the path that would tell of it.

        Returns:
            (B, K, D) tokens.
        """
        scale = facts.node_vectors.shape[1] ** 0.5  # unit vectors → entries near one
        text = facts.node_vectors * scale
        if masked_nodes is not None:
            text = torch.where(masked_nodes[:, None], self.mask_vector, text)
        x = self.node(text) + self.node_marks(facts.node_marks)  # (N, D)
        if self.entities is not None:
            rows = facts.node_entity
            x = x + self.entities(rows if masked_nodes is None else rows.masked_fill(masked_nodes, -1))
        kind, path = facts.relation_vectors * scale, facts.path_vectors * scale
        if masked_relations is not None:
            kind, path = (torch.where(masked_relations[:, None], self.mask_vector, each) for each in (kind, path))
        relation = self.relation(kind)  # (M, D)
        head = torch.where(facts.forward, facts.near, facts.far)
        tail = torch.where(facts.forward, facts.far, facts.near)
        h = self.gnn(x, torch.stack([head, tail]), relation)
        far = torch.cat([h[facts.far], x[facts.far]], dim=-1)
        token = self.near(h[facts.near]) + self.far(far) + relation
        token = token + self.path(path) + self.marks(facts.marks)
        return facts.lay_out(self.norm(token))


class EntityEncoder(nn.Module):
    """An entity's vector from its text, its pictures and its neighbourhood, any of them missing.

        e = Σ_m g_m W_m x_m,   g = softmax over the present m of (w_m · tanh(W_m x_m))

    Args:
        text_width, vision_width, width: D_t, D_v and D.
    """

    def __init__(self, text_width: int, vision_width: int, width: int) -> None:
        super().__init__()
        self.project = nn.ModuleDict(
            {
                "text": nn.Linear(text_width, width),
                "pictures": nn.Sequential(nn.LayerNorm(vision_width), nn.Linear(vision_width, width)),
                "neighbours": nn.Linear(text_width, width),
            }
        )
        self.gate = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name in self.project})

    def forward(self, **sources: Tensor) -> Tensor:
        """Encode E entities.

        Args:
            sources: any of ``text`` (E, D_t), ``pictures`` (E, D_v), ``neighbours`` (E, D_t); an entity lacking one
                has a row of zeros there. At least one must be present for every entity.

        Returns:
            (E, D).
        """
        values, gates = [], []
        for name, x in sources.items():
            scaled = x * x.shape[1] ** 0.5 if name != "pictures" else x
            value = self.project[name](scaled)  # (E, D)
            missing = (x == 0).all(dim=-1)
            gates.append((torch.tanh(value) @ self.gate[name]).masked_fill(missing, -torch.inf))
            values.append(value)
        weights = torch.stack(gates, dim=-1).softmax(dim=-1)  # (E, sources)
        return (torch.stack(values, dim=-1) * weights[:, None, :]).sum(-1)

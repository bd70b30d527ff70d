"""Link prediction on the graph's edges, with entities and relations embedded from their text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.objective import Context, Objective


class LinkPrediction(Objective):
    """ComplEx over text (``link_prediction``).

        score(h, r, t) = Re⟨e_h, z_r, ē_t⟩,   e = W_e text,   z = W_z text
        L = ½ (CE over tails of the batch + CE over its heads)

    ComplEx (Trouillon et al., 2016, arXiv:1606.06357) as trained in KEPLER (Wang et al., 2021, arXiv:1911.06136):
    entities are encoded from their descriptions, so an entity added later can be ranked at once. Negatives are the
    other edges' ends.
    """

    needs = ("edges",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.entity = nn.Linear(context.text_width, settings.dimension, bias=False)
        self.relation = nn.Linear(context.text_width, settings.dimension)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def embed(self, vectors: Tensor) -> Tensor:
        """Entities' text vectors (E, D_t) → (E, dimension), real half before imaginary half."""
        return F.normalize(self.entity(vectors), dim=-1)

    def query(self, head: Tensor, relation: Tensor) -> Tensor:
        """(B, dimension) whose inner product with an embedded tail is the score."""
        (a, b), (c, d) = head.chunk(2, -1), relation.chunk(2, -1)
        return torch.cat([a * c - b * d, a * d + b * c], dim=-1)

    def inverse_query(self, tail: Tensor, relation: Tensor) -> Tensor:
        """(B, dimension) whose inner product with an embedded head is the score."""
        (a, b), (c, d) = tail.chunk(2, -1), relation.chunk(2, -1)
        return torch.cat([a * c + b * d, b * c - a * d], dim=-1)

    def relations(self, vectors: Tensor) -> Tensor:
        """Relations' text vectors (R, D_t) → (R, dimension)."""
        return self.relation(vectors * vectors.shape[1] ** 0.5) * self.scale.exp()

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Each edge's tail, and its head, among those of the batch: (E, E) each."""
        edges = self.require(encoded.batch.edges, "edges of the graph")
        head, tail, relation = self.embed(edges.head), self.embed(edges.tail), self.relations(edges.relation)
        own = torch.eye(len(head), dtype=torch.bool, device=head.device)
        same_tail = (edges.tail_id[:, None] == edges.tail_id[None, :]) & ~own
        tails = (self.query(head, relation) @ tail.T).masked_fill(same_tail, -torch.inf)
        return tails, self.inverse_query(tail, relation) @ head.T

    def forward(self, encoded: Encoded) -> Tensor:
        tails, heads = self.logits(encoded)
        targets = torch.arange(len(tails), device=tails.device)
        return 0.5 * (F.cross_entropy(tails, targets) + F.cross_entropy(heads, targets))

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        tails = self.logits(encoded)[0]
        targets = torch.arange(len(tails), device=tails.device)
        return {"accuracy": (tails.argmax(1) == targets).float().mean().item(), "chance": 1 / len(tails)}

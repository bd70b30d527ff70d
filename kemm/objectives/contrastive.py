"""Contrastive objectives: pull matching pairs together, push the rest of the batch apart.

    L = ½ (CE(s, y) + CE(sᵀ, y)),   s_ij = ⟨a_i, b_j⟩ / τ,   y_i = i

InfoNCE as in CLIP (Radford et al., 2021, arXiv:2103.00020); 1/τ is learned and held below 100, as there. Rows of the
same entity are all positives: the target is spread evenly over them, as in UniCL (Yang et al., 2022, arXiv:2204.03610).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.model import Encoded
from kemm.objectives.objective import Context, Objective


def symmetric_cross_entropy(similarity: Tensor, labels: Tensor) -> Tensor:
    """½ (CE over rows + CE over columns) of ``similarity`` (B, B); equal ``labels`` (B,) are positives."""
    same = (labels[:, None] == labels[None, :]).to(similarity.dtype)
    target = same / same.sum(1, keepdim=True)
    return 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target))


class Temperature(nn.Module):
    """A learned 1/τ, below 100."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    def forward(self) -> Tensor:
        return self.log_scale.exp().clamp(max=100.0)


class ImageTextContrastive(Objective):
    """Picture ↔ caption (``itc``). Heads: one projection a tower."""

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.image = nn.Sequential(nn.LayerNorm(context.vision_width), nn.Linear(context.vision_width, context.width))
        self.text = nn.Sequential(nn.LayerNorm(context.text_width), nn.Linear(context.text_width, context.width))
        self.scale = Temperature(settings.temperature)

    def project_image(self, pooled: Tensor) -> Tensor:
        """(B, D_v) → (B, D), unit length."""
        return F.normalize(self.image(pooled), dim=-1)

    def project_text(self, pooled: Tensor) -> Tensor:
        """(B, D_t) → (B, D), unit length."""
        return F.normalize(self.text(pooled), dim=-1)

    def forward(self, encoded: Encoded) -> Tensor:
        pairs = self.require(encoded.batch.pairs, "picture–caption pairs")
        similarity = self.project_image(encoded.image) @ self.project_text(encoded.caption).T * self.scale()  # (B, B)
        return symmetric_cross_entropy(similarity, pairs.entity)


class EntityImage(Objective):
    """Picture → which entity of the graph it shows, over all pictured entities (``entity_image``).

        L = CE(⟨e(v), e_j⟩ / τ),   e_j from text, pictures and neighbours, sources dropped at random

    A picture is encoded as an entity of which nothing but this picture is known, and its own entity is known by the
    others: what is learned is to tell whether two pictures show the same, which holds for entities never trained on.
    Knowledge-CLIP's entity–image contrast (Pan et al., 2022, arXiv:2210.06901) with every pictured entity as a negative
    instead of a batch of them. It is the picture linker that prediction uses.
    """

    drop = 0.3  # share of entities whose pictures are hidden, and of those whose text and neighbours are

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.dropout = nn.Dropout(0.3)
        self.scale = Temperature(settings.temperature)

    def logits(self, shown: Tensor, entities: Tensor) -> Tensor:
        """Similarity of pictures (B, D) to entities (E, D), both as ``KEMM.entity`` encodes them, over τ: (B, E)."""
        return F.normalize(shown, dim=-1) @ F.normalize(entities, dim=-1).T * self.scale()

    def forward(self, encoded: Encoded) -> Tensor:
        pictures = self.require(encoded.batch.pictures, "pictures of entities")
        entities = self.require(encoded.batch.entities, "pictured entities")
        drawn = encoded.random(len(entities.text), 1).to(entities.text.device)
        described = (entities.text != 0).any(1, keepdim=True)
        pictured = (entities.pictures != 0).any(1, keepdim=True)
        no_pictures = (drawn < self.drop) & described
        no_text = (drawn > 1 - self.drop) & pictured
        text = entities.text.masked_fill(no_text, 0.0)
        neighbours = entities.neighbours.masked_fill(no_text, 0.0)

        shown = encoded.model.entity(pictures=self.dropout(pictures.pooled))  # (B, D)
        known = encoded.model.entity(
            text=text, pictures=entities.pictures.masked_fill(no_pictures, 0.0), neighbours=neighbours
        )  # (E, D)
        own = pictures.entity
        is_alone = (pictures.others == 0).all(1, keepdim=True)
        others = torch.where(is_alone, entities.pictures[own], pictures.others).masked_fill(no_pictures[own], 0.0)
        right = encoded.model.entity(text=text[own], pictures=others, neighbours=neighbours[own])  # (B, D)

        logits = self.logits(shown, known).masked_fill(entities.held_out, -torch.inf)
        score = (F.normalize(shown, dim=-1) * F.normalize(right, dim=-1)).sum(1, keepdim=True) * self.scale()
        return F.cross_entropy(logits.scatter(1, own[:, None], score), own)


class EntityText(Objective):
    """An entity's description ↔ its neighbourhood in the graph (``entity_text``)."""

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.text = nn.Linear(context.text_width, context.width)
        self.scale = Temperature(settings.temperature)

    def forward(self, encoded: Encoded) -> Tensor:
        edges = self.require(encoded.batch.edges, "entities of the graph")
        around = F.normalize(encoded.model.entity(neighbours=edges.around), dim=-1)  # (B, D)
        text = F.normalize(self.text(edges.description * edges.description.shape[1] ** 0.5), dim=-1)
        similarity = around @ text.T * self.scale()
        return symmetric_cross_entropy(similarity, torch.arange(len(around), device=around.device))

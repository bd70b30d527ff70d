"""Contrasts of entities: with pictures that show them, with what the graph says around them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.contrastive import Temperature
from kemm.objectives.losses.contrastive import info_nce
from kemm.objectives.objective import Context, Objective


class EntityImage(Objective):
    """Picture → which entity of the graph it shows, over all pictured entities (``entity_image``).

        L = CE(⟨e(v), e_j⟩ / τ),   e_j from text, pictures and neighbours, sources dropped at random

    A picture is encoded as an entity of which nothing but this picture is known, and its own entity is known by the
    others: what is learned is to tell whether two pictures show the same, which holds for entities never trained on.
    Knowledge-CLIP's entity–image contrast (Pan et al., 2022, arXiv:2210.06901) with every pictured entity as a negative
    instead of a batch of them. It is the picture linker that prediction uses.
    """

    needs = ("pictured entities",)
    drop = 0.3  # share of entities whose pictures are hidden, and of those whose text and neighbours are

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.dropout = nn.Dropout(0.3)
        self.scale = Temperature(settings.temperature)

    def logits(self, shown: Tensor, entities: Tensor) -> Tensor:
        """Similarity of pictures (B, D) to entities (E, D), both as ``KEMM.entity`` encodes them, over τ: (B, E)."""
        return F.normalize(shown, dim=-1) @ F.normalize(entities, dim=-1).T * self.scale()

    def forward(self, encoded: Encoded) -> Tensor:
        logits, own = self.scored(encoded)
        return F.cross_entropy(logits, own)

    def scored(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Logits (B, E) of this batch's pictures, and which entity each shows (B,)."""
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
        return logits.scatter(1, own[:, None], score), own

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        logits, own = self.scored(encoded)
        choices = torch.isfinite(logits).sum(1).float().mean().item()
        return {"accuracy": (logits.argmax(1) == own).float().mean().item(), "chance": 1 / choices}


class EntityText(Objective):
    """An entity's description ↔ its neighbourhood in the graph (``entity_text``)."""

    needs = ("edges",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.text = nn.Linear(context.text_width, context.width)
        self.scale = Temperature(settings.temperature)

    def similarity(self, encoded: Encoded) -> Tensor:
        """s (B, B): neighbourhoods and descriptions."""
        edges = self.require(encoded.batch.edges, "entities of the graph")
        around = F.normalize(encoded.model.entity(neighbours=edges.around), dim=-1)  # (B, D)
        text = F.normalize(self.text(edges.description * edges.description.shape[1] ** 0.5), dim=-1)
        return around @ text.T * self.scale()

    def forward(self, encoded: Encoded) -> Tensor:
        return info_nce(self.similarity(encoded).float())

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        s = self.similarity(encoded)
        place = torch.arange(len(s), device=s.device)
        return {"accuracy": (s.argmax(1) == place).float().mean().item(), "chance": 1 / len(s)}

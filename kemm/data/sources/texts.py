"""Texts alone: what the graph says in words of its entities; WordNet's glosses where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.samples import UNKNOWN, Samples
from kemm.data.wordings import share

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData

HELD_OUT = 0.02  # of the entities


class Texts:
    """``label: description`` of each entity that has a description; two in a hundred are held out, by name.

    Entities that the run holds out are in neither part.
    """

    def __init__(self, data: TrainingData) -> None:
        self.parts = data.world.parts
        number = {name: row for row, name in enumerate(data.names)}
        self.train: list[tuple[str, int]] = []
        self.dev: list[tuple[str, int]] = []
        if data.settings.train.texts:
            for entity in data.world.graph.entities():
                if entity.description and not data.world.holdout.entity(entity.iri):
                    is_dev = share(data.seed, "text", entity.iri) < HELD_OUT
                    text = f"{entity.label}: {entity.description}"
                    (self.dev if is_dev else self.train).append((text, number.get(entity.iri, UNKNOWN)))
        self.modalities = frozenset({"language"} if self.train else ())

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        return self._draw(self.train, rng, size)

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        return self._draw(self.dev, rng, size) if self.dev else None

    def _draw(self, texts: list[tuple[str, int]], rng: np.random.Generator, size: int) -> Samples:
        rows = rng.permutation(len(texts)) if len(texts) < 4 * size else np.unique(rng.integers(0, len(texts), size))
        chosen = [texts[i] for i in rows[:size]]
        return Samples(
            {"language": self.parts.texts([text for text, _ in chosen])}, torch.tensor([entity for _, entity in chosen])
        )

"""Texts alone: what the graph says in words of its entities; WordNet's glosses where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.documents import followed, sentences
from kemm.data.samples import UNKNOWN, Samples
from kemm.data.wordings import share
from kg.records import BOOKKEEPING_RELATIONS, Entity

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData

HELD_OUT = 0.02  # of the entities


class Texts:
    """``label: description`` of each entity that has a description; two in a hundred are held out, by name.

    Entities that the run holds out are in neither part. Where objectives ask for the text after a text, a row is a
    sentence of what is said of an entity, with the next one, and one on an entity that a fact ties it to.
    """

    def __init__(self, data: TrainingData) -> None:
        self.parts = data.world.parts
        self.number = {name: row for row, name in enumerate(data.names)}
        self.train: list[Entity] = []
        self.dev: list[Entity] = []
        if data.settings.train.texts:
            for entity in data.world.graph.entities():
                if entity.description and not data.world.holdout.entity(entity.iri):
                    is_dev = share(data.seed, "text", entity.iri) < HELD_OUT
                    (self.dev if is_dev else self.train).append(entity)
        self.data, self.roles = data, data.roles & {"next", "linked"}
        self.modalities = frozenset({"language", *self.roles} if self.train else ())

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        return self._draw(self.train, rng, size)

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        return self._draw(self.dev, rng, size) if self.dev else None

    def _draw(self, entities: list[Entity], rng: np.random.Generator, size: int) -> Samples:
        many = len(entities) >= 4 * size
        rows = np.unique(rng.integers(0, len(entities), size)) if many else rng.permutation(len(entities))
        chosen = [entities[i] for i in rows[:size]]
        texts = [f"{entity.label}: {entity.description}" for entity in chosen]
        further: dict[str, list[str | None]] = {role: [] for role in sorted(self.roles)}
        for row, entity in enumerate(chosen if self.roles else ()):
            texts[row], found = self._further(entity, texts[row], rng)
            for role in further:
                further[role].append(found.get(role))
        return Samples(
            {"language": self.parts.texts(texts)},
            torch.tensor([self.number.get(entity.iri, UNKNOWN) for entity in chosen]),
            further={role: self.parts.texts(found) for role, found in further.items()},
        )

    def _further(self, entity: Entity, text: str, rng: np.random.Generator) -> tuple[str, dict[str, str]]:
        """A sentence on the entity, the one after it, and one on an entity that it is tied to, as far as there are."""
        world = self.data.world
        statements = [s for s in world.graph.triples(head=entity.iri) if world.holdout.fact(*s.fact[:2]) == "train"]
        pair = followed(sentences(entity.description, statements, world.label), rng)
        if pair is None:
            return text, {}
        found = {"next": pair[1]}
        tails = [s.tail for s in statements if isinstance(s.tail, str) and s.relation not in BOOKKEEPING_RELATIONS]
        if "linked" in self.roles and tails:
            tail = tails[rng.integers(len(tails))]
            about = sentences(world.graph.describe(tail).description, world.graph.triples(head=tail), world.label)
            if about and tail != entity.iri:
                found["linked"] = about[rng.integers(len(about))]
        return f"{entity.label}: {pair[0]}", found

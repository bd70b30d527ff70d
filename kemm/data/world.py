"""All that a run stands on: the store, its index, the frozen towers, their memos, and the retriever over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from kemm.data.batch import PicturedEntities
from kemm.data.entity_vectors import EntityVectors
from kemm.data.parts import PartMaker
from kemm.data.pictures import FeatureBank, by_split
from kemm.data.questions import Holdout
from kemm.data.text_bank import TextBank
from kemm.encoders import build_encoder
from kemm.encoders.vision import PictureEmbedder
from kemm.settings import Settings
from kg.records import BOOKKEEPING_RELATIONS, Literal
from kg.store.graph import KnowledgeGraph
from retrieval.catalogue import EntityIndex
from retrieval.retriever import Retriever

#: The retriever's judge of paths, in a run's folder.
PATH_SCORER = "path_scorer.safetensors"


class World:
    """Open the store and everything around it.

    Args:
        settings: a run's settings; paths are relative to the working directory.
        allow_stale: answer from a store that is newer than its index (prediction does: facts are read from the store).

    Raises:
        StoreMissing, IndexStale, InputError: with what to do.
    """

    def __init__(self, settings: Settings, allow_stale: bool = False) -> None:
        self.settings = settings
        embeddings = settings.model.entity_embeddings
        self.entity_vectors = EntityVectors.open(embeddings.run) if embeddings is not None else None
        self.graph = KnowledgeGraph.open(settings.data.store, create=False)
        self.index = EntityIndex.open(settings.data.index, self.graph, allow_stale=allow_stale)
        self.vision = build_encoder(settings.model.vision).requires_grad_(False).eval()
        self.text = build_encoder(settings.model.text)
        self.bank = TextBank(self.text, settings.model.text_tokens)
        self.features = FeatureBank(self.vision, settings.run / "features", settings.model.grid)
        self.parts = PartMaker(settings, self.bank, self.features)
        self.retriever = Retriever(
            self.graph, self.index, self.bank, PictureEmbedder(self.vision), k=settings.model.facts
        )
        self.holdout = Holdout(settings.questions, settings.train.seed)

    def pictures(self) -> dict[str, dict[str, list[str]]]:
        """Picture files by split and entity."""
        return by_split(self.graph.pictures(), self.settings.data, self.settings.train.seed)

    def label(self, iri: str) -> str:
        """A readable name."""
        return self.retriever.walk.label(iri)

    def learn_labels(self, iris: Iterable[str]) -> None:
        """Read many labels at once."""
        self.retriever.walk.labels(iris)

    def pictured_entities(
        self, pictures: dict[str, list[str]], training: bool, progress: Callable[[int], object] | None = None
    ) -> tuple[list[str], PicturedEntities]:
        """Vectors of every entity that has a picture, in a fixed order.

        Args:
            pictures: entity → files that may be looked at.
            training: leave out held-out facts, and mark held-out entities.
        """
        names = sorted(pictures)
        files = [file for name in names for file in pictures[name]]
        self.features.compute(files, 1, progress)
        self.learn_labels(names)
        text = self.bank.embed([self.label(name) for name in names])
        means = [
            np.mean([self.features.get(f).mean(0, dtype=np.float32) for f in pictures[name]], axis=0) for name in names
        ]
        around = np.stack([self._neighbours(name, training) for name in names])
        held_out = [training and self.holdout.entity(name) for name in names]
        return names, PicturedEntities(
            torch.from_numpy(text),
            torch.from_numpy(np.stack(means)),
            torch.from_numpy(around),
            torch.tensor(held_out),
        )

    def _neighbours(self, name: str, training: bool) -> np.ndarray:
        """The mean text vector of what an entity's facts say; zeros when they say nothing."""
        said = []
        for statement in self.graph.triples(head=name):
            if statement.relation in BOOKKEEPING_RELATIONS:
                continue
            if training and self.holdout.fact(name, statement.relation) != "train":
                continue
            tail = statement.tail
            said.append(tail.value if isinstance(tail, Literal) else self.label(tail))
        if not said:
            return np.zeros(self.bank.dimension, dtype=np.float32)
        return self.bank.embed(said).mean(0)

    def close(self) -> None:
        self.graph.close()

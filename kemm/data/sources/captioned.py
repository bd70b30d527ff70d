"""Pictures of the world's entities with captions that the graph writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.rewriting import Rewriter
from kemm.data.samples import Samples

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData


class CaptionedPictures:
    """Pictures of different entities as far as there are enough, each with one of its entity's captions.

    Beside a caption, where objectives ask for them: the entity's name, another of its captions, a rewritten one. Held
    out are the ``dev`` pictures, of entities that training knows.
    """

    def __init__(self, data: TrainingData) -> None:
        self.data, self.parts = data, data.world.parts
        self.number = {name: number for number, name in enumerate(data.names)}
        self.dev = {name: files for name, files in data.pictures["dev"].items() if name in data.train_pictures}
        has_pairs = len(data.train_pictures) > 1
        self.roles = data.roles & {"tags", "retrieved", "rewritten"}
        self.rewrite = Rewriter(data.captions) if "rewritten" in self.roles else None
        self.modalities = frozenset({"vision", "language", *self.roles} if has_pairs else ())

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        return self._draw(self.data.train_pictures, rng, size, self.data.settings.data.views)

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        return self._draw(self.dev, rng, size, 0) if len(self.dev) > 1 else None

    def _draw(self, pictures: Mapping[str, Sequence[str]], rng: np.random.Generator, size: int, views: int) -> Samples:
        entities = sorted(pictures)
        names = [entities[i] for i in rng.permutation(len(entities))[:size]]
        shown, texts = [], []
        for name in names:
            files, captions = pictures[name], self.data.captions[name]
            view = int(rng.integers(0, 1 + views))
            shown.append(self.parts.picture(files[int(rng.integers(len(files)))], view))
            texts.append(captions[rng.integers(len(captions))])
        parts = {"vision": self.parts.pictures(shown), "language": self.parts.texts(texts)}
        further = {role: self.parts.texts(self._further(role, names, texts, rng)) for role in sorted(self.roles)}
        return Samples(parts, torch.tensor([self.number[name] for name in names]), further=further)

    def _further(self, role: str, names: list[str], texts: list[str], rng: np.random.Generator) -> list[str | None]:
        """The names of what is shown, other captions of it, or captions made wrong."""
        if role == "tags":
            return [self.data.world.label(name) for name in names]
        if role == "rewritten":
            assert self.rewrite is not None
            return [self.rewrite(name, text, rng) for name, text in zip(names, texts, strict=True)]
        others = [self.data.captions[name] for name in names]
        return [captions[rng.integers(len(captions))] for captions in others]

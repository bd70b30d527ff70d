"""Pictures of the world's entities with captions that the graph writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.samples import Samples

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData


class CaptionedPictures:
    """Pictures of different entities as far as there are enough, each with one of its entity's captions.

    Held out are the ``dev`` pictures, of entities that training knows.
    """

    def __init__(self, data: TrainingData) -> None:
        self.data, self.parts = data, data.world.parts
        self.number = {name: number for number, name in enumerate(data.names)}
        self.dev = {name: files for name, files in data.pictures["dev"].items() if name in data.train_pictures}
        has_pairs = len(data.train_pictures) > 1
        self.modalities = frozenset({"vision", "language"} if has_pairs else ())

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
        return Samples(parts, torch.tensor([self.number[name] for name in names]))

"""Pictures alone, without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.samples import Samples

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData


class PicturesAlone:
    """The world's training pictures, all alike likely; held out are the ``dev`` pictures."""

    def __init__(self, data: TrainingData) -> None:
        self.parts, self.views = data.world.parts, data.settings.data.views
        number = {name: row for row, name in enumerate(data.names)}
        self.train = [(file, number[name]) for name, files in sorted(data.train_pictures.items()) for file in files]
        self.dev = [
            (file, number[name])
            for name, files in sorted(data.pictures["dev"].items())
            if name in data.train_pictures
            for file in files
        ]
        self.modalities = frozenset({"vision"} if self.train else ())

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        return self._draw(self.train, rng, size, self.views)

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        return self._draw(self.dev, rng, size, 0) if self.dev else None

    def _draw(self, pictures: list[tuple[str, int]], rng: np.random.Generator, size: int, views: int) -> Samples:
        chosen = [pictures[i] for i in rng.permutation(len(pictures))[:size]]
        shown = [self.parts.picture(file, int(rng.integers(0, 1 + views))) for file, _ in chosen]
        return Samples({"vision": self.parts.pictures(shown)}, torch.tensor([entity for _, entity in chosen]))

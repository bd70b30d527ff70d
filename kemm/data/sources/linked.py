"""Described entities that the graph joins: texts, pictures where there are some, links and paths between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.around import Step
from kemm.data.samples import UNKNOWN, Samples
from kemm.data.ties import Links

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData


class LinkedDescriptions:
    """Walks of one or two steps; each end is a row, known by its name and description, and by a picture of it.

    Held out are walks from entities that ``train.knowledge`` holds out too, one in ten by name.
    """

    def __init__(self, data: TrainingData) -> None:
        assert data.around is not None
        self.data, self.around, self.world, self.parts = data, data.around, data.world, data.world.parts
        self.number = {name: number for number, name in enumerate(data.names)}
        self.relation = {relation: number for number, relation in enumerate(self.around.relations)}
        kinds = {"language", "links"} | ({"vision"} if data.train_pictures else set())
        self.modalities = frozenset(kinds if self.around.train else ())
        self._vectors: tuple[torch.Tensor, torch.Tensor] | None = None

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        return self._draw(self.around.train, self.data.train_pictures, rng, size, self.data.settings.data.views, False)

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        dev = self.around.dev
        return self._draw(dev, self.data.pictures["dev"], rng, size, 0, True) if dev else None

    def _draw(
        self,
        starts: Sequence[str],
        pictures: Mapping[str, Sequence[str]],
        rng: np.random.Generator,
        size: int,
        views: int,
        is_held_out: bool,
    ) -> Samples:
        walks: list[tuple[str, tuple[Step, ...], str]] = []
        for _ in range(4 + 4 * size // max(1, len(starts))):  # some starts lead nowhere, and there may be few
            for i in rng.permutation(len(starts))[: size - len(walks)]:
                found = self.around.walk(rng, starts[i], is_held_out)
                if found is not None:
                    walks.append((starts[i], *found))
        names = list(dict.fromkeys(name for head, _, tail in walks for name in (head, tail)))
        row = {name: number for number, name in enumerate(names)}
        parts = {"language": self.parts.texts([self.around.text(name) for name in names])}
        if "vision" in self.modalities:
            files = [pictures.get(name, ()) for name in names]
            view = rng.integers(0, 1 + views, len(names))
            shown = [
                self.parts.picture(some[int(rng.integers(len(some)))], int(v)) if some else None
                for some, v in zip(files, view, strict=True)
            ]
            parts["vision"] = self.parts.pictures(shown)
        entity = torch.tensor([self.number.get(name, UNKNOWN) for name in names], dtype=torch.long)
        return Samples(parts, entity, links=self._links(walks, row))

    def _links(self, walks: Sequence[tuple[str, tuple[Step, ...], str]], row: Mapping[str, int]) -> Links:
        steps = np.full((len(walks), 2), -1, dtype=np.int64)
        right = np.zeros((len(walks), len(row)), dtype=bool)
        for number, (head, path, _) in enumerate(walks):
            for place, (relation, forward) in enumerate(path):
                steps[number, place] = self.relation[relation] + (0 if forward else len(self.relation))
            right[number, [row[name] for name in self.around.ends(head, path) if name in row]] = True
        relations, classes = self._texts()
        types = np.array([self.around.types(name) for name in row], dtype=bool).reshape(len(row), len(classes))
        return Links(
            rows=torch.arange(len(row)),
            head=torch.tensor([row[head] for head, _, _ in walks], dtype=torch.long),
            tail=torch.tensor([row[tail] for _, _, tail in walks], dtype=torch.long),
            steps=torch.from_numpy(steps),
            relations=relations,
            right=torch.from_numpy(right),
            types=torch.from_numpy(types),
            classes=classes,
            shared=torch.from_numpy(self.around.shared(list(row))),
        )

    def _texts(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of relations and their inverses, and of types."""
        if self._vectors is None:
            label, embed = self.world.label, self.world.bank.embed
            names = [label(relation) for relation in self.around.relations]
            relations = embed([*names, *(f"is {name} of" for name in names)])
            kinds = [label(kind) for kind in self.around.classes]
            classes = embed(kinds) if kinds else np.zeros((0, relations.shape[1]), dtype=np.float32)
            self._vectors = torch.from_numpy(relations), torch.from_numpy(classes)
        return self._vectors

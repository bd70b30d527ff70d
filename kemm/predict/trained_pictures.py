"""Which entity a picture shows, by what a run has learned with ``entity_image``: a scorer for `PictureLinker`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from kemm.data.world import World
from kemm.objectives.entity_contrast import EntityImage
from kemm.pretrain.task import PretrainTask
from retrieval.pictures import Candidates

#: Candidates of one picture.
_MOST = 16
_NOTHING = Candidates((), np.zeros(0), 0.0)


@dataclass(frozen=True)
class Known:
    """The E entities that have a picture at one version of the store.

    Attributes:
        names: IRIs, and the row of each.
        means: (E, D_v) mean features of the pictures of each.
        counts: (E,) how many that are.
        vectors: (E, D) as the model encodes them.
    """

    names: dict[str, int]
    means: torch.Tensor
    counts: torch.Tensor
    vectors: torch.Tensor


class TrainedPictures:
    """The entities that have a picture to look at, as the run's model encodes them; read anew when the store moves.

    Args:
        task: trained with ``entity_image``.
    """

    def __init__(self, task: PretrainTask, world: World) -> None:
        objective = task.objectives["entity_image"]
        assert isinstance(objective, EntityImage)
        self.objective, self.task, self.world = objective, task, world
        self._known: tuple[int, Known | None] = (-1, None)

    @torch.inference_mode()
    def known(self) -> Known | None:
        """The entities; None where none has a picture."""
        version = self.world.graph.version
        if self._known[0] != version:
            pictures: dict[str, list[str]] = {}
            every = self.world.pictures()
            for split in ("train", "dev"):
                for name, files in every[split].items():
                    pictures.setdefault(name, []).extend(files)
            found = None
            if pictures:
                names, sources = self.world.pictured_entities(pictures, training=False)
                counts = torch.tensor([len(pictures[name]) for name in names])
                # Pictures alone: of an entity that training has not seen, text says less of its looks than it claims
                # (held-out flags linked: 0.94 by pictures, 0.76 with text and neighbours; see LOG.md)
                vectors = self.task.model.entity(pictures=sources.pictures)
                rows = {name: row for row, name in enumerate(names)}
                found = Known(rows, sources.pictures, counts, vectors)
            self._known = version, found
        return self._known[1]

    def candidates(self, features: np.ndarray) -> list[Candidates]:
        """Candidates of B pictures by their mean features (B, D_v), the likeliest first; strength is a cosine."""
        known = self.known()
        return self._ranked(self._logits(features, known), known) if known else [_NOTHING] * len(features)

    @torch.inference_mode()
    def left_out(self, features: np.ndarray, entities: Sequence[str]) -> list[Candidates]:
        """Candidates of known pictures (B, D_v), as if they were new.

        Each is left out of the pictures of its own entity: that looks more like a picture which its mean is made of. An
        entity without another picture is no candidate.
        """
        known = self.known()
        assert known is not None
        logits, x = self._logits(features, known), torch.from_numpy(features)
        own = torch.tensor([known.names[entity] for entity in entities])
        count = known.counts[own, None]
        others = (known.means[own] * count - x) / (count - 1).clamp(min=1)  # (B, D_v)
        shown, right = (F.normalize(self.task.model.entity(pictures=seen), dim=-1) for seen in (x, others))
        score = (shown * right).sum(1) * self.objective.scale()
        logits[np.arange(len(own)), own.numpy()] = torch.where(count[:, 0] > 1, score, -torch.inf).numpy()
        return self._ranked(logits, known)

    @torch.inference_mode()
    def _logits(self, features: np.ndarray, known: Known) -> np.ndarray:
        shown = self.task.model.entity(pictures=torch.from_numpy(features.astype(np.float32)))
        return self.objective.logits(shown, known.vectors).numpy()

    def _ranked(self, logits: np.ndarray, known: Known) -> list[Candidates]:
        names, scale = list(known.names), float(self.objective.scale().detach())
        found = []
        for line in logits:
            best = [int(row) for row in np.argsort(-line)[:_MOST] if np.isfinite(line[row])]
            if not best:
                found.append(_NOTHING)
                continue
            chances = np.exp(line - line[best[0]])
            strength = float(line[best[0]]) / scale
            found.append(Candidates(tuple(names[row] for row in best), chances[best] / chances.sum(), strength))
        return found

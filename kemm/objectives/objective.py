"""The contract of an objective, and the context it is built in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor, nn

from kemm.data.entity_vectors import EntityVectors
from kemm.data.lexicon import Lexicon
from kemm.encoders.encoder import Encoder
from kemm.fuse.encoded import Encoded, MissingModality
from kemm.objectives.hiding import FactHiding, PatchHiding, WordHiding

__all__ = ["Context", "MissingModality", "Objective"]

Part = TypeVar("Part")


@dataclass(frozen=True)
class Context:
    """What heads are sized by, and what a model is built of.

    Attributes:
        width: D of the fusion encoder.
        vision_width, text_width: D_v and D_t of the world's frozen towers, in which entities and facts are known.
        pooled: modality → width of ``Encoded.pooled``.
        grids: modality → rows and columns of its patches, of those that have some.
        frames: most frames of a film.
        regions: D_f and C of a detector's regions.
        word_width: D_w of the model's table of words, ``KEMM.inputs["language"].table`` (V, D_w).
        lexicon: its words.
        vocabulary: the answers that can be given without pointing at a fact.
        has_pixels: whether batches carry pixels.
        has_features: whether they carry features of the frozen vision tower.
        towers: of the model, by modality.
        entity_vectors: of an embedding run, for the model; None where the settings name none.
    """

    width: int
    vision_width: int
    text_width: int
    pooled: Mapping[str, int]
    grids: Mapping[str, tuple[int, int]]
    word_width: int
    lexicon: Lexicon
    vocabulary: tuple[str, ...] = ()
    has_pixels: bool = False
    has_features: bool = True
    frames: int = 0
    regions: tuple[int, int] = (0, 0)
    towers: Mapping[str, Encoder] = field(default_factory=dict)
    entity_vectors: EntityVectors | None = None

    @property
    def num_words(self) -> int:
        """V."""
        return len(self.lexicon.is_special)


class Objective(nn.Module):
    """A loss with its own head.

    Args:
        settings: its section of the configuration; ``settings.weight`` is applied by the task, not here.
        context: what the head is sized by.

    Attributes:
        needs: what must be known of the same thing: "vision", "language", "audio", "video", "regions", "knowledge",
            "mentions", "links", "label", "span"; or one of "questions", "edges", "pictured entities". Checked
            against the run's sources before training starts.
        is_regression: whether the loss is a squared or absolute error (for weights by uncertainty).
        wants_momentum: whether it asks for ``encoded.slow``.
        hides: what it hides of words, patches or facts. The first choice of words and of patches of a run is hidden in
            one joint forward, and of facts the larger share that any asks for.
    """

    needs: tuple[str, ...] = ()
    is_regression = False
    wants_momentum = False
    hides: WordHiding | PatchHiding | FactHiding | None = None

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, encoded: Encoded) -> Tensor:
        """Return the loss, a scalar.

        Raises:
            MissingModality: the batch lacks what this objective needs.
        """
        raise TypeError(f"{type(self).__name__} must define forward")

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """Figures for the curves, such as ``accuracy`` beside ``chance``; computed on held-out batches, no gradient."""
        return {}

    def after_step(self) -> None:
        """Called once after each step of the optimizer: momentum heads follow, queues take in."""

    def rows(self, encoded: Encoded) -> Tensor:
        """(N,) numbers of the samples that have all that is needed.

        Raises:
            MissingModality: there is none.
        """
        rows = encoded.rows(*self.needs)
        return self.require(rows if len(rows) else None, " and ".join(self.needs) + " of the same thing")

    def require(self, part: Part | None, what: str) -> Part:
        """Return a part of the batch.

        Raises:
            MissingModality: it is None.
        """
        if part is None:
            raise MissingModality(f"{type(self).__name__} needs {what}, and the batch has none")
        return part

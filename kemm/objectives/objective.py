"""The contract of an objective, and the context it is built in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from kemm.data.entity_vectors import EntityVectors
from kemm.fuse.model import Encoded
from kg.errors import InputError

Part = TypeVar("Part")


class MissingModality(InputError):
    """A batch lacks what an objective needs."""


@dataclass(frozen=True)
class Context:
    """What heads are sized by.

    Attributes:
        width: D of the fusion encoder; ``vision_width``, ``text_width``: of the towers' features.
        patches: P.
        token_embeddings: (V, D_t), the text tower's input table, frozen.
        vocabulary: the answers that can be given without pointing at a fact.
        entity_vectors: of an embedding run, for the model; None where the settings name none.
    """

    width: int
    vision_width: int
    text_width: int
    patches: int
    token_embeddings: Tensor
    vocabulary: tuple[str, ...]
    entity_vectors: EntityVectors | None = None


class Objective(nn.Module):
    """A loss with its own head.

    Args:
        settings: its section of the configuration; ``settings.weight`` is applied by the task, not here.
        context: what the head is sized by.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, encoded: Encoded) -> Tensor:
        """Return the loss, a scalar.

        Raises:
            MissingModality: the batch lacks what this objective needs.
        """
        raise TypeError(f"{type(self).__name__} must define forward")

    def require(self, part: Part | None, what: str) -> Part:
        """Return a part of the batch.

        Raises:
            MissingModality: it is None.
        """
        if part is None:
            raise MissingModality(f"{type(self).__name__} needs {what}, and the batch has none")
        return part

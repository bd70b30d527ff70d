"""Entity vectors of a run of ``kemm kg train``, by entity: what the fact encoder may add to a node's text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from kg.errors import InputError

UNKNOWN = -1  # the row of a literal, and of an entity that the run does not know


@dataclass(frozen=True)
class EntityVectors:
    """The vectors of E entities.

    The run must not have been trained on what is asked of the model later, or its vectors tell the answers: see
    ``kemm.data.training_triples``.

    Attributes:
        run: where they come from, for messages.
        names: IRIs, in the order of the rows.
        matrix: (E, D_e) float32.
    """

    run: Path
    names: tuple[str, ...]
    matrix: torch.Tensor

    @classmethod
    def open(cls, run: Path) -> EntityVectors:
        """Read the best model of a run.

        Raises:
            InputError: there is no such run, its data are no longer as they were, or its model has no vectors.
        """
        from kg.embeddings.runs import load

        try:
            model, triples, settings = load(run)
        except InputError as error:
            raise InputError(
                f"model.entity_embeddings.run: {error}; name a finished run of `kemm kg train`, or train it again"
            ) from None
        if not hasattr(model, "entities"):
            raise InputError(
                f"model.entity_embeddings.run: {run} is of the model {settings.model.name}, which has no vectors of "
                "entities; name the run of a model that has, such as complex"
            )
        with torch.no_grad():
            matrix = model.entity(torch.arange(model.num_entities)).float()
        if not matrix.isfinite().all():
            raise InputError(f"model.entity_embeddings.run: {run} holds vectors that are no numbers; train it again")
        return cls(run, tuple(triples.entities), matrix.contiguous())

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def rows(self, nodes: Iterable[object]) -> np.ndarray:
        """The rows of nodes, (n,) int64; ``UNKNOWN`` for literals and for entities that the run does not know."""
        return np.array(
            [self._row.get(node, UNKNOWN) if isinstance(node, str) else UNKNOWN for node in nodes], dtype=np.int64
        )

    def digest(self, with_numbers: bool) -> torch.Tensor:
        """What a checkpoint remembers of them: SHA-256 of the names in order, and of the matrix too; (32,) uint8."""
        found = hashlib.sha256("\0".join(self.names).encode())
        if with_numbers:
            found.update(self.matrix.numpy().tobytes())
        return torch.frombuffer(bytearray(found.digest()), dtype=torch.uint8)

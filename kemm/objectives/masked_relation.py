"""Masked relations of the facts that a thing with its text and picture is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import FactHiding
from kemm.objectives.masked_name import SAME, MaskedName
from kemm.objectives.objective import Context


class MaskedRelation(MaskedName):
    """Name hidden relations from the entities they join, text, picture and the other facts (``masked_relation``).

        L = CE(⟨W h_f, z_r⟩ / τ) over facts f whose relation is hidden, against the different relations of the batch

    The twin of ``mem``, in the same joint forward; a relation is its text, so one never trained on can be named. The
    path that leads to the fact is hidden with it.
    """

    needs = ("knowledge",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.hides = FactHiding(relations=settings.rate)

    def compared(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor] | None:
        """What is said of hidden relations (H, D_t), those to choose from (R, D_t), and which are right (H, R)."""
        self.rows(encoded)
        facts, hidden = encoded.samples.facts, encoded.hidden_facts
        if facts is None or hidden is None or not bool(hidden.relations.any()):
            return None
        tokens = encoded.masked()["knowledge"].flatten(0, 1)[facts.slot[hidden.relations]]
        predicted = F.normalize(self.head(tokens), dim=-1)
        with torch.autocast(tokens.device.type, enabled=False):
            alike = facts.relation_vectors @ facts.relation_vectors.T > SAME
            first = alike.int().argmax(1)  # each relation by its first fact
            choices = facts.relation_vectors[first.unique()]
            right = facts.relation_vectors[hidden.relations] @ choices.T > SAME
        return predicted, choices, right

    def chance(self, right: Tensor) -> Tensor:
        """That of always naming the commonest."""
        return right.mean(0).max()

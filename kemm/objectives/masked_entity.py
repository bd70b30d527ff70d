"""Masked entities of the facts that a question, or a thing with its text and picture, is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.data.facts import Facts
from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import FactHiding
from kemm.objectives.masked_name import SAME, MaskedName
from kemm.objectives.objective import Context


class MaskedEntity(MaskedName):
    """Name hidden entities of a subgraph from question or text, picture and the other facts (``mem``).

        L = CE(⟨W h_f, x_v⟩ / τ) over facts f whose far end v is hidden, against all nodes of the batch

    Nodes with the same text are all positives. Masked entity modelling as in LUKE (Yamada et al., 2020,
    arXiv:2010.01057); there entities are rows of a table, here they are named by text, so new ones have a target. Of
    questions, no anchor is hidden and no end of an answering fact; ``of: samples`` hides in the joint masked forward.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.needs = ("questions",) if settings.of == "questions" else ("knowledge",)
        self.hides = FactHiding(nodes=settings.rate)

    def chance(self, right: Tensor) -> Tensor:
        """That of a node drawn."""
        return right.mean()

    def hidden(self, encoded: Encoded) -> tuple[Facts | None, Tensor | None]:
        """The facts, and which of their nodes are hidden (N,); None where there are none."""
        if self.settings.of == "questions":
            questions = self.require(encoded.batch.questions, "questions with facts")
            return questions.facts, encoded.masked_nodes
        self.rows(encoded)
        hidden = encoded.hidden_facts
        return encoded.samples.facts, None if hidden is None else hidden.nodes

    def compared(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor] | None:
        """What is said of hidden far ends (H, D_t), all nodes (N, D_t), and which are right (H, N); None: no hidden."""
        facts, hidden = self.hidden(encoded)
        if facts is None or hidden is None:
            return None
        rows = hidden[facts.far].nonzero().squeeze(1)  # facts that lead to a hidden node
        if not len(rows):
            return None
        fused = encoded.asked if self.settings.of == "questions" else encoded.masked()
        tokens = fused["knowledge"].flatten(0, 1)[facts.slot[rows]]  # (hidden, D)
        predicted = F.normalize(self.head(tokens), dim=-1)
        with torch.autocast(tokens.device.type, enabled=False):  # in bfloat16 one and the same name falls short of .999
            same = facts.node_vectors[facts.far[rows]] @ facts.node_vectors.T > SAME  # (hidden, N)
        return predicted, facts.node_vectors, same

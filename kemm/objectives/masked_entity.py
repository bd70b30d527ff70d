"""Masked entities of the facts that a question is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.entities import masked_entity
from kemm.objectives.objective import Context, Objective


class MaskedEntity(Objective):
    """Name hidden entities of the subgraph from question, picture and the other facts (``mem``).

        L = CE(⟨W h_f, x_v⟩ / τ) over facts f whose far end v is hidden, against all nodes of the batch

    Nodes with the same text are all positives. After ERNIE's denoising entity alignment (Zhang et al., 2019,
    arXiv:1905.07129): there entities are aligned to words, here they are named by text, so new ones have a target.
    """

    needs = ("questions",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, context.text_width)

    @property
    def hides_nodes(self) -> float:
        """The share of entities hidden."""
        return float(self.settings.rate)

    def forward(self, encoded: Encoded) -> Tensor:
        found = self.compared(encoded)
        if found is None:
            return self.head.bias.sum() * 0.0
        return masked_entity(*found, self.settings.temperature)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        found = self.compared(encoded)
        if found is None:
            return {}
        predicted, nodes, same = found
        chosen = (predicted @ nodes.T).argmax(1)
        right = same[torch.arange(len(same), device=same.device), chosen]
        return {"accuracy": right.float().mean().item(), "chance": same.float().mean().item()}

    def compared(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor] | None:
        """What is said of hidden far ends (H, D_t), all nodes (N, D_t), and which are right (H, N); None: no hidden."""
        questions = self.require(encoded.batch.questions, "questions with facts")
        facts, hidden = questions.facts, encoded.masked_nodes
        if facts is None or hidden is None:
            return None
        rows = hidden[facts.far].nonzero().squeeze(1)  # facts that lead to a hidden node
        if not len(rows):
            return None
        tokens = encoded.asked["knowledge"].flatten(0, 1)[facts.slot[rows]]  # (hidden, D)
        predicted = F.normalize(self.head(tokens), dim=-1)
        with torch.autocast(tokens.device.type, enabled=False):  # in bfloat16 one and the same name falls short of .999
            same = facts.node_vectors[facts.far[rows]] @ facts.node_vectors.T > 0.999  # (hidden, N)
        return predicted, facts.node_vectors, same

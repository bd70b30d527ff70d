"""Training retriever and reader together, each fact judged by whether it answers and whether the reader thinks so."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.retrieval import joint_retrieval
from kemm.objectives.objective import Context, Objective
from kemm.objectives.retriever_head import FactReader, FactRetriever, first_facts


class JointRetrieval(Objective):
    """The joint loss of RA-VQA (``joint_retrieval``).

    Lin and Byrne (2022, arXiv:2210.03809), who write an answer for every document and take as P⁺ those that hold the
    answer and with which the reader gets it right, as P⁻ those of which neither holds. Here the reader judges the far
    end of every fact, since that is what it would answer. The formula: `kemm.objectives.losses.retrieval`.
    """

    needs = ("questions",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.retriever = FactRetriever(context)
        self.reader = FactReader(context)
        self.bias = torch.nn.Parameter(torch.tensor(0.0))

    def forward(self, encoded: Encoded) -> Tensor:
        questions = self.require(encoded.batch.questions, "questions")
        fused = encoded.asked
        answered = questions.pointer_targets.any(1)  # (B,)
        if questions.facts is None or not answered.any():
            return fused["language"].sum() * 0.0
        return joint_retrieval(
            (self.reader(fused) + self.bias)[answered],
            self.retriever(questions)[answered],
            questions.pointer_targets[answered],
            questions.facts.mask[answered],
        )

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the first fact answers: of the retriever, and of the reader."""
        questions = self.require(encoded.batch.questions, "questions")
        if questions.facts is None:
            return {}
        return first_facts(self.retriever(questions), self.reader(encoded.asked), questions)

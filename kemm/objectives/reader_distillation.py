"""Teaching the retriever which facts the reader used."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.retrieval import distillation, reader_loss
from kemm.objectives.objective import Context, Objective
from kemm.objectives.retriever_head import FactReader, FactRetriever


class ReaderDistillation(Objective):
    """The reader's attention over facts as the retriever's soft target (``reader_distillation``).

        a_f = softmax_f reader logit,   p_f = softmax_f retriever logit
        L = −log Σ_{right f} a_f + Σ_f sg(a_f) (log sg(a_f) − log p_f)

    Izacard and Grave (2021, arXiv:2012.04584). There a is the decoder's attention summed over layers and words; here it
    is one head over the fused facts, made to point at what answers by the first term. Questions that no fact answers
    are left out: there is nothing to have used.
    """

    needs = ("questions",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.retriever = FactRetriever(context)
        self.reader = FactReader(context)

    def forward(self, encoded: Encoded) -> Tensor:
        questions = self.require(encoded.batch.questions, "questions")
        fused = encoded.asked
        answered = questions.pointer_targets.any(1)  # (B,)
        if questions.facts is None or not answered.any():
            return fused["language"].sum() * 0.0
        is_fact, right = questions.facts.mask[answered], questions.pointer_targets[answered]  # (A, K) each
        reader, retriever = self.reader(fused)[answered], self.retriever(questions)[answered]
        return reader_loss(reader, right, is_fact) + distillation(reader, retriever, is_fact)

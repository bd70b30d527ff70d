"""Training retriever and reader together, each fact judged by whether it answers and whether the reader thinks so."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.fuse.model import Encoded
from kemm.objectives.objective import Context, Objective
from kemm.objectives.retriever_head import FactReader, FactRetriever


class JointRetrieval(Objective):
    """The joint loss of RA-VQA (``joint_retrieval``).

        p_f = softmax_f retriever logit,   r_f = σ(reader logit),   y_f = [the far end of f is right]
        P⁺ = {f : y_f, r_f > ½},   P⁻ = {f : not y_f, r_f < ½}
        L = mean_f BCE(r_f, y_f) − mean_{P⁺} log p_f − mean_{P⁻} log(1 − p_f)

    Lin and Byrne (2022, arXiv:2210.03809), who write an answer for every document and take as P⁺ those that hold the
    answer and with which the reader gets it right, as P⁻ those of which neither holds. Here the reader judges the far
    end of every fact, since that is what it would answer. Their + log p_f over P⁻ has no lower bound; log(1 − p_f) has
    the same sign of slope. Of a fact that neither reader nor answer settles nothing is learned, as there.
    """

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
        is_fact, right = questions.facts.mask[answered], questions.pointer_targets[answered]  # (A, K) each
        reader = self.reader(fused)[answered] + self.bias
        retriever = self.retriever(questions)[answered].masked_fill(~is_fact, -1e4).log_softmax(-1)
        loss = F.binary_cross_entropy_with_logits(reader[is_fact], right[is_fact].float())
        believed = reader.detach() > 0
        good, bad = right & believed & is_fact, ~right & ~believed & is_fact
        if good.any():
            loss = loss - retriever[good].mean()
        if bad.any():
            others = torch.log1p(-retriever[bad].exp().clamp(max=1 - 1e-6))
            loss = loss - others.mean()
        return loss

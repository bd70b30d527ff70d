"""Teaching the retriever which facts the reader used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kemm.data.batch import Questions
from kemm.fuse.encoded import Encoded
from kemm.fuse.readings import Readings
from kemm.objectives.losses.retrieval import distillation, log_chance, reader_loss
from kemm.objectives.objective import Context, Objective
from kemm.objectives.retriever_head import FactReader, FactRetriever, first_facts

#: Of what the reader's probability drops by: a share of e² for each factor of e.
TEMPERATURE = 0.5


class ReaderDistillation(Objective):
    """What the reader made of each fact as the retriever's soft target (``reader_distillation``).

        a_f = softmax_f reader logit,   p_f = softmax_f retriever logit
        L = −log Σ_{right f} a_f + Σ_f sg(t_f) (log sg(t_f) − log p_f)

        by attention:  t = a
        by drop:       t = softmax_f δ_f / T,   δ_f = log P(F) − log P(F ∖ f),   P = max(Σ_{right f} a_f, 1 / |F|)

    By attention: Izacard and Grave (2021, arXiv:2012.04584). There a is the decoder's attention summed over layers and
    words; here it is one head over the fused facts, made to point at what answers by the first term. By drop: the
    leave-one-out distillation of Atlas (Izacard et al., 2022, arXiv:2208.03299), here with the chance of pointing at a
    right fact; F ∖ f is fused anew without f, K forwards more a step, so facts that only help to read others count, and
    those that mislead count against. Questions that no fact answers are left out: there is nothing to have used.
    """

    needs = ("questions",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.by_drop = settings.by == "drop"
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
        used = self.drops(encoded, questions)[answered] / TEMPERATURE if self.by_drop else reader
        return reader_loss(reader, right, is_fact) + distillation(used, retriever, is_fact)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the first fact answers: of the retriever, and of the reader."""
        questions = self.require(encoded.batch.questions, "questions")
        if questions.facts is None:
            return {}
        return first_facts(self.retriever(questions), self.reader(encoded.asked), questions)

    @torch.no_grad()
    def drops(self, encoded: Encoded, questions: Questions) -> Tensor:
        """δ (B, K): by how much the reader believes less in what answers when it reads all facts but one."""
        facts = questions.facts
        assert facts is not None
        right, least = questions.pointer_targets, -facts.mask.sum(1).clamp(min=1).log()  # 1 / |F|
        whole = log_chance(self.reader(encoded.asked), right, facts.mask).maximum(least)  # (B,)
        dropped = torch.zeros(facts.mask.shape, device=whole.device)
        for place in range(facts.mask.shape[1]):
            less = questions.with_facts(facts.without(facts.slot % facts.mask.shape[1] == place))
            assert less.facts is not None
            encoded.calls["fusion"] += 1
            readings = Readings(encoded.model, less.samples, encoded.calls, encoded.questions)
            reader = self.reader(readings.fuse(encoded.masked_nodes))
            dropped[:, place] = whole - log_chance(reader, right, less.facts.mask).maximum(least)
        return dropped

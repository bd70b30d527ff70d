"""Answering from facts: one distribution over what the evidence says and over a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kemm.data.batch import Questions
from kemm.fuse.model import Encoded
from kemm.objectives.objective import Context, Objective


@dataclass(frozen=True)
class Answers:
    """Log probabilities, together one distribution: ``pointer`` (B, K) over facts' far ends, ``vocabulary`` (B, V)."""

    pointer: Tensor
    vocabulary: Tensor


class Answering(Objective):
    """Point at the fact whose far end answers, or say a word of the vocabulary (``answering``).

        logit_f = ⟨W_q h_summary, W_k h_f⟩ / √D + s ⟨M x_question, x_path(f)⟩ + β log P(anchor of f)
        logit_a = MLP(h_summary)_a
        L = −log Σ_{right f} p_f          where a fact answers,   else −log p_answer

    A pointer–generator (See et al., 2017, arXiv:1704.04368; KRISP, Marino et al., 2021, arXiv:2012.11014, points at
    graph nodes the same way). ``M`` starts as the identity: before training, a fact is believed as far as its path
    sounds like the question. Where the evidence holds the answer only the pointer is rewarded, so that facts are read
    rather than remembered and an edited fact is followed.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.query = nn.Linear(context.width, context.width)
        self.key = nn.Linear(context.width, context.width)
        self.match = nn.Linear(context.text_width, context.text_width, bias=False)
        nn.init.eye_(self.match.weight)
        self.match_scale = nn.Parameter(torch.tensor(10.0))
        self.link_weight = nn.Parameter(torch.tensor(1.0))
        self.vocabulary = nn.Sequential(
            nn.Linear(context.width, context.width), nn.GELU(), nn.Linear(context.width, len(context.vocabulary))
        )

    def answers(self, questions: Questions, fused: dict[str, Tensor]) -> Answers:
        """The distribution of each of B questions."""
        summary = fused["language"][:, 0]  # (B, D)
        words = self.vocabulary(summary).float()  # (B, V)
        facts = questions.facts
        if facts is None:
            return Answers(words.new_zeros(len(words), 0), words.log_softmax(-1))
        dot = torch.einsum("bd,bkd->bk", self.query(summary), self.key(fused["knowledge"])) / summary.shape[1] ** 0.5
        path = facts.lay_out(facts.path_vectors)  # (B, K, D_t)
        match = torch.einsum("bd,bkd->bk", self.match(questions.text_vector), path) * self.match_scale
        linked = facts.lay_out(facts.log_score) * self.link_weight
        logits = (dot + match + linked).float().masked_fill(~facts.mask, -torch.inf)
        both = torch.cat([logits, words], dim=1).log_softmax(-1)
        return Answers(both[:, : logits.shape[1]], both[:, logits.shape[1] :])

    def forward(self, encoded: Encoded) -> Tensor:
        questions = encoded.batch.questions
        self.require(questions, "questions")
        answers = self.answers(questions, encoded.asked)
        pointed = questions.pointer_targets.any(1)  # (B,)
        said = (questions.vocabulary_targets >= 0) & ~pointed
        losses = []
        if pointed.any():
            right = answers.pointer[pointed].masked_fill(~questions.pointer_targets[pointed], -torch.inf)
            losses.append(-right.logsumexp(1))
        if said.any():
            targets = questions.vocabulary_targets[said]
            losses.append(-answers.vocabulary[said].gather(1, targets[:, None]).squeeze(1))
        if not losses:
            return answers.vocabulary.sum() * 0.0
        return torch.cat(losses).mean()

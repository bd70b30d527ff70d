"""Answering from facts: one distribution over what the evidence says and over a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.batch import Questions
from kemm.data.fact_table import FAR_IS_NAMED, NUM_MARKS, RELEVANCE
from kemm.fuse.encoded import Encoded
from kemm.objectives.objective import Context, Objective

NEVER = -1e4  # a logit that no fact reaches; finite, so that a question without facts has no NaN in its gradient


@dataclass(frozen=True)
class Answers:
    """Log probabilities, together one distribution: ``pointer`` (B, K) over facts' far ends, ``vocabulary`` (B, V)."""

    pointer: Tensor
    vocabulary: Tensor


class Answering(Objective):
    """Point at the fact whose far end answers, or say a word of the vocabulary (``answering``).

        m_f     = s ⟨M x_question, x_path(f)⟩ + γ logit(relevance of f) + β log P(anchor of f)
        logit_f = ⟨W_q h_summary, W_k h_f⟩ / √D + m_f
        logit_a = MLP([h_summary; Σ_f w_f h_f; Σ_f w_f marks_f])_a
        w       = softmax over f of m_f + c [far end of f is named]
        L = −log Σ_{right f} p_f          where a fact answers,   else −log p_answer

    The relevance is the retriever's. A pointer–generator (See et al., 2017, arXiv:1704.04368; KRISP, Marino et al.,
    2021, arXiv:2012.11014, points at graph nodes the same way). ``M`` starts as the identity: before training, a fact
    is believed as far as its path sounds like the question. Where the evidence holds the answer only the pointer is
    rewarded, so that facts are read rather than remembered and an edited fact is followed. The vocabulary reads the
    facts that the question sounds like, those between two things it names first: that is what "yes", "no" and
    "not known" are judged by.
    """

    needs = ("questions",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.query = nn.Linear(context.width, context.width)
        self.key = nn.Linear(context.width, context.width)
        self.match = nn.Linear(context.text_width, context.text_width, bias=False)
        nn.init.eye_(self.match.weight)
        self.match_scale = nn.Parameter(torch.tensor(10.0))
        self.relevance_weight = nn.Parameter(torch.tensor(1.0))
        self.link_weight = nn.Parameter(torch.tensor(1.0))
        self.named_weight = nn.Parameter(torch.tensor(4.0))
        self.vocabulary = nn.Sequential(
            nn.Linear(2 * context.width + NUM_MARKS, context.width),
            nn.GELU(),
            nn.Linear(context.width, len(context.vocabulary)),
        )

    def answers(self, questions: Questions, fused: dict[str, Tensor]) -> Answers:
        """The distribution of each of B questions."""
        summary = fused["language"][:, 0]  # (B, D)
        facts = questions.facts
        if facts is None:
            read = summary.new_zeros(len(summary), summary.shape[1] + NUM_MARKS)
            words = self.vocabulary(torch.cat([summary, read], dim=1)).float()
            return Answers(words.new_zeros(len(words), 0), words.log_softmax(-1))
        tokens, marks = fused["knowledge"], facts.lay_out(facts.marks)  # (B, K, D), (B, K, 6)
        path = facts.lay_out(facts.path_vectors)  # (B, K, D_t)
        match = torch.einsum("bd,bkd->bk", self.match(questions.text_vector), path) * self.match_scale
        relevance = marks[..., RELEVANCE].clamp(1e-3, 1 - 1e-3)  # the retriever's, of the path
        match = (
            match + torch.logit(relevance) * self.relevance_weight + facts.lay_out(facts.log_score) * self.link_weight
        )
        weights = (match + self.named_weight * marks[..., FAR_IS_NAMED]).masked_fill(~facts.mask, NEVER).softmax(-1)
        weights = weights * facts.mask.any(1, keepdim=True)  # a question without facts reads zeros
        read = torch.einsum("bk,bkd->bd", weights, torch.cat([tokens, marks], dim=-1))  # (B, D + 6)
        words = self.vocabulary(torch.cat([summary, read], dim=1)).float()  # (B, V)
        dot = torch.einsum("bd,bkd->bk", self.query(summary), self.key(tokens)) / summary.shape[1] ** 0.5
        logits = (dot + match).float().masked_fill(~facts.mask, -torch.inf)
        both = torch.cat([logits, words], dim=1).log_softmax(-1)
        return Answers(both[:, : logits.shape[1]], both[:, logits.shape[1] :])

    def forward(self, encoded: Encoded) -> Tensor:
        questions = self.require(encoded.batch.questions, "questions")
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

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the likeliest fact or word is right; chance: one of either at random."""
        questions = self.require(encoded.batch.questions, "questions")
        answers = self.answers(questions, encoded.asked)
        right = F.one_hot(questions.vocabulary_targets.clamp(min=0), answers.vocabulary.shape[1]).bool()
        right = torch.cat([questions.pointer_targets, right & (questions.vocabulary_targets >= 0)[:, None]], dim=1)
        both = torch.cat([answers.pointer, answers.vocabulary], dim=1)
        hit = right.gather(1, both.argmax(1, keepdim=True)).float().mean().item()
        return {"accuracy": hit, "chance": (right.sum(1) / torch.isfinite(both).sum(1)).mean().item()}

"""Are these facts about this text, or this picture?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kemm.data.batch import Facts
from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.matching import match_cross_entropy
from kemm.objectives.matching import told_apart
from kemm.objectives.objective import Context, Objective


class GraphMatching(Objective):
    """A question's words, or its picture, fused with its own facts or with another's (``graph_matching``).

        L = CE(W mean_l h_l, own?) over N with their own facts and M with those of another entity's question

    Graph–text matching as the image–text matching of ALBEF with a subgraph in the picture's place; what differs from it
    is that negatives are drawn evenly, each row's facts given to another once.
    """

    needs = ("questions",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, 2)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(N, 2) of questions with their own facts, (M, 2) of those with another's."""
        questions = self.require(encoded.batch.questions, "questions with facts")
        facts = self.require(questions.facts, "questions with facts")
        name, samples, read = self.settings.between, questions.samples, encoded.questions
        there = samples.has(name)
        self.require(samples.parts.get(name) if bool(there.any()) else None, f"questions with {name}")
        if len(samples) > 1:
            shift = encoded.drawn("shift", lambda: int(encoded.random(1).item() * (len(samples) - 1)) + 1)
            other = torch.arange(len(samples), device=there.device).roll(shift)
        else:
            other = torch.zeros_like(samples.entity)
        same = (samples.shown == samples.shown[other]) & (samples.shown >= 0)
        is_own = there & facts.mask.any(1)
        is_other = there & facts.mask[other].any(1) & ~same & (other != torch.arange(len(other), device=other.device))

        def judged(facts: Facts) -> Tensor:
            encoded.calls["fusion"] += 1
            mask = read.mask(name)
            states = encoded.model.fuse({name: read.tokens(name)}, {name: mask}, facts)[name]
            return self.head((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1))

        own = judged(facts)[is_own]
        return own, judged(moved(facts, other))[is_other] if bool(is_other.any()) else own[:0]

    def forward(self, encoded: Encoded) -> Tensor:
        own, other = self.logits(encoded)
        if not len(own) + len(other):
            return own.sum()
        return match_cross_entropy(own.float(), other.float())

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return told_apart(*self.logits(encoded))


def moved(facts: Facts, rows: Tensor) -> Facts:
    """The facts of B questions in another order: row i gets those of ``rows[i]``, a permutation (B,)."""
    longest = facts.mask.shape[1]
    slot = rows.argsort()[facts.slot // longest] * longest + facts.slot % longest
    return replace(facts, mask=facts.mask[rows], slot=slot)

"""Are these facts about this text, or this picture?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

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

        def judged(theirs: Tensor) -> Tensor:
            """Each row with the facts of another, or its own."""
            mask, given = read.mask(name), {"knowledge": read.tokens("knowledge")[theirs]}
            biases = {"knowledge": read.biases("knowledge")["knowledge"][theirs]}
            masks = {name: mask, "knowledge": facts.mask[theirs]}
            states = encoded.together({name: read.tokens(name)} | given, masks, biases)[name]
            return self.head((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1))

        own = judged(torch.arange(len(other), device=other.device))[is_own]
        return own, judged(other)[is_other] if bool(is_other.any()) else own[:0]

    def forward(self, encoded: Encoded) -> Tensor:
        own, other = self.logits(encoded)
        if not len(own) + len(other):
            return own.sum()
        return match_cross_entropy(own.float(), other.float())

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return told_apart(*self.logits(encoded))

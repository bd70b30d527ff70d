"""Image–text matching: does this caption belong to this picture? Or any two modalities."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.matching import match_cross_entropy
from kemm.objectives.masked_language import commonest
from kemm.objectives.negatives import Past, Seen, right_pairs, wrong_pairs
from kemm.objectives.objective import Context, Objective


class Matching(Objective):
    """A two-way classifier on the fused summary token, with hard negatives (``itm``).

        L = CE(W h_summary, matched?) over N pairs, N pictures with a wrong caption, N captions with a wrong picture
        (``wrong: either``: half of each)

    ALBEF (Li et al., 2021, arXiv:2107.07651); ``kemm.objectives.negatives`` says how negatives are drawn and where that
    differs. They are of the batch, of the batches of all processes (VLMo), or of the last steps too, read anew.
    With ``hidden`` all pairs have words and patches hidden, so that the right ones are those that ``mlm`` and ``mim``
    read, as in FLAVA (Singh et al., 2022, arXiv:2112.04482).
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.needs = self.between = tuple(settings.between)
        self.head = nn.Linear(context.width, 2)
        self.past = {name: Past(settings.queue) for name in self.between} if settings.negatives == "queue" else None
        self._seen: dict[str, Seen] = {}

    def judge(self, fused: dict[str, Tensor]) -> Tensor:
        """(N, 2)."""
        return self.head(summary(fused))

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(N, 2) of the right pairs, (M, 2) of wrong ones; M is 2N or N, less rows that nothing is confused with."""
        rows = self.rows(encoded)
        is_hidden = self.settings.hidden
        matched = self.judge(right_pairs(encoded, self.between, is_hidden).states)
        chosen = self.settings
        wrong = wrong_pairs(encoded, self.between, chosen.negatives, self.past, is_hidden, chosen.wrong)
        if self.past is not None and self.training:
            self._seen = {name: Seen.of(encoded, name, rows) for name in self.between}
        return matched, self.judge(wrong.states) if wrong is not None else matched[:0]

    def forward(self, encoded: Encoded) -> Tensor:
        matched, wrong = self.logits(encoded)
        return match_cross_entropy(matched.float(), wrong.float())

    def after_step(self) -> None:
        for name, seen in self._seen.items():
            assert self.past is not None
            self.past[name].take_in(seen)
        self._seen = {}

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return told_apart(*self.logits(encoded))


def summary(fused: dict[str, Tensor]) -> Tensor:
    """(N, D): the text's summary token, or without a text the last modality's first."""
    return (fused["language"] if "language" in fused else list(fused.values())[-1])[:, 0]


def told_apart(matched: Tensor, wrong: Tensor) -> dict[str, float]:
    """Share of pairs judged rightly by a two-way head, beside always saying what is commoner."""
    if not len(matched) + len(wrong):
        return {}
    right = torch.cat([matched.argmax(1) == 1, wrong.argmax(1) == 0]).float().mean().item()
    return {"accuracy": right, "chance": max(len(matched), len(wrong)) / (len(matched) + len(wrong))}


def classified(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Share of rows (N, C) whose class (N,) is right, beside always saying the commonest."""
    return {"accuracy": (logits.argmax(1) == target).float().mean().item(), "chance": commonest(target)}

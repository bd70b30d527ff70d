"""Image–text matching: does this caption belong to this picture?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.contrastive import positives
from kemm.objectives.losses.matching import hard_negatives, match_cross_entropy
from kemm.objectives.objective import Context, Objective


class ImageTextMatching(Objective):
    """A two-way classifier on the fused summary token, with hard negatives from the batch (``itm``).

        L = CE(W h_summary, matched?) over B pairs, B pictures with a wrong caption, B captions with a wrong picture

    Negatives are drawn by similarity, as in ALBEF (Li et al., 2021, arXiv:2107.07651). There the similarity is that of
    the contrastive heads; here it is that of the unfused vectors within a modality, so that matching does not need
    ``itc``. Pairs of the same entity are never negatives.
    """

    needs = ("vision", "language")
    temperature = 0.1

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, 2)

    def judge(self, fused: dict[str, Tensor]) -> Tensor:
        """(N, 2)."""
        return self.head(fused["language"][:, 0])

    def draw(self, pooled: Tensor, entity: Tensor, generator: torch.Generator | None) -> Tensor:
        """For each row the number of another, of another entity, likelier when alike: (N,); −1 where there is none."""
        unit = F.normalize(pooled.detach().float(), dim=-1)
        return hard_negatives(unit @ unit.T / self.temperature, positives(entity), generator)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(N, 2) of the right pairs, (M, 2) of wrong ones; M is 2N, less the rows that nothing can be confused with."""
        rows = self.rows(encoded)
        entity = encoded.samples.entity[rows]
        matched = self.judge(encoded.fused(*self.needs))
        pictures, texts = (self.draw(encoded.pooled(name, rows), entity, encoded.generator) for name in self.needs)
        has, owns = pictures >= 0, texts >= 0
        if not bool((has | owns).any()):
            return matched, matched[:0]
        wrong = {
            "vision": torch.cat([rows[pictures[has]], rows[owns]]),
            "language": torch.cat([rows[has], rows[texts[owns]]]),
        }
        return matched, self.judge(encoded.pair(wrong))

    def forward(self, encoded: Encoded) -> Tensor:
        matched, wrong = self.logits(encoded)
        return match_cross_entropy(matched.float(), wrong.float())

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        matched, wrong = self.logits(encoded)
        right = torch.cat([matched.argmax(1) == 1, wrong.argmax(1) == 0]).float().mean().item()
        most = max(len(matched), len(wrong)) / (len(matched) + len(wrong))
        return {"accuracy": right, "chance": most}

"""Image–text matching: does this caption belong to this picture?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.model import Encoded
from kemm.objectives.objective import Context, Objective


class ImageTextMatching(Objective):
    """A two-way classifier on the fused summary token, with hard negatives from the batch (``itm``).

        L = CE(W h_summary, matched?) over B pairs, B pictures with a wrong caption, B captions with a wrong picture

    Negatives are drawn by similarity, as in ALBEF (Li et al., 2021, arXiv:2107.07651). There the similarity is that of
    the contrastive heads; here it is that of the frozen towers within a modality, so that matching does not need
    ``itc``. Pairs of the same entity are never negatives.
    """

    temperature = 0.1

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, 2)

    def draw(self, pooled: Tensor, entity: Tensor, generator: torch.Generator | None) -> Tensor:
        """For each row the number of another, of another entity, likelier when alike: (B,)."""
        unit = F.normalize(pooled, dim=-1)
        logits = (unit @ unit.T / self.temperature).masked_fill(entity[:, None] == entity[None, :], -torch.inf)
        return torch.multinomial(logits.softmax(1).cpu(), 1, generator=generator).squeeze(1).to(pooled.device)

    def forward(self, encoded: Encoded) -> Tensor:
        pairs = self.require(encoded.batch.pairs, "picture–caption pairs")
        matched = self.head(encoded.fused["language"][:, 0])  # (B, 2)
        if (pairs.entity == pairs.entity[0]).all():  # no one to be confused with
            return F.cross_entropy(matched, torch.ones_like(pairs.entity))
        others = self.draw(encoded.image, pairs.entity, encoded.generator)
        captions = self.draw(encoded.caption, pairs.entity, encoded.generator)
        wrong = encoded.model.fuse(
            torch.cat([pairs.patches[others], pairs.patches]),
            torch.cat([pairs.text, pairs.text[captions]]),
            torch.cat([pairs.text_mask, pairs.text_mask[captions]]),
        )
        logits = torch.cat([matched, self.head(wrong["language"][:, 0])])  # (3B, 2)
        targets = torch.cat([torch.ones_like(pairs.entity), torch.zeros_like(pairs.entity).repeat(2)])
        return F.cross_entropy(logits, targets)

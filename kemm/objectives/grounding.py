"""Which part of a picture do these words name? Learned from collages, where that is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.grounding import region_word_contrast
from kemm.objectives.objective import Context, Objective


class Grounding(Objective):
    """Words and patches of several captioned pictures in one sequence, each word to find its picture (``grounding``).

        L = ½ mean_p −1/|T_p⁺| Σ_{t∈T_p⁺} log softmax_t(⟨p, t⟩ / τ) + ½ the same from words to patches

    MDETR's contrastive alignment (Kamath et al., 2021, arXiv:2104.12763), whose phrases and boxes are annotated; here
    several pictures are put together in an order of chance, and the words of each one's caption name its patches. Rows
    of one entity name each other's. Pictures that are left over make a smaller collage.
    """

    needs = ("vision", "language")

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.words = nn.Linear(context.width, context.width)
        self.patches = nn.Linear(context.width, context.width)

    def collages(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Patches (C, g·P, D) and words (C, g·T, D), which of these are there, and which names which (C, g·P, g·T)."""
        rows, read = self.rows(encoded), encoded.read
        size = min(self.settings.pictures, len(rows))
        count = len(rows) // size
        order = encoded.drawn(("collages", size), lambda: torch.randperm(len(rows), generator=encoded.generator))
        groups = rows[order.to(rows.device)][: count * size].unflatten(0, (count, size))  # (C, g)
        mixed = encoded.drawn(("mixed", size), lambda: torch.rand(count, size, generator=encoded.generator).argsort(1))
        shown = groups.gather(1, mixed.to(rows.device))  # the pictures in another order than the captions

        summaries = {name: read.model.entrance(name).summaries for name in self.needs}
        vision, language = read.tokens("vision")[shown], read.tokens("language")[groups]  # (C, g, L, D)
        masks = {"vision": read.mask("vision")[shown], "language": read.mask("language")[groups]}
        fused = encoded.together(
            {"vision": vision.flatten(1, 2), "language": language.flatten(1, 2)},
            {name: mask.flatten(1, 2) for name, mask in masks.items()},
        )

        def unit(name: str, head: nn.Module, like: Tensor) -> tuple[Tensor, Tensor]:
            states = fused[name].unflatten(1, like.shape[1:3])[:, :, summaries[name] :].flatten(1, 2)
            return F.normalize(head(states).float(), dim=-1), masks[name][:, :, summaries[name] :].flatten(1, 2)

        patches, patch_mask = unit("vision", self.patches, vision)
        words, word_mask = unit("language", self.words, language)
        entity = encoded.samples.shown
        same = (shown[:, :, None] == groups[:, None, :]) | (
            (entity[shown][:, :, None] == entity[groups][:, None, :]) & (entity[shown][:, :, None] >= 0)
        )  # (C, g, g)
        named = same.repeat_interleave(patches.shape[1] // size, 1).repeat_interleave(words.shape[1] // size, 2)
        return patches, words, patch_mask, word_mask, named

    def forward(self, encoded: Encoded) -> Tensor:
        patches, words, patch_mask, word_mask, named = self.collages(encoded)
        return region_word_contrast(patches, words, named, self.settings.temperature, patch_mask, word_mask)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the patch nearest to a word is of its picture."""
        patches, words, patch_mask, word_mask, named = self.collages(encoded)
        nearest = (words @ patches.mT).masked_fill(~patch_mask[:, None, :], -torch.inf).argmax(2)  # (C, g·T)
        right = named.gather(1, nearest[:, None, :]).squeeze(1)[word_mask].float().mean().item()
        return {"accuracy": right, "chance": named.float().mean(1)[word_mask].mean().item()}

"""What is hidden of words and patches in masked modelling; equal choices share one forward of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from kemm.data.lexicon import Lexicon
from kemm.objectives.losses.picture_masks import hide_blocks, hide_random
from kemm.objectives.losses.text_masks import corrupt, hide_spans, hide_units, token_units
from kg.errors import InputError


class HiddenWords(NamedTuple):
    """Texts with words hidden: ``ids`` (B, T) to be read, ``targets`` (B, T) the hidden ids, −1 elsewhere."""

    ids: Tensor
    targets: Tensor


@dataclass(frozen=True)
class WordHiding:
    """Which words are hidden.

    Attributes:
        rate: share of the units of a text, at least one; ``rate_alone``: of a text that nothing stands beside.
        units: single tokens (BERT), whole words (ViLT), spans of words (SpanBERT).
        masked, replaced: of the hidden, how many show the mask's token and how many any other word.
    """

    rate: float
    rate_alone: float | None = None
    units: Literal["token", "word", "span"] = "token"
    masked: float = 1.0
    replaced: float = 0.0

    def draw(
        self, ids: Tensor, real: Tensor, is_alone: Tensor, lexicon: Lexicon, generator: torch.Generator | None
    ) -> HiddenWords:
        """Hide words of ``ids`` (B, T), whose padding ``real`` (B, T) bool names; drawn on the CPU.

        Args:
            is_alone: (B,) bool, texts that nothing stands beside.

        Raises:
            InputError: the tokenizer has no word for what is hidden.
        """
        if lexicon.mask_id is None:
            raise InputError("this text model's tokenizer has no mask token, so no word can be hidden: set model.text")
        generator = generator or torch.Generator().manual_seed(0)
        ids, real, is_alone, device = ids.cpu(), real.cpu(), is_alone.cpu(), ids.device
        is_word = real & ~lexicon.is_special[ids]
        words = ((is_word & ~lexicon.continues[ids]).long().cumsum(1) - 1).clamp(min=0).masked_fill(~is_word, -1)
        units = token_units(is_word) if self.units == "token" else words

        def hide(rate: float) -> Tensor:
            return (hide_spans if self.units == "span" else hide_units)(units, rate, generator)

        hidden = hide(self.rate)
        if self.rate_alone is not None and bool(is_alone.any()):
            hidden = torch.where(is_alone[:, None], hide(self.rate_alone), hidden)
        read, targets = corrupt(
            ids, hidden, lexicon.mask_id, lexicon.ordinary, generator, units, self.masked, self.replaced
        )
        return HiddenWords(read.to(device), targets.to(device))


@dataclass(frozen=True)
class PatchHiding:
    """Which patches are hidden.

    Attributes:
        rate: share of the patches of a picture, at least one.
        blocks: in rectangles (BEiT) instead of one by one.
        drop: the encoder doesn't see them at all (MAE) instead of a mask's token in their places.
    """

    rate: float
    blocks: bool = False
    drop: bool = False

    def draw(self, batch: int, grid: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        """(B, P) bool, true at the hidden; as many in every picture."""
        generator = generator or torch.Generator().manual_seed(0)
        patches = grid[0] * grid[1]
        rate = max(self.rate, 1 / patches)
        if self.blocks:
            return hide_blocks(batch, *grid, rate, generator, least=min(16, max(1, patches // 8)))
        return hide_random(batch, patches, rate, generator)


@dataclass(frozen=True)
class Plan:
    """What one joint forward of a step hides: of words, of patches, and the share of the facts' entities."""

    words: WordHiding | None = None
    patches: PatchHiding | None = None
    nodes: float = 0.0

"""What hiding words needs to know of a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lexicon:
    """The words of a text model, V of them.

    Attributes:
        mask_id: what stands for a hidden one; None where the model has no such word.
        is_special: (V,) bool: marks of begin, end, padding, masking; never hidden.
        continues: (V,) bool: pieces that go on the word before them.
    """

    mask_id: int | None
    is_special: Tensor
    continues: Tensor

    @property
    def ordinary(self) -> Tensor:
        """(V',) the ids that are not special."""
        return (~self.is_special).nonzero().squeeze(1)

    @classmethod
    def of(cls, vocabulary: Mapping[str, int], size: int, special: Iterable[int], mask_id: int | None) -> Lexicon:
        """From a tokenizer's table, with pieces as WordPiece (``##ing``), SentencePiece (``▁the``) or BPE (``Ġthe``).

        Args:
            size: V of the model, which may have more rows than the table.
        """
        is_special, continues = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
        is_special[[number for number in special if number < size]] = True
        is_wordpiece = any(word.startswith("##") for word in vocabulary)
        starts = ("▁", "Ġ")
        marks_starts = not is_wordpiece and any(word.startswith(starts) for word in vocabulary)
        for word, number in vocabulary.items():
            if number < size:
                continues[number] = word.startswith("##") or (marks_starts and not word.startswith(starts))
        return cls(mask_id, is_special, continues & ~is_special)

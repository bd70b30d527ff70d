"""Names as their letters, of any script: what is heard of a name, whichever language it is in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from kg.errors import InputError
from kg.names import fold

_APART = re.compile(r"\([^)]*\)")  # "A caribou (reindeer)": what stands apart is mostly not said


def spell(name: str) -> str:
    """A name's letters, folded (`kg.names.fold`), its words with single blanks between; the rest is left out.

    ``"Un écureuil (roux), 2" → "un ecureuil"``. Marks that are letters of their script, as vowels in Devanagari, stay.
    """
    letters = (c if unicodedata.category(c)[0] in "LM" else " " for c in fold(_APART.sub("", name)))
    return " ".join("".join(letters).split())


class Alphabet:
    """The letters of some names, numbered from 1; 0 is CTC's blank.

    Attributes:
        letters: sorted, so that the same names give the same numbers.
    """

    def __init__(self, letters: Iterable[str]) -> None:
        self.letters = "".join(sorted(set(letters)))
        self._number = {letter: number for number, letter in enumerate(self.letters, 1)}

    @classmethod
    def of(cls, names: Iterable[str]) -> Alphabet:
        """Of all letters that ``spell`` leaves of the names.

        Raises:
            InputError: there is no letter.
        """
        alphabet = cls(letter for name in names for letter in spell(name))
        if not alphabet.letters.strip():
            raise InputError("none of the names has a letter; give names as they are written")
        return alphabet

    def __len__(self) -> int:
        """C, the blank counted."""
        return len(self.letters) + 1

    def numbers(self, name: str) -> list[int]:
        """Of a name's letters; those that the alphabet lacks are left out."""
        return [self._number[letter] for letter in spell(name) if letter in self._number]

    def encode(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """N names → numbers ``(N, L)``, 0 behind them, and lengths ``(N,)``; a length may be 0."""
        rows = [torch.tensor(self.numbers(name), dtype=torch.long) for name in names]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) if rows else torch.zeros(0, 0).long(), lengths

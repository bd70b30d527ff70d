"""K-BERT: facts written into the sentence, at soft positions, seen by the words that they are about alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kg.errors import InputError


@dataclass(frozen=True)
class Branch:
    """Words that a fact adds: they follow the sentence's word number ``at``, the last of the entity's mention."""

    at: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class SentenceTree:
    """A sentence with its branches, as a Transformer reads it.

    Attributes:
        words: L numbers of words: each branch stands after the word that it is about.
        positions: (L,) soft positions: a branch goes on from its word, the sentence as if there were no branch.
        visible: (L, L) bool, true where a word may read another.
    """

    words: list[int]
    positions: Tensor
    visible: Tensor


def sentence_tree(
    sentence: Sequence[int], branches: Sequence[Branch], mentions: Sequence[tuple[int, int]] = ()
) -> SentenceTree:
    """Lay a sentence and its facts out (Liu et al., 2020, arXiv:1909.07606, §3.3).

    Words of the sentence read each other; words of a branch read each other and the mention that the branch is about;
    nothing else.

    Args:
        sentence: T numbers of words.
        branches: facts' words.
        mentions: (first, last) words of mentions of several words; a branch at ``last`` is about all of it.

    Raises:
        InputError: a branch is at no word of the sentence.
    """
    first = {last: start for start, last in mentions}
    by_word: dict[int, list[Branch]] = {}
    for branch in branches:
        if not 0 <= branch.at < len(sentence):
            raise InputError(f"a branch is at word {branch.at}, but the sentence has {len(sentence)} words")
        by_word.setdefault(branch.at, []).append(branch)
    words: list[int] = []
    positions: list[int] = []
    owner: list[int] = []  # 0: the sentence; k: the k-th branch laid out
    trunk: list[int] = []  # where the sentence's words stand
    about: dict[int, range] = {}
    for place, word in enumerate(sentence):
        trunk.append(len(words))
        words.append(word)
        positions.append(place)
        owner.append(0)
        for branch in by_word.get(place, []):
            number = len(about) + 1
            about[number] = range(first.get(place, place), place + 1)
            words.extend(branch.words)
            positions.extend(range(place + 1, place + 1 + len(branch.words)))
            owner.extend([number] * len(branch.words))
    owners = torch.tensor(owner)
    visible = owners[:, None] == owners[None, :]
    for number, mention in about.items():
        own = owners == number
        for place in mention:
            visible[own, trunk[place]] = True
            visible[trunk[place], own] = True
    return SentenceTree(words, torch.tensor(positions), visible)

"""The names of a load, folded as ``kg.names.fold`` does it and sorted, all at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kg.names import fold
from kg.store.blocks import Array
from kg.store.numbering import kernels
from kg.store.terms import LONGEST_NAME
from kg.store.texts import Texts, join


def folded_names(contents: Texts) -> tuple[Texts, Array]:
    """Return the folded texts of those contents that may be names, and which contents they are.

    Those with a datatype or a unit, and long ones, are no names. ASCII is folded in one go, the others one by one.
    """
    n = len(contents)
    run, offsets = np.empty(int(contents.offsets[-1] - contents.offsets[0]), np.uint8), np.empty(n + 1, np.int64)
    places, is_odd = np.empty(n, np.int64), np.zeros(n, np.uint8)
    bounds = np.ascontiguousarray(contents.offsets)
    count = kernels.names(contents.run, bounds, n, LONGEST_NAME, run, offsets, places, is_odd)
    found, places, is_odd = Texts(run, offsets[: count + 1]), places[:count], is_odd[:count]
    odd, even = np.flatnonzero(is_odd), np.flatnonzero(is_odd == 0)
    if not len(odd):
        return found, places
    changed = Texts.of([fold(text) for text in found.take(odd).to_list()])
    return join([found.take(even), changed]), np.concatenate([places[even], places[odd]])


def sorting(texts: Texts) -> Array:
    """Return the places of texts in the order of their bytes; equal ones stay in their order."""
    n = len(texts)
    order, group, active = np.arange(n), np.zeros(n, np.int64), np.arange(n)
    longest = int(np.diff(texts.offsets).max(initial=0))
    for skip in range(0, longest, 8):
        if not len(active):
            break
        words = np.empty(len(active), np.uint64)
        kernels.words(texts.run, np.ascontiguousarray(texts.offsets), order[active], len(active), skip, words)
        by_word = np.lexsort((words, group)) if skip else np.argsort(words, kind="stable")
        order[active], words, group = order[active][by_word], words[by_word], group[by_word]
        is_first = np.ones(len(active), dtype=bool)
        is_first[1:] = (words[1:] != words[:-1]) | (group[1:] != group[:-1])
        group = np.cumsum(is_first)
        is_single = is_first & np.append(is_first[1:], True)  # only those that are alike so far are looked at further
        active, group = active[~is_single], group[~is_single]
    return order


class Names:
    """Names waiting to be written: what is found under which text."""

    def __init__(self) -> None:
        self._texts: list[Texts] = []
        self._ids: list[Array] = []

    def add(self, ids: Array, contents: Texts) -> None:
        """Take literals."""
        texts, places = folded_names(contents)
        if len(texts):
            self._texts.append(texts)
            self._ids.append(ids[places])

    def blocks(self, size: int) -> Iterator[tuple[int, int, bytes, Array]]:
        """Yield (number of the first name, count, run, lengths): folded names in order, then their ids as text."""
        if not self._texts:
            return
        ids, places = np.unique(np.concatenate(self._ids), return_index=True)
        texts = join(self._texts).take(places)
        order = sorting(texts)
        texts, ids = texts.take(order), ids[order]
        firsts = np.empty((len(ids) + size - 1) // size, np.uint64)
        kernels.words(texts.run, texts.offsets, np.arange(0, len(ids), size), len(firsts), 0, firsts)
        for start in range(0, len(ids), size):
            bounds = texts.offsets[start : start + size + 1]
            numbers = [str(number).encode() for number in ids[start : start + size].tolist()]
            run = texts.run[int(bounds[0]) : int(bounds[-1])].tobytes() + b"".join(numbers)
            lengths = np.concatenate([np.diff(bounds), [len(number) for number in numbers]])
            yield int(firsts[start // size]) >> 8, len(numbers), run, lengths

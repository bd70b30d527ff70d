"""The known answers of a query: for (h, r) all tails, for (r, t) all heads, as compressed rows (CSR)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kg.embeddings.triples import Array


@dataclass(frozen=True)
class Rows:
    """Queries with their answers: ``answers[starts[i]:starts[i + 1]]`` are those of ``keys[i]``, ascending."""

    keys: Array
    starts: Array
    answers: Array

    def find(self, keys: Array) -> tuple[Array, Array]:
        """Return where the answers of each key begin and end, (B,) each; equal where there are none."""
        if not len(self.keys):
            nothing = np.zeros(len(keys), dtype=np.int64)
            return nothing, nothing
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        is_there = self.keys[place] == keys
        return np.where(is_there, self.starts[place], 0), np.where(is_there, self.starts[place + 1], 0)


class Known:
    """The answers that some triples give, on both sides; a triple that comes twice counts once.

    Args:
        parts: (N, 3) arrays of triples: training, and what else is known to be true.
        num_entities: E.
    """

    def __init__(self, parts: Iterable[Array], num_entities: int) -> None:
        rows = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])  # (N, 3)
        self.num_entities = num_entities
        self.tails = _rows(self.tail_keys(rows[:, 0], rows[:, 1]), rows[:, 2])
        self.heads = _rows(self.head_keys(rows[:, 1], rows[:, 2]), rows[:, 0])

    def tail_keys(self, heads: Array, relations: Array) -> Array:
        """One number a query (h, r, ?); queries of one relation have numbers next to each other."""
        keys: Array = relations.astype(np.int64) * self.num_entities + heads
        return keys

    def head_keys(self, relations: Array, tails: Array) -> Array:
        """One number a query (?, r, t); queries of one relation have numbers next to each other."""
        keys: Array = relations.astype(np.int64) * self.num_entities + tails
        return keys


def _rows(keys: Array, answers: Array) -> Rows:
    order = np.lexsort((answers, keys))
    keys, answers = keys[order], answers[order]
    is_new = np.ones(len(keys), dtype=bool)
    is_new[1:] = (keys[1:] != keys[:-1]) | (answers[1:] != answers[:-1])
    keys, answers = keys[is_new], answers[is_new]
    distinct, starts = np.unique(keys, return_index=True)
    return Rows(distinct, np.append(starts, len(keys)), answers)

"""Edges grouped by one end (compressed sparse rows), with the rows that edits have changed laid over them.

The base arrays may be mapped from a file and are never written to. An edit replaces whole rows: those of the entities
it touches are copied, changed, and kept beside the base, so an edit costs the degree of what it touches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: An entity's row: the other ends and the relations, (D,) each, sorted by (relation, other end).
Row = tuple[Array, Array]


class Csr(NamedTuple):
    """Edges by one end: those of entity i are ``indices[indptr[i]:indptr[i + 1]]``, with their relations.

    A row that edits have changed stands in the ``patch`` arrays instead: that of entity ``patched[p]`` is
    ``patch_indices[patch_indptr[p]:patch_indptr[p + 1]]``. Entities from ``len(indptr) - 1`` on came by edits.

    Shapes: ``indptr`` (E + 1,), ``indices`` and ``relation`` (M,); ``patched`` (P,) ascending, ``patch_indptr``
    (P + 1,), ``patch_indices`` and ``patch_relation`` (M',). Integers as wide as needed: int32, int64 from 2³¹ on;
    relations int16, int32 from 2¹⁵ on.
    """

    indptr: Array
    indices: Array
    relation: Array
    patched: Array
    patch_indptr: Array
    patch_indices: Array
    patch_relation: Array

    def of(self, entity: int) -> Row:
        """Return the other ends and the relations of one entity's edges."""
        if len(self.patched):
            place = int(np.searchsorted(self.patched, entity))
            if place < len(self.patched) and self.patched[place] == entity:
                part = slice(int(self.patch_indptr[place]), int(self.patch_indptr[place + 1]))
                return self.patch_indices[part], self.patch_relation[part]
        if entity >= len(self.indptr) - 1:
            return self.patch_indices[:0], self.patch_relation[:0]
        part = slice(int(self.indptr[entity]), int(self.indptr[entity + 1]))
        return self.indices[part], self.relation[part]

    def degrees(self, num_entities: int) -> Array:
        """Return the number of edges of every entity, (E,) int64."""
        found = np.zeros(num_entities, dtype=np.int64)
        found[: len(self.indptr) - 1] = np.diff(self.indptr)
        found[self.patched] = np.diff(self.patch_indptr)
        return found

    def flat(self) -> tuple[Array, Array, Array]:
        """Return (ends, others, relations) of all edges, each (M,) int64, sorted by end, relation and other end."""
        ends = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        if not len(self.patched):
            return ends, self.indices.astype(np.int64), self.relation.astype(np.int64)
        kept = ~np.isin(ends, self.patched)
        patch_ends = np.repeat(self.patched.astype(np.int64), np.diff(self.patch_indptr))
        ends = np.concatenate([ends[kept], patch_ends])
        others = np.concatenate([self.indices[kept], self.patch_indices]).astype(np.int64)
        relations = np.concatenate([self.relation[kept], self.patch_relation]).astype(np.int64)
        order = np.argsort(ends, kind="stable")  # rows are sorted inside already
        return ends[order], others[order], relations[order]

    def rows(self) -> dict[int, Row]:
        """Return the changed rows."""
        return {int(entity): self.of(int(entity)) for entity in self.patched}

    def over(self, rows: Mapping[int, Row]) -> Csr:
        """Return the same base under these changed rows, in place of those there were."""
        patched = np.array(sorted(rows), dtype=np.int32)
        indptr = np.zeros(len(patched) + 1, dtype=np.int64)
        np.cumsum([len(rows[int(entity)][0]) for entity in patched], out=indptr[1:])
        empty = (self.indices[:0], self.relation[:0])
        parts = [rows[int(entity)] for entity in patched] or [empty]
        indices = np.concatenate([part[0] for part in parts]).astype(self.indices.dtype)
        relation = np.concatenate([part[1] for part in parts]).astype(self.relation.dtype)
        for array in (patched, indptr, indices, relation):
            array.flags.writeable = False
        return self._replace(patched=patched, patch_indptr=indptr, patch_indices=indices, patch_relation=relation)


def width(largest: int, narrow: Any = np.int32, wide: Any = np.int64) -> Any:
    """Return the narrower of two integer types if it holds ``largest``."""
    return narrow if largest <= np.iinfo(narrow).max else wide


def unpatched(indptr: Array, indices: Array, relation: Array) -> Csr:
    """Return a base without changed rows."""
    none = np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64), indices[:0].copy(), relation[:0].copy()
    made = Csr(indptr, indices, relation, *none)
    for array in made:  # compiled walks know one type of array, and nobody writes to these
        array.flags.writeable = False
    return made


def group(ends: Array, others: Array, relations: Array, num_entities: int, num_relations: int) -> Csr:
    """Group edges, in dense numbers, by ``ends``; rows sorted by (relation, other end), equal edges kept once."""
    span, keys = max(num_entities, 1), max(num_relations, 1)
    if span * span * keys < 2**63:  # one number an edge sorts several times as fast as three columns
        key = (ends.astype(np.int64) * keys + relations) * span + others
        key.sort(kind="stable")
        is_new = np.ones(len(key), dtype=bool)
        np.not_equal(key[1:], key[:-1], out=is_new[1:])
        rest, others = np.divmod(key[is_new], span)
        ends, relations = np.divmod(rest, keys)
    else:
        order = np.lexsort((others, relations, ends))
        ends, relations, others = ends[order], relations[order], others[order]
        is_new = np.ones(len(ends), dtype=bool)
        is_new[1:] = (ends[1:] != ends[:-1]) | (relations[1:] != relations[:-1]) | (others[1:] != others[:-1])
        ends, relations, others = ends[is_new], relations[is_new], others[is_new]
    indptr = np.zeros(num_entities + 1, dtype=width(len(ends)))
    np.cumsum(np.bincount(ends, minlength=num_entities), out=indptr[1:])
    small = width(num_relations, np.int16, np.int32)
    return unpatched(indptr, others.astype(width(num_entities)), relations.astype(small))

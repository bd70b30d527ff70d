"""Write a segment: sort its statements three ways, and put blocks of them, of terms, keys and names into the store."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from kg.store.blocks import Array, pack_columns, pack_texts
from kg.store.key_runs import merged
from kg.store.names_columns import Names
from kg.store.numbering import Keys, merge
from kg.store.schema import block, segment
from kg.store.segments import (
    BY_HEAD,
    BY_RELATION,
    IRIS,
    KEYS,
    KEYS_IN_BLOCK,
    LITERALS,
    NAMES,
    NAMES_IN_BLOCK,
    PLACES,
    STATEMENTS,
    TERMS,
    look_again,
    view,
)
from kg.store.statements import Statements
from kg.store.texts import Texts

_COLUMNS = ("segment", "kind", "first", "second", "count", "data")


def insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows by the fastest way that the database has."""
    if not rows:
        return
    names = ", ".join(columns)
    driver: Any = connection.connection.driver_connection  # SQLAlchemy would copy a million rows on their way
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
    else:
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _ranges(columns: Sequence[Array]) -> list[tuple[int, int]]:
    """Return the smallest value of each column, and the bits that its others need above it."""
    found = []
    for column in columns:
        low = int(column.min(initial=1 << 62))
        found.append((low, max(int(column.max(initial=low)) - low, 0).bit_length()))
    return found


def pack(columns: Sequence[Array], like: Sequence[Array]) -> Array | None:
    """Return rows as single numbers in the same order, by the ranges of ``like``; None when 63 bits don't suffice."""
    ranges = _ranges(like)
    if sum(bits for _, bits in ranges) > 63 or not len(like[0]):
        return None
    packed = np.zeros(len(columns[0]), dtype=np.int64)
    for column, (low, bits) in zip(columns, ranges, strict=True):
        packed <<= bits
        packed |= column - low
    return packed


def is_in(rows: Sequence[Array], others: Sequence[Array]) -> np.ndarray:
    """Tell which rows, given as columns, are among others, (M,) bool."""
    if not len(others[0]) or not len(rows[0]):
        return np.zeros(len(rows[0]), dtype=bool)
    both = [np.concatenate(pair) for pair in zip(rows, others, strict=True)]
    packed = pack(both, both)
    if packed is None:
        known = set(zip(*(column.tolist() for column in others), strict=True))
        return np.array([row in known for row in zip(*(column.tolist() for column in rows), strict=True)])
    return np.isin(packed[: len(rows[0])], packed[len(rows[0]) :])


@dataclass(slots=True)
class _Texts:
    """Terms of one kind waiting for a whole block."""

    kind: int
    first: int = 0
    run: list[bytes] = field(default_factory=list)
    lengths: list[Array] = field(default_factory=list)


class SegmentWriter:
    """One segment being written. ``add_terms`` and ``add_names`` as they come; then ``finish`` with the statements."""

    def __init__(self, connection: Connection, source: int, added: int, is_staged: bool) -> None:
        self._connection, self._is_staged = connection, is_staged
        self.id = int(connection.execute(select(func.max(segment.c.id))).scalar() or 0) + 1
        connection.execute(
            segment.insert().values(
                id=self.id,
                tag=uuid.uuid4().hex,
                source=source,
                added=added,
                is_staged=int(is_staged),
                triples=0,
                literals=0,
                relations="{}",
            )
        )
        self._texts = {IRIS: _Texts(IRIS), LITERALS: _Texts(LITERALS)}
        self._keys: list[Keys] = []
        self._names = Names()
        self._blocks: list[tuple[Any, ...]] = []

    def add_terms(self, iris: Texts, literals: Texts, first: tuple[int, int], keys: Keys) -> None:
        """Take new terms: contents in id order, the first ids of each kind without sign, and their keys."""
        for kind, texts, number in ((IRIS, iris, first[0]), (LITERALS, literals, first[1])):
            if len(texts):
                waiting = self._texts[kind]
                if not waiting.lengths:
                    waiting.first = number
                waiting.run.append(texts.run[int(texts.offsets[0]) : int(texts.offsets[-1])].tobytes())
                waiting.lengths.append(np.diff(texts.offsets))
                self._write_terms(waiting, whole_only=True)
        if len(keys):
            self._keys.append(keys)

    def add_names(self, ids: Array, contents: Texts) -> None:
        """Let literals be found as names, given by ids and contents."""
        self._names.add(ids, contents)

    def _write_terms(self, waiting: _Texts, whole_only: bool) -> None:
        if not waiting.lengths:
            return
        run, lengths = b"".join(waiting.run), np.concatenate(waiting.lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        stop = len(lengths) // TERMS * TERMS if whole_only else len(lengths)
        for start in range(0, stop, TERMS):
            end = min(start + TERMS, len(lengths))
            data = pack_texts(run[int(offsets[start]) : int(offsets[end])], lengths[start:end])
            self._put(waiting.kind, waiting.first + start, 0, end - start, data)
        waiting.first += stop
        waiting.run, waiting.lengths = [run[int(offsets[stop]) :]], [lengths[stop:]] if stop < len(lengths) else []

    def _put(self, kind: int, first: int, second: int, count: int, data: bytes) -> None:
        self._blocks.append((self.id, kind, first, second, count, data))
        if len(self._blocks) >= 500:
            self._flush()

    def _flush(self) -> None:
        insert(self._connection, "block", _COLUMNS, self._blocks)
        self._blocks.clear()

    def finish(self, statements: Statements) -> None:
        """Write the statements and all that waits."""
        for waiting in self._texts.values():
            self._write_terms(waiting, whole_only=False)
        relations: dict[int, int] = {}
        literals = 0
        for kind, places in PLACES.items():
            for part in statements.blocks(_inverse(places), STATEMENTS):
                self._put(kind, int(part[0][0]), int(part[1][0]), len(part[0]), pack_columns(part))
                if kind == BY_HEAD:
                    literals += int(np.count_nonzero(part[2] < 0))
                if kind == BY_RELATION:
                    for relation, count in zip(*np.unique_counts(part[0]), strict=True):
                        relations[int(relation)] = relations.get(int(relation), 0) + int(count)
        self._write_names()
        self._write_keys()
        self._flush()
        self._connection.execute(
            segment.update()
            .where(segment.c.id == self.id)
            .values(
                triples=len(statements),
                literals=literals,
                relations=json.dumps(relations),
            )
        )
        look_again(self._connection)

    def _write_names(self) -> None:
        for first, count, run, lengths in self._names.blocks(NAMES_IN_BLOCK):
            self._put(NAMES, first, 0, count, pack_texts(run, lengths))

    def _write_keys(self) -> None:
        """Write the new keys as one run, together with older runs that are not much longer: few runs to look into."""
        if not self._keys:
            return
        new = merge(self._keys)
        count, older = len(new), []
        for one, directory in reversed(view(self._connection).runs(self._connection)):
            # While a load is under way, readers still need the runs of what was there before it.
            if sum(directory.counts) <= 2 * count and one.id != self.id and one.is_staged == self._is_staged:
                older.append((one, directory))
                count += sum(directory.counts)
        for part in merged(self._connection, new, older, KEYS_IN_BLOCK):
            self._put(KEYS, int(part.keys[0]), 0, len(part), pack_columns([part.keys, part.checks, part.ids]))
        gone = [one.id for one, _ in older]
        self._flush()
        if gone:
            self._connection.execute(block.delete().where(block.c.segment.in_(gone), block.c.kind == KEYS))


def _inverse(places: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return, for each column of an order, which of head, relation and tail it is."""
    return places.index(0), places.index(1), places.index(2)

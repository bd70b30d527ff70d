"""Segments: what one large load wrote, found through the directory of its blocks.

The statements of a segment are there three times: sorted by head, by tail and by relation, so that every pattern is a
range. Its new terms are there by id, by key, and its names by their folded text. A segment never changes; decoded
blocks are therefore kept, up to ``MOST_BYTES``, and shared by all threads.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from kg.store.blocks import Array, unpack_columns, unpack_texts
from kg.store.light import ask, home_of, option

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Kinds of blocks: statements in three orders, terms by id, keys, and names.
BY_HEAD, BY_TAIL, BY_RELATION, IRIS, LITERALS, KEYS, NAMES = range(7)
#: What the columns of an order are: places of head, relation and tail in it.
PLACES = {BY_HEAD: (0, 1, 2), BY_TAIL: (1, 2, 0), BY_RELATION: (1, 0, 2)}

#: Statements, terms and keys in one block.
STATEMENTS, TERMS, KEYS_IN_BLOCK, NAMES_IN_BLOCK = 4096, 256, 4096, 1024

#: How much decoded data is kept in memory.
MOST_BYTES = 96 << 20

_LOW, _HIGH = -(1 << 63), (1 << 63) - 1


class Cache:
    """Decoded blocks by segment and id, the least used forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, number: tuple[str, int]) -> Any:
        with self._lock:
            found = self._kept.get(number)
            if found is None:
                return None
            self._kept.move_to_end(number)
            return found[0]

    def put(self, number: tuple[str, int], value: Any, size: int) -> None:
        with self._lock:
            if number not in self._kept:
                self._kept[number] = (value, size)
                self._bytes += size
                while self._bytes > MOST_BYTES and len(self._kept) > 1:
                    self._bytes -= self._kept.popitem(last=False)[1][1]


@dataclass(frozen=True)
class Directory:
    """The blocks of one kind, in order: what each begins with, its id and how much it holds."""

    begins: list[tuple[int, int]]
    ids: list[int]
    counts: list[int]

    @cached_property
    def firsts(self) -> Array:
        """What blocks begin with, the leading number alone, int64."""
        return np.array([first for first, _ in self.begins], dtype=np.int64)

    def between(self, low: tuple[int, int], high: tuple[int, int]) -> range:
        """Return the places of the blocks that may hold something from ``low`` to ``high``."""
        return range(max(bisect_left(self.begins, low) - 1, 0), bisect_right(self.begins, high))


_DIRECTORY = "SELECT first, second, id, count FROM block WHERE segment = :segment AND kind = :kind ORDER BY id"
_DATA = "SELECT data FROM block WHERE id = :id"
_SEGMENTS = "SELECT id, tag, source, added, triples, literals, relations, is_staged FROM segment ORDER BY added, id"


def read_directory(connection: Connection, number: int, kind: int) -> Directory:
    """Read which blocks of a kind a segment has."""
    rows = ask(connection, _DIRECTORY, segment=number, kind=kind)
    return Directory([(r[0], r[1]) for r in rows], [r[2] for r in rows], [r[3] for r in rows])


@dataclass(slots=True)
class Segment:
    """One segment: ``relations`` maps relation ids to their number of statements."""

    id: int
    tag: str
    source: int
    added: int
    triples: int
    literals: int
    relations: dict[int, int]
    is_staged: bool
    cache: Cache
    _directories: dict[int, Directory] = field(default_factory=dict)

    def directory(self, connection: Connection, kind: int) -> Directory:
        """Return the directory of a kind, read once."""
        if kind not in self._directories:
            self._directories[kind] = read_directory(connection, self.id, kind)
        return self._directories[kind]

    def columns(self, connection: Connection, number: int, count: int, keep: bool = True) -> list[Array]:
        """Return the columns of a block of integers; keep it decoded unless it won't be asked for again."""
        found = self.cache.get((self.tag, number))
        if found is None:
            ((data,),) = ask(connection, _DATA, id=number)
            found = unpack_columns(data, count)
            if keep:
                self.cache.put((self.tag, number), found, sum(column.nbytes for column in found))
        return found

    def texts(self, connection: Connection, number: int, count: int) -> tuple[bytes, Array]:
        """Return the texts of a block, and where each begins."""
        found = self.cache.get((self.tag, number))
        if found is None:
            ((data,),) = ask(connection, _DATA, id=number)
            found = unpack_texts(data, count)
            self.cache.put((self.tag, number), found, len(found[0]) + found[1].nbytes)
        return found

    def find(
        self, connection: Connection, kind: int, low: int, high: int | None = None, second: int | None = None
    ) -> Iterator[tuple[Array, Array, Array]]:
        """Yield (heads, relations, tails), block by block, whose leading id is from ``low`` to ``high`` (or is low).

        Args:
            second: only with one leading id: the id that follows it in this order.
        """
        high = low if high is None else high
        ends = (_LOW, _HIGH) if second is None else (second, second)
        directory = self.directory(connection, kind)
        for place in directory.between((low, ends[0]), (high, ends[1])):
            columns = self.columns(connection, directory.ids[place], directory.counts[place])
            start, stop = np.searchsorted(columns[0], low), np.searchsorted(columns[0], high, "right")
            if second is not None:
                within = columns[1][start:stop]
                start, stop = start + within.searchsorted(second), start + within.searchsorted(second, "right")
            if start < stop:
                a, b, c = PLACES[kind]
                yield columns[a][start:stop], columns[b][start:stop], columns[c][start:stop]

    def all(
        self, connection: Connection, places: Iterable[int], keep: bool = True
    ) -> Iterator[tuple[Array, Array, Array]]:
        """Yield (heads, relations, tails) of whole blocks, by head."""
        directory = self.directory(connection, BY_HEAD)
        for place in places:
            heads, relations, tails = self.columns(connection, directory.ids[place], directory.counts[place], keep)
            yield heads, relations, tails

    def edges_of(self, connection: Connection, head: int) -> list[tuple[Array, Array]]:
        """Return (relations, tails) of the edges out of an entity, block by block; no statements with a literal."""
        directory = self.directory(connection, BY_HEAD)
        found = []
        for place in directory.between((head, _LOW), (head, _HIGH)):
            number = directory.ids[place]
            grouped = self.cache.get((self.tag, -number))
            if grouped is None:
                grouped = _group(self.columns(connection, number, directory.counts[place]))
                self.cache.put((self.tag, -number), grouped, 200 * len(grouped[0]) + 2 * grouped[1].nbytes)
            bounds, relations, tails = grouped
            if head in bounds:
                start, stop = bounds[head]
                found.append((relations[start:stop], tails[start:stop]))
        return found


def _group(columns: Sequence[Array]) -> tuple[dict[int, tuple[int, int]], Array, Array]:
    """Return where the edges of each head of a block are, and their relations and tails."""
    heads, relations, tails = columns
    is_edge = tails > 0
    heads, relations, tails = heads[is_edge], relations[is_edge], tails[is_edge]
    starts = np.flatnonzero(np.diff(heads, prepend=0))
    stops = [*starts[1:].tolist(), len(heads)]
    return dict(zip(heads[starts].tolist(), zip(starts.tolist(), stops, strict=True), strict=True)), relations, tails


_VISIBLE = (
    "SELECT max(id), count(*), (SELECT tag FROM segment WHERE is_staged = 0 ORDER BY id DESC LIMIT 1), "
    "(SELECT max(id) FROM triple) FROM segment WHERE is_staged = 0"
)


class View:
    """The segments that a transaction sees, in the order in which they came."""

    def __init__(self, mark: object, segments: Sequence[Segment]) -> None:
        self.mark = mark
        self.segments = segments
        self._terms: dict[int, tuple[list[int], list[tuple[Segment, int, int]]]] = {}
        self._runs: list[tuple[Segment, Directory]] | None = None

    @classmethod
    def read(cls, connection: Connection, mark: object, cache: Cache, old: View | None, staged: bool = False) -> View:
        """Read the segments, taking over what ``old`` knows of them."""
        known = {one.tag: one for one in old.segments} if old else {}
        found = []
        for number, tag, source, added, triples, literals, relations, is_staged in ask(connection, _SEGMENTS):
            if staged or not is_staged:
                said = {int(relation): n for relation, n in json.loads(relations).items()}
                made = Segment(number, tag, source, added, triples, literals, said, bool(is_staged), cache)
                found.append(known.get(tag) or made)
        return cls(mark, found)

    # -- keys ---------------------------------------------------------------------------------------------------------

    def runs(self, connection: Connection) -> list[tuple[Segment, Directory]]:
        """Return the segments that have keys, with the directories of these: keys move when runs are merged."""
        if self._runs is None:
            read = ((one, read_directory(connection, one.id, KEYS)) for one in self.segments)
            self._runs = [(one, directory) for one, directory in read if directory.ids]
        return self._runs

    def find_key(self, connection: Connection, key: int) -> tuple[int, int]:
        """Return the id of a key's term and the check on it; (0, 0) when no segment has it."""
        for one, directory in self.runs(connection):
            place = bisect_right(directory.begins, (key, _HIGH)) - 1
            if place >= 0:
                keys, checks, ids = one.columns(connection, directory.ids[place], directory.counts[place])
                at = int(keys.searchsorted(key))
                if at < len(keys) and keys[at] == key:
                    return int(ids[at]), int(checks[at])
        return 0, 0

    # -- terms --------------------------------------------------------------------------------------------------------

    def _blocks_of_terms(self, connection: Connection, kind: int) -> tuple[list[int], list[tuple[Segment, int, int]]]:
        """Return the first ids of all blocks of terms, ascending, and (segment, block, count) of each."""
        if kind not in self._terms:
            found = []
            for one in self.segments:
                directory = one.directory(connection, kind)
                for (first, _), number, count in zip(directory.begins, directory.ids, directory.counts, strict=True):
                    found.append((first, one, number, count))
            found.sort(key=lambda entry: entry[0])
            self._terms[kind] = [entry[0] for entry in found], [entry[1:] for entry in found]
        return self._terms[kind]

    def read_contents(self, connection: Connection, numbers: Array) -> Iterator[tuple[int, str]]:
        """Yield (id, content) of those ids, ascending and distinct, whose terms are in segments."""
        if not self.segments:
            return
        for kind, wanted in ((IRIS, numbers[numbers > 0]), (LITERALS, -numbers[numbers < 0][::-1])):
            if not len(wanted):
                continue
            sign = 1 if kind == IRIS else -1
            firsts, blocks = self._blocks_of_terms(connection, kind)
            if not firsts:
                continue
            if len(wanted) == 1:
                places = [bisect_right(firsts, int(wanted[0])) - 1]
                bounds = [0, 1]
            else:
                at = np.searchsorted(np.array(firsts), wanted, "right") - 1
                starts = np.flatnonzero(np.diff(at, prepend=-2))
                places, bounds = at[starts].tolist(), [*starts.tolist(), len(wanted)]
            for place, start, stop in zip(places, bounds[:-1], bounds[1:], strict=True):
                if place < 0:
                    continue
                one, number, count = blocks[place]
                run, offsets = one.texts(connection, number, count)
                for wish in wanted[start:stop].tolist():
                    index = wish - firsts[place]
                    if index < count:
                        yield sign * wish, run[offsets[index] : offsets[index + 1]].decode()

    def contents(self, connection: Connection, kind: int) -> Iterator[str]:
        """Yield the contents of all terms of a kind, in id order."""
        for one, number, count in self._blocks_of_terms(connection, kind)[1]:
            run, offsets = one.texts(connection, number, count)
            bounds = offsets.tolist()
            for start, stop in pairwise(bounds):
                yield run[start:stop].decode()

    def _last(self, kind: int) -> Callable[[Connection], int]:
        def read(connection: Connection) -> int:
            firsts, blocks = self._blocks_of_terms(connection, kind)
            return firsts[-1] + blocks[-1][2] - 1 if firsts else 0

        return read

    def last_iri(self, connection: Connection) -> int:
        """Return the largest id of an IRI in a segment; 0 when there is none."""
        return self._last(IRIS)(connection)

    def last_literal(self, connection: Connection) -> int:
        """Return the largest id of a literal in a segment, without its minus; 0 when there is none."""
        return self._last(LITERALS)(connection)


#: By the store's ``Database``.
_views: WeakKeyDictionary[Any, tuple[Cache, View]] = WeakKeyDictionary()
_lock = threading.Lock()

#: What each reading connection saw first; ``Database.read`` gives a new one each time, for one transaction.
_seen: WeakKeyDictionary[Connection, tuple[View, int]] = WeakKeyDictionary()


def view(connection: Connection) -> View:
    """Return what a transaction sees; inside a write, what it has done itself is seen after ``look_again``."""
    return view_and_last_row(connection)[0]


def view_and_last_row(connection: Connection) -> tuple[View, int]:
    """Return ``view``, and the id of the last row of ``triple``, by one query; -1 for that inside a write."""
    if (seen := _seen.get(connection)) is not None:
        return seen
    own: dict[str, View] | None = option(connection, "kemm_view")
    if own is not None and "view" in own:
        return own["view"], -1
    ((*found, last_row),) = ask(connection, _VISIBLE)
    mark, last_row, home = tuple(found), last_row or 0, home_of(connection)
    with _lock:
        cache, last = _views.get(home, (None, None))
    if last is not None and last.mark == mark and own is None:
        _seen[connection] = last, last_row
        return last, last_row
    if own is not None:  # not shared: it may be rolled back
        own["view"] = View.read(connection, mark, Cache(), last, staged=bool(option(connection, "kemm_staged")))
        return own["view"], -1
    made = View.read(connection, mark, cache or Cache(), last)
    with _lock:
        _views[home] = (cache or Cache(), made)
    _seen[connection] = made, last_row
    return made, last_row


def look_again(connection: Connection) -> None:
    """Let a write see the segments that it has written itself."""
    own: dict[str, View] | None = option(connection, "kemm_view")
    if own is not None:
        own.clear()

"""Facts on their way into a store, as columns: each term of a batch once, and the facts as places of terms."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from kg.errors import InputError
from kg.records import Literal, Tail
from kg.store import terms
from kg.store.blocks import Array
from kg.store.texts import Texts

#: Facts between two batches, and between two calls of ``progress``.
BATCH = 50_000

T = TypeVar("T")
Qualifiers = Sequence[tuple[str, Tail]]
Fact = tuple[str, str, Tail] | tuple[str, str, Tail, Qualifiers]


@dataclass(slots=True)
class Batch:
    """M facts over I IRIs and L literals.

    Attributes:
        iris, literals: contents of terms (see ``kg.store.terms``), (I,) and (L,).
        head, relation: places in ``iris``, (M,) int64.
        tail: a place in ``iris``, or -1 minus a place in ``literals``, (M,) int64.
        qualifiers: (place of the fact, place of the key, place of the value as of a tail).
        position: how far the reader is after this batch, for it to go on from; its own measure.
        is_last_there: no other batch has this position.
    """

    iris: Texts
    literals: Texts
    head: Array
    relation: Array
    tail: Array
    qualifiers: list[tuple[int, int, int]] = field(default_factory=list)
    position: int = 0
    is_last_there: bool = True

    def __len__(self) -> int:
        return len(self.head)


@runtime_checkable
class Batched(Protocol):
    """A reader that can give its facts as batches, from a position on; as an iterator, it gives them one by one."""

    def batches(self, position: int = 0) -> Iterator[Batch]: ...


class BatchReader(ABC):
    """A reader of batches that is also an iterator of facts; ``batches`` is its own."""

    _facts: Iterator[Fact] | None = None

    @abstractmethod
    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Yield the facts as batches, from a position on."""

    def __iter__(self) -> Iterator[Fact]:
        return self

    def __next__(self) -> Fact:
        if self._facts is None:
            self._facts = (fact for batch in self.batches() for fact in facts_of(batch))
        return next(self._facts)


class Chain:
    """The facts of several readers, one after the other."""

    def __init__(self, readers: Sequence[Iterable[Fact]]) -> None:
        self._readers = readers
        self._facts: Iterator[Fact] | None = None

    def __iter__(self) -> Iterator[Fact]:
        return self

    def __next__(self) -> Fact:
        if self._facts is None:
            self._facts = chain.from_iterable(self._readers)
        return next(self._facts)

    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Yield the batches of all readers. Positions count the facts before, or the bytes of an only reader."""
        if len(self._readers) == 1 and isinstance(self._readers[0], Batched):
            yield from self._readers[0].batches(position)
            return
        done = 0
        for reader in self._readers:
            found = reader.batches() if isinstance(reader, Batched) else _in_batches(reader, 0)
            for batch in found:
                done += len(batch)
                batch.position, batch.is_last_there = done, True
                if done > position:
                    yield batch  # whole batches only: the same are cut each time


def batches_of(facts: Iterable[Fact], position: int = 0) -> Iterator[Batch]:
    """Yield facts as batches, leaving out the first ``position`` of them.

    Raises:
        InputError: one of the facts can't be one.
    """
    if isinstance(facts, Batched):
        yield from read_ahead(facts.batches(position))
    else:
        yield from _in_batches(facts, position)


def _in_batches(facts: Iterable[Fact], position: int) -> Iterator[Batch]:
    done = 0
    for part in terms.chunks(facts, BATCH):
        done += len(part)
        if done > position:
            yield _batch(part[-(done - position) :] if done - position < len(part) else part, done)


def at_position(batches: Sequence[Batch], position: int) -> Sequence[Batch]:
    """Say of batches that they end at one position together."""
    for batch in batches:
        batch.position, batch.is_last_there = position, batch is batches[-1]
    return batches


def read_ahead(batches: Iterator[T]) -> Iterator[T]:
    """Yield what another thread reads meanwhile, one ahead: splitting and numbering share the processors."""
    ahead: queue.Queue[T | BaseException | None] = queue.Queue(maxsize=1)
    is_over = threading.Event()

    def put(item: T | BaseException | None) -> bool:
        while not is_over.is_set():
            try:
                ahead.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:
            put(error)

    reader = threading.Thread(target=read, name="kemm-read-ahead", daemon=True)
    reader.start()
    try:
        while (item := ahead.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_over.set()
        reader.join()


def facts_of(batch: Batch) -> Iterator[Fact]:
    """Yield the facts of a batch one by one."""
    iris = batch.iris.to_list()
    literals = [terms.literal_of(text) for text in batch.literals.to_list()]
    said: dict[int, list[tuple[str, Tail]]] = {}
    for at, key, value in batch.qualifiers:
        said.setdefault(at, []).append((iris[key], iris[value] if value >= 0 else literals[-1 - value]))
    ends = zip(batch.head.tolist(), batch.relation.tolist(), batch.tail.tolist(), strict=True)
    for at, (head, relation, tail) in enumerate(ends):
        fact = iris[head], iris[relation], iris[tail] if tail >= 0 else literals[-1 - tail]
        yield (*fact, tuple(said[at])) if at in said else fact


def _batch(facts: Sequence[Fact], position: int) -> Batch:
    said = [(at, fact[3]) for at, fact in enumerate(facts) if len(fact) > 3 and fact[3]]
    if said or any(len(fact) != 3 for fact in facts):
        facts = [fact[:3] for fact in facts]
    heads, relations, tails = zip(*facts, strict=True)
    if not {*map(type, heads), *map(type, relations)} <= {str} or not {*map(type, tails)} <= {str, Literal}:
        for fact in facts:
            terms.check_fact(*fact[:3])
    iris: dict[str, int] = {}
    literals: dict[str, int] = {}

    def places(names: Iterable[str], known: dict[str, int]) -> list[int]:
        return [known.setdefault(name, len(known)) for name in names]

    def end(tail: Tail) -> int:
        if isinstance(tail, str):
            return iris.setdefault(tail, len(iris))
        return -1 - literals.setdefault(terms.content(tail), len(literals))

    head, relation = places(heads, iris), places(relations, iris)
    tail = [end(one) for one in tails]
    qualifiers = []
    for at, pairs in said:
        for key, value in pairs:
            terms.check_fact(heads[at], key, value)
            qualifiers.append((at, iris.setdefault(key, len(iris)), end(value)))
    if "" in iris:
        terms.check_fact(*next(fact for fact in facts if "" in fact)[:3])
    head_places, relation_places, tail_places = (np.array(ids, dtype=np.int64) for ids in (head, relation, tail))
    return Batch(_texts(iris), _texts(literals), head_places, relation_places, tail_places, qualifiers, position)


def _texts(values: Iterable[str]) -> Texts:
    try:
        return Texts.of(values)
    except UnicodeEncodeError:
        for value in values:
            terms.content_key(value)  # names the one that is no text
        raise InputError("a term is not valid Unicode text") from None

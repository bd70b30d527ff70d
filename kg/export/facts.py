"""The facts of a version as exporters write them: each once, whoever states it, with its qualifiers."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from kg.records import Tail

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph


class Fact(NamedTuple):
    """A fact and what is said of it; ``source`` is the first that states it."""

    head: str
    relation: str
    tail: Tail
    qualifiers: tuple[tuple[str, Tail], ...]
    source: str


def facts(graph: KnowledgeGraph, version: int | None) -> Iterator[Fact]:
    """Yield the facts that stood at a version, in the order in which they came.

    With several sources, those given out are remembered by 16 bytes each, some 100 bytes of memory a fact.
    """
    seen: set[bytes] | None = set() if len(graph.sources()) > 1 else None
    for statement in graph.triples(version=version):
        qualifiers = getattr(statement, "qualifiers", ())
        if seen is not None:
            key = blake2b(repr((statement.fact, qualifiers)).encode(), digest_size=16).digest()
            if key in seen:
                continue
            seen.add(key)
        yield Fact(*statement.fact, qualifiers, statement.source)

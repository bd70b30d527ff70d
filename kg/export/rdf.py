"""Facts as N-Triples and Turtle, through pyoxigraph.

Names that are no IRIs become such of our own, and come back as names (kg/ingest/rdf_names.py). Units and qualifiers are
written as RDF 1.2 annotations, ``_:kemmq0 rdf:reifies <<( … )>>``; for readers that know only RDF 1.1, leave them out
with ``annotations=False``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

import pyoxigraph
from pyoxigraph import BaseDirection, BlankNode, NamedNode, RdfFormat, Triple

from kg.errors import InputError
from kg.export.facts import Fact, facts
from kg.ingest.rdf_names import NAME, UNIT, as_iri
from kg.records import RDFS, SCHEMA, SKOS, XSD, Literal, Tail

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

_REIFIES = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#reifies")
_UNIT = NamedNode(UNIT)
_PREFIXES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": RDFS,
    "skos": SKOS,
    "schema": SCHEMA,
    "xsd": XSD,
}


def write_n_triples(graph: KnowledgeGraph, file: IO[bytes], version: int, *, annotations: bool = True) -> int:
    """Write N-Triples and return the number of facts.

    Raises:
        InputError: a literal that RDF has no place for (a language tag that is none).
    """
    return _write(graph, file, version, annotations, RdfFormat.N_TRIPLES)


def write_turtle(graph: KnowledgeGraph, file: IO[bytes], version: int, *, annotations: bool = True) -> int:
    """Write Turtle with the usual prefixes and return the number of facts."""
    return _write(graph, file, version, annotations, RdfFormat.TURTLE, prefixes=_PREFIXES)


def _write(
    graph: KnowledgeGraph, file: IO[bytes], version: int, annotations: bool, format: RdfFormat, **options: Any
) -> int:
    count = 0

    def triples() -> Iterator[Triple]:
        nonlocal count
        for fact in facts(graph, version):
            yield from _triples(fact, count, annotations)
            count += 1

    pyoxigraph.serialize(triples(), output=file, format=format, **options)
    return count


def _triples(fact: Fact, number: int, annotations: bool) -> Iterator[Triple]:
    tail = fact.tail
    try:
        triple = Triple(_end(fact.head), _iri(fact.relation), _tail(tail))
        yield triple
        unit = tail.unit if isinstance(tail, Literal) else None
        if annotations and (fact.qualifiers or unit):
            reifier = BlankNode(f"kemmq{number}")
            yield Triple(reifier, _REIFIES, triple)
            if unit:
                yield Triple(reifier, _UNIT, pyoxigraph.Literal(unit))
            for key, value in fact.qualifiers:
                yield Triple(reifier, _iri(key), _tail(value))
    except ValueError as error:
        shown = " ".join(repr(str(part)[:60]) for part in fact[:3])
        raise InputError(f"the fact {shown} can't be written as RDF ({error}): write Parquet instead") from None


@lru_cache(100_000)
def _iri(name: str) -> NamedNode:
    if not name.startswith(NAME):
        try:
            return NamedNode(name)
        except ValueError:
            pass
    return NamedNode(as_iri(name))


@lru_cache(100_000)
def _end(name: str) -> NamedNode | BlankNode:
    if name.startswith("_:"):
        try:
            return BlankNode(name[2:])
        except ValueError:
            pass
    return _iri(name)


def _tail(tail: Tail) -> Any:
    if isinstance(tail, str):
        return _end(tail)
    if tail.language:
        language, _, direction = tail.language.partition("--")
        if direction:
            return pyoxigraph.Literal(tail.value, language=language, direction=BaseDirection(direction))
        return pyoxigraph.Literal(tail.value, language=language)
    if tail.datatype:
        return pyoxigraph.Literal(tail.value, datatype=_iri(tail.datatype))
    return pyoxigraph.Literal(tail.value)

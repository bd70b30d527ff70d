"""A store as an ``rdflib.Graph``, so that SPARQL, serialisers and other RDF tools work on it.

    from kg import rdf

    graph = rdf.open("sqlite:///world.db")
    graph.query("SELECT ?c WHERE { ?c <http://kemm.example/relation/currency> <http://kemm.example/currency/EUR> }")

Additions and removals make versions, as any edit does. Terms that RDF has no place for are kept as they are where
possible: names without a scheme are IRIs of just that name; a literal's unit is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rdflib
from rdflib.store import Store
from rdflib.term import BNode, Identifier, URIRef

from kg.errors import StoreError
from kg.records import Literal, Statement, Tail
from kg.store.graph import KnowledgeGraph

#: The source of facts that are added through rdflib.
SOURCE = "rdflib"


def open(url: str | Path | KnowledgeGraph, create: bool = False, source: str = SOURCE) -> rdflib.Graph:
    """Return a store as a graph. ``graph.close()`` closes the store, too.

    Raises:
        StoreMissing: there is no store and ``create`` is False.
    """
    knowledge = url if isinstance(url, KnowledgeGraph) else KnowledgeGraph.open(url, create)
    return rdflib.Graph(store=TripleStore(knowledge, source), identifier=URIRef(f"urn:uuid:{knowledge.uuid}"))


class TripleStore(Store):
    """rdflib's view of a ``KnowledgeGraph``. A fact that several sources state is one triple."""

    context_aware = False
    formula_aware = False
    transaction_aware = False

    def __init__(self, knowledge: KnowledgeGraph, source: str = SOURCE) -> None:
        super().__init__()
        self.knowledge = knowledge
        self._source = source
        self._namespaces: dict[str, URIRef] = {}

    def close(self, commit_pending_transaction: bool = False) -> None:
        self.knowledge.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    def triples(self, triple_pattern: Any, context: Any = None) -> Iterator[Any]:
        for statement in self._statements(triple_pattern):
            head, tail = _identifier(statement.head), _identifier(statement.tail)
            yield (head, URIRef(statement.relation), tail), iter(())

    def _statements(self, pattern: Any) -> Iterator[Statement]:
        head, relation, tail = pattern
        if isinstance(head, rdflib.Literal) or (relation is not None and not isinstance(relation, URIRef)):
            return
        if isinstance(tail, rdflib.Literal) and (head is not None or relation is not None):
            # RDF's literals have no unit: any of that text, type and language is meant.
            near = self.knowledge.triples(_iri(head), _iri(relation))
            found = iter([s for s in near if isinstance(s.tail, Literal) and _identifier(s.tail) == tail])
        else:
            found = self.knowledge.triples(_iri(head), _iri(relation), None if tail is None else _tail(tail))
        seen: set[tuple[str, str, Tail]] | None = set() if len(self.knowledge.sources()) > 1 else None
        for statement in found:
            if seen is None:
                yield statement
            elif statement.fact not in seen:
                seen.add(statement.fact)
                yield statement

    def __len__(self, context: Any = None) -> int:
        return self.knowledge.count_facts()

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, triple: Any, context: Any = None, quoted: bool = False) -> None:
        head, relation, tail = triple
        self.knowledge.add(str(_tail(head)), str(relation), _tail(tail), source=self._source)

    def addN(self, quads: Any) -> None:
        """Add many triples as one version."""
        with self.knowledge.edit(self._source) as edit:
            for head, relation, tail, _ in quads:
                edit.add(str(_tail(head)), str(relation), _tail(tail))

    def remove(self, triple_pattern: Any, context: Any = None) -> None:
        """Retract all matching facts, of every source, as one version."""
        facts = {statement.fact for statement in self._statements(triple_pattern)}
        with self.knowledge.edit(self._source) as edit:
            for head, relation, tail in sorted(facts, key=str):
                edit.retract(head, relation, tail, source="")

    # -- namespaces: prefixes are kept while the graph is open --------------------------------------------------------

    def bind(self, prefix: str, namespace: URIRef, override: bool = True) -> None:
        if override or prefix not in self._namespaces:
            self._namespaces = {p: n for p, n in self._namespaces.items() if n != namespace} | {prefix: namespace}

    def namespace(self, prefix: str) -> URIRef | None:
        return self._namespaces.get(prefix)

    def prefix(self, namespace: URIRef) -> str | None:
        return next((prefix for prefix, bound in self._namespaces.items() if bound == namespace), None)

    def namespaces(self) -> Iterator[tuple[str, URIRef]]:
        yield from self._namespaces.items()


def _iri(node: Identifier | None) -> str | None:
    return None if node is None else str(_tail(node))


def _tail(node: Any) -> Tail:
    """Return rdflib's term as ours."""
    if isinstance(node, rdflib.Literal):
        return Literal(str(node), None if node.datatype is None else str(node.datatype), node.language)
    if isinstance(node, BNode):
        return f"_:{node}"
    if isinstance(node, URIRef):
        return str(node)
    raise StoreError(f"a {type(node).__name__} can't be stored: only IRIs, blank nodes and literals")


def _identifier(tail: Tail) -> Identifier:
    """Return our term as rdflib's."""
    if isinstance(tail, Literal):
        if tail.language:
            return rdflib.Literal(tail.value, lang=tail.language)
        return rdflib.Literal(tail.value, datatype=URIRef(tail.datatype) if tail.datatype else None, normalize=False)
    return BNode(tail[2:]) if tail.startswith("_:") else URIRef(tail)

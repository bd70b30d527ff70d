"""rdflib's view of a ``KnowledgeGraph``: look-ups go to the store, additions and removals become versions.

Outside ``edit`` each addition and each removal is one version. Inside, they are kept aside, seen by all look-ups
through this object, and written as one version at the end, or not at all if the block raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import rdflib
from rdflib.plugins.sparql.processor import SPARQLUpdateProcessor
from rdflib.query import Result
from rdflib.store import Store
from rdflib.term import URIRef

from kg.errors import StoreError
from kg.rdf.plan import Engines
from kg.rdf.terms import as_rdf, identifier_of, iri_of, tail_of
from kg.records import Literal, Statement, Tail
from kg.store.graph import KnowledgeGraph

#: The source of facts that are added through rdflib.
SOURCE = "rdflib"
#: So many additions, with no removal beside them, go the way of a load, which is faster by the fact.
BULK = 1_000

Fact = tuple[str, str, Tail]


class TripleStore(Store):
    """A store of facts as rdflib asks for one. A fact that several sources state is one triple.

    Args:
        version: show the store as it stood then, read-only.
        mirror: let queries be answered by pyoxigraph where that is faster.
    """

    context_aware = False
    formula_aware = False
    transaction_aware = False

    def __init__(
        self, knowledge: KnowledgeGraph, source: str = SOURCE, *, version: int | None = None, mirror: bool = True
    ) -> None:
        super().__init__()
        self.knowledge = knowledge
        self.version = version
        self._source = source
        self._namespaces: dict[str, URIRef] = {}
        self._engines = Engines(knowledge, version) if mirror else None
        self._pending: _Pending | None = None

    def close(self, commit_pending_transaction: bool = False) -> None:
        if self._engines is not None:
            self._engines.close()
        self.knowledge.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    def triples(self, triple_pattern: Any, context: Any = None) -> Iterator[Any]:
        pending = self._pending
        for fact in self._facts(triple_pattern):
            triple = identifier_of(fact[0]), URIRef(fact[1]), identifier_of(fact[2])
            if pending is None or (fact not in pending.gone and triple not in pending.new):
                yield triple, iter(())
        if pending is not None:
            for triple in list(pending.new.triples(triple_pattern)):
                yield triple, iter(())

    def _facts(self, pattern: Any) -> Iterator[Fact]:
        """Yield the facts in the store that match, each once."""
        head, relation, tail = pattern
        if isinstance(head, rdflib.Literal) or (relation is not None and not isinstance(relation, URIRef)):
            return
        wanted = None if tail is None else tail_of(tail)
        found: Iterable[Statement]
        if isinstance(wanted, Literal) and wanted.unit is None and (head is not None or relation is not None):
            # A literal of RDF has no unit, and en-GB is en-gb: any of that text, type and language is meant.
            near = self._statements(iri_of(head), iri_of(relation), None)
            found = (s for s in near if isinstance(s.tail, Literal) and as_rdf(s.tail) == as_rdf(wanted))
        else:
            found = self._statements(iri_of(head), iri_of(relation), wanted)
        yield from self._once(statement.fact for statement in found)

    def _once(self, facts: Iterator[Fact]) -> Iterator[Fact]:
        """Leave out what another source has said already; with one source there is no such thing to look for."""
        first = next(facts, None)
        if first is None:
            return
        yield first
        second = next(facts, None)
        if second is None:
            return
        if len(self.knowledge.sources()) < 2:
            yield second
            yield from facts
            return
        seen = {first}
        for fact in chain((second,), facts):
            if fact not in seen:
                seen.add(fact)
                yield fact

    def _statements(self, head: str | None, relation: str | None, tail: Tail | None) -> Iterator[Statement]:
        return self.knowledge.triples(head, relation, tail, version=self.version)

    def __len__(self, context: Any = None) -> int:
        if self.version is not None:
            return sum(1 for _ in self._facts((None, None, None)))
        known = self.knowledge.count_facts()
        if self._pending is None:
            return known
        new = sum(1 for triple in self._pending.new if next(self._facts(triple), None) is None)
        return known - len(self._pending.gone) + new

    def query(self, query: Any, initNs: Any, initBindings: Any, queryGraph: Any, **kwargs: Any) -> Result:
        """Answer by pyoxigraph where that is faster.

        Raises:
            NotImplementedError: rdflib itself shall answer; ``Graph.query`` then does.
        """
        if self._engines is None or self._pending is not None or kwargs:
            raise NotImplementedError
        return self._engines.answer(rdflib.Graph(store=self, identifier=queryGraph), query, initNs, initBindings)

    # -- writing ------------------------------------------------------------------------------------------------------

    @contextmanager
    def edit(self, author: str = "", note: str = "") -> Iterator[None]:
        """Make what is added and removed in the block one version; nothing if it raises. Inside another: part of it.

        Everything waits in memory, about 1 kB a triple: larger files are for ``kg.ingest.load``.
        """
        if self._pending is not None:
            yield
            return
        self._refuse_past()
        self._pending = pending = _Pending()
        try:
            yield
        finally:
            self._pending = None
        pending.write(self.knowledge, self._source, author, note)

    def add(self, triple: Any, context: Any = None, quoted: bool = False) -> None:
        self._refuse_past()
        fact = _fact(triple)
        if self._pending is not None:
            self._pending.add(fact, triple)
        else:
            self.knowledge.add(*fact, source=self._source)

    def addN(self, quads: Any) -> None:
        """Add many triples as one version."""
        with self.edit():
            for head, relation, tail, _ in quads:
                self.add((head, relation, tail))

    def remove(self, triple_pattern: Any, context: Any = None) -> None:
        """Retract all matching facts, of every source, as one version."""
        with self.edit():
            assert self._pending is not None
            self._pending.remove(self._facts(triple_pattern), triple_pattern)

    def update(self, update: Any, initNs: Any, initBindings: Any, queryGraph: Any, **kwargs: Any) -> None:
        """Run a SPARQL update as one version."""
        plain = rdflib.Graph(store=self, identifier=queryGraph)  # rdflib's update asks for just this class
        with self.edit():
            SPARQLUpdateProcessor(plain).update(update, initBindings, initNs, **kwargs)

    def _refuse_past(self) -> None:
        if self.version is not None:
            raise StoreError(
                f"this graph shows version {self.version}, which can't be edited: open it without a version"
            )

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


class _Pending:
    """Additions and removals that wait for the end of an edit."""

    def __init__(self) -> None:
        self.new = rdflib.Graph(bind_namespaces="none")  # of rdflib's, for its indexes
        self.gone: dict[Fact, None] = {}

    def add(self, fact: Fact, triple: Any) -> None:
        if fact in self.gone:
            del self.gone[fact]
        else:
            self.new.add(triple)

    def remove(self, known: Iterable[Fact], pattern: Any) -> None:
        self.gone.update(dict.fromkeys(known))
        self.new.remove(pattern)

    def write(self, knowledge: KnowledgeGraph, source: str, author: str, note: str) -> None:
        """Write all as one version; none if nothing changes."""
        new = [_fact(triple) for triple in self.new]
        if len(new) >= BULK and not self.gone:
            from kg.store import bulk

            bulk.load(knowledge, new, source=source, author=author, note=note)
        elif new or self.gone:
            with knowledge.edit(source, note, author) as edit:
                for head, relation, tail in self.gone:
                    edit.retract(head, relation, tail, source="")
                for fact in new:
                    edit.add(*fact)


def _fact(triple: Any) -> Fact:
    head, relation, tail = triple
    if not isinstance(relation, URIRef) or isinstance(head, rdflib.Literal):
        raise StoreError(f"a triple has an IRI or blank node, an IRI, and any term, not ({head!r}, {relation!r}, …)")
    return str(tail_of(head)), str(relation), tail_of(tail)

"""By which engine a query is answered.

rdflib walks from pattern to pattern with one look-up in the store each: milliseconds for a query that starts at a thing
it names, hours for one that joins whole relations. Once the relations have been copied (``mirror``), at ``RATE`` facts
a second, rdflib's look-ups take microseconds, and pyoxigraph's engine is some twenty times faster again. The rule:

1. rdflib answers over the store what leaves it or has no bounds: GRAPH, FROM, SERVICE and DESCRIBE.
2. A query each of whose parts starts from at most ``START`` facts, or that only wants the first few matches of one
   pattern, is answered by rdflib over the store, until such queries have taken as long as copying would.
3. For any other, the relations that it reads are copied, if they are not yet. pyoxigraph answers, but where its answer
   would be another: calculations with terms that it would change (5.0, xsd:int, values with a unit), GROUP_CONCAT,
   functions of the user's own, given bindings, paths of length 0 from a term that the graph has not. Then rdflib
   answers, with look-ups in the copy.

The answers are the same, but where rdflib departs from the recommendation, and pyoxigraph does not: in W3C's cases, in
comparisons of dates, groups of nothing, negated inverse and nested paths, and bindings of subqueries; and the sum or
product of integers is a decimal to rdflib. Quotients of decimals have 18 digits to the one, 28 to the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import Any

import rdflib
from rdflib import paths
from rdflib.plugins.sparql import prepareQuery
from rdflib.plugins.sparql.evaluate import evalQuery
from rdflib.plugins.sparql.parserutils import CompValue
from rdflib.plugins.sparql.processor import SPARQLResult
from rdflib.plugins.sparql.sparql import Query
from rdflib.query import Result
from rdflib.term import BNode, Variable

from kg.rdf.mirror import Mirror
from kg.rdf.mirrored import MirroredStore
from kg.rdf.reads import Reads, is_given, reads_of, relations_in
from kg.rdf.terms import identifier_of_oxigraph, iri_of, is_kept, tail_of
from kg.store.graph import KnowledgeGraph

#: Facts copied a second; only weighed against rdflib's time.
RATE = 100_000
#: A part of a query that starts from at most so many facts is quick for rdflib.
START = 100
#: The most matches of a single pattern that are "the first few".
FEW = 1_000


class Engines:
    """rdflib over a store and pyoxigraph over a mirror of it; each query goes to one of them."""

    def __init__(self, knowledge: KnowledgeGraph, version: int | None = None) -> None:
        self._knowledge = knowledge
        self._version = version
        self._mirror: Mirror | None = None
        self._spent = 0.0  # seconds of rdflib's on queries that a mirror would have answered
        self.last = ""  # which engine answered last: for tests, and for who wants to know

    def close(self) -> None:
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None

    def answer(
        self, graph: rdflib.Graph, query: str | Query, namespaces: Mapping[str, Any], bindings: Mapping[str, Any]
    ) -> Result:
        """Answer a query, by what is fastest.

        Args:
            graph: the store as rdflib's engine shall read it.

        Raises:
            NotImplementedError: it is for rdflib to answer, or to say what is wrong with the query.
        """
        self.last = "rdflib"
        if isinstance(query, Query):
            text, namespaces, base = query._original_args
        else:
            text, base = query, None
        try:
            parsed = query if isinstance(query, Query) else _parse(text, _frozen(namespaces))
        except Exception:
            raise NotImplementedError from None  # rdflib meets the same, and says so itself
        reads = reads_of(parsed)
        if reads.elsewhere:
            raise NotImplementedError
        given: dict[Any, Any] = {Variable(name): node for name, node in (bindings or {}).items()}
        reads.patterns = [tuple(given.get(end, end) for end in pattern) for pattern in reads.patterns]  # type: ignore[misc]
        if self._mirror is None:
            self._mirror = Mirror(self._knowledge, self._version)
        with self._mirror as mirror:
            mirror.catch_up()
            wanted = mirror.relations(reads.relations)
            if missing := wanted - mirror.loaded:
                seconds = sum(mirror.counts.get(relation, 0) for relation in missing) / RATE
                if self._spent < seconds and (_is_glance(parsed, reads) or self._starts_small(reads)):
                    return self._timed(graph, parsed, given)
                mirror.load(missing)
                self._spent = 0.0
            if not given and self._is_exact(mirror, reads, wanted & mirror.odd):
                with suppress(SyntaxError, ValueError):
                    prefixes = {name: str(iri) for name, iri in namespaces.items()}
                    solutions = mirror.store.query(text, prefixes=prefixes, base_iri=base)
                    self.last = "pyoxigraph"
                    return _result(parsed, solutions)
            # Look-ups in the mirror, all at once, since it moves on.
            self.last = "rdflib on the mirror"
            answer = dict(evalQuery(rdflib.Graph(store=MirroredStore(mirror)), parsed, given))
            if answer["type_"] == "SELECT":
                try:
                    answer["bindings"] = list(answer["bindings"])
                except Exception as error:  # rdflib's own come when the rows are read
                    answer["bindings"] = _failing(error)
            return SPARQLResult(answer)

    def _is_exact(self, mirror: Mirror, reads: Reads, odd: set[str]) -> bool:
        """Tell whether pyoxigraph's answer is rdflib's: ``odd`` are the relations with terms that it would change.

        It is not where the query computes with such a term or names one, nor for paths of length 0 from a term that is
        not in the graph, nor for a GROUP_CONCAT, whose languages the two treat differently.
        """
        for head, relation, tail in reads.patterns if odd else ():
            named = relations_in(relation)
            if named is not None and not named & odd:
                continue
            if isinstance(tail, rdflib.Literal) or {head, tail, relation} & reads.computed:
                return False
        return (
            not reads.only_rdflib
            and all(is_kept(tail_of(literal)) for literal in reads.literals)
            and all(mirror.has(tail_of(end)) for end in reads.from_itself)
        )

    def _starts_small(self, reads: Reads) -> bool:
        """Tell whether each connected part of a query has a pattern with few matches that names a thing."""
        groups: list[tuple[set[Any], bool]] = []
        for pattern in reads.patterns:
            variables = {end for end in pattern if isinstance(end, (Variable, BNode))}
            small = self._is_small(pattern)
            apart = []
            for others, is_small in groups:
                if others & variables:
                    variables, small = variables | others, small or is_small
                else:
                    apart.append((others, is_small))
            groups = [*apart, (variables, small)]
        return bool(groups) and all(small for _, small in groups)

    def _is_small(self, pattern: tuple[Any, Any, Any]) -> bool:
        head, relation, tail = pattern
        if isinstance(relation, paths.Path) or not (is_given(head) or is_given(tail)):
            return False
        ends = iri_of(head if is_given(head) else None), iri_of(relation if is_given(relation) else None)
        found = self._knowledge.triples(*ends, tail_of(tail) if is_given(tail) else None, version=self._version)
        return sum(1 for _ in islice(found, START + 1)) <= START

    def _timed(self, graph: rdflib.Graph, parsed: Query, given: Mapping[Any, Any]) -> Result:
        """Let rdflib answer a query that is parsed already, and count its time."""
        start = time.perf_counter()
        answer = dict(evalQuery(graph, parsed, given))
        self._spent += time.perf_counter() - start
        if answer["type_"] == "SELECT":
            answer["bindings"] = self._counted(iter(answer["bindings"]))
        return SPARQLResult(answer)

    def _counted(self, rows: Iterator[Any]) -> Iterator[Any]:
        while True:
            start = time.perf_counter()
            row = next(rows, None)
            self._spent += time.perf_counter() - start
            if row is None:
                return
            yield row


def _failing(error: Exception) -> Iterator[Any]:
    raise error
    yield


def _is_glance(parsed: Query, reads: Reads) -> bool:
    """Tell whether a query only wants the first few matches of one pattern, in any order."""
    if len(reads.patterns) != 1 or isinstance(reads.patterns[0][1], paths.Path):
        return False
    algebra = parsed.algebra
    part, few = algebra.p, algebra.name == "AskQuery"
    while isinstance(part, CompValue) and part.name in ("Slice", "Project"):
        if part.name == "Slice":
            few = part.length is not None and (part.start or 0) + part.length <= FEW
        part = part.p
    return few and isinstance(part, CompValue) and part.name == "BGP"


def _frozen(namespaces: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(iri)) for name, iri in namespaces.items())


@lru_cache(maxsize=256)
def _parse(text: str, namespaces: tuple[tuple[str, str], ...]) -> Query:
    return prepareQuery(text, initNs=dict(namespaces))


def _result(parsed: Query, solutions: Any) -> Result:
    """Return pyoxigraph's answer as rdflib's."""
    algebra = parsed.algebra
    if algebra.name == "AskQuery":
        return SPARQLResult({"type_": "ASK", "askAnswer": bool(solutions)})
    if algebra.name == "ConstructQuery":
        graph = rdflib.Graph()
        for triple in solutions:
            head, relation, tail = map(identifier_of_oxigraph, (triple.subject, triple.predicate, triple.object))
            graph.add((head, relation, tail))
        return SPARQLResult({"type_": "CONSTRUCT", "graph": graph})
    columns = [(Variable(each.value), each) for each in solutions.variables]
    rows = (
        {name: identifier_of_oxigraph(row[each]) for name, each in columns if row[each] is not None}
        for row in solutions
    )
    return SPARQLResult({"type_": "SELECT", "vars_": algebra.PV, "bindings": rows})

"""rdflib's view of a mirror: look-ups take microseconds there, where the store takes a millisecond.

Terms come out as they are in the store, units and spellings included; only the copied relations are there to be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rdflib
from rdflib.store import Store
from rdflib.term import URIRef

from kg.rdf.mirror import Mirror
from kg.rdf.terms import as_rdf, identifier_of_oxigraph, oxigraph_of, tail_of
from kg.records import Literal


class MirroredStore(Store):
    """What ``TripleStore`` says of the relations in a mirror. Read-only, and for one query: the mirror moves on."""

    context_aware = False
    formula_aware = False
    transaction_aware = False

    def __init__(self, mirror: Mirror) -> None:
        super().__init__()
        self._mirror = mirror

    def triples(self, triple_pattern: Any, context: Any = None) -> Iterator[Any]:
        head, relation, tail = triple_pattern
        if isinstance(head, rdflib.Literal) or (relation is not None and not isinstance(relation, URIRef)):
            return
        ends = [None if end is None else oxigraph_of(tail_of(end))[0] for end in (head, relation, tail)]
        wanted = None
        if isinstance(tail, rdflib.Literal) and getattr(tail, "unit", None) is None and (head or relation) is not None:
            end = tail_of(tail)
            assert isinstance(end, Literal)
            odd = self._mirror.odd
            if odd if relation is None else str(relation) in odd:
                # A literal of RDF has no unit, and en-GB is en-gb: any of that text, type and language is meant.
                ends[2], wanted = None, as_rdf(end)
            elif end.language:  # all in the mirror are in lower case
                ends[2] = oxigraph_of(Literal(end.value, language=end.language.lower()))[0]
        for quad in self._mirror.store.quads_for_pattern(*ends):
            found = identifier_of_oxigraph(quad.object)
            if wanted is not None:
                known = tail_of(found)
                if not isinstance(known, Literal) or as_rdf(known) != wanted:
                    continue
            yield (identifier_of_oxigraph(quad.subject), identifier_of_oxigraph(quad.predicate), found), iter(())

    def __len__(self, context: Any = None) -> int:
        return len(self._mirror.store)

"""An ``rdflib.Graph`` or ``Dataset`` in memory → facts. Blank nodes keep their names; named graphs are one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kg.errors import InputError
from kg.records import Literal, Tail

if TYPE_CHECKING:
    import rdflib


def from_rdflib(graph: rdflib.Graph) -> Iterator[tuple[str, str, Tail]]:
    """Yield the facts of an rdflib graph, of all named graphs of a ``Dataset``.

    Raises:
        InputError: a term that no fact can hold (a literal as subject, a formula of N3, a variable).
    """
    import rdflib

    triples: Any = graph.triples((None, None, None))
    if isinstance(graph, rdflib.Dataset | rdflib.ConjunctiveGraph):
        triples = (quad[:3] for quad in graph.quads((None, None, None, None)))
    for head, relation, tail in triples:
        if isinstance(head, rdflib.Literal) or not isinstance(relation, rdflib.URIRef):
            raise InputError(f"the triple {head.n3()} {relation.n3()} {tail.n3()} is not one of RDF: remove it")
        yield str(_term(head)), str(relation), _term(tail)


def _term(node: Any) -> Tail:
    import rdflib

    if isinstance(node, rdflib.Literal):
        plain = node.datatype is None or node.datatype == rdflib.XSD.string
        return Literal(str(node), None if plain else str(node.datatype), node.language)
    if isinstance(node, rdflib.BNode):
        return f"_:{node}"
    if isinstance(node, rdflib.URIRef):
        return str(node)
    raise InputError(f"a {type(node).__name__} can't be stored: only IRIs, blank nodes and literals")

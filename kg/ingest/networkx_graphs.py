"""networkx both ways.

A node is an entity; its attributes are facts with a literal tail (``label`` becomes ``rdfs:label``). An edge's relation
is its ``relation`` attribute, else its ``label``, else its key; its other attributes are qualifiers. ``source`` is left
out: a load gives its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kg.records import RDFS, XSD, Literal, Tail

if TYPE_CHECKING:
    import networkx

    from kg.store.graph import KnowledgeGraph

Fact = Any  # (head, relation, tail) or (head, relation, tail, qualifiers)

#: The relation of an edge that names none.
RELATED = "related"


@dataclass(frozen=True, slots=True)
class Qualified:
    """A literal among a node's attributes, with what is said of that fact."""

    literal: Literal
    qualifiers: tuple[tuple[str, Tail], ...]


def from_networkx(graph: networkx.Graph) -> Iterator[Fact]:
    """Yield the facts of any networkx graph; the edges of an undirected one go both ways."""
    for node, attributes in graph.nodes(data=True):
        for name, value in attributes.items():
            for one in value if isinstance(value, list | tuple | set) else (value,):
                if one is not None and one != "":
                    yield _attribute(str(node), RDFS + "label" if name == "label" else str(name), one)
    edges = (
        graph.edges(keys=True, data=True)
        if graph.is_multigraph()
        else ((*ends, None, d) for *ends, d in graph.edges(data=True))
    )
    for head, tail, key, attributes in edges:
        named = attributes.get("relation") or attributes.get("label") or (key if isinstance(key, str) else None)
        # GraphML gives every edge an id; networkx hands it on as the key, numbered or "e17".
        relation = str(named) if named and named != attributes.get("id") else RELATED
        said = _qualifiers(attributes)
        more: tuple[Any, ...] = (said,) if said else ()
        yield (str(head), relation, str(tail), *more)
        if not graph.is_directed() and head != tail:
            yield (str(tail), relation, str(head), *more)


def _qualifiers(attributes: dict[str, Any]) -> tuple[tuple[str, Tail], ...]:
    said: list[tuple[str, Tail]] = list(attributes.get("qualifiers") or ())
    for name, value in attributes.items():
        if name not in ("relation", "label", "id", "source", "qualifiers") and value is not None and value != "":
            said.append((str(name), value if isinstance(value, Literal) else literal(value)))
    return tuple(said)


def _attribute(head: str, relation: str, value: Any) -> Fact:
    if isinstance(value, Qualified):
        return head, relation, value.literal, value.qualifiers
    return head, relation, literal(value)


def to_networkx(graph: KnowledgeGraph, version: int | None = None) -> networkx.MultiDiGraph:
    """Return a store's facts, now or at a version, as a networkx graph.

    Nodes are IRIs; a node's attributes are relation → list of Literals (of ``Qualified`` ones where there is more to
    say). An edge's key and ``relation`` are the relation's IRI; ``source`` says who says so, ``qualifiers`` the rest.
    """
    import networkx

    result = networkx.MultiDiGraph()
    for statement in graph.triples(version=version):
        head, relation, tail = statement.fact
        qualifiers = getattr(statement, "qualifiers", ())
        if isinstance(tail, Literal):
            result.add_node(head)
            values = result.nodes[head].setdefault(relation, [])
            value = Qualified(tail, qualifiers) if qualifiers else tail
            if value not in values:
                values.append(value)
        else:
            result.add_edge(head, tail, key=relation, relation=relation, source=statement.source)
            if qualifiers:
                result.edges[head, tail, relation]["qualifiers"] = qualifiers
    return result


def literal(value: Any) -> Literal:
    """Return a value of Python's as a literal."""
    if isinstance(value, Literal):
        return value
    if isinstance(value, bool):
        return Literal(str(value).lower(), XSD + "boolean")
    if isinstance(value, int):
        return Literal(str(value), XSD + "integer")
    if isinstance(value, float):
        return Literal(repr(value), XSD + "double")
    return Literal(str(value))

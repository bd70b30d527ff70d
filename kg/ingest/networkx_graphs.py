"""networkx both ways, and GraphML through it.

A node is an entity; its attributes are facts with a literal tail (``label`` becomes ``rdfs:label``). An edge's relation
is its ``relation`` attribute, else its ``label``, else its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from kg.errors import FormatError
from kg.records import RDFS, XSD, Literal, Tail

if TYPE_CHECKING:
    import networkx

    from kg.store.graph import KnowledgeGraph

Fact = tuple[str, str, Tail]
Reject = Callable[[FormatError], None]

#: The relation of an edge that names none.
RELATED = "related"


def read_graphml(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of a GraphML file (``.graphml``, ``.graphml.gz``).

    Raises:
        FormatError: the file is not GraphML.
    """
    import networkx

    try:
        graph = networkx.read_graphml(path, force_multigraph=True)
    except ParseError as error:
        raise FormatError(str(path), error.position[0], str(error.msg)) from None
    except (networkx.NetworkXError, KeyError, ValueError) as error:
        raise FormatError(str(path), 0, f"not a GraphML file ({error})") from None
    yield from from_networkx(graph)


def from_networkx(graph: networkx.Graph) -> Iterator[Fact]:
    """Yield the facts of any networkx graph; the edges of an undirected one go both ways."""
    for node, attributes in graph.nodes(data=True):
        for name, value in attributes.items():
            for one in value if isinstance(value, list | tuple | set) else (value,):
                if one is not None and one != "":
                    yield str(node), RDFS + "label" if name == "label" else str(name), _literal(one)
    edges = (
        graph.edges(keys=True, data=True)
        if graph.is_multigraph()
        else ((*ends, None, d) for *ends, d in graph.edges(data=True))
    )
    for head, tail, key, attributes in edges:
        named = attributes.get("relation") or attributes.get("label") or (key if isinstance(key, str) else None)
        # GraphML gives every edge an id; networkx hands it on as the key, numbered or "e17".
        relation = str(named) if named and named != attributes.get("id") else RELATED
        yield str(head), relation, str(tail)
        if not graph.is_directed() and head != tail:
            yield str(tail), relation, str(head)


def to_networkx(graph: KnowledgeGraph, version: int | None = None) -> networkx.MultiDiGraph:
    """Return a store's facts, now or at a version, as a networkx graph.

    Nodes are IRIs; a node's attributes are relation → list of Literals. An edge's key and ``relation`` are the
    relation's IRI; ``source`` says who says so.
    """
    import networkx

    result = networkx.MultiDiGraph()
    for statement in graph.triples(version=version):
        head, relation, tail = statement.fact
        if isinstance(tail, Literal):
            result.add_node(head)
            result.nodes[head].setdefault(relation, []).append(tail)
        else:
            result.add_edge(head, tail, key=relation, relation=relation, source=statement.source)
    return result


def _literal(value: Any) -> Literal:
    if isinstance(value, Literal):
        return value
    if isinstance(value, bool):
        return Literal(str(value).lower(), XSD + "boolean")
    if isinstance(value, int):
        return Literal(str(value), XSD + "integer")
    if isinstance(value, float):
        return Literal(repr(value), XSD + "double")
    return Literal(str(value))

"""Facts between entities as PyG's ``HeteroData`` (Fey & Lenssen, 2019, arXiv:1903.02428).

An entity's node type is the local name of its first ``rdf:type``, "entity" without one; a relation's name is its local
part, numbered where two share one. Literals are not in it: ``graph.triples`` has them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kg.export.facts import facts
from kg.records import RDF_TYPE

if TYPE_CHECKING:
    import torch_geometric.data

    from kg.store.graph import KnowledgeGraph

#: The node type of an entity without one.
UNTYPED = "entity"


def to_hetero(graph: KnowledgeGraph, version: int | None = None) -> torch_geometric.data.HeteroData:
    """Return the entity-to-entity facts of a version, by default the last.

    Per node type: ``num_nodes``, ``iri`` (a list, by node number) and ``label``; per edge type (head's type, relation,
    tail's type): ``edge_index`` (2, M) int64 and ``relation``, its IRI. A fact that several sources state is one edge.
    """
    import torch
    from torch_geometric.data import HeteroData

    types: dict[str, str] = {}
    edges: dict[tuple[str, str, str], None] = {}
    heads: dict[str, None] = {}
    for fact in facts(graph, version):
        heads[fact.head] = None
        if isinstance(fact.tail, str):
            edges[fact.head, fact.relation, fact.tail] = None
            if fact.relation == RDF_TYPE:
                types.setdefault(fact.head, fact.tail)
    type_names = _unique_names(dict.fromkeys(types.values()), {UNTYPED})
    relation_names = _unique_names(dict.fromkeys(relation for _, relation, _ in edges), set())
    numbers: dict[str, tuple[str, int]] = {}
    iris: dict[str, list[str]] = {}

    def number(entity: str) -> tuple[str, int]:
        if entity not in numbers:
            kind = type_names[types[entity]] if entity in types else UNTYPED
            members = iris.setdefault(kind, [])
            numbers[entity] = (kind, len(members))
            members.append(entity)
        return numbers[entity]

    columns: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    of: dict[tuple[str, str, str], str] = {}
    for head, relation, tail in edges:
        (head_type, start), (tail_type, end) = number(head), number(tail)
        edge_type = (head_type, relation_names[relation], tail_type)
        columns.setdefault(edge_type, []).append((start, end))
        of[edge_type] = relation
    for head in heads:  # also those of which only literals are said
        number(head)
    data: Any = HeteroData()
    labels = graph.labels(numbers)
    for kind, members in iris.items():
        data[kind].num_nodes = len(members)
        data[kind].iri = members
        data[kind].label = [labels[entity] for entity in members]
    for edge_type, pairs in columns.items():
        data[edge_type].edge_index = torch.tensor(pairs, dtype=torch.int64).T.contiguous()  # (2, M)
        data[edge_type].relation = of[edge_type]
    return data  # type: ignore[no-any-return]


def _unique_names(iris: Any, taken: set[str]) -> dict[str, str]:
    """Return IRI → its local part as a name; a number tells apart those that share one."""
    names: dict[str, str] = {}
    for iri in iris:
        local = re.sub(r"\W+", "_", re.split(r"[#/]", iri.rstrip("#/"))[-1]).strip("_") or "thing"
        name, count = local, 1
        while name in taken:
            count += 1
            name = f"{local}_{count}"
        taken.add(name)
        names[iri] = name
    return names

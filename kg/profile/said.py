"""What one pass over all statements of a version gathers for a profile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kg.names import local_name
from kg.records import Literal

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

FUNCTIONAL_PROPERTY = "http://www.w3.org/2002/07/owl#FunctionalProperty"


class Said:
    """What one pass over all statements gathers."""

    def __init__(self, entities: Sequence[str], label_relations: set[str], description_relations: set[str]) -> None:
        self.is_entity = set(entities)
        self.naming, self.describing = label_relations, description_relations
        self.triples = self.literal_facts = 0
        self.labels: dict[str, str] = {}
        self.described: set[str] = set()
        self.relations: Counter[str] = Counter()
        self.literal_kinds: Counter[tuple[str, str | None, str | None]] = Counter()  # relation, datatype, language
        self.values: dict[str, dict[tuple[str, str | None], list[Any]]] = defaultdict(
            dict
        )  # relation → (head, language) → values
        self.sources: dict[str, list[Any]] = {}  # source → [triples, entities, relations, heads seen elsewhere]
        self.declared: set[str] = set()

    def label(self, iri: str) -> str:
        return self.labels.get(iri) or local_name(iri)

    def by_source(self) -> list[dict[str, Any]]:
        times = Counter(entity for _, entities, _ in self.sources.values() for entity in entities)
        rows = []
        for name, (triples, entities, relations) in self.sources.items():
            only = sum(times[entity] == 1 for entity in entities)
            row = {"source": name, "triples": triples, "share": triples / max(self.triples, 1)}
            rows.append(row | {"entities": len(entities), "relations": len(relations), "only_here": only})
        return sorted(rows, key=lambda row: (-row["triples"], row["source"]))


def read(graph: KnowledgeGraph, version: int, entities: Sequence[str], progress: Callable[[int], None] | None) -> Said:
    """Read all statements of a version, and gather what is said of the ``entities``."""
    naming = graph.naming()
    names = graph.iris([*naming.labels, *naming.descriptions])
    said = Said(entities, {names[n] for n in naming.labels}, {names[n] for n in naming.descriptions})
    ranks = {names[number]: rank for number, rank in naming.labels.items()}
    best: dict[str, tuple[int, int]] = {}
    facts: set[tuple[str, str, Literal]] = set()
    several_sources = len(graph.sources()) > 1
    for count, statement in enumerate(graph.triples(version=version), 1):
        head, relation, tail = statement.head, statement.relation, statement.tail
        of = said.sources.get(statement.source)
        if of is None:
            of = said.sources[statement.source] = [0, set(), set()]
        of[0] += 1
        of[2].add(relation)
        if head in said.is_entity:
            of[1].add(head)
        if isinstance(tail, str):
            if tail in said.is_entity:
                of[1].add(tail)
            if tail == FUNCTIONAL_PROPERTY:
                said.declared.add(head)
            said.relations[relation] += 1
        else:
            if several_sources:  # the same fact of two sources is one
                if (head, relation, tail) in facts:
                    continue
                facts.add((head, relation, tail))
            said.relations[relation] += 1
            said.literal_facts += 1
            said.literal_kinds[relation, tail.datatype, tail.language] += 1
            if relation in ranks:
                place = 0 if tail.language is None or tail.language.lower().startswith("en") else 1, ranks[relation]
                if head not in best or place < best[head]:
                    best[head] = place
                    said.labels[head] = tail.value
            elif relation in said.describing:
                said.described.add(head)
            else:
                values = said.values[relation]
                key = head, tail.language
                if key in values:
                    values[key].append(tail)
                else:
                    values[key] = [tail]
        if progress and count % 50_000 == 0:
            progress(count)
    said.triples = sum(of[0] for of in said.sources.values())
    return said

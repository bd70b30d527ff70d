"""Know one's graph: degrees, components, relation patterns, literals, gaps, duplicates, contradictions, sources.

    found = profile(graph)
    found.relations[0]["cardinality"]          # 'n-1'

Every list in it is cut to its most telling entries; the counts are of all. Everything is plain text, numbers, lists and
dicts, to be written as JSON as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kg.profile.thresholds import Thresholds as Thresholds

if TYPE_CHECKING:
    import numpy as np

    from kg.store.graph import KnowledgeGraph


@dataclass(frozen=True)
class Profile:
    """What ``profile`` found; see its fields' comments for their shape."""

    counts: dict[str, int]
    degrees: dict[str, Any]  # {"out" | "in" | "all": {"mean", "median", "p90", "p99", "max", "zero"}, "bins", "hubs"}
    components: dict[str, Any]  # {"count", "largest", "largest_share", "isolated", "bins"}
    relations: list[dict[str, Any]]  # one a relation, the most frequent first: RelationShape and "patterns"
    cardinalities: dict[str, int]  # "1-1" … "n-n" → relations
    inverse: list[dict[str, Any]]  # {"body": [names], "head", "support", "confidence"}
    duplicate_relations: list[dict[str, Any]]
    compositions: list[dict[str, Any]]
    literals: list[dict[str, Any]]  # {"datatype", "language", "count", "relations"}
    missing: dict[str, Any]  # {"label" | "description" | "picture": count, "examples": {…: [IRI]}}
    duplicates: dict[str, Any]  # {"pairs", "same_label", "examples": [{"label", "entities", "shared"}]}
    contradictions: dict[str, Any]  # {"functional", "heads", "examples": [{"head", "relation", "tails", "sources"}]}
    sources: list[dict[str, Any]]  # {"source", "triples", "entities", "relations", "only_here"}
    thresholds: dict[str, Any]
    version: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def profile(
    graph: KnowledgeGraph,
    thresholds: Thresholds | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    version: int | None = None,
) -> Profile:
    """Read a store once, as it stood at a version (default: now), and say what is in it.

    Args:
        progress: called now and then with the number of statements read.

    Raises:
        InputError: the store has no such version.
    """
    from kg.profile.faults import contradictions, duplicates, missing
    from kg.profile.relations import literals, relations_and_rules
    from kg.profile.said import read
    from kg.profile.shape import components, degrees

    limits = thresholds or Thresholds()
    snapshot = graph.snapshot(version)
    entities, relations = _names(graph, snapshot.entity_ids), _names(graph, snapshot.relation_ids)
    said = read(graph, snapshot.version, entities, progress)
    edges = snapshot.heads, snapshot.relations, snapshot.tails
    listed, rules = relations_and_rules(edges, relations, said, limits)
    pictures = graph.pictures(version=snapshot.version)
    return Profile(
        counts={
            "triples": said.triples,
            "facts": snapshot.num_edges + said.literal_facts,
            "edges": snapshot.num_edges,
            "literals": said.literal_facts,
            "entities": snapshot.num_entities,
            "relations": len(said.relations),
            "sources": len(said.sources),
            "pictures": len(pictures),
        },
        degrees=degrees(snapshot, entities, said, limits),
        components=components(edges, snapshot.num_entities),
        relations=listed,
        cardinalities=dict(sorted(Counter(row["cardinality"] for row in listed if row["cardinality"]).items())),
        **rules,
        literals=literals(said),
        missing=missing(entities, said, {picture.entity for picture in pictures}, limits),
        duplicates=duplicates(snapshot, entities, said, limits),
        contradictions=contradictions(graph, snapshot.version, edges, entities, relations, said, limits),
        sources=said.by_source(),
        thresholds=asdict(limits),
        version=snapshot.version,
    )


def _names(graph: KnowledgeGraph, ids: np.ndarray) -> list[str]:
    iris = graph.iris(ids.tolist())
    return [iris[number] for number in ids.tolist()]

"""Know one's graph: degrees, components, relation patterns, literals, gaps, duplicates, contradictions, sources.

    found = profile(graph)
    found.relations[0]["cardinality"]          # 'n-1'

Every list in it is cut to its most telling entries; the counts are of all. Everything is plain text, numbers, lists and
dicts, to be written as JSON as it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kg import patterns
from kg.names import fold, local_name
from kg.records import LABEL_RELATIONS, Literal

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph
    from kg.store.snapshot import Snapshot

FUNCTIONAL_PROPERTY = "http://www.w3.org/2002/07/owl#FunctionalProperty"


@dataclass(frozen=True)
class Thresholds:
    """From when on a pattern is named one.

    Attributes:
        confidence: of symmetric, inverse, duplicate and composed relations, the share of pairs for which it holds.
        antisymmetric: at most this share of a relation's pairs has its reverse.
        support: pairs that a relation needs before anything is said of its patterns.
        functional: share of the heads of a functional relation that have one tail only.
        duplicate: share of the smaller one's (relation, neighbour) pairs that two entities of one label have in common.
        most: entries of each list.
    """

    confidence: float = 0.8
    antisymmetric: float = 0.01
    support: int = 20
    functional: float = 0.95
    duplicate: float = 0.5
    most: int = 20


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
    graph: KnowledgeGraph, thresholds: Thresholds | None = None, progress: Callable[[int], None] | None = None
) -> Profile:
    """Read a store once and say what is in it.

    Args:
        progress: called now and then with the number of statements read.
    """
    limits = thresholds or Thresholds()
    snapshot = graph.snapshot()
    iris = graph.iris(snapshot.entity_ids.tolist())
    entities = [iris[number] for number in snapshot.entity_ids.tolist()]
    relation_iris = graph.iris(snapshot.relation_ids.tolist())
    relations = [relation_iris[number] for number in snapshot.relation_ids.tolist()]
    said = _read(graph, entities, progress)
    edges = snapshot.heads, snapshot.relations, snapshot.tails
    shown = said.label
    listed, rules = _relations(edges, snapshot, relations, said, limits)
    pictured = {picture.entity for picture in graph.pictures()}
    return Profile(
        counts={
            "triples": said.triples,
            "facts": snapshot.num_edges + said.literal_facts,
            "edges": snapshot.num_edges,
            "literals": said.literal_facts,
            "entities": snapshot.num_entities,
            "relations": len(said.relations),
            "sources": len(said.sources),
            "pictures": len(graph.pictures()),
        },
        degrees=_degrees(snapshot, entities, shown, limits),
        components=_components(edges, snapshot.num_entities),
        relations=listed,
        cardinalities=dict(sorted(Counter(row["cardinality"] for row in listed if row["cardinality"]).items())),
        **rules,
        literals=_literals(said),
        missing=_missing(entities, said, pictured, limits),
        duplicates=_duplicates(snapshot, entities, said, limits),
        contradictions=_contradictions(graph, edges, entities, relations, said, limits),
        sources=said.by_source(),
        thresholds=asdict(limits),
        version=snapshot.version,
    )


class _Said:
    """What one pass over all statements gathers."""

    def __init__(self, entities: Sequence[str], label_relations: set[str], description_relations: set[str]) -> None:
        self.is_entity = set(entities)
        self.naming, self.describing = label_relations, description_relations
        self.triples = self.literal_facts = 0
        self.labels: dict[str, str] = {}
        self.described: set[str] = set()
        self.relations: Counter[str] = Counter()
        self.literal_kinds: Counter[tuple[str, str | None, str | None]] = Counter()  # relation, datatype, language
        self.values: dict[str, dict[tuple[str, str | None], list[Any]]] = defaultdict(dict)  # see ``_contradictions``
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


def _read(graph: KnowledgeGraph, entities: Sequence[str], progress: Callable[[int], None] | None) -> _Said:
    naming = graph.naming()
    names = graph.iris([*naming.labels, *naming.descriptions])
    said = _Said(entities, {names[n] for n in naming.labels}, {names[n] for n in naming.descriptions})
    ranks = {names[number]: rank for number, rank in naming.labels.items()}
    best: dict[str, tuple[int, int]] = {}
    facts: set[tuple[str, str, Literal]] = set()
    several_sources = len(graph.sources()) > 1
    for count, statement in enumerate(graph.triples(), 1):
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


def _quantiles(degrees: np.ndarray) -> dict[str, Any]:
    if not len(degrees):
        return {"mean": 0.0, "median": 0, "p90": 0, "p99": 0, "max": 0, "zero": 0}
    median, p90, p99 = np.percentile(degrees, [50, 90, 99], method="nearest")
    largest, zero = int(degrees.max()), int((degrees == 0).sum())
    middle = {"median": int(median), "p90": int(p90), "p99": int(p99)}
    return {"mean": float(degrees.mean()), **middle, "max": largest, "zero": zero}


def _bins(sizes: np.ndarray) -> list[dict[str, int]]:
    """Count sizes in 0, 1, 2–3, 4–7, 8–15, …"""
    if not len(sizes):
        return []
    place = np.where(sizes > 0, np.floor(np.log2(np.maximum(sizes, 1))).astype(int) + 1, 0)
    counts = np.bincount(place)
    return [
        {"from": 2 ** (at - 1) if at else 0, "to": 2**at - 1 if at else 0, "count": int(count)}
        for at, count in enumerate(counts)
    ]


def _degrees(
    snapshot: Snapshot, entities: Sequence[str], shown: Callable[[str], str], limits: Thresholds
) -> dict[str, Any]:
    out, into = snapshot.out.degrees(len(entities)), snapshot.into.degrees(len(entities))
    whole = out + into
    hubs = np.argsort(-whole, kind="stable")[: limits.most]
    return {
        "out": _quantiles(out),
        "in": _quantiles(into),
        "all": _quantiles(whole),
        "bins": {"out": _bins(out), "in": _bins(into), "all": _bins(whole)},
        "hubs": [
            {"entity": entities[at], "label": shown(entities[at]), "out": int(out[at]), "in": int(into[at])}
            for at in hubs.tolist()
            if whole[at]
        ],
    }


def _components(edges: tuple[Any, Any, Any], num_entities: int) -> dict[str, Any]:
    """Count the weakly connected components."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not num_entities:
        return {"count": 0, "largest": 0, "largest_share": 0.0, "isolated": 0, "bins": []}
    heads, _, tails = edges
    matrix = coo_array((np.ones(len(heads), np.int8), (heads, tails)), shape=(num_entities, num_entities))
    count, member = connected_components(matrix, directed=False)
    sizes = np.bincount(member)
    largest = int(sizes.max())
    share = largest / num_entities
    return {
        "count": int(count), "largest": largest, "largest_share": share, "isolated": int((sizes == 1).sum()),
        "bins": _bins(sizes),
    }  # fmt: skip


def _relations(
    edges: tuple[Any, Any, Any], snapshot: Snapshot, relations: Sequence[str], said: _Said, limits: Thresholds
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Describe every relation, and list the rules between relations."""
    size = snapshot.num_entities, snapshot.num_relations
    pairs = patterns.Pairs(*edges, *size)
    floor = {"confidence": limits.confidence, "support": limits.support}
    inverse = patterns.implications(pairs, is_reversed=True, **floor)  # type: ignore[arg-type]
    double = patterns.implications(pairs, is_reversed=False, **floor)  # type: ignore[arg-type]
    known = {rule.body[0]: rule.head for rule in [*inverse, *double]}
    composed = [
        rule
        for rule in patterns.compositions(pairs, **floor)  # type: ignore[arg-type]
        if rule.head not in rule.body and known.get(rule.body[0]) != rule.head
    ]
    rows = []
    for number, shape in enumerate(patterns.shapes(*edges, *size)):
        if not shape.edges:
            continue
        found = []
        if shape.edges - shape.loops >= limits.support and shape.symmetric is not None:
            if shape.symmetric >= limits.confidence:
                found.append("symmetric")
            elif shape.symmetric <= limits.antisymmetric:
                found.append("antisymmetric")
        found += ["inverse"] if any(rule.body[0] == number for rule in inverse) else []
        found += ["duplicate"] if any(rule.body[0] == number for rule in double) else []
        found += ["composed"] if any(rule.head == number for rule in composed) else []
        row = {"relation": relations[number], "label": said.label(relations[number]), **asdict(shape)}
        rows.append(row | {"literals": said.relations[relations[number]] - shape.edges, "patterns": found})
    drawn = {row["relation"] for row in rows}
    empty: dict[str, Any] = dict.fromkeys(patterns.RelationShape.__slots__, 0)
    empty |= {"tails_per_head": None, "heads_per_tail": None, "cardinality": "", "symmetric": None}
    for iri, count in said.relations.items():
        if iri not in drawn:
            rows.append({"relation": iri, "label": said.label(iri), **empty, "literals": count, "patterns": []})
    rows.sort(key=lambda row: (-row["edges"] - row["literals"], row["relation"]))

    def named(rules: list[patterns.Rule]) -> list[dict[str, Any]]:
        return [
            {
                "body": [relations[number] for number in rule.body],
                "head": relations[rule.head],
                "labels": [said.label(relations[number]) for number in (*rule.body, rule.head)],
                "support": rule.support,
                "confidence": rule.confidence,
            }
            for rule in rules[: limits.most]
        ]

    lists = {"inverse": named(inverse), "duplicate_relations": named(double), "compositions": named(composed)}
    return rows, lists


def _literals(said: _Said) -> list[dict[str, Any]]:
    kinds: dict[tuple[str, str], list[Any]] = defaultdict(lambda: [0, set()])
    for (relation, datatype, language), count in said.literal_kinds.items():
        kind = kinds[datatype or "text", language or ""]
        kind[0] += count
        kind[1].add(relation)
    rows = [
        {"datatype": datatype, "language": language, "count": count, "relations": len(relations)}
        for (datatype, language), (count, relations) in kinds.items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["datatype"], row["language"]))


def _missing(entities: Sequence[str], said: _Said, pictured: Iterable[str], limits: Thresholds) -> dict[str, Any]:
    lacking = {"label": said.labels.keys(), "description": said.described, "picture": set(pictured)}
    found: dict[str, Any] = {"examples": {}}
    for what, having in lacking.items():
        without = [entity for entity in entities if entity not in having]
        found[what] = len(without)
        found["examples"][what] = without[: limits.most]
    return found


def _duplicates(snapshot: Snapshot, entities: Sequence[str], said: _Said, limits: Thresholds) -> dict[str, Any]:
    """Find entities of one label (case and accents apart) that share neighbours by the same relations."""
    called: dict[str, list[int]] = defaultdict(list)
    for number, entity in enumerate(entities):
        if entity in said.labels:
            called[fold(said.labels[entity])].append(number)
    found: list[dict[str, Any]] = []
    for members in called.values():
        if not 2 <= len(members) <= 100:  # a hundred of one name is a kind of thing, not a duplicate
            continue
        around = {number: _around(snapshot, number) for number in members}
        for at, one in enumerate(members):
            for two in members[at + 1 :]:
                least = min(len(around[one]), len(around[two]))
                shared = len(around[one] & around[two]) / least if least else 0.0
                if shared >= limits.duplicate:
                    pair = {"label": said.labels[entities[one]], "entities": [entities[one], entities[two]]}
                    found.append(pair | {"shared": shared, "neighbours": least})
    found.sort(key=lambda pair: (-pair["shared"], -pair["neighbours"], pair["entities"]))
    same = sum(len(members) for members in called.values() if len(members) > 1)
    return {"pairs": len(found), "same_label": same, "examples": found[: limits.most]}


def _around(snapshot: Snapshot, number: int) -> set[tuple[bool, int, int]]:
    found = set()
    for is_out, side in ((True, snapshot.out), (False, snapshot.into)):
        others, relations = side.of(number)
        found |= {(is_out, relation, other) for relation, other in zip(relations.tolist(), others.tolist())}
    return found


def _contradictions(
    graph: KnowledgeGraph,
    edges: tuple[Any, Any, Any],
    entities: Sequence[str],
    relations: Sequence[str],
    said: _Said,
    limits: Thresholds,
) -> dict[str, Any]:
    """Find heads with several tails of a relation that is functional: declared so, or nearly all heads have one tail.

    A literal contradicts only one of its own language; names and descriptions may be several.
    """
    functional: dict[str, dict[str, Any]] = {}
    several: list[tuple[str, str, list[str]]] = []

    def judge(relation: str, heads: int, broken: list[tuple[str, list[str]]]) -> None:
        share = 1 - len(broken) / max(heads, 1)
        if relation in said.declared or (heads >= limits.support and share >= limits.functional):
            functional[relation] = {"heads": heads, "share": share, "contradictions": len(broken)}
            several.extend((head, relation, tails) for head, tails in broken)

    heads, names, tails = edges
    order = np.lexsort((heads, names))
    heads, names, tails = heads[order], names[order], tails[order]
    key = names.astype(np.int64) * max(len(entities), 1) + heads
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(starts, len(key)))
    for number, relation in enumerate(relations):
        low, high = np.searchsorted(names[starts], [number, number + 1])
        mine, widths = starts[low:high], sizes[low:high]
        is_functional = (widths == 1).mean() >= limits.functional if len(mine) else False
        if relation in LABEL_RELATIONS or not (is_functional or relation in said.declared):
            continue
        broken = [
            (entities[heads[at]], [entities[tail] for tail in tails[at : at + width]])
            for at, width in zip(mine[widths > 1].tolist(), widths[widths > 1].tolist())
        ]
        judge(relation, len(mine), broken)
    for relation, values in said.values.items():
        broken = []
        for (head, _), tails in values.items():
            if len(distinct := list(dict.fromkeys(tails))) > 1:
                broken.append((head, list(map(str, distinct))))
        judge(relation, len({head for head, _ in values}), broken)
    several.sort(key=lambda row: (row[1], row[0]))
    examples = []
    for head, relation, ends in several[: limits.most]:
        sources = sorted({statement.source for statement in graph.triples(head=head, relation=relation)})
        shown = [said.label(end) if end in said.is_entity else end for end in ends[: limits.most]]
        row = {"head": head, "relation": relation, "tails": ends[: limits.most], "sources": sources}
        examples.append(row | {"labels": [said.label(head), said.label(relation), *shown]})
    by_relation = sorted(functional.items(), key=lambda item: (-item[1]["contradictions"], item[0]))
    listed = [{"relation": relation, "label": said.label(relation), **about} for relation, about in by_relation]
    return {
        "functional": len(functional), "heads": len(several), "relations": listed[: limits.most], "examples": examples,
    }  # fmt: skip

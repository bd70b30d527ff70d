"""What looks wrong in a graph: what entities lack, entities that may be one, and contradictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.names import fold
from kg.profile.said import Said
from kg.profile.thresholds import Thresholds
from kg.records import LABEL_RELATIONS
from kg.store.snapshot import Snapshot

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph


def missing(entities: Sequence[str], said: Said, pictured: Iterable[str], limits: Thresholds) -> dict[str, Any]:
    """Count the entities without a label, a description, a picture, and name the first of them."""
    lacking = {"label": said.labels.keys(), "description": said.described, "picture": set(pictured)}
    found: dict[str, Any] = {"examples": {}}
    for what, having in lacking.items():
        without = [entity for entity in entities if entity not in having]
        found[what] = len(without)
        found["examples"][what] = without[: limits.most]
    return found


def duplicates(snapshot: Snapshot, entities: Sequence[str], said: Said, limits: Thresholds) -> dict[str, Any]:
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


def contradictions(
    graph: KnowledgeGraph,
    version: int,
    edges: tuple[Any, Any, Any],
    entities: Sequence[str],
    relations: Sequence[str],
    said: Said,
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
        sources = sorted({statement.source for statement in graph.triples(head, relation, version=version)})
        shown = [said.label(end) if end in said.is_entity else end for end in ends[: limits.most]]
        row = {"head": head, "relation": relation, "tails": ends[: limits.most], "sources": sources}
        examples.append(row | {"labels": [said.label(head), said.label(relation), *shown]})
    by_relation = sorted(functional.items(), key=lambda item: (-item[1]["contradictions"], item[0]))
    listed = [{"relation": relation, "label": said.label(relation), **about} for relation, about in by_relation]
    return {
        "functional": len(functional), "heads": len(several), "relations": listed[: limits.most], "examples": examples,
    }  # fmt: skip

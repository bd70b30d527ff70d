"""Which one- and two-step paths a graph has, the common ones first, so that an index can embed their words beforehand.

A walk meets hundreds of different paths around a well-connected entity; embedding them at the first question would make
it wait for seconds. What is not foreseen here is embedded when it is met.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from retrieval.index.graph_walk import EXCLUDED
from retrieval.verbalise import path_text

if TYPE_CHECKING:
    from kg import KnowledgeGraph

_MOST_RELATIONS = 128  # the most frequent are looked at: counts are a square table of twice as many
_SAMPLE = 256  # facts looked at of a relation to literals
_BLOCK = 16_384  # entities counted at a time


def one_step_paths(graph: KnowledgeGraph) -> list[str]:
    """The texts of every relation's two paths, forward and inverse."""
    labels = graph.labels(iri for iri in graph.relations() if iri not in EXCLUDED)
    return [path_text([(label, forward)]) for label in labels.values() for forward in (True, False)]


def common_paths(graph: KnowledgeGraph, limit: int = 1024) -> list[str]:
    """The texts of every one-step path, and of the ``limit`` two-step paths that lead through the most entities.

    With A (E, 2R) saying by which relation and direction one can come to an entity, and B by which one can leave it,
    the number of entities that a pair of steps leads through is AᵀB. To leave as one came takes a second such edge.
    """
    texts = one_step_paths(graph)
    relations = [iri for iri in graph.relations() if iri not in EXCLUDED]
    labels = graph.labels(relations)
    column = {iri: place for place, iri in enumerate(relations[:_MOST_RELATIONS])}
    snapshot = graph.snapshot()
    iris = graph.iris(snapshot.relation_ids.tolist())
    column_of = np.array([column.get(iris[number], -1) for number in snapshot.relation_ids.tolist()], dtype=np.int64)
    relation = column_of[snapshot.relations] if len(snapshot.relations) else np.zeros(0, dtype=np.int64)
    known = relation >= 0
    heads, tails, relation = snapshot.heads[known], snapshot.tails[known], relation[known]
    literal_heads, literal_relations = _literal_steps(
        graph, set(column) - set(iris.values()), column, snapshot.entity_ids
    )

    width = len(column)
    counts = np.zeros((2 * width, 2 * width), dtype=np.int64)
    for start in range(0, snapshot.num_entities, _BLOCK):
        arrive = np.zeros((_BLOCK, 2 * width), dtype=np.float32)  # forward steps in columns 0 … R−1, inverse from R on
        leave = np.zeros_like(arrive)
        for ends, towards, away in ((tails, relation, relation + width), (heads, relation + width, relation)):
            here = (ends >= start) & (ends < start + _BLOCK)
            arrive[ends[here] - start, towards[here]] = 1
            leave[ends[here] - start, away[here]] = 1
        here = (literal_heads >= start) & (literal_heads < start + _BLOCK)
        leave[literal_heads[here] - start, literal_relations[here]] = 1
        counts += (arrive.T @ leave).astype(np.int64)
    for ends, come, leave_by in ((tails, 0, width), (heads, width, 0)):
        edges, number = np.unique(ends * max(width, 1) + relation, return_counts=True)
        several = np.bincount(edges[number > 1] % max(width, 1), minlength=width)
        counts[np.arange(width) + come, np.arange(width) + leave_by] = several
    steps = [(labels[iri], True) for iri in column] + [(labels[iri], False) for iri in column]
    best = np.argsort(-counts, axis=None, kind="stable")[:limit]
    best = best[counts.ravel()[best] > 0]
    texts += [path_text([steps[pair // (2 * width)], steps[pair % (2 * width)]]) for pair in best.tolist()]
    return list(dict.fromkeys(texts))


def _literal_steps(
    graph: KnowledgeGraph, relations: set[str], column: dict[str, int], entity_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Dense indices of entities that have facts of these relations, and the relations' columns: a sample of each."""
    pairs = [(s.head, column[iri]) for iri in sorted(relations) for s in islice(graph.triples(relation=iri), _SAMPLE)]
    ids = graph.ids({head for head, _ in pairs})
    heads = np.searchsorted(entity_ids, np.array([ids[head] for head, _ in pairs], dtype=np.int64))
    return heads, np.array([number for _, number in pairs], dtype=np.int64)

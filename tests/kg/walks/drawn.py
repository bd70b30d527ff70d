"""Small graphs as snapshots, without a store."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kg import Snapshot


def snapshot(edges: Iterable[tuple[int, int, int]], num_entities: int, num_relations: int = 1) -> Snapshot:
    """A snapshot of (head, relation, tail)."""
    rows = np.array(list(edges), dtype=np.int64).reshape(-1, 3)
    return Snapshot.of(rows[:, 0], rows[:, 1], rows[:, 2], np.arange(num_entities), np.arange(num_relations))


def scattered(num_entities: int, num_edges: int, num_relations: int, seed: int) -> Snapshot:
    """A random graph; edges that were drawn twice count once."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, num_entities, (num_edges, 2))
    return snapshot(zip(ends[:, 0], rng.integers(0, num_relations, num_edges), ends[:, 1]), num_entities, num_relations)

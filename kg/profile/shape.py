"""How a graph hangs together: degrees, hubs and connected components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kg.profile.said import Said
from kg.profile.thresholds import Thresholds
from kg.store.snapshot import Snapshot


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


def degrees(snapshot: Snapshot, entities: Sequence[str], said: Said, limits: Thresholds) -> dict[str, Any]:
    """Return means and quantiles of the degrees, how many entities have how many edges, and the most connected."""
    out, into = snapshot.out.degrees(len(entities)), snapshot.into.degrees(len(entities))
    whole = out + into
    hubs = np.argsort(-whole, kind="stable")[: limits.most]
    return {
        "out": _quantiles(out),
        "in": _quantiles(into),
        "all": _quantiles(whole),
        "bins": {"out": _bins(out), "in": _bins(into), "all": _bins(whole)},
        "hubs": [
            {"entity": entities[at], "label": said.label(entities[at]), "out": int(out[at]), "in": int(into[at])}
            for at in hubs.tolist()
            if whole[at]
        ],
    }


def components(edges: tuple[Any, Any, Any], num_entities: int) -> dict[str, Any]:
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

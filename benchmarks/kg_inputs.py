"""What the measures of ``kg`` share: the graph as rows, as networkx and as our snapshot, and how a rate is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Paths = dict[str, Any]


def open_snapshot(paths: Paths) -> tuple[Any, Any, list[int]]:
    """Return the open store, its snapshot, and the dense numbers of the same entities that the peers start from."""
    from kg import KnowledgeGraph

    graph = KnowledgeGraph.open(paths["store"], create=False)
    snapshot = graph.snapshot()
    ids = graph.ids(paths["starts"])
    return graph, snapshot, [int(n) for n in snapshot.index_of([ids[iri] for iri in paths["starts"]])]


def rows(paths: Paths) -> Iterator[list[str]]:
    """Yield (head, relation, tail) of the graph as TSV."""
    with Path(paths["tsv"]).open(encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def draw_networkx(paths: Paths) -> Any:
    """Return the graph's edges as a ``networkx.DiGraph``."""
    import networkx

    graph = networkx.DiGraph()
    graph.add_edges_from((head, tail) for head, _, tail in rows(paths))
    return graph


def best(run: Callable[[], Any], times: int = 3) -> float:
    """The least seconds of a few runs in one process: the first warms the caches that a long-lived one has warm."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def rate(paths: Paths, run: Callable[[], Any]) -> dict[str, Any]:
    """Return the starts a second."""
    return {"value": len(paths["starts"]) / best(run)}

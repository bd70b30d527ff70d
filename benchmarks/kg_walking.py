"""Walking: 2 hops along the edges out of entities, at most FAN_OUT a step, and personalised PageRank."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.frame import Skipped
from benchmarks.kg_inputs import Paths, best, draw_networkx, open_snapshot, rate, rows

#: 2 hops, at most so many edges out of each entity.
FAN_OUT = 16
NUM_STARTS = 1_000
TOP = 100
DAMPING = 0.85


def choose_starts(paths: Paths) -> dict[str, Any]:
    """The entities to start from: drawn with a fixed seed from those that have edges out."""
    heads = sorted({head for head, _, _ in rows(paths)})
    return {"value": random.Random(0).sample(heads, NUM_STARTS)}


def hops_ours(paths: Paths) -> dict[str, Any]:
    from kg import walks

    graph, snapshot, starts = open_snapshot(paths)
    fan_out = (FAN_OUT, FAN_OUT)
    walks.neighbourhood(snapshot, starts[0], fan_out, direction="out")
    edges = 0

    def one_by_one() -> None:
        nonlocal edges
        edges = sum(len(walks.neighbourhood(snapshot, start, fan_out, direction="out").heads) for start in starts)

    seconds = best(one_by_one)
    graph.close()
    return {"value": len(starts) / seconds, "note": f"{edges:,} edges"}


def hops_ours_batched(paths: Paths) -> dict[str, Any]:
    from kg import walks

    graph, snapshot, starts = open_snapshot(paths)
    fan_out = (FAN_OUT, FAN_OUT)
    walks.neighbourhoods(snapshot, starts, fan_out, direction="out")
    seconds = best(lambda: walks.neighbourhoods(snapshot, starts, fan_out, direction="out"))
    graph.close()
    return {"value": len(starts) / seconds}


def hops_ours_store(paths: Paths) -> dict[str, Any]:
    from kg import KnowledgeGraph

    with KnowledgeGraph.open(paths["store"], create=False) as graph:
        starts = list(graph.ids(paths["starts"]).values())
        graph.fan_out(starts[:1], hops=2, limit=FAN_OUT)
        edges = 0

        def one_by_one() -> None:
            nonlocal edges
            found = (hop for start in starts for hop in graph.fan_out([start], hops=2, limit=FAN_OUT))
            edges = sum(len(heads) for heads, _, _ in found)

        return rate(paths, one_by_one) | {"note": f"{edges:,} edges"}


def follow(out: Callable[[Any], Iterator[Any]], start: Any) -> int:
    """Follow the first ``FAN_OUT`` edges out of the start and out of each entity that they reach; return how many."""
    edges, reached = 0, [start]
    for _ in range(2):
        ends = []
        for entity in reached:
            for end, _ in zip(out(entity), range(FAN_OUT)):
                ends.append(end)
        edges += len(ends)
        reached = list(dict.fromkeys(ends))
    return edges


def hops_networkx(paths: Paths) -> dict[str, Any]:
    graph = draw_networkx(paths)
    return rate(paths, lambda: [follow(lambda e: iter(graph.adj[e]), start) for start in paths["starts"]])


def hops_rdflib(paths: Paths) -> dict[str, Any]:
    import rdflib

    graph = rdflib.Graph(bind_namespaces="none")
    for head, relation, tail in rows(paths):
        graph.add((rdflib.URIRef(head), rdflib.URIRef(relation), rdflib.URIRef(tail)))
    starts = [rdflib.URIRef(start) for start in paths["starts"]]
    return rate(paths, lambda: [follow(graph.objects, start) for start in starts])


def hops_pyoxigraph(paths: Paths) -> dict[str, Any]:
    import pyoxigraph

    store = pyoxigraph.Store()
    node = pyoxigraph.NamedNode
    quads = (pyoxigraph.Quad(node("x:" + h), node("x:" + r), node("x:" + t)) for h, r, t in rows(paths))
    store.bulk_extend(quads)

    def out(entity: Any) -> Iterator[Any]:
        return (quad.object for quad in store.quads_for_pattern(entity, None, None))

    return rate(paths, lambda: [follow(out, node("x:" + start)) for start in paths["starts"]])


def hops_pyg(paths: Paths) -> dict[str, Any]:
    return _pyg(paths, batch=1)


def hops_pyg_batched(paths: Paths) -> dict[str, Any]:
    return _pyg(paths, batch=NUM_STARTS)


def _pyg(paths: Paths, batch: int) -> dict[str, Any]:
    try:
        import torch
        from torch_geometric.data import Data
        from torch_geometric.loader import NeighborLoader
        from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
    except ImportError as error:
        raise Skipped(f"{error.name} is not installed") from None
    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        raise Skipped("NeighborLoader needs torch-sparse or pyg-lib, which are not installed")
    numbers: dict[str, int] = {}
    heads, tails = [], []
    for head, _, tail in rows(paths):
        heads.append(numbers.setdefault(head, len(numbers)))
        tails.append(numbers.setdefault(tail, len(numbers)))
    # The loader walks against the edges, so that they are given the other way round.
    data = Data(edge_index=torch.tensor([tails, heads]), num_nodes=len(numbers))
    starts = torch.tensor([numbers[start] for start in paths["starts"]])
    loader = NeighborLoader(data, num_neighbors=[FAN_OUT, FAN_OUT], input_nodes=starts, batch_size=batch)
    for _ in loader:
        break
    sampler = "pyg-lib" if WITH_PYG_LIB else "torch-sparse"
    return rate(paths, lambda: list(loader)) | {"note": f"by {sampler}, at random"}


# -- personalised PageRank: seeds a second ----------------------------------------------------------------------------


def ppr_ours(paths: Paths) -> dict[str, Any]:
    from kg import walks

    graph, snapshot, starts = open_snapshot(paths)
    walks.pageranks(snapshot, starts[:1], top=TOP, damping=DAMPING, direction="out")
    start = time.perf_counter()
    walks.pageranks(snapshot, starts, top=TOP, damping=DAMPING, direction="out")
    seconds = time.perf_counter() - start
    graph.close()
    return {"value": len(starts) / seconds}


def ppr_networkx(paths: Paths) -> dict[str, Any]:
    import networkx

    graph = draw_networkx(paths)
    few = paths["starts"][:3]
    start = time.perf_counter()
    for entity in few:
        ranks = networkx.pagerank(graph, alpha=DAMPING, personalization={entity: 1.0})
        sorted(ranks.items(), key=lambda pair: -pair[1])[:TOP]
    return {"value": len(few) / (time.perf_counter() - start), "note": f"on {len(few)} seeds"}

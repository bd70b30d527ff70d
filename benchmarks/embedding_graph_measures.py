"""The measures of ``benchmarks/embeddings.py`` on graph encoders, each in a process of its own:

    python -m benchmarks.embedding_graph_measures NAME JSON

A step is one layer over the whole training graph and back, derivatives of nodes and weights included; both directions
of every triple are edges. That layers give the same numbers as the peers' is a test: tests/kg/gnn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.embedding_measures import lines, timed
from benchmarks.frame import Arguments, Skipped

#: Steps that are timed of ours and of peers, and batches of sampling.
OURS, THEIRS, BATCHES = 5, 2, 100
FAN_OUT = (10, 10)


def _triples(given: Arguments) -> tuple[Any, int, int]:
    """Return the training triples as numbers, (M, 3), E and R."""
    import numpy as np
    import torch

    torch.set_num_threads(given["threads"])
    entities: dict[str, int] = {}
    relations: dict[str, int] = {}
    rows = [
        (
            entities.setdefault(h, len(entities)),
            relations.setdefault(r, len(relations)),
            entities.setdefault(t, len(entities)),
        )
        for h, r, t in lines(given["data"], "train")
    ]
    return np.array(rows, dtype=np.int64), len(entities), len(relations)


def _both_ways(triples: Any, num_relations: int) -> tuple[Any, Any]:
    import torch

    heads, relations, tails = torch.from_numpy(triples).T
    edge_index = torch.stack([torch.cat([heads, tails]), torch.cat([tails, heads])])
    return edge_index, torch.cat([relations, relations + num_relations])


def _steps(encode: Callable[[Any], Any], num_nodes: int, width: int, count: int, num_edges: int) -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    x = torch.randn(num_nodes, width, requires_grad=True)
    weights = torch.randn(num_nodes, width)

    def work(steps: int = count) -> int:
        for _ in range(steps):
            x.grad = None
            (encode(x) * weights).sum().backward()
        return steps * num_edges

    work(1)
    result = timed(work)
    result["note"] += f", {num_edges / result['by_processor']:.2f} s of the processor a step"
    return result


def _ours(given: Arguments, make: Callable[[int, int], Any]) -> dict[str, Any]:
    """Time a layer that ``make`` gives for a width and 2R relations."""
    from kg.embeddings.memory import keep_freed_memory
    from kg.gnn.plan import EdgePlan

    keep_freed_memory()
    triples, num_entities, num_relations = _triples(given)
    plan, width = EdgePlan.both_ways(triples, num_entities, num_relations), given["dimension"]
    layer = make(width, 2 * num_relations)
    return _steps(lambda x: layer(x, plan), num_entities, width, OURS, 2 * len(triples))


def graph_rgcn_ours(given: Arguments) -> dict[str, Any]:
    from kg.gnn.rgcn import RGCNLayer

    return _ours(given, lambda width, relations: RGCNLayer(width, width, relations))


def graph_rgcn_pyg(given: Arguments) -> dict[str, Any]:
    from torch_geometric.nn import RGCNConv

    triples, num_entities, num_relations = _triples(given)
    edge_index, edge_type = _both_ways(triples, num_relations)
    width = given["dimension"]
    layer = RGCNConv(width, width, 2 * num_relations)
    return _steps(lambda x: layer(x, edge_index, edge_type), num_entities, width, THEIRS, 2 * len(triples))


def graph_compgcn_ours(given: Arguments) -> dict[str, Any]:
    import torch

    from kg.embeddings.memory import keep_freed_memory
    from kg.gnn.composition import CompositionLayer
    from kg.gnn.plan import EdgePlan

    keep_freed_memory()
    triples, num_entities, num_relations = _triples(given)
    heads, relations, tails = torch.from_numpy(triples).T
    plans = [
        EdgePlan.make(torch.stack(ends), relations, num_entities, num_relations)
        for ends in ((heads, tails), (tails, heads))
    ]
    width = given["dimension"]
    layer = CompositionLayer(width, width, given["composition"])
    z = torch.randn(2 * num_relations, width, requires_grad=True)
    return _steps(lambda x: layer(x, z, *plans)[0], num_entities, width, OURS, 2 * len(triples))


def graph_compgcn_pykeen(given: Arguments) -> dict[str, Any]:
    import torch

    try:
        from pykeen.nn.representation import CompGCNLayer
    except ImportError:
        raise Skipped("pykeen is not installed (--peer-python)") from None
    triples, num_entities, num_relations = _triples(given)
    heads, relations, tails = torch.from_numpy(triples).T
    width = given["dimension"]
    layer = CompGCNLayer(width, width, composition=given["composition"], activation=torch.nn.Tanh)
    z = torch.randn(2 * num_relations, width, requires_grad=True)
    ends = torch.stack([heads, tails])
    return _steps(lambda x: layer(x, z, ends, relations)[0], num_entities, width, THEIRS, 2 * len(triples))


def graph_rgat_ours(given: Arguments) -> dict[str, Any]:
    from kg.gnn.rgat import RGATLayer

    return _ours(given, lambda width, relations: RGATLayer(width, width, relations))


def graph_gatv2_pyg(given: Arguments) -> dict[str, Any]:
    """Another attention: PyG's relational one (RGATConv) asks for 35.7 GB here."""
    import torch
    from torch_geometric.nn import GATv2Conv

    triples, num_entities, num_relations = _triples(given)
    edge_index, edge_type = _both_ways(triples, num_relations)
    width = given["dimension"]
    layer = GATv2Conv(width, width, edge_dim=width, add_self_loops=False)
    z = torch.randn(2 * num_relations, width, requires_grad=True)
    return _steps(lambda x: layer(x, edge_index, z[edge_type]), num_entities, width, THEIRS, 2 * len(triples))


def graph_sampled_ours(given: Arguments) -> dict[str, Any]:
    import numpy as np

    from kg.gnn.sampling import SubgraphSampler
    from kg.store.snapshot import Snapshot

    triples, num_entities, num_relations = _triples(given)
    snapshot = Snapshot.of(*triples.T, np.arange(num_entities), np.arange(num_relations))
    sampler = SubgraphSampler(snapshot, given["batch"], FAN_OUT, direction="in")
    return _batches(lambda: (len(found.edge_type) for found in sampler.batches()), given["batch"])


def graph_sampled_peer(given: Arguments) -> dict[str, Any]:
    import torch
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader
    from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        raise Skipped("PyG's loader needs pyg-lib or torch-sparse (--peer-python)")
    triples, num_entities, _ = _triples(given)
    heads, relations, tails = torch.from_numpy(triples).T
    data = Data(edge_index=torch.stack([heads, tails]), edge_attr=relations, num_nodes=num_entities)
    loader = NeighborLoader(data, list(FAN_OUT), batch_size=given["batch"], shuffle=True)
    return _batches(lambda: (found.num_edges for found in loader), given["batch"])


def _batches(epoch: Callable[[], Iterator[int]], batch: int) -> dict[str, Any]:
    """Time ``BATCHES`` whole batches, over as many epochs as they take."""
    edges = 0

    def work(count: int = BATCHES) -> int:
        nonlocal edges
        done = 0
        while done < count:
            for found in epoch():
                edges, done = edges + found, done + 1
                if done == count:
                    break
        return count * batch

    work(2)
    edges = 0
    result = timed(work)
    result["note"] += f", {edges / BATCHES:,.0f} edges a batch"
    return result

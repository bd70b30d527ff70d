"""Sampled subgraphs: facts of the graph around their seeds, the same for a seed, and drawn as PyG's loader draws."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from kg import KnowledgeGraph
from kg.errors import InputError
from kg.gnn.sampling import SampledSubgraph, SubgraphSampler
from tests.kg.walks.drawn import scattered, snapshot

#: Six entities point to 0, three of them by relation 0; 7 → 1 → 0.
STAR = snapshot([(1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 1, 0), (5, 1, 0), (6, 1, 0), (7, 0, 1)], 8, 2)


def facts(found: SampledSubgraph) -> list[tuple[int, ...]]:
    heads, tails = found.entities[found.edge_index]
    return sorted(zip(heads.tolist(), found.edge_type.tolist(), tails.tolist()))


def test_a_batch_holds_its_seeds_and_facts_by_hand() -> None:
    sampler = SubgraphSampler(STAR, batch=2, fan_out=(-1, -1), direction="in")
    found = sampler.around(np.array([1, 0, 1]))
    assert found.entities[:2].tolist() == [1, 0] and found.seeds.tolist() == [0, 1, 0]
    assert facts(found) == [(1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 1, 0), (5, 1, 0), (6, 1, 0), (7, 0, 1)]
    assert sorted(zip(found.entities.tolist(), found.hops.tolist())) == [(0, 0), (1, 0), *((n, 1) for n in range(2, 8))]
    data = found.to_data()
    data.validate()
    assert data.num_nodes == 8 and torch.equal(data.edge_type, found.edge_type) and data.seeds.tolist() == [0, 1, 0]


def test_an_epoch_visits_every_entity_once_and_the_seed_decides_all() -> None:
    graph = scattered(100, 900, 3, 0)
    sampler = SubgraphSampler(graph, batch=30, fan_out=(3, 2), seed=5)
    first, again = list(sampler.batches(1)), list(sampler.batches(1))
    assert len(first) == len(sampler) == 4
    visited = torch.cat([found.entities[found.seeds] for found in first])
    assert sorted(visited.tolist()) == list(range(100))
    assert all(torch.equal(a, b) for one, two in zip(first, again) for a, b in zip(one, two))
    for other in (list(sampler.batches(2)), list(SubgraphSampler(graph, 30, (3, 2), seed=6).batches(1))):
        assert not torch.equal(other[0].entities, first[0].entities)
    known = set(zip(graph.heads.tolist(), graph.relations.tolist(), graph.tails.tolist()))
    for found in first:
        rows = facts(found)
        assert set(rows) <= known and len(set(rows)) == len(rows)


def test_fan_outs_hold_for_each_relation_where_they_are_given_by_relation() -> None:
    graph = scattered(60, 3_000, 3, 1)
    limits = {0: (2, 1), 2: (5, 0)}
    for number in range(20):
        found = SubgraphSampler(graph, 1, limits, direction="in").around(np.array([number]), number=number)
        into_seed = Counter(r for _, r, t in facts(found) if t == number)
        degrees = Counter(graph.into.of(number)[1].tolist())
        assert into_seed == {r: min(limit[0], degrees[r]) for r, limit in limits.items()}
        later = Counter((t, r) for _, r, t in facts(found) if t != number)
        assert later and all(count == 1 and relation == 0 for (_, relation), count in later.items())
    with pytest.raises(InputError, match="relation 7 is not in the snapshot"):
        SubgraphSampler(graph, 1, {7: (1,)}).around(np.array([0]))
    with pytest.raises(InputError, match=r"as many hops, not of \[1, 2\]"):
        SubgraphSampler(graph, 1, {0: (1,), 1: (1, 1)}).around(np.array([0]))


def test_every_pair_of_neighbours_is_drawn_equally_often() -> None:
    sampler = SubgraphSampler(STAR, 1, (2,), direction="in")
    count = 3_000
    pairs = Counter(tuple(h for h, _, _ in facts(sampler.around(np.array([0]), number=n))) for n in range(count))
    assert set(pairs) == set(combinations(range(1, 7), 2))
    chi_square = sum((found - count / 15) ** 2 / (count / 15) for found in pairs.values())
    assert chi_square < 36.1  # 14 degrees of freedom: exceeded once in a thousand


def test_subgraphs_are_distributed_as_those_of_pygs_neighbor_loader() -> None:
    pytest.importorskip("torch_sparse", reason="PyG's NeighborLoader needs torch-sparse or pyg-lib")
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader

    graph = scattered(25, 160, 1, 3)
    edge_index = torch.from_numpy(np.stack([graph.heads, graph.tails]))
    count, seeds = 4_000, [4, 11]
    torch.manual_seed(0)
    loader: Any = NeighborLoader(
        Data(edge_index=edge_index, num_nodes=25), [3, 2], torch.tensor(seeds * count), batch_size=2
    )
    sampler = SubgraphSampler(graph, 2, (3, 2), direction="in")
    theirs, ours = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    sizes = []
    for number, found in enumerate(loader):
        theirs.update(zip(*found.n_id[found.edge_index].tolist()))
        mine = sampler.around(np.array(seeds), number=number)
        ours.update(zip(*mine.entities[mine.edge_index].tolist()))
        sizes.append((found.num_nodes, len(mine.entities)))
    assert set(ours) == set(theirs)
    for edge, times in theirs.items():  # each is a share of as many draws: five standard deviations of a difference
        share = times / count
        assert abs(ours[edge] - times) / count < 5 * (2 * max(share * (1 - share), 1e-3) / count) ** 0.5
    means = np.mean(sizes, axis=0)
    assert abs(means[0] - means[1]) < 5 * float(np.std(sizes)) * (2 / count) ** 0.5


def test_a_stores_edits_count_at_once(europe: KnowledgeGraph) -> None:
    (before,) = SubgraphSampler(europe.snapshot(), 100, (-1,)).batches()
    europe.add("x:Rome", "x:twin", "x:Paris", source="cities")
    now = europe.snapshot()
    (after,) = SubgraphSampler(now, 100, (-1,)).batches()
    assert (before.edge_index.shape[1], after.edge_index.shape[1]) == (3, 4)
    assert facts(after) == sorted(zip(now.heads.tolist(), now.relations.tolist(), now.tails.tolist()))

"""Mini-batches of a graph too large to encode whole: sampled neighbourhoods around batches of entities.

    sampler = SubgraphSampler(graph.snapshot(), batch=512, fan_out=(16, 8), direction="in")
    for subgraph in sampler.batches(epoch=0):
        subgraph.entities, subgraph.edge_index, subgraph.edge_type, subgraph.seeds      # a plain tuple of tensors
        subgraph.to_data()                                                              # the same as PyG's Data

As in GraphSAGE (Hamilton, Ying & Leskovec, 2017, arXiv:1706.02216) and PyG's ``NeighborLoader``: each entity is
expanded once, at the hop at which it is reached, by at most so many edges, drawn without replacement. The snapshot's
arrays are read where they lie, mapped from disk; nothing of the size of the graph is made but one stamp an entity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kg.errors import InputError
from kg.store.snapshot import Snapshot
from kg.walks.sampling import FanOut, neighbourhood
from kg.walks.steps import Direction, entity_array

if TYPE_CHECKING:
    from torch_geometric.data import Data


class SampledSubgraph(NamedTuple):
    """N entities and M edges around B seeds; all int64.

    Attributes:
        entities: dense numbers, (N,), those of the seeds first.
        edge_index: places in ``entities`` of head and tail, (2, M).
        edge_type: dense relation numbers, (M,). No edge comes twice.
        seeds: places in ``entities`` of what the batch was drawn around, (B,).
        hops: the distance at which each entity was reached, (N,).
    """

    entities: Tensor
    edge_index: Tensor
    edge_type: Tensor
    seeds: Tensor
    hops: Tensor

    def to_data(self) -> Data:
        """Return PyG's ``Data`` with ``n_id``, ``edge_index``, ``edge_type``, ``seeds`` and ``hops``."""
        from torch_geometric.data import Data

        return Data(
            n_id=self.entities,
            edge_index=self.edge_index,
            edge_type=self.edge_type,
            seeds=self.seeds,
            hops=self.hops,
            num_nodes=len(self.entities),
        )


class SubgraphSampler:
    """Goes through entities in batches, each with its sampled neighbourhood.

    What is drawn depends on the seed, the epoch and the number of the batch alone.

    Args:
        snapshot: of a store, ``graph.snapshot()``.
        batch: entities a batch.
        fan_out: at each hop, the most edges to follow from an entity in each direction, −1 for all; of all relations
            together, or relation → fan-outs.
        entities: which to go through, dense numbers, (K,); by default all.
        relations: those to follow; by default all.
        direction: ``"in"`` follows edges from tail to head, so that messages flow into the seeds; ``"both"`` for
            encoders that send messages along inverse relations, too.
        shuffle: go through them in another order each epoch.
        seed: of draws and order.

    Raises:
        InputError: an entity that is not in the snapshot, or a batch of none.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        batch: int,
        fan_out: FanOut = (16, 16),
        *,
        entities: Sequence[int] | np.ndarray | None = None,
        relations: Sequence[int] | None = None,
        direction: Direction = "both",
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        if batch < 1:
            raise InputError(f"a batch is of at least one entity, not of {batch}")
        self.snapshot, self.batch, self.fan_out = snapshot, batch, fan_out
        self.relations, self.direction, self.shuffle, self.seed = relations, direction, shuffle, seed
        given = np.arange(snapshot.num_entities) if entities is None else entities
        self.entities = entity_array(snapshot, given)  # (K,)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.entities) // self.batch)

    def batches(self, epoch: int = 0) -> Iterator[SampledSubgraph]:
        """Yield the batches of an epoch.

        Raises:
            InputError: a relation, a fan-out or a direction that can't be.
        """
        entities = self.entities
        if self.shuffle:
            entities = np.random.default_rng([self.seed, epoch]).permutation(entities)
        for number in range(len(self)):
            yield self.around(entities[number * self.batch : (number + 1) * self.batch], epoch, number)

    def around(self, entities: np.ndarray, epoch: int = 0, number: int = 0) -> SampledSubgraph:
        """Return the sampled neighbourhood of some entities together, (B,); one may come more than once."""
        draw = int(np.random.SeedSequence([self.seed, epoch, number]).generate_state(1, np.uint64)[0])
        followed = {"relations": self.relations, "direction": self.direction}
        found = neighbourhood(self.snapshot, entities, self.fan_out, seed=draw, **followed)  # type: ignore[arg-type]
        starts = found.entities[: np.count_nonzero(found.hops == 0)]  # each once
        order = np.argsort(starts)
        seeds = order[np.searchsorted(starts, entities, sorter=order)]
        ends = np.stack([found.heads, found.tails]).astype(np.int64)
        parts = found.entities, ends, found.relations, seeds, found.hops
        return SampledSubgraph(*(torch.from_numpy(part.astype(np.int64, copy=False)) for part in parts))

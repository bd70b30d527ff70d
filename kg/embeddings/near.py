"""How far entities are from each other in the training graph, counted in edges of either direction, as a score's part.

SimKGC (Wang et al., 2022, arXiv:2203.02167) adds a weight to the scores of the entities within some hops of the head
("graph-based re-ranking"): facts tend to hold between what is near, and texts don't say what is. Here each distance has
a weight of its own, and one a relation: see ``kg.embeddings.combination``.

How a set was split can tell by distances, too: FB15k-237's validation and test triples were chosen so that no pair of
theirs is linked in training (Toutanova & Chen, 2015), and the weight of distance 1 will learn to say so. SimKGC's
authors leave that out as "not a trick that could generalize"; say so beside a figure that has it.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from kg.embeddings.triples import Array


class Near:
    """The distances of all entities from some, up to ``hops``.

    Args:
        rows: (N, 3) training triples; no other is looked at.
        hops: the longest distance that is told from "further".
    """

    def __init__(self, rows: Array, num_entities: int, hops: int = 3) -> None:
        self.num_entities, self.hops = num_entities, hops
        ends = np.concatenate([rows[:, [0, 2]], rows[:, [2, 0]]]).astype(np.int64)
        ones = np.ones(len(ends), dtype=np.float32)
        self._edges = scipy.sparse.csr_array((ones, (ends[:, 0], ends[:, 1])), shape=(num_entities,) * 2)

    def __call__(self, entities: Tensor) -> Tensor:
        """Return the distances of all entities from each of (B,), (B, E) uint8; ``hops`` + 1 where it is longer."""
        numbers = entities.cpu().numpy()
        found = np.full((len(numbers), self.num_entities), self.hops + 1, dtype=np.uint8)
        shape = (len(numbers), self.num_entities)
        front = scipy.sparse.csr_array((np.ones(len(numbers), np.float32), (np.arange(len(numbers)), numbers)), shape)
        for distance in range(self.hops + 1):
            rows, columns = front.nonzero()
            is_new = found[rows, columns] > distance
            rows, columns = rows[is_new], columns[is_new]
            found[rows, columns] = distance
            if distance < self.hops:
                front = scipy.sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape) @ self._edges
        return torch.from_numpy(found)

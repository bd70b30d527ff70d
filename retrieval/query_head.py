"""A linear head on queries, so that a question lands near what answers it rather than near what sounds like it.

    score(q, d) = ⟨M q / ‖M q‖, d⟩,   L = CE over the batch's documents, 1/τ learned, + 0.01 ‖M − I‖²

InfoNCE with hard negatives that the index itself finds (`retrieval.mining` says whose idea that is). Documents keep
their vectors, so an index need not be built again; ``M`` starts as the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval.index.dense import DenseIndex
from retrieval.learned import open_weights

BATCH = 128
MINED = 30  # nearest wrong documents of a query, of which each step draws 4
_DRAWN = 4


class QueryHead:
    """Turn the vectors of queries.

    Args:
        matrix: M (D, D).
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors (Q, D) of vectors (Q, D), float32."""
        turned = np.asarray(vectors, dtype=np.float32) @ self.matrix.T
        return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)

    @classmethod
    def train(
        cls,
        vectors: np.ndarray,
        right: Sequence[int],
        index: DenseIndex,
        steps: int = 400,
        seed: int = 0,
        noise: float = 0.5,
    ) -> QueryHead:
        """Fit on queries' vectors (Q, D), each answered by the document ``right`` of an index.

        Adam, learning rate 5e-4 (0.1 for 1/τ, from 20). Gaussian ``noise``, as long as so many unit vectors, stands for
        queries that training has not seen.
        """
        import torch
        from torch.nn import functional as F

        generator = torch.Generator().manual_seed(seed)
        wanted = np.asarray(right, dtype=np.int64)
        _, near = index.search_batch(vectors, MINED)  # ids (Q, MINED), −1 beyond the last
        near = np.where((near == wanted[:, None]) | (near < 0), wanted[:, None], near)
        ids, place = np.unique(np.concatenate([wanted[:, None], near], axis=1), return_inverse=True)
        places = torch.from_numpy(place.reshape(near.shape[0], -1))  # (Q, 1 + MINED), rows of the documents
        asked, documents = torch.from_numpy(vectors), torch.from_numpy(index.vectors(ids))
        identity = torch.eye(asked.shape[1])
        matrix, scale = identity.clone().requires_grad_(), torch.tensor(20.0, requires_grad=True)
        optimizer = torch.optim.Adam([{"params": [matrix], "lr": 5e-4}, {"params": [scale], "lr": 0.1}])
        for _ in range(steps):
            rows = torch.randint(len(asked), (min(BATCH, len(asked)),), generator=generator)
            drawn = torch.randint(places.shape[1], (len(rows), _DRAWN), generator=generator)
            chosen = torch.cat([places[rows, 0], places[rows].gather(1, drawn).flatten()])
            chosen, target = torch.unique(chosen, return_inverse=True)
            queries = asked[rows]
            queries = queries + noise * torch.randn(queries.shape, generator=generator) / queries.shape[1] ** 0.5
            logits = scale * F.normalize(queries @ matrix.T, dim=-1) @ documents[chosen].T  # (B, C)
            loss = F.cross_entropy(logits, target[: len(rows)]) + 0.01 * (matrix - identity).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return cls(matrix.detach().numpy())

    def save(self, path: Path) -> None:
        """Write the matrix as safetensors."""
        from safetensors.numpy import save_file

        save_file({"matrix": self.matrix}, path)

    @classmethod
    def open(cls, path: Path) -> QueryHead:
        """Read the matrix.

        Raises:
            InputError: the file holds something else.
        """
        return cls(open_weights(path, {"matrix": 2}, "a query head", "train it again")["matrix"])

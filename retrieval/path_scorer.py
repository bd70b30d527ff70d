"""A learned judge of relation paths: how well does "capital of borders" fit "Name the chief city of a neighbour of …"?

    logit(q, p) = s ⟨M q, p⟩ + b,   M starts as the identity

Before training it ranks as the cosine does. It is trained by a softmax over all known paths, on questions whose path is
known; new wordings and new paths are covered by the embedder that q and p come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kg.errors import InputError

SCALE, BIAS = 12.0, -6.0  # a cosine of one half is as likely wanted as not


class PathScorer:
    """Score paths for a question.

    Args:
        matrix: M, (D, D) float32.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __call__(self, question: np.ndarray, paths: np.ndarray) -> np.ndarray:
        """Logits (P,) of path vectors (P, D) for a question's vector (D,)."""
        asked = self.matrix @ question
        return SCALE * (paths @ (asked / max(float(np.linalg.norm(asked)), 1e-9))) + BIAS

    @classmethod
    def train(
        cls, questions: np.ndarray, targets: Sequence[int], paths: np.ndarray, steps: int = 200, seed: int = 0
    ) -> PathScorer:
        """Fit M on questions (N, D) whose right path is row ``targets`` of ``paths`` (P, D).

        Adam, batches of 256, learning rate 1e-3, pulled towards the identity (0.01 ‖M − I‖²).
        """
        import torch
        from torch.nn import functional as F

        generator = torch.Generator().manual_seed(seed)
        x, y, p = torch.from_numpy(questions), torch.tensor(list(targets)), torch.from_numpy(paths)
        identity = torch.eye(x.shape[1])
        matrix = identity.clone().requires_grad_()
        optimizer = torch.optim.Adam([matrix], lr=1e-3)
        for _ in range(steps):
            rows = torch.randint(len(x), (min(256, len(x)),), generator=generator)
            asked = F.normalize(x[rows] @ matrix.T, dim=-1)
            loss = F.cross_entropy(SCALE * asked @ p.T, y[rows]) + 0.01 * (matrix - identity).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return cls(matrix.detach().numpy())

    def save(self, path: Path) -> None:
        """Write M as ``.npy``."""
        with path.open("wb") as file:
            np.save(file, self.matrix)

    @classmethod
    def open(cls, path: Path) -> PathScorer:
        """Read M.

        Raises:
            InputError: the file is no such matrix.
        """
        try:
            matrix = np.load(path, allow_pickle=False)
            if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
                raise ValueError(f"its shape is {matrix.shape}")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: not a path scorer ({error}); run `kemm pretrain` again") from None
        return cls(matrix)

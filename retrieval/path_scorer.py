"""A learned judge of relation paths: how well does "capital of borders" fit "Name the chief city of a land next to …"?

    logit(q, p) = s ⟨M q̄, p̄⟩ + a Σ_t w_t max_j ⟨A q_t, A p_j⟩ + c Σ_j w′_j max_t ⟨A q_t, A p_j⟩ + b

q̄ and p̄ are the pooled vectors of question and path, q_t and p_j the states of their tokens, projected by A to length 1;
w and w′ are the tokens' learned weights, each summing to one. The two sums are the late interaction of ColBERT (Khattab
and Zaharia, 2020, arXiv:2004.12832) read both ways: is everything that the question says in the path, and everything
that the path says in the question? A path of one step leaves "a land next to" unexplained, and one of two steps is not
asked for where nothing speaks of borders, whatever the wording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from retrieval.embed import TokenEmbedder
from retrieval.learned import open_weights, padded

if TYPE_CHECKING:
    from retrieval.index.path_vectors import PathVectors

SCALE = 12.0  # s before training
WIDTH = 64  # rows of A
NEGATIVES = 64  # wrong paths a step, drawn anew, beside those that the batch asks for
MOST_TOKENS = 12  # of a path
_SHAPES = {"matrix": 2, "projection": 2, "question_weight": 1, "path_weight": 1, "scales": 1}


class PathJudge(Protocol):
    """Judges relation paths for a question, as `PathScorer` does."""

    def judge(self, question: str, paths: PathVectors) -> Callable[[np.ndarray], np.ndarray]: ...


class PathScorer:
    """Score paths for a question.

    Args:
        text: gives pooled vectors and token states of questions and paths.
        weights: ``matrix`` M (D, D), ``projection`` A (K, D), ``question_weight`` and ``path_weight`` (D,), of whose
            product with a token state the softplus is w and w′; ``scales`` s, a, c and b.
    """

    def __init__(self, text: TokenEmbedder, weights: dict[str, np.ndarray]) -> None:
        self.text, self.weights = text, weights
        self._paths: PathVectors | None = None

    def judge(self, question: str, paths: PathVectors) -> Callable[[np.ndarray], np.ndarray]:
        """A function from rows of ``paths`` (P,) to how likely each is what the question asks for, (P,) in [0, 1]."""
        asked = self.weights["matrix"] @ self.text.embed([question])[0]
        asked = asked / max(float(np.linalg.norm(asked)), 1e-9)
        tokens, importance = self._project(self.text.tokens([question])[0], "question_weight")  # (T, K), (T,)
        s, a, c, b = self.weights["scales"].tolist()

        def relevance(rows: np.ndarray) -> np.ndarray:
            parts, shares = self._parts(paths, rows)  # (P, J, K), (P, J)
            likeness = parts @ tokens.T  # (P, J, T)
            absent = np.where(shares > 0, 0.0, -4.0).astype(np.float32)
            explained = (likeness + absent[..., None]).max(axis=1) @ importance  # (P,)
            found = (likeness.max(axis=2) * shares).sum(axis=1)
            logits = s * (paths.vectors[rows] @ asked) + a * explained + c * found + b
            return 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))

        return relevance

    def _project(self, states: np.ndarray, weight: str) -> tuple[np.ndarray, np.ndarray]:
        states = states.astype(np.float32)
        tokens = states @ self.weights["projection"].T
        tokens /= np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-9)
        importance = np.logaddexp(np.float32(0), states @ self.weights[weight])
        return tokens, importance / importance.sum()

    def _parts(self, paths: PathVectors, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The projected tokens of paths, zeros after the last, and their weights; each path is encoded once."""
        if self._paths is not paths:
            self._paths = paths
            self._tokens = np.zeros((0, MOST_TOKENS, len(self.weights["projection"])), dtype=np.float32)
            self._shares = np.zeros((0, MOST_TOKENS), dtype=np.float32)
        if more := len(paths.texts) - len(self._tokens):
            self._tokens = np.concatenate([self._tokens, np.zeros((more, *self._tokens.shape[1:]), dtype=np.float32)])
            self._shares = np.concatenate([self._shares, np.zeros((more, MOST_TOKENS), dtype=np.float32)])
        new = np.unique(rows[self._shares[rows, 0] == 0]).tolist()
        for row, states in zip(new, self.text.tokens([paths.texts[row] for row in new]) if new else (), strict=True):
            tokens, share = self._project(states[:MOST_TOKENS], "path_weight")
            self._tokens[row, : len(tokens)], self._shares[row, : len(share)] = tokens, share
        return self._tokens[rows], self._shares[rows]

    @classmethod
    def train(
        cls,
        text: TokenEmbedder,
        questions: Sequence[str],
        targets: Sequence[int],
        paths: PathVectors,
        steps: int = 300,
        seed: int = 0,
        noise: float = 0.6,
    ) -> PathScorer:
        """Fit on questions whose right path is row ``targets`` of ``paths``.

        A softmax over the paths of the batch and ``NEGATIVES`` others, and beside it a logistic loss, so that the
        sigmoid of a logit means something. Adam, batches of 48, learning rate 1e-3, M pulled towards the identity
        (0.01 ‖M − I‖²). Gaussian ``noise``, in standard deviations of the states, and tokens left out stand for
        wordings that training has not heard.
        """
        import torch
        from torch.nn import functional as F

        generator = torch.Generator().manual_seed(seed)
        said, of_question = np.unique(np.asarray(questions), return_inverse=True)
        q, q_mask = padded(text.tokens(said.tolist()))  # (Q, T, D), (Q, T)
        p, p_mask = padded(text.tokens(paths.texts))  # (P, J, D), (P, J)
        q_vector, p_vector = torch.from_numpy(text.embed(said.tolist())), torch.from_numpy(paths.vectors)
        identity, deviation = torch.eye(q_vector.shape[1]), float(q[q_mask].std())
        flat = p[p_mask]
        axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:WIDTH]
        matrix, projection = identity.clone().requires_grad_(), axes.clone().requires_grad_()
        q_weight, p_weight = (torch.zeros(len(identity), requires_grad=True) for _ in range(2))
        scales = torch.tensor([SCALE, SCALE, SCALE, -SCALE], requires_grad=True)
        parameters = [matrix, projection, q_weight, p_weight, scales]
        optimizer = torch.optim.Adam(parameters, lr=1e-3)

        def absent(mask: torch.Tensor) -> torch.Tensor:
            return torch.where(mask, 0.0, -4.0)  # added to a cosine, it is never the largest

        asked, right = torch.from_numpy(of_question), torch.tensor(list(targets))
        for _ in range(steps):
            rows = torch.randint(len(right), (min(48, len(right)),), generator=generator)
            others = torch.randint(len(p), (min(NEGATIVES, len(p)),), generator=generator)
            chosen, place = torch.unique(torch.cat([right[rows], others]), return_inverse=True)
            place = place[: len(rows)]
            whole = q_mask[asked[rows]]
            heard = whole & (torch.rand(whole.shape, generator=generator) > 0.2)
            mask = torch.where(heard.any(1, keepdim=True), heard, whole)
            longest, most = int(whole.sum(1).max()), int(p_mask[chosen].sum(1).max())
            mask, p_said = mask[:, :longest], p_mask[chosen, :most]
            states, p_states = q[asked[rows], :longest], p[chosen, :most]
            states = states + noise * deviation * torch.randn(states.shape, generator=generator)
            pooled = q_vector[asked[rows]]
            pooled = pooled + noise * torch.randn(pooled.shape, generator=generator) / pooled.shape[1] ** 0.5
            tokens = F.normalize(states @ projection.T, dim=-1)  # (B, T, K)
            parts = F.normalize(p_states @ projection.T, dim=-1)  # (C, J, K)
            likeness = (tokens.flatten(0, 1) @ parts.flatten(0, 1).T).view(*mask.shape, *p_said.shape)  # (B, T, C, J)
            importance = F.softplus(states @ q_weight) * mask
            share = F.softplus(p_states @ p_weight) * p_said
            explained = (likeness + absent(p_said)).max(3).values  # (B, T, C)
            explained = torch.einsum("btc,bt->bc", explained, importance / importance.sum(1, keepdim=True))
            found = (likeness + absent(mask)[:, :, None, None]).max(1).values  # (B, C, J)
            found = torch.einsum("bcj,cj->bc", found, share / share.sum(1, keepdim=True))
            likeness_whole = F.normalize(pooled @ matrix.T, dim=-1) @ p_vector[chosen].T
            logits = scales[0] * likeness_whole + scales[1] * explained + scales[2] * found + scales[3]  # (B, C)
            truth = F.one_hot(place, len(chosen)).float()
            logistic = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=torch.tensor(8.0))
            loss = F.cross_entropy(logits, place) + logistic + 0.01 * (matrix - identity).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        fitted = [parameter.detach().contiguous().numpy() for parameter in parameters]
        names = ("matrix", "projection", "question_weight", "path_weight", "scales")
        return cls(text, dict(zip(names, fitted, strict=True)))

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        from safetensors.numpy import save_file

        save_file(self.weights, path)

    @classmethod
    def open(cls, path: Path, text: TokenEmbedder) -> PathScorer:
        """Read the weights.

        Raises:
            InputError: the file holds something else.
        """
        return cls(text, open_weights(path, _SHAPES, "a path scorer", "run `kemm pretrain` again"))

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
from retrieval.index import Hit
from retrieval.judge_training import Encoded, drawn, train_judge
from retrieval.learned import open_weights
from retrieval.mining import mine

if TYPE_CHECKING:
    from retrieval.index.path_vectors import PathVectors

SCALE = 12.0  # s before training
BATCH = 48  # questions a step
NEGATIVES = 64  # wrong paths a step, drawn anew, beside those that the batch asks for
HARD = 2  # mined ones a question and step
MINED = 16  # nearest wrong paths of a question, of which they are drawn
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
        hard: int = HARD,
    ) -> PathScorer:
        """Fit on questions whose right path is row ``targets`` of ``paths``.

        `retrieval.judge_training` says how. Negatives are ``NEGATIVES`` paths drawn anew for each step and, of each
        question, ``hard`` of those that it is nearest to without being answered by them.
        """
        import torch

        mined = drawn(_nearest(text, questions, targets, paths), hard)

        def others(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            some = torch.randint(len(paths.texts), (min(NEGATIVES, len(paths.texts)),), generator=generator)
            return torch.cat([some, mined(rows, generator)])

        fitted = train_judge(
            text,
            questions,
            Encoded.of(text, paths.texts, paths.vectors, MOST_TOKENS),
            targets,
            others,
            scales=(SCALE, SCALE, SCALE, -SCALE),
            scales_rate=1e-3,
            steps=steps,
            batch=BATCH,
            generator=torch.Generator().manual_seed(seed),
            noise=noise,
        )
        return cls(text, dict(zip(_SHAPES, fitted, strict=True)))

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


def _nearest(
    text: TokenEmbedder, questions: Sequence[str], targets: Sequence[int], paths: PathVectors
) -> list[list[int]]:
    """The ``MINED`` paths nearest to each question that none in the same words means."""
    asked = dict(zip(questions, text.embed(list(questions)), strict=True))

    def search(question: str) -> list[Hit]:
        likeness = paths.vectors @ asked[question]
        order = np.argsort(-likeness, kind="stable")[: 2 * MINED].tolist()
        return [Hit(row, float(likeness[row])) for row in order]

    return mine(search, questions, [{row} for row in targets], paths.texts.__getitem__, MINED)

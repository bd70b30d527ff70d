"""A learned judge of facts: how well does "lipstick, is for: coloring the lips" answer "What is this used for"?

    logit(q, d) = s ⟨M q̄, d̄⟩ + a explained(q, d) + c found(q, d) + β bm25(q, d) + b

q̄ and d̄ are the pooled vectors of question and fact, ``explained`` and ``found`` the two readings of
`retrieval.late_interaction`, bm25 what the lexical search gave, 0 where it did not find the fact. The same form as the
judge of paths, `retrieval.path_scorer`, but its documents are facts with the names in them, and it learns from what the
index wrongly finds. One softmax learns the projections and how to weigh the searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.embed import TokenEmbedder
from retrieval.judge_training import Encoded, drawn, train_judge
from retrieval.late_interaction import MOST_TOKENS, LateInteraction
from retrieval.learned import open_weights

BATCH = 32  # questions a step
NEGATIVES = 8  # mined ones a question and step; those of the whole batch count for each of it
_SHAPES = {"matrix": 2, "projection": 2, "question_weight": 1, "fact_weight": 1, "scales": 1}


class FactRanker:
    """Score facts for a question.

    Args:
        weights: ``matrix`` M (D, D), ``projection`` A (K, D), ``question_weight`` and ``fact_weight`` (D,); ``scales``
            s, a, c, β and b.
    """

    def __init__(self, text: TokenEmbedder, weights: dict[str, np.ndarray]) -> None:
        self.text, self.weights = text, weights
        self.late = LateInteraction(text, weights["projection"], weights["question_weight"], weights["fact_weight"])

    def logits(
        self, question: str, facts: Sequence[str], vectors: np.ndarray, lexical: np.ndarray, regions: Any = None
    ) -> np.ndarray:
        """float32 (N,), for facts with pooled vectors (N, D) and scores of the lexical search (N,)."""
        asked = self.weights["matrix"] @ self.text.embed([question])[0]
        asked /= max(float(np.linalg.norm(asked)), 1e-9)
        s, a, c, beta, b = self.weights["scales"].tolist()
        explained, found = self.late.scores(question, facts, regions)
        return s * (vectors @ asked) + a * explained + c * found + beta * lexical + b

    @classmethod
    def train(
        cls,
        text: TokenEmbedder,
        questions: Sequence[str],
        right: Sequence[int],
        facts: Sequence[str],
        negatives: Sequence[Sequence[int]],
        lexical: Sequence[Mapping[int, float]],
        steps: int = 200,
        seed: int = 0,
        noise: float = 0.6,
    ) -> FactRanker:
        """Fit on questions whose right fact is row ``right`` of ``facts``.

        `retrieval.judge_training` says how; the scales learn ten times as fast.

        Args:
            negatives: rows of ``facts`` that are wrong for each question (`retrieval.mining`).
            lexical: of each question, row → score of the lexical search, as `logits` gets it.
        """
        import torch

        def by_words(rows: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[lexical[row].get(one, 0.0) for one in chosen.tolist()] for row in rows.tolist()])

        fitted = train_judge(
            text,
            questions,
            Encoded.of(text, facts, most=MOST_TOKENS),
            right,
            drawn(negatives, NEGATIVES),
            scales=(12.0, 12.0, 12.0, 0.5, -24.0),
            scales_rate=1e-2,
            steps=steps,
            batch=BATCH,
            generator=torch.Generator().manual_seed(seed),
            noise=noise,
            more=by_words,
        )
        return cls(text, dict(zip(_SHAPES, fitted, strict=True)))

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        from safetensors.numpy import save_file

        save_file(self.weights, path)

    @classmethod
    def open(cls, path: Path, text: TokenEmbedder) -> FactRanker:
        """Read the weights.

        Raises:
            InputError: the file holds something else.
        """
        return cls(text, open_weights(path, _SHAPES, "a fact ranker", "train it again"))

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
from retrieval.late_interaction import MOST_TOKENS, LateInteraction
from retrieval.learned import open_weights, padded

WIDTH = 64  # rows of A
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

            L = CE over the batch's facts + BCE(logit) + 0.01 ‖M − I‖²

        Adam, learning rate 1e-3 (1e-2 for the scales). Gaussian ``noise``, in standard deviations of the states, and a
        fifth of the tokens left out stand for wordings that training has not heard.

        Args:
            negatives: rows of ``facts`` that are wrong for each question (`retrieval.mining`).
            lexical: of each question, row → score of the lexical search, as `logits` gets it.
        """
        import torch
        from torch.nn import functional as F

        generator = torch.Generator().manual_seed(seed)
        q, q_mask = padded(text.tokens(list(questions)))  # (Q, T, D), (Q, T)
        d, d_mask = padded([states[:MOST_TOKENS] for states in text.tokens(list(facts))])  # (N, J, D), (N, J)
        q_vector, d_vector = (torch.from_numpy(text.embed(list(said))) for said in (questions, facts))
        identity, deviation = torch.eye(q_vector.shape[1]), float(q[q_mask].std())
        flat = d[d_mask][torch.randperm(int(d_mask.sum()), generator=generator)[:20_000]]
        axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:WIDTH]
        matrix, projection = identity.clone().requires_grad_(), axes.clone().requires_grad_()
        q_weight, d_weight = (torch.zeros(len(identity), requires_grad=True) for _ in range(2))
        scales = torch.tensor([12.0, 12.0, 12.0, 0.5, -24.0], requires_grad=True)
        parameters = [matrix, projection, q_weight, d_weight, scales]
        optimizer = torch.optim.Adam([{"params": parameters[:4], "lr": 1e-3}, {"params": [scales], "lr": 1e-2}])
        target = torch.tensor(list(right))
        for _ in range(steps):
            rows = torch.randint(len(target), (min(BATCH, len(target)),), generator=generator)
            mined = [_drawn(negatives[row], NEGATIVES, generator) for row in rows.tolist()]
            wrong = torch.tensor([one for ones in mined for one in ones], dtype=torch.long)
            chosen, place = torch.unique(torch.cat([target[rows], wrong]), return_inverse=True)  # (C,)
            place = place[: len(rows)]
            by_words = [[lexical[row].get(one, 0.0) for one in chosen.tolist()] for row in rows.tolist()]
            longest = int(q_mask[rows].sum(1).max())
            whole, said = q_mask[rows, :longest], d_mask[chosen]
            heard = whole & (torch.rand(whole.shape, generator=generator) > 0.2)
            mask = torch.where(heard.any(1, keepdim=True), heard, whole)  # (B, T)
            states, d_states = q[rows, :longest], d[chosen]
            states = states + noise * deviation * torch.randn(states.shape, generator=generator)
            pooled = q_vector[rows]
            pooled = pooled + noise * torch.randn(pooled.shape, generator=generator) / pooled.shape[1] ** 0.5
            tokens = F.normalize(states @ projection.T, dim=-1)  # (B, T, K)
            parts = F.normalize(d_states @ projection.T, dim=-1)  # (C, J, K)
            likeness = (tokens.flatten(0, 1) @ parts.flatten(0, 1).T).view(*mask.shape, *said.shape)  # (B, T, C, J)
            explained = (likeness + torch.where(said, 0.0, -4.0)).amax(3)  # (B, T, C)
            explained = torch.einsum("btc,bt->bc", explained, _shares(states @ q_weight, mask))
            found = (likeness + torch.where(mask, 0.0, -4.0)[:, :, None, None]).amax(1)  # (B, C, J)
            found = torch.einsum("bcj,cj->bc", found, _shares(d_states @ d_weight, said))
            cosine = F.normalize(pooled @ matrix.T, dim=-1) @ d_vector[chosen].T
            parts_of = (cosine, explained, found, torch.tensor(by_words))
            logits = sum(scale * part for scale, part in zip(scales, parts_of, strict=False)) + scales[4]  # (B, C)
            truth = F.one_hot(place, len(chosen)).float()
            logistic = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=torch.tensor(8.0))
            loss = F.cross_entropy(logits, place) + logistic + 0.01 * (matrix - identity).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        fitted = [parameter.detach().contiguous().numpy() for parameter in parameters]
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


def _drawn(wrong: Sequence[int], most: int, generator: Any) -> list[int]:
    import torch

    return [wrong[place] for place in torch.randperm(len(wrong), generator=generator)[:most].tolist()]


def _shares(weight: Any, mask: Any) -> Any:
    from torch.nn import functional as F

    importance = F.softplus(weight) * mask
    return importance / importance.sum(1, keepdim=True)

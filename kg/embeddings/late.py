"""Late fusion: one model a modality, their scores added with weights fitted on the validation split.

    f(h, r, t) = Σ_m w_m f_m(h, r, t)          w = argmin −Σ log softmax_e(Σ_m w_m f_m(h, r, e))_t

over the validation split, both sides, the other known answers left out. It is convex in w, so there is one best w; it
is found by Newton's method. The simple baseline that a gate has to beat: no modality sees another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from kg.embeddings.known import Known
from kg.embeddings.model import KGEModel
from kg.embeddings.triples import Triples
from kg.errors import InputError

_BLOCK = 4 << 20  # scores held at a time


class LateFusion(KGEModel):
    """A weighed sum of the scores of trained models over the same entities and relations.

    Args:
        models: one a modality.
        weights: w, one each; by default all 1.

    Raises:
        InputError: the models are of different vocabularies.
    """

    def __init__(self, models: Sequence[KGEModel], weights: Sequence[float] | None = None) -> None:
        sizes = {(model.num_entities, model.num_relations) for model in models}
        if len(sizes) != 1:
            raise InputError(f"models of one vocabulary can be fused, these have {sorted(sizes)}")
        super().__init__(*sizes.pop(), 0, 0)
        self.models = nn.ModuleList(models)
        given = torch.ones(len(models)) if weights is None else torch.tensor(list(weights), dtype=torch.float32)
        self.weights = nn.Parameter(given, requires_grad=False)

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        return self._sum([model.score(heads, relations, tails) for model in self._each()])

    def score_tails(self, heads: Tensor, relations: Tensor, candidates: Tensor | None = None) -> Tensor:
        return self._sum([model.score_tails(heads, relations, candidates) for model in self._each()])

    def score_heads(self, relations: Tensor, tails: Tensor, candidates: Tensor | None = None) -> Tensor:
        return self._sum([model.score_heads(relations, tails, candidates) for model in self._each()])

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("the models score, each from its own vectors")

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        raise AssertionError("the models score, each from its own vectors")

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        raise AssertionError("the models score, each from its own vectors")

    def _each(self) -> list[KGEModel]:
        return [model for model in self.models if isinstance(model, KGEModel)]

    def _sum(self, scores: list[Tensor]) -> Tensor:
        return torch.stack([weight * found for weight, found in zip(self.weights, scores)]).sum(0)

    @torch.no_grad()
    def fit(self, triples: Triples, split: str = "valid", *, limit: int | None = 1000, steps: int = 15) -> list[float]:
        """Fit the weights on a split and return them.

        Args:
            limit: triples of it that are used, drawn evenly.
            steps: of Newton's method, at most.

        Raises:
            InputError: there is no such split, or it is empty.
        """
        self.eval()
        rows = np.asarray(triples[split], dtype=np.int64)
        if limit is not None and limit < len(rows):
            rows = rows[np.linspace(0, len(rows) - 1, limit).round().astype(np.int64)]
        known = Known(triples.splits.values(), triples.num_entities)
        w = self.weights.data.double()
        previous = torch.inf
        step = torch.zeros_like(w)
        for _ in range(steps):
            loss, slope, curvature = self._derivatives(rows, known, w)
            if loss > previous:  # too far: halve the step
                w, step = w - step / 2, step / 2
                continue
            if previous - loss < 1e-6:
                break
            previous = loss
            ridge = 1e-6 * curvature.diagonal().mean().clamp_min(1e-12) * torch.eye(len(w), dtype=w.dtype)
            step = -torch.linalg.solve(curvature + ridge, slope)
            w = w + step
        self.weights.data = w.float()
        return self.weights.tolist()

    def _derivatives(self, rows: np.ndarray, known: Known, w: Tensor) -> tuple[float, Tensor, Tensor]:
        """Return the mean loss at w, its gradient (M,) and Hessian (M, M)."""
        num = len(w)
        loss, slope, curvature = 0.0, torch.zeros(num).double(), torch.zeros(num, num).double()
        size = max(1, _BLOCK // (self.num_entities * num))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            h, r, t = (torch.from_numpy(part[:, column].copy()) for column in range(3))
            sides = [
                (t, known.tails.find(known.tail_keys(part[:, 0], part[:, 1])), known.tails.answers),
                (h, known.heads.find(known.head_keys(part[:, 1], part[:, 2])), known.heads.answers),
            ]
            for side, (target, (begin, end), answers) in enumerate(sides):
                each = self._each()
                found = [model.score_tails(h, r) if side == 0 else model.score_heads(r, t) for model in each]
                scores = torch.stack(found, -1).double()  # (B, E, M)
                right = torch.arange(len(part)), target
                logits = scores @ w  # (B, E)
                own = logits[right].clone()
                for n, (low, high) in enumerate(zip(begin, end)):
                    logits[n, torch.from_numpy(answers[low:high])] = -torch.inf
                logits[right] = own
                log = torch.log_softmax(logits, -1)
                loss -= float(log[right].sum())
                p = log.exp()
                mean = torch.einsum("be,bem->bm", p, scores)
                slope += (mean - scores[right]).sum(0)
                curvature += torch.einsum("be,bem,ben->mn", p, scores, scores) - mean.T @ mean
        count = 2 * len(rows)
        return loss / count, slope / count, curvature / count

"""Right triples against drawn ones: negative sampling, self-adversarial or not, drawn for each triple or for the batch.

A batch asks for tails or for heads, by the toss of a coin (of reciprocal models always for tails); negatives are drawn
evenly from all entities, so now and then one is true.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, relu, softmax

from kg.embeddings.model import KGEModel
from kg.embeddings.objectives import Objective, penalty, with_reciprocals
from kg.embeddings.triples import Array


class NegativeSampling(Objective):
    """One of three losses of the scores s⁺ of a triple and s_k of its K negatives, a mean over the batch.

        sigmoid   −½ log σ(γ + s⁺) − ½ Σ_k p_k log σ(−γ − s_k)
        softmax   −log (exp s⁺ / (exp s⁺ + Σ_k exp s_k))
        margin    Σ_k p_k max(0, γ − s⁺ + s_k)
        p_k = softmax_k(α s_k) without gradient, or 1/K for α = 0

    "sigmoid" with p is RotatE's self-adversarial loss (Sun et al., 2019, arXiv:1902.10197, equations 5 and 6), "margin"
    TransE's (Bordes et al., 2013).

    Args:
        count: K.
        shared: the K negatives are drawn once for the whole batch, whose scores are then one matrix product.
        loss: which.
        margin: γ.
        adversarial: α.
        regularizer, weight: as in ``OneVsAll``.
    """

    def __init__(
        self,
        model: KGEModel,
        train: Array,
        *,
        count: int = 32,
        shared: bool = False,
        loss: str = "sigmoid",
        margin: float = 0.0,
        adversarial: float = 0.0,
        regularizer: str = "n3",
        weight: float = 0.0,
    ) -> None:
        self.model, self.count, self.shared = model, count, shared
        self.loss, self.margin, self.adversarial = loss, margin, adversarial
        self.regularizer, self.weight = regularizer, weight
        #: Entities that negatives are drawn from, (n,) int64; by default all.
        self.among: Array | None = None
        self._rows = with_reciprocals(train, model.num_relations) if model.reciprocal else train.astype(np.int64)

    def rows(self) -> Array:
        return self._rows

    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        model = self.model
        heads, relations, tails = rows.to(model.device).T
        for_tails = model.reciprocal or bool(generator.integers(2))
        given, asked = (heads, tails) if for_tails else (tails, heads)
        shape = (self.count,) if self.shared else (len(rows), self.count)
        among = self.among
        places = generator.integers(0, model.num_entities if among is None else len(among), shape)
        drawn = torch.from_numpy(places if among is None else among[places]).to(model.device)
        e, r = model.dropout(model.entity(given)), model.dropout(model.relation(relations))

        def score(candidates: Tensor) -> Tensor:
            return model.against_tails(e, r, candidates) if for_tails else model.against_heads(r, e, candidates)

        if self.shared:
            right, wrong = score(asked[:, None])[:, 0], score(drawn)  # (B,), (B, K)
        else:
            scores = score(torch.cat([asked[:, None], drawn], 1))  # (B, 1 + K)
            right, wrong = scores[:, 0], scores[:, 1:]
        loss = self.compare(right, wrong)
        if self.weight:
            h, t = model.entity(heads), model.entity(tails)
            factors = model.factors(h, model.relation(relations), t)
            loss = loss + self.weight * penalty(factors, self.regularizer, [None] * len(factors)) / len(rows)
        return loss

    def compare(self, right: Tensor, wrong: Tensor) -> Tensor:
        """Return the loss of scores, (B,) and (B, K)."""
        right, wrong = right.float(), wrong.float()  # autocast may have left 16 bits
        if self.loss == "softmax":
            both = torch.cat([right[:, None], wrong], 1)
            return cross_entropy(both, torch.zeros(len(both), dtype=torch.int64, device=both.device))
        share = softmax(self.adversarial * wrong.detach(), 1) if self.adversarial else 1 / self.count
        if self.loss == "margin":
            return (share * relu(self.margin - right[:, None] + wrong)).sum(1).mean()
        against = (share * logsigmoid(-self.margin - wrong)).sum(1)
        return -(logsigmoid(self.margin + right) + against).mean() / 2

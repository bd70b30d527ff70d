"""What a step of training makes smaller: 1-vs-all, k-vs-all, or right triples against drawn ones.

    objective = OneVsAll(model, precision=torch.bfloat16)
    loss = objective(rows)                     # rows (B, 3): head, relation, tail

With reciprocal relations the rows hold both directions and only tails are asked for; without, each row is asked for
its tail and for its head, and the two losses are added.
"""

from __future__ import annotations

import abc

import numpy as np
import torch
from torch import Tensor

from kg.embeddings.known import Known
from kg.embeddings.model import KGEModel
from kg.embeddings.product import ProductModel
from kg.embeddings.softmax import cross_entropy_of_products
from kg.embeddings.triples import Array


class Objective(abc.ABC):
    """A loss of a batch, and what a batch is made of."""

    @abc.abstractmethod
    def rows(self) -> Array:
        """Return what an epoch goes through, (N, 3) or (N, 2): triples, or queries."""

    @abc.abstractmethod
    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        """Return the loss of some rows, a scalar."""


def with_reciprocals(train: Array, num_relations: int) -> Array:
    """Return (h, r, t) and (t, r + R, h) of every triple, (2N, 3) int64."""
    wide = train.astype(np.int64)
    turned = wide[:, [2, 1, 0]] + np.array([0, num_relations, 0])
    return np.concatenate([wide, turned])


class OneVsAll(Objective):
    """Cross-entropy of the right entity against all (Lacroix et al., 2018, arXiv:1806.07297, "full softmax").

        L = mean_(h,r,t) CE(f(h, r, ·), t)  [+ CE(f(·, r, t), h)]
            + λ mean_(h,r,t) CE(f(h, ·, t), r) + w mean_(h,r,t) Ω(h, r, t)

    With λ the relation is asked for, too (Chen et al., 2021, arXiv:2110.02834). Ω is Σ|x|³ ("n3") or Σx² ("l2") over
    the factors of a triple.
    """

    def __init__(
        self,
        model: KGEModel,
        train: Array,
        *,
        precision: torch.dtype = torch.float32,
        regularizer: str = "n3",
        weight: float = 0.0,
        relation_prediction: float = 0.0,
    ) -> None:
        self.model, self.precision = model, precision
        self.regularizer, self.weight = regularizer, weight
        self.relation_prediction = relation_prediction
        self._rows = with_reciprocals(train, model.num_relations) if model.reciprocal else train.astype(np.int64)

    def rows(self) -> Array:
        return self._rows

    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        model = self.model
        heads, relations, tails = rows.T
        ends = model.entity(torch.stack([heads, tails]))  # (2, B, De): looked up once, so that its gradient is made once
        h, t, r = ends[0], ends[1], model.relation(relations)
        dropped = model.dropout(r)
        loss = self._tails(model.dropout(h), dropped, tails)
        if not model.reciprocal:
            loss = loss + self._heads(dropped, model.dropout(t), heads)
        if self.relation_prediction:
            assert isinstance(model, ProductModel)
            query = model.relation_query(h, t)
            asked = torch.nn.functional.cross_entropy(query @ model.relations.T, relations)
            loss = loss + self.relation_prediction * asked
        if self.weight:
            loss = loss + self.weight * penalty(model.factors(h, r, t), self.regularizer)
        return loss

    def _tails(self, h: Tensor, r: Tensor, tails: Tensor) -> Tensor:
        model = self.model
        if not isinstance(model, ProductModel):
            return torch.nn.functional.cross_entropy(model.against_tails(h, r, None), tails)
        keys = model.tail_keys(model.entities)
        return cross_entropy_of_products(model.tail_query(h, r), keys, tails, model.bias(), precision=self.precision)

    def _heads(self, r: Tensor, t: Tensor, heads: Tensor) -> Tensor:
        model = self.model
        if not isinstance(model, ProductModel):
            return torch.nn.functional.cross_entropy(model.against_heads(r, t, None), heads)
        keys = model.head_keys(model.entities)
        return cross_entropy_of_products(model.head_query(r, t), keys, heads, model.bias(), precision=self.precision)


def penalty(factors: tuple[Tensor, ...], kind: str) -> Tensor:
    """Return Σ|x|³ (Lacroix et al., 2018, equation 4; factors as moduli) or Σx² over factors, a mean over the batch."""
    power = {"n3": 3, "l2": 2}[kind]
    total = sum((factor.abs() ** power).sum() for factor in factors)
    assert isinstance(total, Tensor)
    return total / len(factors[0])


class ManyVsAll(Objective):
    """Binary cross-entropy of all entities, every known answer of a query right (ConvE's "1-N" scoring).

        L = mean_(h,r) mean_e BCE(f(h, r, e), y_e),   y = (1 − ε) known + ε / E

    Dettmers et al., 2018 (arXiv:1707.01476, section 5.1); ε is label smoothing. Rows are queries (entity, relation, side).
    """

    def __init__(
        self,
        model: KGEModel,
        train: Array,
        *,
        label_smoothing: float = 0.0,
        regularizer: str = "n3",
        weight: float = 0.0,
    ) -> None:
        self.model, self.label_smoothing = model, label_smoothing
        self.regularizer, self.weight = regularizer, weight
        known = Known([train], model.num_entities)
        self._sides = (known.tails, known.heads)
        queries = []
        for side, answers in enumerate(self._sides):
            relation, entity = np.divmod(answers.keys, model.num_entities)
            queries.append(np.stack([entity, relation, np.full(len(relation), side), np.arange(len(relation))], axis=1))
        self._rows = np.concatenate(queries)

    def rows(self) -> Array:
        return self._rows

    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        model = self.model
        losses = []
        for side, answers in enumerate(self._sides):
            of_side = rows[rows[:, 2] == side]
            if not len(of_side):
                continue
            entities, relations, _, places = of_side.T
            scores = model.score_tails(entities, relations) if side == 0 else model.score_heads(relations, entities)
            low, high = answers.starts[places.numpy()], answers.starts[places.numpy() + 1]
            counts = high - low
            which = np.repeat(np.arange(len(places)), counts)
            flat = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
            labels = torch.full_like(scores, self.label_smoothing / model.num_entities)
            labels[torch.from_numpy(which), torch.from_numpy(answers.answers[flat])] += 1 - self.label_smoothing
            lost = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels, reduction="sum")
            losses.append(lost / model.num_entities)
            if self.weight:
                factors = (model.entity(entities), model.relation(relations))
                losses.append(self.weight * penalty(factors, self.regularizer) * len(of_side))
        return torch.stack(losses).sum() / len(rows)

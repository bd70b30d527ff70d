"""What a step of training makes smaller: 1-vs-all, k-vs-all, or right triples against drawn ones.

    objective = OneVsAll(model, precision=torch.bfloat16)
    loss = objective(rows)                     # rows (B, 3): head, relation, tail

With reciprocal relations the rows hold both directions and only tails are asked for; without, each row is asked for
its tail and for its head, and the two losses are added.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kg.embeddings.known import Known
from kg.embeddings.model import KGEModel
from kg.embeddings.product import ProductModel
from kg.embeddings.softmax import cross_entropy_of_products
from kg.embeddings.triples import Array
from kg.errors import InputError


class Objective(abc.ABC):
    """A loss of a batch, and what a batch is made of."""

    @abc.abstractmethod
    def rows(self) -> Array:
        """Return what an epoch goes through, (N, 3) or (N, 2): triples, or queries."""

    def rows_a_step(self, batch: int) -> int:
        """Return how many rows make a batch of the size that was asked for."""
        return batch

    @abc.abstractmethod
    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        """Return the loss of some rows, a scalar; rows and draws are made on the processor, whatever the device."""


def with_reciprocals(train: Array, num_relations: int) -> Array:
    """Return (h, r, t) and (t, r + R, h) of every triple, (2N, 3) int64."""
    wide = train.astype(np.int64)
    turned = wide[:, [2, 1, 0]] + np.array([0, num_relations, 0])
    return np.concatenate([wide, turned])


class OneVsAll(Objective):
    """Cross-entropy of the right entity against all (Lacroix et al., 2018, arXiv:1806.07297, "full softmax").

        L = mean_(h,r,t) [ CE(f(h, r, ·), t) + w Ω(h, r, t) + λ CE(f(h, ·, t), r) ]

    over training with its reciprocals; without those, over training for tails and again for heads. Ω is Σ|x|³ ("n3")
    or Σx² ("l2") over the factors of a triple; with λ the relation is asked for, too (Chen et al., 2021,
    arXiv:2110.02834).

    With ``group`` > 1, up to so many answers of a query stand in one row and are scored together: the epoch's loss is
    the same, at a fraction of the products (FB15k-237 has 544,230 answers of 149,689 queries).

    Rows are (entity, relation, side, first, last): ``answers[first:last]`` are tails (side 0) or heads (side 1).
    """

    def __init__(
        self,
        model: KGEModel,
        train: Array,
        *,
        group: int = 1,
        precision: torch.dtype = torch.float32,
        regularizer: str = "n3",
        weight: float = 0.0,
        relation_prediction: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.model, self.precision = model, precision
        self.regularizer, self.weight = regularizer, weight
        self.relation_prediction = relation_prediction
        if relation_prediction and not isinstance(model, ProductModel):
            raise InputError(
                f"{type(model).__name__} can't be asked for relations: set training.relation_prediction to 0"
            )
        wide = train.astype(np.int64)
        if model.reciprocal:
            sides = [with_reciprocals(wide, model.num_relations)]
        else:
            sides = [wide, wide[:, [2, 1, 0]]]
        self._rows, self._answers = _grouped(sides, group, np.random.default_rng(seed))

    def rows(self) -> Array:
        return self._rows

    def rows_a_step(self, batch: int) -> int:
        """``batch`` counts answers."""
        return max(1, round(batch * len(self._rows) / len(self._answers)))

    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        found = rows.numpy()
        num_answers = int((found[:, 4] - found[:, 3]).sum())
        sides = [found] if self.model.reciprocal else [found[found[:, 2] == side] for side in (0, 1)]
        losses = [self._side(side, part) for side, part in enumerate(sides) if len(part)]
        return torch.stack(losses).sum() / num_answers

    def _side(self, side: int, rows: Array) -> Tensor:
        """Return the sum of the losses of the answers on one side."""
        model = self.model
        counts = rows[:, 4] - rows[:, 3]
        which = np.repeat(np.arange(len(rows)), counts)
        places = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(rows[:, 3], counts)
        arrays = self._answers[places], counts, which, rows[:, 0].copy(), rows[:, 1].copy()
        answers, num, of_row, entities, relations = (torch.from_numpy(array).to(model.device) for array in arrays)
        more = bool(self.weight or self.relation_prediction)
        # One look-up for both ends and all entities, so that the table's gradient is made once.
        ends, table = model.entities_and_table(torch.cat([entities, answers]) if more else entities)  # (B + N, De)
        given, asked, r = ends[: len(rows)], ends[len(rows) :], model.relation(relations)
        kept = model.dropout(given), model.dropout(r)
        loss = self._cross_entropy(side, *kept, table, of_row, answers) * len(answers)
        if self.relation_prediction:
            assert isinstance(model, ProductModel)
            h, t = (given[of_row], asked) if side == 0 else (asked, given[of_row])
            query = model.relation_query(h, t)
            lost = torch.nn.functional.cross_entropy(query @ model.relations.T, relations[of_row], reduction="sum")
            loss = loss + self.relation_prediction * lost
        if self.weight:
            factors = model.factors(*((given, r, asked) if side == 0 else (asked, r, given)))
            weights = [num if len(factor) == len(rows) else None for factor in factors]
            loss = loss + self.weight * penalty(factors, self.regularizer, weights)
        return loss

    def _cross_entropy(
        self, side: int, given: Tensor, r: Tensor, table: Tensor, which: Tensor, answers: Tensor
    ) -> Tensor:
        model = self.model
        if not isinstance(model, ProductModel):
            scores = model.against_tails(given, r, None) if side == 0 else model.against_heads(r, given, None)
            return torch.nn.functional.cross_entropy(scores[which], answers)
        query = model.tail_query(given, r) if side == 0 else model.head_query(r, given)
        keys = (model.tail_keys if side == 0 else model.head_keys)(table)
        return cross_entropy_of_products(query, keys, which, answers, model.bias(), self.precision)


def _grouped(sides: list[Array], group: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Return rows (entity, relation, side, first, last) and the answers they point into, from (N, 3) for each side."""
    rows, answers, start = [], [], 0
    for side, given in enumerate(sides):
        shuffled = given[random.permutation(len(given))]
        ordered = shuffled[np.lexsort((shuffled[:, 0], shuffled[:, 1]))]  # stable: answers of a query stay shuffled
        is_new = np.ones(len(ordered), dtype=bool)
        is_new[1:] = (ordered[1:, :2] != ordered[:-1, :2]).any(axis=1)
        first_of_query = np.flatnonzero(is_new)
        place = np.arange(len(ordered)) - first_of_query[np.cumsum(is_new) - 1]
        first = np.flatnonzero(place % group == 0)
        last = np.append(first[1:], len(ordered))
        rows.append(np.column_stack([ordered[first, 0], ordered[first, 1], np.full(len(first), side), first, last]))
        rows[-1][:, 3:] += start
        answers.append(ordered[:, 2])
        start += len(ordered)
    return np.concatenate(rows), np.concatenate(answers)


def penalty(factors: tuple[Tensor, ...], kind: str, weights: Sequence[Tensor | None]) -> Tensor:
    """Return Σ|x|³ (Lacroix et al., 2018, equation 4; factors as moduli) or Σx², each row of a factor weighed."""
    power = {"n3": 3, "l2": 2}[kind]
    parts = []
    for factor, weight in zip(factors, weights):
        each = (factor.abs() ** power).sum(-1)
        parts.append(each.sum() if weight is None else (each * weight).sum())
    return torch.stack(parts).sum()


class ManyVsAll(Objective):
    """Binary cross-entropy of all entities, every known answer of a query right (ConvE's "1-N" scoring).

        L = mean_(h,r) mean_e BCE(f(h, r, e), y_e),   y = (1 − ε) known + ε / E

    Dettmers et al., 2018 (arXiv:1707.01476, section 5.1); ε is label smoothing. Rows are queries: (entity, relation,
    side, place).
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
            entities, relations = of_side[:, :2].to(model.device).T
            places = of_side[:, 3]
            scores = model.score_tails(entities, relations) if side == 0 else model.score_heads(relations, entities)
            low, high = answers.starts[places.numpy()], answers.starts[places.numpy() + 1]
            counts = high - low
            which = np.repeat(np.arange(len(places)), counts)
            flat = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
            labels = torch.full_like(scores, self.label_smoothing / model.num_entities)
            right = (torch.from_numpy(array).to(model.device) for array in (which, answers.answers[flat]))
            labels[tuple(right)] += 1 - self.label_smoothing
            lost = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels, reduction="sum")
            losses.append(lost / model.num_entities)
            if self.weight:
                factors = (model.entity(entities), model.relation(relations))
                losses.append(self.weight * penalty(factors, self.regularizer, [None, None]))
        return torch.stack(losses).sum() / len(rows)

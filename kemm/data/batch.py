"""The batches that a step is made of, as tensors: picture–caption pairs, questions with their facts, graph edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kemm.data.fact_table import RELEVANCE, FactTable


class Movable:
    """A dataclass of tensors that goes to a device whole."""

    def to(self, device: torch.device | str) -> Any:
        moved = {}
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, Tensor | Movable):
                moved[item.name] = value.to(device)
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class Facts(Movable):
    """The evidence of B questions: N nodes and M facts of all of them end to end, laid out as (B, K) by ``slot``.

    Attributes:
        node_vectors: (N, D_t) text vectors; ``node_marks``: (N, 3).
        node_entity: (N,) rows of the run's entity vectors, −1 for none.
        near, far: (M,) nodes; ``forward``: (M,) bool.
        relation_vectors, path_vectors: (M, D_t).
        marks: (M, 6); ``log_score``: (M,).
        slot: (M,) where a fact stands in the flattened (B·K).
        mask: (B, K) bool, true at real facts.
    """

    node_vectors: Tensor
    node_marks: Tensor
    node_entity: Tensor
    near: Tensor
    far: Tensor
    forward: Tensor
    relation_vectors: Tensor
    path_vectors: Tensor
    marks: Tensor
    log_score: Tensor
    slot: Tensor
    mask: Tensor

    def lay_out(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """(M, …) per fact → (B, K, …), ``fill`` where there is no fact."""
        batch, most = self.mask.shape
        out = values.new_full((batch * most, *values.shape[1:]), fill)
        return out.index_copy(0, self.slot, values).unflatten(0, (batch, most))


@dataclass(frozen=True)
class Pairs(Movable):
    """B picture–caption pairs.

    Attributes:
        patches: (B, P, D_v) features of the frozen vision tower.
        text, text_mask: (B, T, D_t) token states of the caption and its mask.
        masked_text: (B, T, D_t) token states of the caption with tokens masked; ``token_targets``: (B, T) ids, −100
            where nothing is to be predicted.
        entity: (B,) number of the pictured entity among all pictured ones.
    """

    patches: Tensor
    text: Tensor
    text_mask: Tensor
    masked_text: Tensor
    token_targets: Tensor
    entity: Tensor


@dataclass(frozen=True)
class Pictures(Movable):
    """B pictures and what they show.

    Attributes:
        pooled: (B, D_v) mean patch feature; ``others``: (B, D_v) the mean over the other pictures of the same entity,
            zeros where there is none.
        entity: (B,) number of the pictured entity among all pictured ones.
    """

    pooled: Tensor
    others: Tensor
    entity: Tensor


@dataclass(frozen=True)
class Questions(Movable):
    """B questions.

    Attributes:
        patches: (B, P, D_v), zeros where there is no picture; ``has_image``: (B,) bool.
        text, text_mask: (B, T, D_t).
        text_vector: (B, D_t) one vector a question.
        facts: their evidence; None when none of them has any.
        pointer_targets: (B, K) bool, facts whose far end is a right answer.
        vocabulary_targets: (B,) number in the vocabulary, −1 when the answer isn't to be found there.
        entity: (B,) number of the pictured entity, −1 for none.
    """

    patches: Tensor
    has_image: Tensor
    text: Tensor
    text_mask: Tensor
    text_vector: Tensor
    facts: Facts | None
    pointer_targets: Tensor
    vocabulary_targets: Tensor
    entity: Tensor


@dataclass(frozen=True)
class Edges(Movable):
    """Edges of the graph and entities of it, by their text vectors.

    Attributes:
        head, tail: (E, D_t); ``relation``: (E, D_t) text vectors of the relations; ``tail_id``: (E,) graph ids.
        description: (B, D_t) of some entities; ``around``: (B, D_t), the mean vector of their neighbours.
    """

    head: Tensor
    relation: Tensor
    tail: Tensor
    tail_id: Tensor
    description: Tensor
    around: Tensor


@dataclass(frozen=True)
class PicturedEntities(Movable):
    """Every entity that has pictures, E of them; a row of zeros is a missing source.

    Attributes:
        text, neighbours: (E, D_t); ``pictures``: (E, D_v) mean feature of the pictures that may be trained on.
        held_out: (E,) bool, entities that training must not see: no negatives either.
    """

    text: Tensor
    pictures: Tensor
    neighbours: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class Batch(Movable):
    """One step's data; a kind that is absent is None."""

    pairs: Pairs | None = None
    pictures: Pictures | None = None
    questions: Questions | None = None
    edges: Edges | None = None
    entities: PicturedEntities | None = None


def collate_facts(tables: Sequence[FactTable], matrix: np.ndarray, most: int) -> Facts | None:
    """Join the evidence of B questions.

    Args:
        matrix: the text bank's vectors.
        most: K; later facts are left out.
    """
    tables = [table if len(table) <= most else table.keep(range(most)) for table in tables]
    longest = max((len(table) for table in tables), default=0)
    if longest == 0:
        return None
    offsets = np.cumsum([0] + [len(table.node_text) for table in tables])
    slots = [number * longest + np.arange(len(table)) for number, table in enumerate(tables)]
    mask = np.zeros((len(tables), longest), dtype=bool)
    for number, table in enumerate(tables):
        mask[number, : len(table)] = True

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(table, name) for table in tables]))

    def vectors(name: str) -> Tensor:
        return torch.from_numpy(matrix[np.concatenate([getattr(table, name) for table in tables])])

    shift = torch.from_numpy(np.repeat(offsets[:-1], [len(table) for table in tables]))
    return Facts(
        node_vectors=vectors("node_text"),
        node_marks=joined("node_marks"),
        node_entity=joined("node_entity"),
        near=joined("near") + shift,
        far=joined("far") + shift,
        forward=joined("forward"),
        relation_vectors=vectors("relation"),
        path_vectors=vectors("path"),
        marks=joined("marks"),
        log_score=joined("log_score"),
        slot=torch.from_numpy(np.concatenate(slots)),
        mask=torch.from_numpy(mask),
    )


def jitter(questions: Questions, noise: float, seed: int) -> Questions:
    """Questions as if worded a little differently, for training: what is read of their words is made uncertain.

    Token states and vectors get Gaussian noise of ``noise`` standard deviations; the logit of each fact's relevance,
    the retriever's judgement of the wording, gets it fourfold.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    text = questions.text + noise * questions.text[questions.text_mask].std() * normal(questions.text)
    vector = questions.text_vector + noise * normal(questions.text_vector) / questions.text_vector.shape[1] ** 0.5
    facts = questions.facts
    if facts is not None:
        relevance = torch.logit(facts.marks[:, RELEVANCE].clamp(1e-3, 1 - 1e-3))
        marks = facts.marks.clone()
        marks[:, RELEVANCE] = torch.sigmoid(relevance + 4 * noise * normal(relevance))
        facts = replace(facts, marks=marks)
    return replace(
        questions,
        text=text * questions.text_mask.unsqueeze(-1),
        text_vector=functional.normalize(vector, dim=-1),
        facts=facts,
    )

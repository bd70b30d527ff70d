"""The batch that a step is made of, as tensors: samples, questions with their facts, graph edges, pictured entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kemm.data.fact_table import RELEVANCE, FactTable
from kemm.data.samples import Movable, Samples


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
        samples: their words, pictures where they are asked of one, and facts; None when none of them has any.
        text_vector: (B, D_t) one vector a question.
        pointer_targets: (B, K) bool, facts whose far end is a right answer.
        vocabulary_targets: (B,) number in the vocabulary, −1 when the answer isn't to be found there.
    """

    samples: Samples
    text_vector: Tensor
    pointer_targets: Tensor
    vocabulary_targets: Tensor

    @property
    def facts(self) -> Facts | None:
        return self.samples.facts

    def with_facts(self, facts: Facts | None) -> Questions:
        """The same questions, other evidence."""
        return replace(self, samples=replace(self.samples, facts=facts))


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
    """One step's data; a kind that is absent is None. ``samples`` are the rows of all sources together."""

    samples: Samples | None = None
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

    Token states of a frozen tower and vectors get Gaussian noise of ``noise`` standard deviations; the logit of each
    fact's relevance, the retriever's judgement of the wording, gets it fourfold.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    samples, words = questions.samples, questions.samples.parts["language"]
    if words.states is not None and words.mask is not None:
        states = words.states + noise * words.states[words.mask].std() * normal(words.states)
        words = replace(words, states=states * words.mask.unsqueeze(-1))
    vector = questions.text_vector + noise * normal(questions.text_vector) / questions.text_vector.shape[1] ** 0.5
    facts = questions.facts
    if facts is not None:
        relevance = torch.logit(facts.marks[:, RELEVANCE].clamp(1e-3, 1 - 1e-3))
        marks = facts.marks.clone()
        marks[:, RELEVANCE] = torch.sigmoid(relevance + 4 * noise * normal(relevance))
        facts = replace(facts, marks=marks)
    return replace(
        questions,
        samples=replace(samples, parts={**samples.parts, "language": words}, facts=facts),
        text_vector=functional.normalize(vector, dim=-1),
    )

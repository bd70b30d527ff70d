"""The batch that a step is made of, as tensors: samples, questions with their facts, graph edges, pictured entities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from kemm.data.fact_table import RELEVANCE
from kemm.data.facts import Facts
from kemm.data.movable import Movable
from kemm.data.samples import Samples


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

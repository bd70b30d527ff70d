"""The batch of any step, drawn from what training has prepared.

It depends on the seed and the step's number alone, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.batch import Batch, Edges, Pictures, Questions, jitter
from kemm.data.entity_vectors import UNKNOWN
from kemm.data.examples import ANSWERED_BY_FACTS, Example, batch_questions, muted
from kemm.data.parts import Shown
from kemm.data.questions import NOT_KNOWN
from kemm.data.samples import join
from kemm.data.sources import SOURCES, Source
from kg.registry import resolve

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData
    from kemm.settings.objectives.knowledge import Answering


class StepBatches:
    """``batches(step)`` is the data of one step."""

    def __init__(self, data: TrainingData) -> None:
        self.data, self.world, self.settings = data, data.world, data.settings
        self.answering = data.settings.objectives.answering
        self.sources: dict[str, Source] = {
            name: resolve(SOURCES, name, "source")(data) for name in SOURCES if getattr(data.settings.train, name)
        }
        self._number = {name: number for number, name in enumerate(data.names)}
        self._word = {answer: number for number, answer in enumerate(data.vocabulary)}
        pools: dict[tuple[str, ...], set[str]] = {}
        for question in (example.question for example in data.examples):
            if question.type in ANSWERED_BY_FACTS:  # "yes" and "not known" are nobody's tail
                pools.setdefault(question.path[-1:], set()).update(question.answers)
        self._vector = {  # answer → row of its vector, so that a swapped answer is no node without one
            example.table.answers[row]: int(example.table.node_entity[example.table.far[row]])
            for example in data.examples
            for row in example.targets
        }
        self._pools = {path: sorted(pool) for path, pool in pools.items()}  # relation → answers

    def asked_as(self, answering: Answering | None) -> StepBatches:
        """The same batches, but for what becomes of their questions' facts by other settings of ``answering``."""
        other = copy.copy(self)
        other.answering = answering
        return other

    @property
    def kinds(self) -> dict[str, frozenset[str]]:
        """Source → what its rows have; see ``PretrainTask.check``."""
        found = {name: source.modalities for name, source in self.sources.items() if source.modalities}
        named = {"questions": bool(self.data.examples), "edges": self.data.edges is not None}
        named["pictured entities"] = len(self.data.train_pictures) > 1
        return found | {name: frozenset({name}) for name, is_there in named.items() if is_there}

    @property
    def size(self) -> int:
        """Samples and questions a step, at most."""
        take = self.settings.train
        return sum(getattr(take, name) for name in self.sources) + (take.questions if self.data.asks else 0)

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.data.seed, step))
        trains, has_pictures = self.data.trains, len(self.data.train_pictures) > 1
        wants_pictures = trains("entity_image") and has_pictures
        wants_questions = self.data.asks and self.data.examples
        take = self.settings.train
        drawn = [source.sample(rng, getattr(take, name)) for name, source in self.sources.items() if source.modalities]
        return Batch(
            samples=join(drawn),
            pictures=self._pictures(rng) if wants_pictures else None,
            questions=self._questions(rng) if wants_questions else None,
            edges=self._edges(rng) if self.data.edges is not None else None,
            entities=self.data.entities if wants_pictures else None,
        )

    def held_out(self, batches: int = 2) -> list[Batch]:
        """What is never trained on, always the same: dev pictures and questions, held-out texts and edges."""
        found = []
        for number in range(batches):
            rng = np.random.default_rng((self.data.seed, number, 1))
            drawn = [source.held_out(rng, getattr(self.settings.train, name)) for name, source in self.sources.items()]
            wants_pictures = self.data.trains("entity_image") and len(self.data.pictures["dev"]) > 1
            pictures = self._held_out_pictures(rng) if wants_pictures else None
            batch = Batch(
                samples=join([samples for samples in drawn if samples is not None]),
                pictures=pictures,
                questions=self._held_out_questions(rng) if self.data.held_out_examples else None,
                edges=self._edges(rng, is_held_out=True) if self.data.edges is not None else None,
                entities=self.data.entities if pictures is not None else None,
            )
            found.append(batch)
        return found

    def _held_out_questions(self, rng: np.random.Generator) -> Questions:
        """Dev questions with the facts that are found for them, nothing changed."""
        examples = self.data.held_out_examples
        chosen = [examples[i] for i in rng.permutation(len(examples))[: self.settings.train.questions]]
        files = [example.question.image for example in chosen]
        return batch_questions(
            self.world,
            [example.question for example in chosen],
            [example.table for example in chosen],
            [self.world.parts.picture(file) if file else None for file in files],
            [example.targets for example in chosen],
            [next((self._word[a] for a in example.question.answers if a in self._word), -1) for example in chosen],
            [self._number.get(example.question.head, -1) for example in chosen],
        )

    def _held_out_pictures(self, rng: np.random.Generator) -> Pictures:
        """Dev pictures, each beside the mean of its entity's training pictures."""
        assert self.data.entities is not None
        shown = [(self._number[name], file) for name, files in self.data.pictures["dev"].items() for file in files]
        chosen = [shown[i] for i in rng.permutation(len(shown))[:128]]
        pooled = np.stack([self.world.features.get(file).mean(0, dtype=np.float32) for _, file in chosen])
        entity = torch.tensor([entity for entity, _ in chosen])
        return Pictures(torch.from_numpy(pooled), self.data.entities.pictures[entity], entity)

    def _pictures(self, rng: np.random.Generator) -> Pictures:
        """Views of different pictures, each with the mean of its entity's other pictures."""
        assert self.settings.objectives.entity_image is not None and self.data.entities is not None
        features, means = self.world.features, self.data.entities.pictures.numpy()
        shown = [(name, file) for name in sorted(self.data.train_pictures) for file in self.data.train_pictures[name]]
        chosen = [shown[i] for i in rng.permutation(len(shown))[: self.settings.objectives.entity_image.batch]]
        pooled = np.zeros((len(chosen), means.shape[1]), dtype=np.float32)
        others = np.zeros_like(pooled)
        for row, (name, file) in enumerate(chosen):
            view, count = int(rng.integers(0, 1 + self.settings.data.views)), len(self.data.train_pictures[name])
            pooled[row] = features.get(file, view).mean(0, dtype=np.float32)
            if count > 1:
                own = features.get(file).mean(0, dtype=np.float32)
                others[row] = (count * means[self._number[name]] - own) / (count - 1)
        entity = torch.tensor([self._number[name] for name, _ in chosen])
        return Pictures(torch.from_numpy(pooled), torch.from_numpy(others), entity)

    def _questions(self, rng: np.random.Generator) -> Questions:
        answering = self.answering
        chosen = [
            self.data.examples[i]
            for i in rng.choice(len(self.data.examples), self.settings.train.questions, p=self.data.chance)
        ]
        tables, targets, words = [], [], []
        for example in chosen:
            table, rows, answers = example.table, example.targets, example.question.answers
            draw = rng.random()
            if answering is not None and draw < answering.drop:
                table, rows = table.keep([]), ()
            elif answering is not None and rows and draw < answering.drop + answering.mute:
                table, rows, answers = muted(table, example.question), (), (NOT_KNOWN,)
            elif answering is not None and rows and draw < answering.drop + answering.mute + answering.swap:
                answer = self._other_answer(example, rng)
                text = int(self.world.bank.rows([answer])[0])
                table = table.with_answer(rows, answer, text, self._vector.get(answer, UNKNOWN))
                answers = (answer,)
            if answering is not None and len(table) > 1 and rng.random() < answering.thin:
                share = rng.uniform(-0.5, 1) if rows else rng.random()  # a third of them: what answers, and no more
                kept = [row for row in range(len(table)) if row in rows or rng.random() < share]
                parents = {int(table.parent[row]) for row in kept}
                order = sorted(set(kept) | parents - {-1})
                table, rows = table.keep(order), tuple(order.index(row) for row in rows)
            tables.append(table)
            targets.append(rows)
            words.append(next((self._word[a] for a in answers if a in self._word), -1))
        questions = batch_questions(
            self.world,
            [example.question for example in chosen],
            tables,
            self._shown(chosen, rng),
            targets,
            words,
            [self._number.get(example.question.head, -1) for example in chosen],
        )
        if answering is None or not answering.noise:
            return questions
        return jitter(questions, answering.noise, int(rng.integers(2**31)))

    def _other_answer(self, example: Example, rng: np.random.Generator) -> str:
        """An answer that questions of the same relation have."""
        pool = self._pools[example.question.path[-1:]]
        return pool[rng.integers(len(pool))]

    def _shown(self, examples: Sequence[Example], rng: np.random.Generator) -> list[Shown | None]:
        """A random view of a random training picture of the entity that a question shows."""
        found: list[Shown | None] = []
        for example in examples:
            files = self.data.pictures["train"].get(example.question.head, ()) if example.question.image else ()
            view = int(rng.integers(0, 1 + self.settings.data.views))
            found.append(self.world.parts.picture(files[rng.integers(len(files))], view) if files else None)
        return found

    def _edges(self, rng: np.random.Generator, is_held_out: bool = False) -> Edges:
        assert self.data.edges is not None
        objectives = self.settings.objectives
        edges = objectives.link_prediction.batch if objectives.link_prediction else 2
        entities = objectives.entity_text.batch if objectives.entity_text else 2
        return self.data.edges.sample(rng, edges, entities, is_held_out)

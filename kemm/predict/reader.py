"""A trained run, loaded: reads questions with their evidence and returns answers as one distribution over strings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from kemm.data.examples import batch_questions
from kemm.data.fact_table import FactTable, tabulate, texts_of
from kemm.data.parts import Shown
from kemm.data.questions import NOT_KNOWN, Question
from kemm.data.world import PATH_SCORER, World
from kemm.encoders.vision import VisionTower
from kemm.fuse.readings import read_once
from kemm.objectives.answering import Answering
from kemm.objectives.retriever_head import FactRetriever
from kemm.predict.trained_judge import TrainedJudge
from kemm.predict.trained_pictures import TrainedPictures
from kemm.pretrain.build import build_task
from kemm.pretrain.checkpoint import load_weights
from kemm.pretrain.task import PretrainTask
from kemm.settings import Settings
from kg.errors import InputError
from kg.records import Link
from retrieval.evidence import Evidence, Query
from retrieval.path_scorer import PathScorer
from retrieval.pictures.confidence import Confidence
from retrieval.pictures.linker import PictureLinker


@dataclass(frozen=True)
class Reading:
    """What the model makes of one question.

    Attributes:
        answers: answer → probability, likeliest first; facts with the same far end add up.
        pointed: (K,) probability of each fact of the table.
    """

    answers: dict[str, float]
    pointed: np.ndarray

    @property
    def best(self) -> str:
        return next(iter(self.answers), "")


@dataclass(frozen=True)
class Calibration:
    """Fitted on the ``dev`` questions and pictures, never on the test split.

    Attributes:
        threshold: below this confidence the answer is "not known".
        doubt: what the odds of "not known" are multiplied with.
        linking: how far to believe a picture's first link, and below what it shows none of the entities.
        bins: [mean confidence, accuracy, count] of dev answers in tenths.
    """

    threshold: float = 0.0
    doubt: float = 1.0
    linking: Confidence = field(default_factory=Confidence)
    bins: list[list[float]] = field(default_factory=list)

    @classmethod
    def read(cls, saved: dict[str, Any]) -> Calibration:
        """From ``asdict`` of one; of an older run, whose links were never refused, ``linking`` is the default."""
        return cls(saved["threshold"], saved["doubt"], Confidence(**saved.get("linking", {})), saved["bins"])


class Reader:
    """A run's model over its world.

    Args:
        task: trained.
        world: its store, index and towers.
        vocabulary: the answers of the run's vocabulary head.
        calibration: see ``Calibration``.

    Raises:
        InputError: the run was not trained to answer.
    """

    def __init__(self, task: PretrainTask, world: World, vocabulary: Sequence[str], calibration: Calibration) -> None:
        if "answering" not in task.objectives:
            raise InputError("this run was trained without the objective 'answering', so it can't answer questions")
        self.task, self.world, self.vocabulary, self.calibration = task.eval(), world, tuple(vocabulary), calibration
        answering = task.objectives["answering"]
        assert isinstance(answering, Answering)
        self.answering = answering
        self.pictured = TrainedPictures(task, world) if "entity_image" in task.objectives else None
        if self.pictured is not None:
            world.retriever.link_image = self.link_image
        for name in ("reader_distillation", "joint_retrieval"):
            if name in task.objectives:  # of both, the first: each has learned from the same judge
                taught = task.objectives[name].retriever
                assert isinstance(taught, FactRetriever)
                before = world.retriever.path_scorer
                base = before.base if isinstance(before, TrainedJudge) else before
                world.retriever.path_scorer = TrainedJudge(taught, world.bank, base)
                break

    @classmethod
    def load(cls, run: Path, settings: Settings, allow_stale: bool = True, world: World | None = None) -> Reader:
        """Load a finished run.

        Args:
            world: that of the settings, where it is open already.

        Raises:
            InputError: there is none, or it doesn't fit.
        """
        described = run / "run.json"
        if not described.is_file():
            raise InputError(f"{run}: no finished run there; run `kemm pretrain CONFIG` first")
        saved = json.loads(described.read_text())
        world = world or World(settings, allow_stale=allow_stale)
        if (run / PATH_SCORER).is_file():
            world.retriever.path_scorer = PathScorer.open(run / PATH_SCORER, world.bank)
        task = build_task(settings, world, saved["vocabulary"])
        load_weights(run / "checkpoint", task)
        if world.parts.lower is not None:
            world.parts.take_tower(cast(VisionTower, task.model.entrance("vision").tower))
        return cls(task, world, saved["vocabulary"], Calibration.read(saved["calibration"]))

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────

    def link_image(self, image: str | Path | Image.Image, k: int) -> list[Link]:
        """At most ``k`` entities that a picture shows, the likeliest first; [] for none of these."""
        if self.pictured is None:
            raise InputError("this run was trained without the objective 'entity_image', so it links no pictures")
        mean = self.patches(image).mean(0, dtype=np.float32)[None]  # (1, D_v)
        return PictureLinker(self.pictured, self.calibration.linking).links(mean, k)[0]

    def patches(self, image: str | Path | Image.Image) -> np.ndarray:
        """The vision tower's features (P, D_v), from the memo for a file that was seen before."""
        if isinstance(image, str | Path):
            return self.world.features.get(str(image))
        return self.world.features.encode(image)

    def shown(self, image: str | Path | Image.Image) -> Shown:
        """What the model is given of a picture: the same features, pixels, or both."""
        return self.world.parts.picture(image)

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def retrieve(self, question: str, image: str | Path | Image.Image | None = None) -> Evidence:
        """The facts for a question."""
        return self.world.retriever.retrieve(Query(question, image), self.world.settings.model.facts)

    def retrieve_many(
        self, questions: Sequence[Question], progress: Callable[[int], object] = lambda done: None
    ) -> list[Evidence]:
        """The facts for many questions, each as `retrieve` finds them, their texts encoded together."""
        self.world.bank.warm([question.question for question in questions])
        found = []
        for question in questions:
            found.append(self.retrieve(question.question, question.image or None))
            progress(1)
        return found

    def tables(self, found: Sequence[Evidence]) -> list[FactTable]:
        """Evidence as the model reads it; texts that are new are encoded together."""
        self.world.bank.rows(list({text for evidence in found for text in texts_of(evidence)}))
        return [tabulate(evidence, self.world.bank, self.world.entity_vectors) for evidence in found]

    @torch.inference_mode()
    def read(
        self,
        questions: Sequence[Question],
        tables: Sequence[FactTable],
        shown: Sequence[Shown | None],
        batch: int = 64,
    ) -> list[Reading]:
        """Answer questions from given facts, in batches."""
        readings = []
        for start in range(0, len(questions), batch):
            part = slice(start, start + batch)
            batched = batch_questions(self.world, questions[part], tables[part], shown[part])
            fused = read_once(self.task.model, batched.samples)
            answers = self.answering.answers(batched, fused)
            pointer, words = answers.pointer.exp().numpy(), answers.vocabulary.exp().numpy()
            for row, table in enumerate(tables[part]):
                readings.append(self._reading(table, pointer[row], words[row]))
        return readings

    def _reading(self, table: FactTable, pointer: np.ndarray, words: np.ndarray) -> Reading:
        chances = dict(zip(self.vocabulary, words.tolist(), strict=True))
        chances[NOT_KNOWN] *= self.calibration.doubt
        total = sum(chances.values()) + float(pointer[: len(table)].sum())
        chances = {answer: chance / total for answer, chance in chances.items()}
        pointed = pointer[: len(table)] / total
        for answer, chance in zip(table.answers, pointed.tolist(), strict=False):
            chances[answer] = chances.get(answer, 0.0) + chance
        return Reading(dict(sorted(chances.items(), key=lambda item: -item[1])), pointed)

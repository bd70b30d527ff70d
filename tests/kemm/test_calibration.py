"""Calibration against ten readings written out: the threshold and the confidence that they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kemm.data.questions import NOT_KNOWN, Question
from kemm.evaluate.calibration import calibrate
from kemm.predict.reader import Calibration, Reader, Reading
from retrieval.pictures import Candidates
from retrieval.pictures.confidence import Confidence
from tests.kemm.conftest import Trained


class Scripted:
    """A reader whose answers are written down: ``(confidence, right?)`` of each question in turn."""

    def __init__(self, outcomes: list[tuple[float, bool]], pictured: Any = None) -> None:
        self.outcomes, self.pictured = outcomes, pictured
        self.calibration = Calibration()

    def retrieve_many(self, questions: list[Question]) -> list[Any]:
        return list(questions)

    def tables(self, found: list[Any]) -> list[Any]:
        return found

    def patches(self, image: object) -> np.ndarray:
        return np.zeros((1, 1))

    def read(self, questions: list[Question], tables: list[Any], patches: list[Any]) -> list[Reading]:
        return [
            Reading({"right" if right else "wrong": confidence}, np.zeros(0)) for confidence, right in self.outcomes
        ]


def dev(number: int, pictures: dict[str, list[str]] | None = None) -> Any:
    questions = [Question(f"q{n}", "?", ("right",), split="dev") for n in range(number)]
    others = [Question("t", "?", ("right",), split=split) for split in ("train", "test")]  # never looked at
    return SimpleNamespace(questions=[*others, *questions], pictures={"dev": pictures or {}})


def fitted(outcomes: list[tuple[float, bool]], **more: Any) -> Calibration:
    return calibrate(Scripted(outcomes), dev(len(outcomes)), **more)  # type: ignore[arg-type]


HALF_SURE = [(0.35, n < 2) for n in range(10)] + [(0.75, n < 9) for n in range(10)]


@pytest.mark.parametrize(
    ("target", "threshold"),
    [
        (0.5, 0.0),  # 11 of all 20 are right
        (0.6, 0.4),  # 9 of the 10 above 0.35
        (0.9, 0.4),
        (0.95, 0.9),  # no threshold does it: only what is surest is answered
    ],
)
def test_the_threshold_is_the_lowest_that_keeps_the_promise(target: float, threshold: float) -> None:
    assert fitted(HALF_SURE, target=target).threshold == threshold


def test_an_answer_as_sure_as_the_threshold_is_given() -> None:
    outcomes = [(0.3, False)] * 5 + [(0.35, True)] * 5
    assert fitted(outcomes, target=0.9).threshold == 0.35


def test_bins_tell_confidence_accuracy_and_count_of_each_tenth() -> None:
    assert fitted(HALF_SURE).bins == [[0.35, 0.2, 10], [0.75, 0.9, 10]]
    assert fitted([(1.0, False), (0.94, True)]).bins == [[0.97, 0.5, 2]]  # the last tenth has both its ends


def test_answers_that_are_right_are_never_withheld() -> None:
    assert fitted([(0.15, True)] * 10).threshold == 0.0


def test_without_dev_questions_nothing_is_withheld() -> None:
    assert fitted([]) == Calibration()


class Looks:
    """Pictures that look 0.01, 0.02, … like "a"."""

    def left_out(self, features: np.ndarray, entities: Sequence[str]) -> list[Candidates]:
        return [Candidates(("a", "b"), np.array([0.9, 0.1]), 0.01 * (n + 1)) for n in range(len(features))]


def linking(right: int, of: int) -> Confidence:
    """Fitted on pictures of which the first ``right`` show "a", and the others "b"."""
    shown = {"a": [f"{n}.png" for n in range(right)], "b": [f"{n}.png" for n in range(right, of)]}
    return calibrate(Scripted([], Looks()), dev(0, shown)).linking  # type: ignore[arg-type]


def test_one_in_a_hundred_of_the_pictures_linked_rightly_would_be_refused() -> None:
    fitted = linking(101, 201)
    assert fitted.weakest == pytest.approx(0.02)  # of 0.01 … 1.01, one is below
    found = Looks().left_out(np.zeros((101, 1)), [])
    assert fitted.links(found).tolist() == [False] + [True] * 100


def test_nothing_is_refused_where_no_link_was_right() -> None:
    assert linking(0, 5) == Confidence()


def test_a_picture_to_calibrate_on_is_left_out_of_what_its_entity_looks_like(tiny_run: Trained) -> None:
    reader = Reader.load(tiny_run.folder, tiny_run.world.settings)
    pictures, linker = tiny_run.data.pictures, reader.pictured
    assert linker is not None
    entity, own = next((entity, files) for entity, files in pictures["dev"].items() if len(files) == 1)
    known = linker.known()
    assert known is not None

    def mean(file: str) -> np.ndarray:
        return reader.patches(file).mean(0, dtype=np.float32)

    shown = mean(own[0])[None]
    others = np.mean([mean(file) for file in pictures["train"][entity]], 0)[None]
    encoded = [linker.task.model.entity(pictures=torch.from_numpy(x)) for x in (shown, others)]
    found = linker.left_out(shown, [entity])[0]
    cosine = torch.cosine_similarity(*encoded).item()
    assert found.entities[0] == entity and found.strength == pytest.approx(cosine, abs=1e-6)
    assert linker.candidates(shown)[0].strength > found.strength  # of its own mean it is a part


def test_calibrating_a_calibrated_run_again_changes_nothing(tiny_run: Trained) -> None:
    reader = Reader.load(tiny_run.folder, tiny_run.world.settings)
    before = reader.calibration
    reader.calibration = replace(before, linking=Confidence(0.5))
    found = calibrate(reader, tiny_run.data)
    assert np.array(found.bins) == pytest.approx(np.array(before.bins), abs=2e-4)  # kept to four digits
    assert replace(found, bins=before.bins) == before


def test_without_dev_pictures_the_linker_is_left_alone() -> None:
    assert linking(0, 0) == Confidence()


def test_doubt_takes_from_not_known_and_gives_to_all_others_alike(tiny_run: Trained) -> None:
    reader = Reader.load(tiny_run.folder, tiny_run.world.settings)
    before, kept = reader.calibration, [q for q in tiny_run.data.questions if q.split == "dev"][:3]
    tables = reader.tables([reader.retrieve(q.question, q.image or None) for q in kept])
    patches = [reader.shown(q.image) if q.image else None for q in kept]
    reader.calibration = replace(before, doubt=1.0)
    plain = reader.read(kept, tables, patches)
    reader.calibration = replace(before, doubt=0.1)
    doubting = reader.read(kept, tables, patches)
    for one, other in zip(plain, doubting, strict=True):
        whole = sum(p for answer, p in one.answers.items() if answer != NOT_KNOWN) + 0.1 * one.answers[NOT_KNOWN]
        assert other.answers[NOT_KNOWN] == pytest.approx(0.1 * one.answers[NOT_KNOWN] / whole, rel=1e-4)
        assert sum(other.answers.values()) == pytest.approx(1.0, abs=1e-4)

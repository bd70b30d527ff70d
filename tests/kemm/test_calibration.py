"""Calibration against ten readings written out: the threshold and the temperature that they ask for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kemm.data.questions import NOT_KNOWN, Question
from kemm.evaluate.calibration import calibrate
from kemm.predict.reader import Calibration, Reader, Reading
from tests.kemm.conftest import Trained


class Scripted:
    """A reader whose answers are written down: ``(confidence, right?)`` of each question in turn."""

    def __init__(self, outcomes: list[tuple[float, bool]], linked: np.ndarray | None = None) -> None:
        self.outcomes, self.linked = outcomes, linked
        self.calibration = Calibration()
        self.task = SimpleNamespace(objectives={"entity_image": None})

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

    def pictured(self) -> tuple[list[str], torch.Tensor | None]:
        return ["a", "b"], None if self.linked is None else torch.zeros(2, 3)

    def link_probabilities(self, patches: np.ndarray) -> np.ndarray:
        assert self.linked is not None
        return self.linked


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


def links(right: int, of: int) -> tuple[Scripted, Any]:
    """A picture linker 99 % sure of "a" for every picture, right ``right`` times of ``of``."""
    shown = {"a": [f"{n}.png" for n in range(right)], "b": [f"{n}.png" for n in range(right, of)]}
    return Scripted([], np.tile([0.99, 0.01], (of, 1))), dev(0, shown)


@pytest.mark.parametrize(
    ("right", "temperature"),
    [
        (7, 5.6),  # to be 70 % sure, ln(99) = 4.595 must shrink to ln(7/3) = 0.847: 4.595/0.847 = 5.4
        (9, 2.0),  # 4.595 / ln(9) = 2.1
        (10, 0.5),  # always right: as sure as can be
    ],
)
def test_an_overconfident_linker_is_cooled_to_what_it_gets_right(right: int, temperature: float) -> None:
    reader, data = links(right, 10)
    assert calibrate(reader, data).link_temperature == temperature  # type: ignore[arg-type]


def test_calibrating_a_calibrated_run_again_changes_nothing(tiny_run: Trained) -> None:
    reader = Reader.load(tiny_run.folder, tiny_run.world.settings)
    before = reader.calibration
    reader.calibration = replace(before, link_temperature=2.0)
    assert calibrate(reader, tiny_run.data) == before


def test_without_dev_pictures_the_linker_is_left_alone() -> None:
    reader, _ = links(7, 10)
    assert calibrate(reader, dev(0)).link_temperature == 1.0  # type: ignore[arg-type]


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

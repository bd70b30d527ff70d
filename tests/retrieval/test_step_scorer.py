"""The step scorer's own file: what it says by hand, saved and opened, damaged, and without anything to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg.errors import InputError
from retrieval.step_scorer import StepScorer
from tests.retrieval.small_world import HashedWords

STEPS = [("capital", True), ("borders", True)]


def trained() -> StepScorer:
    text = HashedWords()
    return StepScorer.train(text, ["chief city", "neighbour"], [STEPS[:1], STEPS[1:]], STEPS, rounds=40, seed=3)


def test_chances_of_the_next_step_sum_to_one_and_follow_the_question() -> None:
    scorer = trained()
    for question, step in (("chief city", 0), ("neighbour", 1)):
        reading = scorer.read(question, STEPS)
        chances, read = reading.next(reading.start())
        assert np.exp(chances).sum() == pytest.approx(1, abs=1e-5) and int(chances.argmax()) == step
        after = reading.go(reading.start(), read, np.array([step]))
        assert int(reading.next(after)[0].argmax()) == len(STEPS)  # stop


def test_steps_never_trained_on_can_be_taken() -> None:
    reading = trained().read("chief city", [*STEPS, ("chief city", True)])
    assert reading.next(reading.start())[0].shape == (1, 4)


def test_saved_and_opened_it_reads_alike(tmp_path: Path) -> None:
    scorer = trained()
    scorer.save(tmp_path / "steps.safetensors")
    opened = StepScorer.open(tmp_path / "steps.safetensors", HashedWords())
    for name, weight in scorer.weights.items():
        np.testing.assert_array_equal(weight, opened.weights[name])


def test_what_can_not_be_used_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "steps.safetensors"
    with pytest.raises(InputError, match=r"not a step scorer .*train it again"):
        StepScorer.open(path, HashedWords())
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"not a step scorer .*train it again"):
        StepScorer.open(path, HashedWords())
    trained().save(path)

    class Wider(HashedWords):
        dimension = 600

    with pytest.raises(InputError, match="width 512, not 600"):
        StepScorer.open(path, Wider())
    with pytest.raises(InputError, match="questions with a path each"):
        StepScorer.train(HashedWords(), [], [])

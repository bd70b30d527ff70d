"""The learned judge of paths: the cosine before it is trained, the right path for an unheard wording afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg.errors import InputError
from retrieval.path_scorer import BIAS, SCALE, PathScorer


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def test_the_identity_ranks_as_the_cosine_and_a_cosine_of_a_half_is_even_odds() -> None:
    rng = np.random.default_rng(0)
    question, paths = 3 * unit(rng.normal(size=5)), unit(rng.normal(size=(7, 5)))
    logits = PathScorer(np.eye(5, dtype=np.float32))(question, paths)
    cosine = paths @ (question / np.linalg.norm(question))
    np.testing.assert_allclose(logits, 12 * cosine - 6, atol=1e-5)
    assert SCALE * 0.5 + BIAS == 0.0


def test_a_question_of_no_direction_has_no_favourite() -> None:
    logits = PathScorer(np.eye(3, dtype=np.float32))(np.zeros(3, dtype=np.float32), np.eye(3, dtype=np.float32))
    assert logits.tolist() == [-6.0, -6.0, -6.0]


def test_it_learns_which_path_a_wording_means_and_understands_an_unheard_one() -> None:
    rng = np.random.default_rng(0)
    paths = np.eye(8, dtype=np.float32)[:4]
    # Wordings of path n stand around axis 4 + (n + 1) mod 4, and lean to the wrong path n + 1.
    centres = np.eye(8)[[5, 6, 7, 4]] + 0.5 * np.eye(8)[[1, 2, 3, 0]]
    targets = [n for n in range(4) for _ in range(6)]
    questions = unit(centres[targets] + 0.05 * rng.normal(size=(24, 8)))
    held_out = unit(centres + 0.05 * rng.normal(size=(4, 8)))
    untrained = PathScorer(np.eye(8, dtype=np.float32))
    assert [int(untrained(q, paths).argmax()) for q in held_out] == [1, 2, 3, 0]
    trained = PathScorer.train(questions, targets, paths, steps=800, seed=1)
    assert [int(trained(q, paths).argmax()) for q in held_out] == [0, 1, 2, 3]
    again = PathScorer.train(questions, targets, paths, steps=800, seed=1)
    np.testing.assert_array_equal(trained.matrix, again.matrix)


def test_saved_and_opened_it_is_the_same(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    PathScorer(matrix).save(tmp_path / "path_scorer.npy")
    np.testing.assert_array_equal(PathScorer.open(tmp_path / "path_scorer.npy").matrix, matrix)


def damaged(kind: str, path: Path) -> None:
    PathScorer(np.eye(4, dtype=np.float32)).save(path)
    whole = path.read_bytes()
    if kind == "of objects":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == "of another shape":
        np.save(path, np.zeros(4, dtype=np.float32))
    elif kind == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "truncated": whole[:-7], "text": b"no matrix", "cut in the head": whole[:20]}[kind]
        )


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "truncated", "cut in the head", "text", "of objects", "of another shape"]
)
def test_a_damaged_file_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "path_scorer.npy"
    damaged(kind, path)
    with pytest.raises(InputError, match=r"not a path scorer .*run `kemm pretrain` again") as caught:
        PathScorer.open(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)

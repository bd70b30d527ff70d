"""The learned judge of paths: untrained it follows likeness of words; trained, it understands an unheard wording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg.errors import InputError
from retrieval.index.path_vectors import PathVectors
from retrieval.path_scorer import PathScorer
from tests.retrieval.small_world import HashedWords

WORDINGS = {
    "capital": ["chief city of this", "seat of government of this", "capital of this"],
    "borders": ["land beside this", "neighbour of this", "what borders this"],
    "capital of borders": ["chief city of a neighbour of this", "seat of government of what borders this"],
}


def known(text: HashedWords) -> PathVectors:
    paths = PathVectors(text.embed)
    paths.rows([*WORDINGS, "population", "area"])
    return paths


def trained(text: HashedWords, paths: PathVectors) -> PathScorer:
    pairs = [(wording, row) for row, wordings in enumerate(WORDINGS.values()) for wording in wordings]
    return PathScorer.train(text, [w for w, _ in pairs], [r for _, r in pairs], paths, seed=1)


def by_hand(**changed: np.ndarray) -> dict[str, np.ndarray]:
    """Two dimensions, M and A the identity, all tokens of equal weight."""
    two, none = np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.float32)
    weights = {"matrix": two, "projection": two, "question_weight": none, "path_weight": none}
    return {**weights, "scales": np.array([2.0, 3.0, 5.0, -1.0], dtype=np.float32), **changed}


class TwoWords:
    """Tokens "x" and "y" are the two axes."""

    name, dimension = "two words", 2

    def tokens(self, items: list[str]) -> list[np.ndarray]:
        return [np.array([[1, 0] if word == "x" else [0, 1] for word in item.split()], np.float32) for item in items]

    def embed(self, items: list[str]) -> np.ndarray:
        means = np.stack([rows.mean(axis=0) for rows in self.tokens(items)])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_the_logit_of_two_paths_by_hand() -> None:
    text = TwoWords()
    paths = PathVectors(text.embed)
    rows = paths.rows(["x", "x y"])
    found = PathScorer(text, by_hand()).judge("x", paths)(rows)
    # "x" says all of "x"; of "x y" it says half, and nothing of the question is left over
    logits = [2 * 1 + 3 * 1 + 5 * 1 - 1, 2 / np.sqrt(2) + 3 * 1 + 5 * 0.5 - 1]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-np.array(logits))), atol=1e-6)


def test_a_heavier_word_of_the_question_counts_for_more() -> None:
    text, heavy = TwoWords(), np.array([0.0, 5.0], dtype=np.float32)
    paths = PathVectors(text.embed)
    rows = paths.rows(["x"])
    plain, weighed = (
        PathScorer(text, weights).judge("x y", paths)(rows)[0]
        for weights in (by_hand(), by_hand(question_weight=heavy))
    )
    assert weighed < plain  # what "x" leaves unexplained matters more


def test_it_learns_which_path_a_wording_means_and_composes_steps_that_it_heard_apart() -> None:
    text = HashedWords()
    paths = known(text)
    scorer = trained(text, paths)
    rows = np.arange(len(paths.texts))
    unheard = {"seat of government of a neighbour of this": 2, "the chief city": 0, "the land beside it": 1}
    for question, row in unheard.items():
        assert int(scorer.judge(question, paths)(rows).argmax()) == row, question
    again = trained(text, paths)
    for name, weight in scorer.weights.items():
        np.testing.assert_array_equal(weight, again.weights[name])


def test_saved_and_opened_it_judges_alike(tmp_path: Path) -> None:
    text = HashedWords()
    paths = known(text)
    scorer, rows = trained(text, paths), np.arange(5)
    scorer.save(tmp_path / "path_scorer.safetensors")
    opened = PathScorer.open(tmp_path / "path_scorer.safetensors", text)
    question = "chief city of this"
    np.testing.assert_array_equal(opened.judge(question, paths)(rows), scorer.judge(question, paths)(rows))


def damaged(kind: str, path: Path) -> None:
    PathScorer(HashedWords(), by_hand()).save(path)
    whole = path.read_bytes()
    if kind == "of other weights":
        scorer = PathScorer(HashedWords(), {"matrix": np.zeros((2, 2), dtype=np.float32)})
        scorer.save(path)
    elif kind == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "truncated": whole[:-7], "text": b"no weights", "cut in the head": whole[:20]}[kind]
        )


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "cut in the head", "text", "of other weights"])
def test_a_damaged_file_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "path_scorer.safetensors"
    damaged(kind, path)
    with pytest.raises(InputError, match=r"not a path scorer .*run `kemm pretrain` again") as caught:
        PathScorer.open(path, HashedWords())
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)

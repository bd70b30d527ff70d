"""A modality on disk: rows find their entities, what is missing is known to be, and faults say where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg.embeddings.modalities import read_modalities, read_modality, write_modality
from kg.errors import InputError


def test_rows_find_their_entities_and_those_without_one_are_known(tmp_path: Path) -> None:
    rows = np.array([[1, 2], [np.nan, 4], [5, 6]], dtype=np.float16)
    write_modality(tmp_path / "text.npy", ["b", "c", "elsewhere"], rows)
    found = read_modality("text", tmp_path / "text.npy", ["a", "b", "c"])
    assert found.known.tolist() == [[False], [True], [False]] and found.num_known == 1
    assert found.vectors.tolist() == [[[0, 0]], [[1, 2]], [[0, 0]]] and found.vectors.dtype == np.float32


def test_tokens_are_missing_one_by_one(tmp_path: Path) -> None:
    rows = np.array([[[1, 1], [np.nan, 0]], [[2, 2], [3, 3]]], dtype=np.float32)
    write_modality(tmp_path / "picture.npy", ["a", "b"], rows)
    (found,) = read_modalities({"picture": tmp_path / "picture.npy"}, ["b", "a"])
    assert found.known.tolist() == [[True, True], [True, False]]
    assert found.vectors[1].tolist() == [[1, 1], [0, 0]]


def test_writing_again_replaces_both_files_and_leaves_nothing_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "text.npy"
    write_modality(path, ["a"], np.ones((1, 2)))
    write_modality(path, ["a", "b"], np.zeros((2, 3)))
    assert read_modality("text", path, ["b"]).vectors.shape == (1, 1, 3)
    assert sorted(file.name for file in path.parent.iterdir()) == ["text.names", "text.npy"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a"], r"text.npy: 2 rows, but text.names has 1 names"),
        (["a", "a"], r"text.names: 'a' comes twice: an entity has one row"),
        (["x", "y"], r"none of its 2 names, such as 'x', is an entity of the triples, such as 'a'"),
        (None, r"there is no file .*text.names: it names the entity of each row"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path: Path, names: list[str] | None, says: str) -> None:
    write_modality(tmp_path / "text.npy", ["a", "b"], np.ones((2, 3)))
    if names is None:
        (tmp_path / "text.names").unlink()
    else:
        (tmp_path / "text.names").write_text("\n".join(names))
    with pytest.raises(InputError, match=says):
        read_modality("text", tmp_path / "text.npy", ["a", "b"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no file .*text.npy: a modality is a .npy file with a .names file beside it"),
        (b"not numbers", "text.npy: not a .npy file of numbers"),
        (np.ones(3), r"text.npy: float64 of shape \(3,\): floats of shape \(N, W\) or \(N, T, W\) are needed"),
        (np.ones((1, 2), dtype=np.int32), r"text.npy: int32 of shape \(1, 2\)"),
        (np.array([{"a": 1}], dtype=object), "text.npy: not a .npy file of numbers"),  # a pickle is never loaded
    ],
)
def test_files_that_hold_no_vectors_are_refused(tmp_path: Path, content: object, says: str) -> None:
    path = tmp_path / "text.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=says):
        read_modality("text", path, ["a"])


def test_names_that_would_break_the_list_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the name 'a\\nb' has a line break"):
        write_modality(tmp_path / "text.npy", ["a\nb"], np.ones((1, 2)))
    with pytest.raises(InputError, match=r"2 names and vectors of shape \(1, 2\): give a row for each name"):
        write_modality(tmp_path / "text.npy", ["a", "b"], np.ones((1, 2)))
    assert not list(tmp_path.iterdir())

"""Nearest vectors, exact and approximate: same answers on a small set, removal, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg.errors import InputError
from retrieval.index.dense import DenseIndex

KINDS = ("exact", "hnsw")


def made(kind: str) -> DenseIndex:
    """Eight unit vectors of the plane at 0°, 10°, … 70° under ids 100, 110, … 170."""
    angles = np.deg2rad(np.arange(0, 80, 10))
    index = DenseIndex.create(2, kind=kind)
    index.add(np.arange(100, 180, 10), np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return index


AT_31 = np.array([np.cos(np.deg2rad(31)), np.sin(np.deg2rad(31))], dtype=np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_hits_come_nearest_first_with_their_cosines(kind: str) -> None:
    hits = made(kind).search(AT_31, 3)
    assert [hit.id for hit in hits] == [130, 140, 120]
    assert [hit.score for hit in hits] == pytest.approx(np.cos(np.deg2rad([1, 9, 11])), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_id_is_not_found_after_saving_either(kind: str, tmp_path: Path) -> None:
    index = made(kind)
    assert index.remove([130, 999]) == 1
    index.save(tmp_path / "index")
    for one in (index, DenseIndex.open(tmp_path / "index"), DenseIndex.open(tmp_path / "index", writable=True)):
        assert len(one) == 7
        assert [hit.id for hit in one.search(AT_31, 2)] == [140, 120]
        assert 130 not in one.ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_id_can_be_added_again(kind: str, tmp_path: Path) -> None:
    made(kind).save(tmp_path / "index")
    index = DenseIndex.open(tmp_path / "index", writable=True)
    index.remove([130])
    index.add([130], np.array([[0.0, 1.0]]))
    assert len(index) == 8
    assert index.search(np.array([0, 1], dtype=np.float32), 1)[0].id == 130
    np.testing.assert_array_equal(index.vectors([130]), [[0, 1]])


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_come_back_as_they_were_and_unknown_ids_as_zeros(kind: str) -> None:
    vectors = made(kind).vectors([170, 5, 100])
    np.testing.assert_allclose(vectors, [[np.cos(np.deg2rad(70)), np.sin(np.deg2rad(70))], [0, 0], [1, 0]], atol=1e-6)


def test_fewer_vectors_than_asked_for_are_padded_with_minus_one() -> None:
    index = DenseIndex.create(2)
    assert index.search(AT_31, 3) == []
    index.add([7], AT_31[None])
    scores, ids = index.search_batch(np.stack([AT_31, AT_31]), 3)
    assert ids.tolist() == [[7, -1, -1]] * 2
    assert np.isneginf(scores[:, 1:]).all()


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.faiss").write_text("nothing of the kind")
    for name in ("text.faiss", "absent.faiss"):
        with pytest.raises(InputError, match="kemm index"):
            DenseIndex.open(tmp_path / name)

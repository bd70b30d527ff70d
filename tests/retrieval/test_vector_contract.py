"""What every index of vectors owes, in files and in PostgreSQL: the same answers, changes that stick, ids that stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kg.errors import InputError, StoreError
from retrieval.index.dense import DenseIndex
from retrieval.index.pgvector import PgVectorIndex

BIG = 2**62 + 3  # an id that no float holds


class Place:
    """Makes and opens indexes of one kind and metric in one place."""

    def __init__(self, kind: str, metric: str, where: str) -> None:
        self.kind, self.metric, self.where = kind.split()[-1], metric, where
        self.in_postgres = kind.startswith("pgvector")

    def create(self, dimension: int) -> Any:
        if self.in_postgres:
            return PgVectorIndex.create(self.where, dimension, kind=self.kind, metric=self.metric)
        return DenseIndex.create(dimension, kind=self.kind, metric=self.metric)

    def again(self, index: Any) -> Any:
        """The index as another process would find it."""
        index.save(self.where)
        return PgVectorIndex.open(self.where) if self.in_postgres else DenseIndex.open(self.where, writable=True)


@pytest.fixture(params=["exact", "ivf", "hnsw", "pgvector exact", "pgvector hnsw"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["inner_product", "l2"])
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    at_server = kind.startswith("pgvector")
    return Place(kind, request.param, request.getfixturevalue("postgres") if at_server else str(tmp_path / "index"))


def at(*degrees: float) -> np.ndarray:
    """Unit vectors of the plane, (N, 2)."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def index(place: Place) -> Any:
    """Eight unit vectors at 0°, 10°, … 70° under ids 100, 110, … 160 and a very large one."""
    made = place.create(2)
    made.add([*range(100, 170, 10), BIG], at(*range(0, 80, 10)))
    return made


def found(index: Any, degrees: float, k: int) -> list[int]:
    return [hit.id for hit in index.search(at(degrees)[0], k)]


def test_hits_come_nearest_first_with_higher_scores_better(index: Any, place: Place) -> None:
    hits = index.search(at(31)[0], 3)
    assert [hit.id for hit in hits] == [130, 140, 120]
    cosines = np.cos(np.deg2rad([1, 9, 11]))
    expected = cosines if place.metric == "inner_product" else 2 * cosines - 2  # −‖q − x‖² of unit vectors
    assert [hit.score for hit in hits] == pytest.approx(expected, abs=1e-6)


def test_a_batch_gives_what_single_searches_give_and_pads(index: Any) -> None:
    scores, ids = index.search_batch(at(1, 69), 10)
    assert ids[0].tolist() == [100, 110, 120, 130, 140, 150, 160, BIG, -1, -1]
    assert ids[1].tolist() == [BIG, 160, 150, 140, 130, 120, 110, 100, -1, -1]
    assert np.isneginf(scores[:, 8:]).all() and (np.diff(scores[:, :8], axis=1) < 0).all()
    assert [hit.score for hit in index.search(at(1)[0], 8)] == pytest.approx(scores[0, :8])


def test_an_empty_index_finds_nothing(place: Place) -> None:
    index = place.again(place.create(2))
    assert len(index) == 0 and found(index, 0, 3) == [] and index.remove([1]) == 0
    assert not index.vectors([1]).any() and len(index.ids) == 0
    index.add([], np.zeros((0, 2), dtype=np.float32))
    index.add([7], at(5))
    assert found(place.again(index), 0, 3) == [7]


def test_a_removed_id_is_never_found_again(index: Any, place: Place) -> None:
    assert index.remove([130, BIG, 130, 999]) == 2
    for one in (index, place.again(index)):
        assert len(one) == 6 and sorted(one.ids) == [100, 110, 120, 140, 150, 160]
        assert found(one, 31, 10) == [140, 120, 150, 110, 160, 100]  # as many as there are, whatever was struck out
        assert not one.vectors([130, BIG]).any()
        assert one.remove([130]) == 0


def test_a_removed_id_can_come_back_elsewhere(index: Any, place: Place) -> None:
    index.remove([130])
    index = place.again(index)
    index.add([130], at(90))
    assert len(index) == 8 and found(place.again(index), 89, 2) == [130, BIG]


def test_an_update_moves_what_is_held_and_adds_what_is_not(index: Any, place: Place) -> None:
    index.update([100, 170, BIG], at(85, 35.5, 2))
    for one in (index, place.again(index)):
        assert len(one) == 9 and found(one, 88, 2) == [100, 160] and found(one, 0, 2) == [BIG, 110]
        assert found(one, 36, 1) == [170]
        np.testing.assert_allclose(one.vectors([BIG, 5, 100]), [at(2)[0], [0, 0], at(85)[0]], atol=1e-6)


def test_removing_all_and_filling_anew_works(index: Any, place: Place) -> None:
    assert index.remove(index.ids) == 8 and len(index) == 0 and found(index, 0, 1) == []
    index = place.again(index)
    index.add([3, 100], at(10, 20))
    assert found(index, 19, 5) == [100, 3]


def test_ids_and_vectors_stay_true_through_many_random_changes(place: Place) -> None:
    rng, index, held = np.random.default_rng(4), place.create(8), dict[int, np.ndarray]()
    for step in range(12):
        if step % 3 == 2:
            gone = rng.choice(list(held), size=len(held) // 3, replace=False).tolist()
            assert index.remove([*gone, 10**9]) == len(gone)
            held = {key: vector for key, vector in held.items() if key not in gone}
        else:
            keys = np.unique(rng.integers(0, 300, size=60))
            vectors = rng.normal(size=(len(keys), 8)).astype(np.float32)
            index.update(keys, vectors)
            held |= dict(zip(keys.tolist(), vectors, strict=True))
        if step % 4 == 3:
            index = place.again(index)
        keys = np.array(sorted(held))
        assert sorted(index.ids) == keys.tolist() and len(index) == len(keys)
        np.testing.assert_array_equal(index.vectors(keys), np.stack([held[key] for key in keys.tolist()]))
    matrix = np.stack([held[key] for key in keys.tolist()])
    queries = rng.normal(size=(50, 8)).astype(np.float32)
    scores = queries @ matrix.T
    if place.metric == "l2":
        scores = -((queries[:, None] - matrix[None]) ** 2).sum(axis=2)
    true = keys[np.argsort(-scores, axis=1)[:, :10]]
    reached = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(true.tolist(), index.search_batch(queries, 10)[1])])
    assert reached == 1 if place.kind == "exact" else reached > 0.9


# -- PostgreSQL alone -------------------------------------------------------------------------------------------------


def test_only_vectors_of_the_kinds_asked_for_are_found(postgres: str) -> None:
    for kind in ("exact", "hnsw"):
        index = PgVectorIndex.create(postgres, 2, kind=kind)
        index.add([1, 2], at(0, 1), kind="entity")
        index.add([3, 4], at(10, 20), kind="picture")
        index.add([5], at(30))
        assert [hit.id for hit in index.search(at(0)[0], 5, kinds=["picture"])] == [3, 4]
        assert [hit.id for hit in index.search(at(0)[0], 5, kinds=["picture", ""])] == [3, 4, 5]
        assert found(index, 0, 2) == [1, 2]


def test_a_cosine_does_not_mind_lengths(postgres: str) -> None:
    index = PgVectorIndex.create(postgres, 2, metric="cosine")
    index.add([1, 2], at(0, 20) * np.array([[9], [0.5]], dtype=np.float32))
    hits = index.search(at(15)[0] * 3, 2)
    assert [hit.id for hit in hits] == [2, 1]
    assert [hit.score for hit in hits] == pytest.approx(np.cos(np.deg2rad([5, 15])))


def test_a_change_that_fails_changes_nothing(postgres: str) -> None:
    import psycopg

    index = PgVectorIndex.create(postgres, 2)
    index.add([1], at(0))
    with pytest.raises(psycopg.errors.UniqueViolation):
        index.add([2, 1], at(1, 2))
    assert index.ids.tolist() == [1]


def test_a_broken_connection_is_made_anew(postgres: str) -> None:
    index = PgVectorIndex.create(postgres, 2)
    index.add([1], at(0))
    index._connection.close()
    assert found(index, 0, 1) == [1]


def test_a_wrong_address_a_missing_index_and_a_strange_table_are_told(postgres: str) -> None:
    with pytest.raises(InputError, match=r"no index 'nowhere'.*`kemm index`"):
        PgVectorIndex.open(postgres, table="nowhere")
    with pytest.raises(InputError, match="can't name a table"):
        PgVectorIndex.open(postgres, table='x"; drop')
    with pytest.raises(InputError, match="no address of PostgreSQL"):
        PgVectorIndex.open("sqlite:///x.db")
    with pytest.raises(StoreError) as refused:
        PgVectorIndex.open("postgresql://me:secret@127.0.0.1:1/none")
    assert "\n" not in str(refused.value) and "secret" not in str(refused.value)

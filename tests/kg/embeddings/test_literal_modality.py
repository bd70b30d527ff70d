"""Literals of entities as a modality: a stretch of columns a relation, in one unit, averaged, missing if not said."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kg.embeddings.literal_modality import literal_vectors
from kg.embeddings.literals import NUM_DATE_FEATURES, NUM_NUMBER_FEATURES, date_features, number_features
from kg.embeddings.modalities import read_modality, write_modality
from kg.records import Literal

FACTS = [
    ("oat", "weight", Literal("1000", unit="g")),
    ("tea", "weight", Literal("1", unit="kg")),
    ("oat", "weight", Literal("3", unit="kg")),
    ("tea", "packed", Literal("2001-05-31")),
    ("oat", "says", Literal("shake well")),
    ("jam", "says", Literal("sweet")),
]


def test_each_relation_has_its_columns_and_units_are_one() -> None:
    names, vectors, relations = literal_vectors(FACTS)
    assert names == ["oat", "tea"] and relations == ["weight", "packed"]  # jam says nothing that can be counted
    assert vectors.shape == (2, NUM_NUMBER_FEATURES + NUM_DATE_FEATURES)
    one, three = number_features([1.0, 3.0])
    np.testing.assert_allclose(vectors[0, :NUM_NUMBER_FEATURES], (one + three) / 2, rtol=1e-6)
    np.testing.assert_allclose(vectors[1, :NUM_NUMBER_FEATURES], one, rtol=1e-6)
    assert not vectors[0, NUM_NUMBER_FEATURES:].any()
    np.testing.assert_allclose(vectors[1, NUM_NUMBER_FEATURES:], date_features([(2001, 5, 31)])[0])


def test_only_the_relations_of_most_facts_are_taken() -> None:
    _, vectors, relations = literal_vectors(FACTS, most=1)
    assert relations == ["weight"] and vectors.shape == (2, NUM_NUMBER_FEATURES)
    assert literal_vectors([("jam", "says", Literal("sweet"))])[0] == []


def test_it_is_read_as_any_other_modality(tmp_path: Path) -> None:
    names, vectors, _ = literal_vectors(FACTS)
    write_modality(tmp_path / "literals.npy", names, vectors)
    found = read_modality("literals", tmp_path / "literals.npy", ["jam", "tea"])
    assert found.known.tolist() == [[False], [True]]
    np.testing.assert_array_equal(found.vectors[1, 0], vectors[1])

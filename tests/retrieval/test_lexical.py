"""Search by words: weights of fields, folding, and that nothing in a question is taken for query syntax."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg.errors import InputError
from kg.records import Entity
from retrieval.index.lexical import LexicalIndex

ENTITIES = [
    Entity("c:ci", "Côte d'Ivoire", "a country in Africa", ("Ivory Coast",)),
    Entity("x:coast", "coast", "where land meets sea"),
    Entity("x:beach", "beach", "a coast of sand"),
    Entity("x:c", "C++", "AND OR NOT (a language)"),
]


@pytest.fixture
def index(tmp_path: Path) -> LexicalIndex:
    made = LexicalIndex.create(tmp_path / "lexical")
    made.add([1, 2, 3, 2**40], ENTITIES)
    return made


def test_label_counts_more_than_alias_and_alias_more_than_description(tmp_path: Path) -> None:
    index = LexicalIndex.create(tmp_path / "lexical")
    index.add(
        [1, 2, 3],
        [Entity("a", "x", "coast", ("x",)), Entity("b", "x", "x", ("coast",)), Entity("c", "coast", "x", ("x",))],
    )
    first, second, third = index.search("coast", 5)
    assert [first.id, second.id, third.id] == [3, 2, 1]
    assert (first.score, second.score) == pytest.approx((3 * third.score, 2 * third.score))


def test_case_and_accents_do_not_matter(index: LexicalIndex) -> None:
    assert [hit.id for hit in index.search("COTE D’IVOIRE", 1)] == [1]


@pytest.mark.parametrize(
    "query",
    [
        'label:coast AND "',
        "+land -coast",
        "coast~2^9 \\",
        "(coast",
        "[a TO coast]",
        "coast*?",
        "coast && || ! { } /",
        "'coast",
    ],
)
def test_special_characters_are_only_separators(index: LexicalIndex, query: str) -> None:
    assert index.search(query, 5)[0].id == 2


def test_operators_are_words_like_any_other(index: LexicalIndex) -> None:
    assert index.search("NOT", 5)[0].id == 2**40


@pytest.mark.parametrize("query", ["", "  ", "?!", "zebra"])
def test_a_query_without_known_words_finds_nothing(index: LexicalIndex, query: str) -> None:
    assert index.search(query, 5) == []


def test_changes_are_on_disk_and_removal_counts_what_was_there(index: LexicalIndex) -> None:
    assert index.remove([2, 77]) == 1
    index.update([3], [Entity("x:beach", "strand", "sand")])
    again = LexicalIndex.open(index.folder)
    assert len(again) == 3
    assert [hit.id for hit in again.search("coast", 5)] == [1]
    assert [hit.id for hit in again.search("strand", 5)] == [3]


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kemm index"):
        LexicalIndex.open(tmp_path)

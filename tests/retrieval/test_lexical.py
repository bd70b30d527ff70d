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
    assert (first.score, second.score) == pytest.approx((1.5 * third.score, 1.25 * third.score))


def test_common_words_count_only_where_there_are_no_others(tmp_path: Path) -> None:
    index = LexicalIndex.create(tmp_path / "lexical")
    index.add([1, 2], [Entity("a", "The What"), Entity("b", "coast", "the land at the sea")])
    assert [hit.id for hit in index.search("what is the sea?", 5)] == [2]
    assert [hit.id for hit in index.search("the what", 5)] == [1, 2]


def test_a_description_with_all_the_words_beats_a_label_with_one(tmp_path: Path) -> None:
    index = LexicalIndex.create(tmp_path / "lexical")
    index.add(
        range(3, 60),
        [
            Entity(f"x:{n}", f"name{n}", f"meaning{n} of a sort of thing that is made of sand and has a use")
            for n in range(3, 60)
        ],
    )
    index.add(
        [1, 2], [Entity("a", "shore"), Entity("b", "beach", "an area of sand sloping down to the water at a shore")]
    )
    assert index.search("sand sloping to water at the shore", 1)[0].id == 2


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


SCRIPTS = {
    "accents typed apart": ("Caf\u00e9s de Paris", "cafe\u0301s"),
    "capital i with a dot": ("\u0130stanbul", "istanbul"),
    "Greek accents": ("\u0391\u03b8\u03ae\u03bd\u03b1", "\u0391\u0398\u0397\u039d\u0391"),
    "ligatures and full width": ("\ufb01ne \uff34\uff36", "tv"),
    "Arabic with vowel points": (
        "\u0627\u0644\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u0629",
        "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    ),
    "Hebrew with points": ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
    "Hindi": ("\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e", "\u0939\u093f\u0928\u094d\u0926\u0940"),
    "Han inside a word": ("\u6771\u4eac\u90fd", "\u4eac\u90fd"),
    "Thai": ("\u0e1b\u0e23\u0e30\u0e40\u0e17\u0e28\u0e44\u0e17\u0e22", "\u0e44\u0e17\u0e22"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_words_are_found_in_every_script(script: str, tmp_path: Path) -> None:
    label, query = SCRIPTS[script]
    index = LexicalIndex.create(tmp_path / "lexical")
    index.add([1, 2], [Entity("a", label), Entity("b", "another thing")])
    assert [hit.id for hit in index.search(f"\u200f{query}?", 5)] == [1]


def test_a_virama_does_not_cut_a_word_in_two(tmp_path: Path) -> None:
    index = LexicalIndex.create(tmp_path / "lexical")
    index.add([1], [Entity("a", "\u0939\u093f\u0928\u094d\u0926\u0940")])
    assert index.search("\u0939\u093f\u0928", 5) == []


@pytest.mark.parametrize(
    "query",
    [
        "coast " * 20_000,
        "coast " + "x" * 100_000,
        "coast " + "".join(chr(n) for n in range(1, 700)) * 20,
        "\udcff coast \ud800\x00",
    ],
    ids=["100 kB", "one long word", "every character", "bytes that are no text"],
)
def test_long_and_binary_queries_are_answered(index: LexicalIndex, query: str) -> None:
    assert index.search(query, 5)[0].id == 2


def test_long_and_binary_labels_are_indexed(tmp_path: Path) -> None:
    index = LexicalIndex.create(tmp_path / "lexical")
    index.add([1, 2], [Entity("a", "x" * 100_000 + " coast"), Entity("b", "land\x00\udcff\ud800")])
    assert [hit.id for hit in index.search("land", 5)] == [2]


def test_an_entity_outside_scores_about_as_it_would_inside(tmp_path: Path) -> None:
    known = [Entity(f"x:{n}", f"thing {n}", f"a thing of kind {n % 7}") for n in range(200)]
    new = [Entity("x:new", "blue beach", "a beach of kind 3"), Entity("x:other", "rock", "hard")]
    without = LexicalIndex.create(tmp_path / "without")
    without.add(range(200), known)
    inside = LexicalIndex.create(tmp_path / "inside")
    inside.add(range(202), known + new)
    outside = without.scores("a blue beach of kind 3", new)
    true = {hit.id: hit.score for hit in inside.search("a blue beach of kind 3", 202)}
    assert outside == [pytest.approx(true[200], rel=0.35), 0]
    assert without.scores("?", new) == [0, 0]

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg.mentions import NameIndex, best_cover, fold_with_offsets, is_asked_for, is_word, surface_of


def found(names: list[str], text: str) -> list[str]:
    """The parts of the text that are mentions."""
    index = NameIndex([surface_of(name) for name in names])
    return [text[m.start : m.end] for m in best_cover(index.find(*fold_with_offsets(text), text))]


@pytest.mark.parametrize(
    ("names", "text", "mentions"),
    [
        (["art"], "part of the party; Art, art.", ["Art", "art"]),
        (["New York", "York"], "new  YORK and York", ["new  YORK", "York"]),
        (["New York", "New York City"], "New York City-based", ["New York City"]),
        (["Zürich"], "Zurich, ZÜRICH, Zu\u0308rich!", ["Zurich", "ZÜRICH", "Zu\u0308rich"]),
        (["Guinea-Bissau", "Guinea"], "Guinea Bissau, Guinea\u2013Bissau", ["Guinea Bissau", "Guinea\u2013Bissau"]),
        (["Italy"], "Italy's and Italy’s", ["Italy", "Italy"]),
        (["James", "Jones"], "James' film, the Joneses’ house", ["James", "Joneses"]),
        (["wolf", "knife", "woman"], "wolves, knives, women", ["wolves", "knives", "women"]),
        (["in the house", "The House of the Devil"], "in The House of the Devil", ["The House of the Devil"]),
        (["apple", "box", "cherry", "boy"], "apples boxes cherries boys", ["apples", "boxes", "cherries", "boys"]),
        (["glass", "glasses"], "glasses glass's", ["glasses", "glass"]),
        (["new york"], "new yorkers", []),
        (["bus"], "busy buss buses", ["buses"]),
        (["class"], "classs classes", ["classes"]),
        (["日本", "東京"], "日本の首都は東京です", ["日本", "東京"]),
        (["Straße"], "STRASSE straße", ["STRASSE", "straße"]),
        (["C++"], "C++ and (C++)", ["C++", "C++"]),
        (["Washington D.C."], "in Washington D.C.?", ["Washington D.C."]),
    ],
)
def test_whole_words_are_found_in_any_spelling(names: list[str], text: str, mentions: list[str]) -> None:
    assert found(names, text) == mentions


def test_numbers_signs_and_stray_letters_are_no_words() -> None:
    words = [name for name in ("a", "42", "9/11", "$", "日", "UK", "8½ ", "F/X") if is_word(surface_of(name))]
    assert words == ["日", "UK", "F/X"]


def test_a_sign_is_a_name_between_blanks_only() -> None:
    assert found(["$", "+1"], "who wrote $") == ["$"] and found(["$"], "it costs $5 or 5$ more") == []


def test_what_is_asked_for_stands_behind_a_question_word() -> None:
    text = "Which films, and what kind of books, are about films?"
    assert [is_asked_for(text, at) for at in (6, 30, 47)] == [True, True, False]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.text(alphabet="abé ß-", min_size=2, max_size=8))
def test_a_name_between_marks_is_always_found_where_it_stands(before: str, name: str) -> None:
    surface = surface_of(name)
    if surface:
        written = name.strip(" -")
        text = f"{before}. {written}, so"
        spans = {(m.start, m.end) for m in NameIndex([surface]).find(*fold_with_offsets(text), text)}
        assert (len(before) + 2, len(before) + 2 + len(written)) in spans

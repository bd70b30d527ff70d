"""Names as letters: scripts, marks, what stands apart, and letters that an alphabet lacks."""

from __future__ import annotations

import pytest
import torch

from kemm.data.spelling import Alphabet, spell
from kg.errors import InputError


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Un écureuil (roux)", "un ecureuil"),
        ("L'oiseau-mouche", "l oiseau mouche"),
        ("Муравей", "муравеи"),
        ("Муравеи\u0306", "муравеи"),  # the mark apart
        ("Κόκορας", "κοκορασ"),
        ("Ñandú  2", "nandu"),
        ("O broască", "o broasca"),
        ("ഒരു മല", "ഒരു മല"),  # vowels are marks
        ("Straße_7", "strasse"),
        ("(…) 12", ""),
    ],
)
def test_a_name_is_spelled_by_its_letters_alone(name: str, letters: str) -> None:
    assert spell(name) == letters
    assert spell(letters) == letters


def test_numbers_begin_after_the_blank_and_do_not_depend_on_order() -> None:
    alphabet = Alphabet.of(["Bad", "cab"])
    assert alphabet.letters == "abcd" and len(alphabet) == 5
    assert Alphabet.of(["cab", "Bad"]).letters == alphabet.letters
    numbers, lengths = alphabet.encode(["dab", "x", "ax!"])
    assert numbers.tolist() == [[4, 1, 2], [0, 0, 0], [1, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]


def test_of_no_names_there_are_no_numbers() -> None:
    numbers, lengths = Alphabet("ab").encode([])
    assert numbers.shape == (0, 0) and lengths.shape == (0,) and numbers.dtype == torch.int64


def test_names_without_a_letter_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"none of the names has a letter; give"):
        Alphabet.of(["12", "…"])

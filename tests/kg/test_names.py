from __future__ import annotations

import pytest

from kg.names import fold, local_name


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Zürich", "zurich"),
        ("  New\tYork ", "new york"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Côte d'Ivoire", "cote d'ivoire"),
        ("Ｔｏｋｙｏ", "tokyo"),
        ("ガーナ", "ガーナ"),  # the mark makes another letter: ga, not ka
    ],
)
def test_folding_takes_off_case_and_european_accents_only(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("iri", "name"),
    [
        ("http://x/ontology#part_meronym", "part meronym"),
        ("http://x/countryOfOrigin", "country of origin"),
        ("http://x/Golden_Delicious", "Golden Delicious"),
        ("http://x/GoldenDelicious/", "Golden Delicious"),
        ("http://x/S%C3%A3o_Tom%C3%A9", "São Tomé"),
        ("/m/027rn", "027rn"),
        ("_:b0", "b0"),
        ("Paris", "Paris"),
        ("F/X", "F/X"),
        ("RoboCop 3", "RoboCop 3"),
        ("eXistenZ", "eXistenZ"),
        ("61*", "61*"),
        ("starredActors", "starred actors"),
        ("starred_actors", "starred actors"),
        ("/film/film/genre", "genre"),
        ("http://", "http:"),
    ],
)
def test_an_iri_without_a_label_gets_a_readable_name(iri: str, name: str) -> None:
    assert local_name(iri) == name

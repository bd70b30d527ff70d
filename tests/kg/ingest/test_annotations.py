from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kg.errors import FormatError
from kg.ingest.rdf import read_n_triples, read_turtle
from kg.ingest.rdf_star import RECENT
from kg.records import XSD, Literal

PREFIX = "@prefix : <x:> .\n"
SINCE = (("x:since", Literal("1871", XSD + "integer")),)
FACT = ("x:Italy", "x:capital", "x:Rome")


def turtle(folder: Path, text: str, **options: Any) -> list[Any]:
    (folder / "a.ttl").write_text(PREFIX + text)

    def stop(error: FormatError) -> None:
        raise error

    return list(read_turtle(folder / "a.ttl", stop, **options))


@pytest.mark.parametrize(
    "text",
    [
        ":Italy :capital :Rome {| :since 1871 |} .",
        ":Italy :capital :Rome . << :Italy :capital :Rome >> :since 1871 .",
        "<< :Italy :capital :Rome >> :since 1871 . :Italy :capital :Rome .",
        ":Italy :capital :Rome ~ :reifier . :reifier :since 1871 .",
    ],
)
def test_an_annotation_is_a_qualifier_however_it_is_written(tmp_path: Path, text: str) -> None:
    assert turtle(tmp_path, text) == [(*FACT, SINCE)]


def test_other_facts_are_not_touched_and_come_once(tmp_path: Path) -> None:
    found = turtle(tmp_path, ":a :r :b , :c {| :k :v ; :l :w |} {| :k :z |} , :d . :e :r :f .")
    plain = [fact for fact in found if len(fact) == 3]
    assert plain == [("x:a", "x:r", "x:b"), ("x:a", "x:r", "x:d"), ("x:e", "x:r", "x:f")]
    assert [fact for fact in found if len(fact) == 4] == [
        ("x:a", "x:r", "x:c", (("x:k", "x:v"), ("x:l", "x:w"))),
        ("x:a", "x:r", "x:c", (("x:k", "x:z"),)),
    ]


def test_an_annotation_may_stand_some_facts_behind_its_fact(tmp_path: Path) -> None:
    between = "".join(f":x{n} :r :y ." for n in range(RECENT - 10))
    found = turtle(tmp_path, f":Italy :capital :Rome . {between} << :Italy :capital :Rome >> :since 1871 .")
    assert found[-1] == (*FACT, SINCE)


def test_a_quoted_triple_that_is_not_stated_is_no_fact(tmp_path: Path) -> None:
    text = "<< :earth :shape :flat >> :saidBy :bob . :a :r :b ."
    with pytest.raises(
        FormatError, match=r"quoted but not stated: x:earth x:shape x:flat \(the reader's option quoted"
    ):
        turtle(tmp_path, text)
    assert turtle(tmp_path, text, quoted="drop") == [("x:a", "x:r", "x:b")]
    stated = ("x:earth", "x:shape", "x:flat", (("x:saidBy", "x:bob"),))
    assert turtle(tmp_path, text, quoted="state") == [("x:a", "x:r", "x:b"), stated]


@pytest.mark.parametrize(
    "text", [":a :r <<( :b :r :c )>> .", "<< :a :r <<( :b :r :c )>> >> :k :v .", ":a :r :b ~ :q . :a :r :c ~ :q ."]
)
def test_what_qualifiers_can_not_hold_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match="can't be stored"):
        turtle(tmp_path, text)


def test_n_triples_have_them_too_across_blocks(tmp_path: Path) -> None:
    lines = [
        f'<x:{n}> <x:r> <x:b> .\n_:q{n} <{REIFIES}> <<( <x:{n}> <x:r> <x:b> )>> .\n_:q{n} <x:k> "{n}" .\n'
        for n in range(20_000)
    ]
    (tmp_path / "a.nt").write_text("".join(lines))
    found = list(read_n_triples(tmp_path / "a.nt", pytest.fail))
    assert len(found) == 20_000 and all(fact[3] == (("x:k", Literal(fact[0][2:])),) for fact in found)


REIFIES = "http://www.w3.org/1999/02/22-rdf-syntax-ns#reifies"

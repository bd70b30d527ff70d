"""Splitting lines by columns reads, and refuses, just what pyoxigraph does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyoxigraph
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyoxigraph import RdfFormat

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError
from kg.ingest.split import Splitter, look
from kg.records import XSD

IRIS = ["<x:a>", "<http://x/a#b>", "<http://x:80/p?q=1>", "<http://ü/é>", "<x:%41>", "<x:%4>", "<http://x/\\u0041>"]
IRIS += [
    "<>",
    "<a>",
    "<x:a b>",
    "<http://[::1]/>",
    "<http://x:port/>",
    "<x:a#b#c>",
    "<x:{}>",
    "<1:a>",
    "<x:a>>",
    "x:a",
    "<//x>",
]
TEXTS = ['"t"', '""', '"a \\"b\\" c"', '"\\\\"', '"\\"', '"a\\nb"', '"tab\\tx"', '"\\u00e9"', '"\\x"', '"a"b"', "'a'"]
TEXTS += ['"é"', '"a\x0bb"', '"a\x01b"', '"ends\\""', '"\\\\\\""', '"<x:a> ."', '"a', '"']
SUFFIXES = [
    "",
    "@en",
    "@en-GB",
    "@EN",
    "@",
    "@1",
    "@de_DE",
    "^^<http://x/d>",
    f"^^<{XSD}string>",
    "^^<d>",
    "^^x:d",
    " ",
]
BLANKS = ["_:b", "_:b1", "_:", "_:é", "_:a.b", "_:a.", "_:-"]
ENDINGS = [" .", " .", " .", " .", ".", " . # more", " . .", "", "  .", " .\r", "\t."]

literals = st.builds(lambda text, suffix: text + suffix, st.sampled_from(TEXTS), st.sampled_from(SUFFIXES))
ends = st.one_of(st.sampled_from(IRIS[:5]), st.sampled_from(IRIS), st.sampled_from(BLANKS), literals)
lines = st.builds(
    lambda head, relation, tail, ending, blank: f"{head}{blank}{relation}{blank}{tail}{ending}",
    ends,
    st.sampled_from(IRIS + BLANKS[:1]),
    ends,
    st.sampled_from(ENDINGS),
    st.sampled_from([" ", " ", " ", " ", "\t", "  ", ""]),
)
odd_lines = st.sampled_from(
    ["", "# a comment", " ", "rubbish", "<x:a> <x:b>", "<x:a> <x:b> <x:c> . <x:d> <x:e> <x:f> ."]
)


def as_pyoxigraph_reads(lines: list[str]) -> tuple[set[object], int]:
    """The facts of lines one by one, with blank nodes by a mark, and how many are refused."""
    facts: set[object] = set()
    refused = 0
    for line in lines:
        try:
            quads = list(pyoxigraph.parse(line.encode() + b"\n", format=RdfFormat.N_TRIPLES))
        except SyntaxError:
            refused += 1
            continue
        for quad in quads:
            tail = quad.object
            if isinstance(tail, pyoxigraph.Literal):
                plain = tail.language is not None or tail.datatype.value == XSD + "string"
                end: object = Literal(tail.value, None if plain else tail.datatype.value, tail.language)
            else:
                end = "_" if isinstance(tail, pyoxigraph.BlankNode) else tail.value
            head = "_" if isinstance(quad.subject, pyoxigraph.BlankNode) else quad.subject.value
            facts.add((head, quad.predicate.value, end))
    return facts, refused


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(st.one_of(lines, lines, lines, odd_lines), min_size=1, max_size=12))
def test_any_lines_are_read_and_refused_as_pyoxigraph_does(tmp_path: Path, found: list[str]) -> None:
    wanted, refused = as_pyoxigraph_reads(found)
    path = tmp_path / "a.nt"
    path.write_bytes("\n".join(found).encode() + b"\n")
    with KnowledgeGraph.open("sqlite://") as graph:
        report = ingest.load(path, into=graph, on_error="skip")

        def mark(end: object) -> object:
            return "_" if isinstance(end, str) and end.startswith("_:") else end

        assert {(mark(s.head), s.relation, mark(s.tail)) for s in graph.triples()} == wanted
        assert report.num_rejected == refused


def test_a_wrong_line_far_into_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg.ingest.n_triples.CHUNK", 1_000)
    good = [f'<http://x/{n}> <http://x/r> "{n}"@en .\n' for n in range(500)]
    path = tmp_path / "a.nt"
    path.write_text("".join([*good[:400], "<http://x/a> <http://x/r> <b> .\n", *good[400:]]))
    with KnowledgeGraph.open("sqlite://") as graph:
        with pytest.raises(FormatError, match=r"a\.nt:401: "):
            ingest.load(path, into=graph)
        assert graph.version == 0
        assert ingest.load(path, into=graph, on_error="skip").triples == 500


PIECES = [b"a", b"abcdefgh", b"\0", b"\r", "é".encode(), "€".encode(), "😀".encode(), b"\x7f", b"\xff", b"\x80"]
PIECES += [b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xc3", b"\xe2\x80"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_bytes_are_looked_at_as_python_decodes_them(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    try:
        is_text = bool(data.decode()) or True
    except UnicodeDecodeError:
        is_text = False
    assert look(np.frombuffer(data, np.uint8)) == (is_text, b"\0" in data, b"\r" in data)


def test_chunks_of_more_lines_and_terms_than_fit_are_split_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg.ingest.split.LINES", 4)
    monkeypatch.setattr("kg.ingest.split.TERMS", 16)
    data = np.frombuffer(b"".join(b'<x:%d> <x:r> "%d"@en .\n' % (n % 3, n) for n in range(20)), np.uint8)
    splitter, at, facts = Splitter(b" ", b" .", is_table=False), 0, []
    while at < len(data):
        at = splitter.split(data, at)
        iris, literals, places, odd = splitter.terms(lambda suffix: f"\x1f{suffix[1:]}\x1f\x1f")
        found = splitter.facts(places)
        assert not len(odd) and not len(found.odd) and len(found.head) <= 4
        facts += [(iris[h], iris[r], literals[-1 - t]) for h, r, t in zip(found.head, found.relation, found.tail)]
    assert facts == [(f"x:{n % 3}", "x:r", f"\x1fen\x1f\x1f{n}") for n in range(20)]

"""What is written comes back: random facts through every exporter and its reader, compared exactly."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import networkx
import pytest
import rdflib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdflib.compare import isomorphic

from kg import KnowledgeGraph, Literal, export, ingest
from kg.ingest import READERS
from kg.ingest.networkx_graphs import from_networkx, to_networkx
from kg.ingest.rdf_names import NAME
from kg.records import RDF_TYPE, RDFS, XSD
from kg.registry import resolve

#: Anything that a database takes: no half surrogate pairs, no U+0000.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ODD = st.sampled_from(
    ["", " ", "\t", "\r\n", "\\", "\\n", '"', "'", "<&>", "]]>", "\u0001", "\u0085", "\u2028", "\ufeff", "\ufffe", "😀"]
)
VALUE = st.lists(TEXT | ODD, max_size=3).map("".join)
WORD = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)
IRI = st.builds("http://example.org/{}".format, WORD) | st.sampled_from(
    ["urn:x:1", "x:a", NAME + "a%20b", NAME + "%zz"]
)
NAMED = VALUE.filter(lambda name: bool(name) and not name.startswith("_:"))
BLANK = st.builds("_:{}".format, st.from_regex(r"\A[a-z][a-z0-9]{0,5}\Z"))
LANGUAGE = st.sampled_from(["en", "de-ch", "zh-hans", "ar--rtl"])
LITERAL = (
    st.builds(Literal, VALUE)
    | st.builds(lambda value, language: Literal(value, language=language), VALUE, LANGUAGE)
    | st.builds(Literal, VALUE, st.sampled_from([XSD + "integer", XSD + "date", "http://example.org/type"]))
    | st.builds(lambda n, unit: Literal(str(n), XSD + "decimal", unit=unit), st.integers(), NAMED)
)
HEAD = IRI | BLANK | NAMED
FACTS = st.lists(st.tuples(HEAD, IRI | NAMED, HEAD | LITERAL), max_size=8, unique=True)
#: Blank nodes keep their names where the reader is asked to.
OPTIONS: dict[str, dict[str, Any]] = {"nt": {"keep_blank": True}, "ttl": {"keep_blank": True}}

FILES = ["nt", "ttl", "tsv", "parquet", "graphml"]
SOME = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def store_of(facts: Any) -> KnowledgeGraph:
    graph = KnowledgeGraph.open("sqlite://")
    with graph.edit(source="s") as edit:
        for fact in facts:
            edit.add(*fact)
    return graph


def through(graph: KnowledgeGraph, format: str, suffix: str = "") -> set[Any]:
    """The facts of a store, written to a file and read from it."""
    with tempfile.TemporaryDirectory() as folder, KnowledgeGraph.open("sqlite://") as copy:
        path = Path(folder) / f"a.{format}{suffix}"
        export.write(graph, path)
        ingest.load(path, into=copy, **OPTIONS.get(format, {}))
        return {statement.fact for statement in copy.triples()}


def test_every_exporter_is_tested_here() -> None:
    assert set(FILES) == set(export.EXPORTERS)


@pytest.mark.parametrize("format", FILES)
@SOME
@given(facts=FACTS)
def test_any_facts_come_back_from_a_file_as_they_were(format: str, facts: list[Any]) -> None:
    with store_of(facts) as graph:
        assert through(graph, format) == set(facts)


@SOME
@given(facts=FACTS)
def test_any_facts_come_back_from_networkx_as_they_were(facts: list[Any]) -> None:
    with store_of(facts) as graph:
        # "label" and "relation" are words of networkx graphs; an empty text is no attribute there.
        kept = {f for f in facts if f[1] not in ("label", "relation") and f[2] != Literal("")}
        assert {f[:3] for f in from_networkx(to_networkx(graph))} >= kept


# Parquet is packed within; its reader jumps about in the file and takes no packed one.
@pytest.mark.parametrize("format", [format for format in FILES if format != "parquet"])
@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
def test_packed_files_come_back_as_well(format: str, packing: str) -> None:
    facts = {("x:a", "x:r", "x:b"), ("x:a", RDFS + "label", Literal("A", language="en"))}
    with store_of(facts) as graph:
        assert through(graph, format, packing) == facts


@pytest.mark.parametrize("format", FILES)
def test_a_literal_of_ten_megabytes_comes_back(format: str) -> None:
    long = Literal('0123456789 "ünïcödé"\n' * 500_000)
    assert len(long.value) > 10_000_000
    with store_of([("x:a", "x:r", long)]) as graph:
        if format in ("nt", "ttl"):  # pyoxigraph reads terms up to 16 MiB, escapes and UTF-8 counted
            long = Literal(long.value[: 7 * 2**20])
            graph.retract("x:a", "x:r")
            graph.add("x:a", "x:r", long, source="s")
        assert through(graph, format) == {("x:a", "x:r", long)}


QUALIFIED = [
    ("x:Obama", "x:office", "x:President", (("x:since", Literal("2009", XSD + "gYear")), ("x:before", "x:Trump"))),
    ("x:Obama", "x:height", Literal("187", XSD + "integer", unit="cm"), (("x:by", Literal("Né\n<w>", language="fr")),)),
    ("x:Obama", RDF_TYPE, "x:Human"),
]


@pytest.mark.parametrize("format", [*FILES, "networkx"])
def test_qualifiers_come_back(format: str, tmp_path: Path) -> None:
    from kg.store import bulk

    with KnowledgeGraph.open("sqlite://") as graph:
        bulk.load(graph, QUALIFIED, source="s")
        if format == "networkx":
            read = list(from_networkx(to_networkx(graph)))
        else:
            export.write(graph, tmp_path / f"a.{format}")
            read = list(resolve(READERS, format, "reader")(tmp_path / f"a.{format}", pytest.fail))
    found = {(*fact[:3], frozenset(fact[3]) if len(fact) > 3 else frozenset()) for fact in read}
    assert found == {(*f[:3], frozenset(f[3]) if len(f) > 3 else frozenset()) for f in QUALIFIED}


@pytest.mark.parametrize("format", ["nt", "ttl"])
def test_what_is_written_without_annotations_is_rdf_1_1_to_rdflib(format: str, tmp_path: Path) -> None:
    from kg import rdf

    facts = [*(f[:3] for f in QUALIFIED), ("_:b", "x:r", "_:c"), ("x:a", "x:v", Literal("ü\t\\", language="de"))]
    with store_of(facts) as graph:
        export.write(graph, tmp_path / f"a.{format}", annotations=False)
        read = rdflib.Graph().parse(tmp_path / f"a.{format}")
        assert isomorphic(read, rdf.open(graph)) and len(read) == 5


def test_networkx_reads_our_graphml(tmp_path: Path) -> None:
    facts = [
        ("x:a", "x:r", "x:b"),
        ("x:a", RDFS + "label", Literal("Ä")),
        ("x:a", "x:n", Literal("7", XSD + "integer")),
    ]
    with store_of(facts) as graph:
        export.write(graph, tmp_path / "a.graphml")
    read = networkx.read_graphml(tmp_path / "a.graphml")
    assert read.nodes["x:a"] == {"label": "Ä", "x:n": 7} and read.edges["x:a", "x:b"]["relation"] == "x:r"


def test_an_integer_that_is_none_is_text_in_graphml(tmp_path: Path) -> None:
    with store_of([("x:a", "x:n", Literal("seven", XSD + "integer"))]) as graph:
        export.write(graph, tmp_path / "a.graphml")
        assert networkx.read_graphml(tmp_path / "a.graphml").nodes["x:a"] == {"x:n": "seven"}
        assert through(graph, "graphml") == {("x:a", "x:n", Literal("seven", XSD + "integer"))}

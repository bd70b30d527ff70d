"""What can be named as input: packed files, standard input, folders, globs, graphs in memory; and readers' options."""

from __future__ import annotations

import bz2
import gzip
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import networkx
import pyarrow
import pytest
import rdflib
import zstandard

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError, InputError
from kg.records import RDFS, XSD

LINE = b"<http://x/a> <http://x/r> <http://x/b> .\n"
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.fixture
def store() -> KnowledgeGraph:
    return KnowledgeGraph.open("sqlite://")


@pytest.mark.parametrize("packing", PACK)
def test_packed_files_are_read_in_one_piece_and_in_several(store: KnowledgeGraph, tmp_path: Path, packing: str) -> None:
    pack = PACK[packing]
    (tmp_path / f"a.nt{packing}").write_bytes(pack(LINE) + pack(b"\n" + LINE.replace(b"/b>", b"/c>")))
    assert ingest.load(tmp_path / f"a.nt{packing}", into=store).triples == 2
    assert list(store.stats()["sources"]) == [f"a.nt{packing}"]


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_file_that_is_cut_off_is_an_error(store: KnowledgeGraph, tmp_path: Path, packing: str) -> None:
    (tmp_path / f"a.nt{packing}").write_bytes(PACK[packing](LINE * 1_000)[:-9])
    with pytest.raises(FormatError, match=rf"a\.nt\{packing}: not a whole (gzip|bzip2|Zstandard) file"):
        ingest.load(tmp_path / f"a.nt{packing}", into=store)
    assert store.version == 0


@pytest.mark.parametrize("pack", [bytes, *PACK.values()])
def test_standard_input_is_unpacked_by_its_first_bytes(store, monkeypatch: pytest.MonkeyPatch, pack) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(pack(LINE + b"_:q <http://x/r> _:q .\n"))))
    assert ingest.load("-", into=store, format="nt").triples == 2
    assert list(store.stats()["sources"]) == ["stdin"]


def test_standard_input_needs_a_format(store: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="standard input has no suffix to tell its format: give --format"):
        ingest.load("-", into=store)
    with pytest.raises(InputError, match="- must be a plain file in this format: save it"):
        ingest.load("-", into=store, format="parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kg" / "more").mkdir(parents=True)
    (tmp_path / "kg" / "b.tsv").write_text("x:a\tx:r\tx:c\n")
    (tmp_path / "kg" / "a.nt").write_bytes(LINE)
    (tmp_path / "kg" / "more" / "c.ttl.gz").write_bytes(gzip.compress(b"<x:a> <x:r> <x:d> ."))
    (tmp_path / "kg" / "README.md").write_text("not a graph")
    (tmp_path / "kg" / ".hidden.nt").write_text("not a graph")
    return tmp_path / "kg"


def test_a_folder_is_one_load_and_one_version(store: KnowledgeGraph, folder: Path) -> None:
    assert ingest.load(folder, into=store).triples == 3
    assert store.version == 1 and store.stats()["sources"] == {"kg": 3}


def test_a_glob_and_a_list_are_one_load_too(store: KnowledgeGraph, folder: Path) -> None:
    assert ingest.load(f"{folder}/*.*t*", into=store).triples == 2
    assert ingest.load([folder / "more", folder / "a.nt"], into=store).triples == 2
    assert store.version == 2 and store.sources() == ["*.*t*", "more and 1 more"]
    with pytest.raises(InputError, match=r"no file matches .*\*\.rdf"):
        ingest.load(f"{folder}/*.rdf", into=store)


def test_an_error_in_one_of_many_files_names_it_and_nothing_is_written(store: KnowledgeGraph, folder: Path) -> None:
    (folder / "z.nt").write_bytes(LINE + b"oops\n")
    with pytest.raises(FormatError, match=r"z\.nt:2: .*; mend it, or leave such lines out with on_error='skip'"):
        ingest.load(folder, into=store)
    assert store.version == 0
    report = ingest.load(folder, into=store, on_error="skip")
    assert report.triples == 3 and report.rejected[0].startswith(f"{folder}/z.nt:2: ")


def test_graphs_in_memory_are_read(store: KnowledgeGraph) -> None:
    graph = rdflib.Graph().parse(data='<x:a> <x:r> _:q ; <x:n> "n"@en, 7, "s"^^<x:t> .', format="turtle")
    assert ingest.load(graph, into=store).triples == 4
    assert {s.tail for s in store.triples(relation="x:n")} == {
        Literal("n", language="en"),
        Literal("7", XSD + "integer"),
        Literal("s", "x:t"),
    }
    drawn = networkx.DiGraph([("x:a", "x:b")])
    drawn.add_node("x:a", label="A")
    assert ingest.load(drawn, into=store).triples == 2
    table = pyarrow.table({"tail": ["x:d"], "head": ["x:a"], "relation": ["x:r"]})
    assert ingest.load(table, into=store, source="mine").triples == 1
    assert store.sources() == ["rdflib", "networkx", "mine"]
    assert store.labels(["x:a"]) == {"x:a": "A"} and list(store.triples("x:a", "x:r", "x:d"))


def test_a_dataset_is_all_its_graphs(store: KnowledgeGraph) -> None:
    data = rdflib.Dataset()
    data.parse(data="<x:a> <x:r> <x:b> . <x:g> { <x:a> <x:r> <x:c> }", format="trig")
    assert ingest.load(data, into=store).triples == 2


def test_options_reach_the_reader_as_what_they_are(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("r\ta\tb\t0.5\n")
    ingest.load(tmp_path / "a.tsv", into=store, columns="relation,head,tail,-")
    ingest.load(tmp_path / "a.tsv", into=store, columns=("relation", "tail", "head", "-"))
    assert [s.fact for s in store.triples()] == [("a", "r", "b"), ("b", "r", "a")]
    (tmp_path / "a.ttl").write_text("<a> <r> <b> .")
    ingest.load(tmp_path / "a.ttl", into=store, base="http://x/")
    assert list(store.triples("http://x/a", "http://x/r", "http://x/b"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"colums": "a"}, r"tsv has no option 'colums'; did you mean 'columns'\? \(there are: columns, entity_ids, "),
        ({"separator": "dot"}, "the option 'separator' is one of tab, comma, semicolon, space, not 'dot'"),
        ({"columns": "head,tail"}, "the columns lack 'relation'"),
        ({"columns": "head,relation,tail,score"}, "'score' is no column of facts"),
        ({"columns": "head,relation,head,tail"}, "the column 'head' comes twice"),
        ({"entity_ids": "none.txt"}, "there is no id file none.txt"),
    ],
)
def test_a_wrong_option_is_told(store: KnowledgeGraph, tmp_path: Path, options: dict[str, str], reason: str) -> None:
    (tmp_path / "a.tsv").write_text("a\tr\tb\n")
    with pytest.raises(InputError, match=reason):
        ingest.load(tmp_path / "a.tsv", into=store, **options)
    assert store.version == 0


def test_an_option_of_one_of_several_formats_is_for_that_one(store: KnowledgeGraph, folder: Path) -> None:
    (folder / "b.tsv").write_text("x:r\tx:a\tx:c\n")
    assert ingest.load(folder, into=store, columns="relation,head,tail", keep_blank="true").triples == 3
    assert list(store.triples("x:a", "x:r", "x:c"))
    with pytest.raises(InputError, match="the option 'keep_blank' is true or false, not 'maybe'"):
        ingest.load(folder, into=store, keep_blank="maybe")


def test_a_json_file_is_told_by_how_it_begins(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "ld.json").write_text('{"@id": "x:a", "x:r": {"@id": "x:b"}}')
    (tmp_path / "wd.json").write_text(
        '[\n{"type":"item","id":"Q1","labels":{"en":{"language":"en","value":"universe"}}}\n]\n'
    )
    drawn = networkx.MultiDiGraph([("x:a", "x:c", {"relation": "x:r"})])
    import json

    (tmp_path / "nx.json").write_text(json.dumps(networkx.node_link_data(drawn, edges="edges")))
    assert ingest.load(tmp_path, into=store).triples == 3
    assert store.labels(["http://www.wikidata.org/entity/Q1"]) == {"http://www.wikidata.org/entity/Q1": "universe"}
    assert list(store.triples(None, RDFS + "label")) and list(store.triples("x:a", "x:r", "x:c"))
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(FormatError, match=r"other\.json: neither Wikidata's JSON, JSON-LD nor a networkx graph"):
        ingest.load(tmp_path / "other.json", into=store)

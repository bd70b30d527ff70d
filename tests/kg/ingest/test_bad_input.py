"""What every reader owes whatever it is given: one clear error that names the file, or the line left out and counted,
and the store as it was. Run once over the table of readers, so that a new one is covered."""

from __future__ import annotations

import bz2
import gzip
import struct
from pathlib import Path

import pyarrow
import pytest
import zstandard

from kg import KnowledgeGraph, ingest
from kg.errors import InputError
from tests.kg.ingest.examples import FORMATS, GOOD, GRAPHML, RDF, TEXT, refuse, unchanged

PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress}


def test_there_is_an_example_of_every_format_that_reads_files() -> None:
    assert set(GOOD) == set(FORMATS)


@pytest.mark.parametrize("format", FORMATS)
def test_the_example_is_read(store: KnowledgeGraph, tmp_path: Path, format: str) -> None:
    (tmp_path / "a.x").write_bytes(GOOD[format])
    assert ingest.load(tmp_path / "a.x", into=store, format=format).triples >= 1
    assert any("é" in str(part) for s in store.triples() for part in s.fact)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_cut_off_anywhere_is_an_error_or_fewer_facts(store: KnowledgeGraph, tmp_path: Path, format: str) -> None:
    content = GOOD[format]
    for end in range(0, len(content), max(1, len(content) // 12)):
        (tmp_path / "a.x").write_bytes(content[:end])
        for on_error in ("stop", "skip"):
            before = store.version
            try:
                ingest.load(tmp_path / "a.x", into=store, format=format, on_error=on_error)
            except InputError as error:
                assert "a.x" in str(error) and store.version == before


@pytest.mark.parametrize("format", TEXT)
@pytest.mark.parametrize("packing", PACK)
def test_a_packed_file_cut_off_is_an_error(store: KnowledgeGraph, tmp_path: Path, format: str, packing: str) -> None:
    (tmp_path / f"a.x{packing}").write_bytes(PACK[packing](GOOD[format])[:-3])
    assert "not a whole" in refuse(store, tmp_path / f"a.x{packing}", format)
    refuse(store, tmp_path / f"a.x{packing}", format, "skip")


@pytest.mark.parametrize("format", TEXT)
def test_latin_1_is_no_utf_8(store: KnowledgeGraph, tmp_path: Path, format: str) -> None:
    (tmp_path / "a.x").write_bytes(GOOD[format].decode().encode("latin-1"))
    refuse(store, tmp_path / "a.x", format)


@pytest.mark.parametrize("format", TEXT)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16_is_told(store: KnowledgeGraph, tmp_path: Path, format: str, encoding: str) -> None:
    (tmp_path / "a.x").write_bytes(GOOD[format].decode().encode(encoding))
    if (format, encoding) == ("graphml", "utf-16-le"):  # expat tells it by itself, and reads it
        assert ingest.load(tmp_path / "a.x", into=store, format=format).triples == 1
        return
    said = refuse(store, tmp_path / "a.x", format)
    assert encoding != "utf-16" or "UTF-16 text: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)" in said


@pytest.mark.parametrize("format", TEXT)
def test_a_byte_order_mark_is_left_out(store: KnowledgeGraph, tmp_path: Path, format: str) -> None:
    (tmp_path / "a.x").write_bytes(b"\xef\xbb\xbf" + GOOD[format])
    assert ingest.load(tmp_path / "a.x", into=store, format=format).triples >= 1
    assert not any("\ufeff" in str(part) for s in store.triples() for part in s.fact)


FOREIGN = {
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "archive": b"PK\x03\x04" + bytes(200),
    "packed": gzip.compress(b"a\tr\tb\n"),
    "database": b"SQLite format 3\0" + bytes(200),
    "noise": bytes(range(256)) * 8,
    "page": b"<!DOCTYPE html><html><body><p>Not Found</p></body></html>\n",
    "prose": b"This is not a graph.\nIt is a text,\nof several lines.\n",
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_refused(store: KnowledgeGraph, tmp_path: Path, format: str, kind: str) -> None:
    (tmp_path / "a.x").write_bytes(FOREIGN[kind])
    refuse(store, tmp_path / "a.x", format)
    try:
        assert ingest.load(tmp_path / "a.x", into=store, format=format, on_error="skip").num_rejected > 0
    except InputError as error:
        assert "a.x" in str(error)
    unchanged(store)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("other", ["nt", "ttl", "rdf", "jsonld", "tsv", "csv", "parquet", "graphml", "wikidata"])
def test_another_format_under_a_wrong_ending_breaks_nothing(tmp_path: Path, format: str, other: str) -> None:
    (tmp_path / "a.x").write_bytes(GOOD[other])
    with KnowledgeGraph.open("sqlite://") as graph:
        try:
            ingest.load(tmp_path / "a.x", into=graph, format=format)
        except InputError as error:
            assert "a.x" in str(error) and graph.version == 0


LITERAL_SUBJECTS = {
    "nt": b'"a" <http://x/r> <http://x/b> .\n',
    "nq": b'"a" <http://x/r> <http://x/b> .\n',
    "ttl": b'"a" <http://x/r> <http://x/b> .\n',
    "trig": b'"a" <http://x/r> <http://x/b> .\n',
}


@pytest.mark.parametrize("format", LITERAL_SUBJECTS)
def test_a_literal_as_subject_is_refused_with_its_line(store: KnowledgeGraph, tmp_path: Path, format: str) -> None:
    (tmp_path / "a.x").write_bytes(b"<http://x/a> <http://x/r> <http://x/b> .\n" + LITERAL_SUBJECTS[format])
    assert "a.x:2: " in refuse(store, tmp_path / "a.x", format)
    if format in ("nt", "nq"):
        assert ingest.load(tmp_path / "a.x", into=store, format=format, on_error="skip").num_rejected == 1


@pytest.mark.parametrize(
    ("format", "content", "value"),
    [
        ("nt", r'<http://x/a> <http://x/r> "\u0001\u001F\u007F" .', "\x01\x1f\x7f"),
        ("ttl", r'<http://x/a> <http://x/r> "\u0001\u001F\u007F" .', "\x01\x1f\x7f"),
        ("jsonld", '{"@id": "http://x/a", "http://x/r": "\\u0001\\u001F\\u007F"}', "\x01\x1f\x7f"),
        ("tsv", "a\tr\tb\x01\x1f\x7fc\n", "b\x01\x1f\x7fc"),
        ("csv", "a,r,b\x01\x1f\x7fc\n", "b\x01\x1f\x7fc"),
        ("rdf", f'{RDF}<rdf:Description rdf:about="http://x/a"><x:r>&#1;</x:r></rdf:Description></rdf:RDF>', None),
        ("graphml", GRAPHML.replace("é", "&#1;"), None),
    ],
)
def test_control_characters_are_kept_where_the_format_has_them(
    store: KnowledgeGraph, tmp_path: Path, format: str, content: str, value: str | None
) -> None:
    (tmp_path / "a.x").write_text(content)
    if value is None:
        refuse(store, tmp_path / "a.x", format)
    else:
        ingest.load(tmp_path / "a.x", into=store, format=format)
        assert value in {str(s.tail) for s in store.triples()}


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("nt", '<http://x/a> <http://x/r> "\\u0000" .\n<http://x/a> <http://x/r> "good" .\n'),
        ("ttl", '<http://x/a> <http://x/r> "\\u0000", "good" .'),
        ("tsv", "a\tr\tb\0\na\tr\tgood\n"),
        ("csv", "a,r,b\0\na,r,good\n"),
        ("jsonld", '{"@id": "http://x/a", "http://x/r": ["\\u0000", "good"]}'),
    ],
)
def test_what_no_database_keeps_is_told_or_left_out(
    store: KnowledgeGraph, tmp_path: Path, format: str, content: str
) -> None:
    (tmp_path / "a.x").write_text(content)
    said = refuse(store, tmp_path / "a.x", format)
    assert "U+0000 can't be stored" in said and (format != "nt" or "a.x:1:" in said)
    assert ingest.load(tmp_path / "a.x", into=store, format=format, on_error="skip").num_rejected == 1
    assert "good" in {str(s.tail) for s in store.triples()}


def test_an_arrow_file_with_damaged_offsets_is_not_read_past_its_end(store: KnowledgeGraph, tmp_path: Path) -> None:
    path, names = tmp_path / "a.arrow", ["aaa", "bbbbb", "c"]
    table = pyarrow.table(dict.fromkeys(("head", "relation", "tail"), names))
    with pyarrow.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    offsets = struct.pack("<4i", 0, 3, 8, 9)
    content = path.read_bytes()
    assert content.count(offsets) == 3
    path.write_bytes(content.replace(offsets, struct.pack("<4i", 0, -1929379839, 8, 9), 1))
    assert "not a whole Arrow file" in refuse(store, path, "arrow")

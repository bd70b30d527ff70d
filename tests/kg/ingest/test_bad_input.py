"""What every reader owes whatever it is given: one clear error that names the file, or the line left out and counted;
memory within bounds; and the store as it was. Run once over the table of readers, so that a new one is covered."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
import zstandard

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError, InputError
from kg.ingest import PACKAGED, READERS

RDF = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="http://x/">'
RDF_XML = f'{RDF}<rdf:Description rdf:about="http://x/a"><x:r rdf:resource="http://x/é"/></rdf:Description></rdf:RDF>'
CONCEPTNET = "IsA\ta\té\n"
GRAPHML = (
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="r" for="edge" attr.name="relation"/>'
    '<graph edgedefault="directed"><node id="a"/><node id="é"/><edge source="a" target="é"><data key="r">r</data>'
    "</edge></graph></graphml>"
)


def table(write: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    write(pyarrow.table({"head": ["a"], "relation": ["r"], "tail": ["é"]}), file)
    return file.getvalue()


#: A small file of each format, of at least one fact.
GOOD: dict[str, bytes] = {
    "nt": "<http://x/a> <http://x/r> <http://x/é> .\n".encode(),
    "nq": "<http://x/a> <http://x/r> <http://x/é> <http://x/g> .\n".encode(),
    "ttl": '@prefix : <http://x/> .\n:a :r :é ; :n "é"@fr .\n'.encode(),
    "trig": "@prefix : <http://x/> .\n:g { :a :r :é . }\n".encode(),
    "rdf": RDF_XML.encode(),
    "xml": RDF_XML.encode(),
    "owl": RDF_XML.encode(),
    "jsonld": '{"@id": "http://x/a", "http://x/r": {"@id": "http://x/é"}}'.encode(),
    "json": '{"@id": "http://x/a", "http://x/r": {"@id": "http://x/é"}}'.encode(),
    "tsv": "a\tr\té\n".encode(),
    "txt": "a\tr\té\n".encode(),
    "csv": 'a,r,"é"\n'.encode(),
    "parquet": table(pyarrow.parquet.write_table),
    "arrow": table(pyarrow.feather.write_feather),
    "feather": table(pyarrow.feather.write_feather),
    "graphml": GRAPHML.encode(),
    "wikidata": '[\n{"type":"item","id":"Q1","labels":{"fr":{"language":"fr","value":"é"}}}\n]\n'.encode(),
    "conceptnet": CONCEPTNET.encode(),
}
FORMATS = [name for name in READERS if name not in PACKAGED]
COLUMNAR = {"parquet", "arrow", "feather"}
TEXT = [name for name in FORMATS if name not in COLUMNAR]
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.fixture
def store() -> KnowledgeGraph:
    graph = KnowledgeGraph.open("sqlite://")
    graph.add("x:before", "x:r", Literal("kept"), source="s")
    return graph


def refuse(store: KnowledgeGraph, path: Path, format: str, on_error: str = "stop") -> str:
    """Load what can't be read; return the error, which names the file, after a look at the store."""
    with pytest.raises(InputError) as caught:
        ingest.load(path, into=store, format=format, on_error=on_error)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    unchanged(store)
    return str(caught.value)


def unchanged(store: KnowledgeGraph) -> None:
    assert store.version == 1 and [s.fact for s in store.triples()] == [("x:before", "x:r", Literal("kept"))]


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


def limited(code: str, *arguments: str, megabytes: int) -> str:
    """Run Python code in a process of its own; return what it printed, and check its peak memory."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc, which this system does not have")
    program = f"import sys\nfrom kg import KnowledgeGraph, ingest\n{code}\n"
    program += "print('PEAK', next(int(x.split()[1]) // 1024 for x in open('/proc/self/status') if 'VmHWM' in x))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    said, _, peak = done.stdout.rpartition("PEAK")
    assert int(peak) < megabytes, f"{int(peak)} MB"
    return said


LOAD = """
for path in sys.argv[2:]:
    with KnowledgeGraph.open("sqlite://") as graph:
        try:
            ingest.load(path, into=graph, format=sys.argv[1])
            print("LOADED", len(list(graph.triples())))
        except Exception as error:
            print(type(error).__name__, error, graph.version)
"""


def test_a_bomb_of_any_packing_is_refused_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "a.x.gz").write_bytes(gzip.compress((b"a\tr\t" + b"b" * 10_000 + b"\n") * 10_000, 9) * 10)  # 1 GB
    (tmp_path / "a.x.zst").write_bytes(zstandard.ZstdCompressor().compress(b" " * 2**30))
    (tmp_path / "a.x.bz2").write_bytes(bz2.compress(b" " * 2**27) * 8)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2_500_000
    paths = [str(file) for file in sorted(tmp_path.iterdir())]
    bombs = "unpacks to more than 250 times its size"
    for format in ("tsv", "ttl"):
        said = limited(LOAD, format, *paths, megabytes=500).splitlines()
        assert len(said) == 3 and all(line.startswith("FormatError") and line.endswith(" 0") for line in said), said
        assert all(bombs in line or "a line longer than 64 MiB" in line or format != "tsv" for line in said), said
        assert format != "tsv" or bombs in said[1], said


@pytest.mark.parametrize("format", ["rdf", "graphml"])
def test_a_billion_laughs_are_not_laughed(tmp_path: Path, format: str) -> None:
    entities = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    root = "rdf:RDF" if format == "rdf" else "graphml"
    text = GOOD[format].decode().replace("é", "&l9;")
    (tmp_path / "a.x").write_text(f'<?xml version="1.0"?>\n<!DOCTYPE {root} [\n{entities}\n]>\n{text}')
    said = limited(LOAD, format, str(tmp_path / "a.x"), megabytes=400)
    assert "its entities grow to more than 100 times the file" in said and "a.x:" in said and said.endswith(" 0\n")


def test_an_entity_that_stays_small_is_read(store: KnowledgeGraph, tmp_path: Path) -> None:
    text = GOOD["rdf"].decode().replace("http://x/é", "&x;é")
    (tmp_path / "a.rdf").write_text(f'<!DOCTYPE rdf:RDF [<!ENTITY x "http://x/">]>{text}')
    ingest.load(tmp_path / "a.rdf", into=store)
    assert list(store.triples("http://x/a", "http://x/r", "http://x/é"))


def test_a_file_outside_is_not_read_into_xml(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for format in ("rdf", "graphml"):
        text = GOOD[format].decode().replace("é", "&s;")
        root = "rdf:RDF" if format == "rdf" else "graphml"
        (tmp_path / "a.x").write_text(f'<!DOCTYPE {root} [<!ENTITY s SYSTEM "file://{tmp_path}/secret">]>{text}')
        with KnowledgeGraph.open("sqlite://") as graph:
            with pytest.raises(FormatError):
                ingest.load(tmp_path / "a.x", into=graph, format=format)
            assert graph.version == 0


def test_a_context_from_elsewhere_is_never_fetched_and_can_be_given(store: KnowledgeGraph, tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/context.jsonld"
        document = {"@context": [address, {"n": "http://x/n"}], "@id": "http://x/a", "name": "A", "n": "N"}
        (tmp_path / "a.jsonld").write_text(json.dumps(document))
        said = refuse(store, tmp_path / "a.jsonld", "jsonld")
        assert "nothing is fetched: give a local copy with the option context=FILE" in said
        (tmp_path / "context").write_text(json.dumps({"@context": {"name": "http://x/name"}}))
        ingest.load(tmp_path / "a.jsonld", into=store, context=tmp_path / "context")
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []
    assert {s.relation for s in store.triples("http://x/a")} == {"http://x/name", "http://x/n"}


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


LONG = "0123456789" * 1_000_000
LONG_LITERALS: dict[str, str] = {
    "nt": f'<http://x/a> <http://x/r> "{LONG}" .\n',
    "ttl": f'<http://x/a> <http://x/r> """{LONG}""" .\n',
    "rdf": f'{RDF}<rdf:Description rdf:about="http://x/a"><x:r>{LONG}</x:r></rdf:Description></rdf:RDF>',
    "tsv": f"head\trelation\ttail\tkind\na\tr\t{LONG}\tliteral\n",
    "csv": f'head,relation,tail,kind\na,r,"{LONG}",literal\n',
    "graphml": GRAPHML.replace("<key", '<key id="t" for="node" attr.name="t"/><key', 1).replace(
        '<node id="a"/>', f'<node id="a"><data key="t">{LONG}</data></node>'
    ),
    "wikidata": json.dumps({"id": "Q1", "labels": {"en": {"language": "en", "value": LONG}}}),
}


@pytest.mark.parametrize("format", LONG_LITERALS)
def test_a_literal_of_ten_megabytes_is_read(store: KnowledgeGraph, tmp_path: Path, format: str) -> None:
    (tmp_path / "a.x").write_text(LONG_LITERALS[format])
    ingest.load(tmp_path / "a.x", into=store, format=format)
    assert max(len(str(s.tail)) for s in store.triples()) == 10_000_000


def test_a_literal_beyond_the_parser_s_limit_is_told(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "a.x").write_text(LONG_LITERALS["ttl"].replace(LONG, LONG * 2))
    assert "a term is longer than 16 MiB" in refuse(store, tmp_path / "a.x", "ttl")


def test_json_ld_s_texts_end_at_eight_megabytes(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "a.x").write_text(json.dumps({"@id": "http://x/a", "http://x/r": LONG}))
    assert "a term is longer than 8 MiB" in refuse(store, tmp_path / "a.x", "jsonld")
    (tmp_path / "a.x").write_text(json.dumps({"@id": "http://x/a", "http://x/r": LONG[:8_000_000]}))
    assert ingest.load(tmp_path / "a.x", into=store, format="jsonld").literals == 1


def test_a_line_without_end_is_told(tmp_path: Path) -> None:
    with (tmp_path / "a.x").open("wb") as file:
        file.truncate(2**30)  # a hole: a GB of U+0000
    for format in ("csv", "nt"):
        said = limited(LOAD, format, str(tmp_path / "a.x"), megabytes=500)
        assert "a.x:1: a line longer than 64 MiB: is this text?" in said


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


def test_deep_nesting_is_survived(tmp_path: Path) -> None:
    deep = 5_000
    files = {
        "ttl": "<http://x/a> <http://x/r> " + "[ <http://x/r> " * deep,
        "trig": "<http://x/a> <http://x/r> " + "( " * deep,
        "jsonld": '{"@id": "http://x/a", "http://x/r": ' + "[" * deep,
        "json": '{"directed": ' + "[" * deep,
        "rdf": RDF + '<rdf:Description rdf:about="http://x/a">' + "<x:r><rdf:Description>" * deep,
        "graphml": "<graphml>" + "<graph><node id='a'>" * deep,
        "wikidata": '{"id":"Q1","labels":' + "[" * deep,
    }
    for format, text in files.items():
        (tmp_path / "a.x").write_text(text)
        said = limited(LOAD, format, str(tmp_path / "a.x"), megabytes=900)
        assert "FormatError" in said and said.endswith(" 0\n"), (format, said)


def test_memory_does_not_grow_with_a_file_of_wrong_lines(tmp_path: Path) -> None:
    code = """
for path in sys.argv[1:]:
    with KnowledgeGraph.open("sqlite://") as graph:
        report = ingest.load(path, into=graph, on_error="skip")
        print(report.num_rejected, len(report.rejected))
"""
    lines = 100_000
    (tmp_path / "a.tsv").write_text("one\ttwo\n" * lines)
    (tmp_path / "a.csv").write_text("one,two\n" * lines)
    said = limited(code, str(tmp_path / "a.tsv"), str(tmp_path / "a.csv"), megabytes=250)
    assert said == f"{lines} 1000\n" * 2


def test_an_arrow_file_with_damaged_offsets_is_not_read_past_its_end(store: KnowledgeGraph, tmp_path: Path) -> None:
    import pyarrow

    path, names = tmp_path / "a.arrow", ["aaa", "bbbbb", "c"]
    table = pyarrow.table(dict.fromkeys(("head", "relation", "tail"), names))
    with pyarrow.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    offsets = struct.pack("<4i", 0, 3, 8, 9)
    content = path.read_bytes()
    assert content.count(offsets) == 3
    path.write_bytes(content.replace(offsets, struct.pack("<4i", 0, -1929379839, 8, 9), 1))
    assert "not a whole Arrow file" in refuse(store, path, "arrow")

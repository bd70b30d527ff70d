"""Bounds of what a reader takes: of memory, whatever a file unpacks to, and of reach: no other file, no network."""

from __future__ import annotations

import bz2
import gzip
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import zstandard

from kg import KnowledgeGraph, ingest
from kg.errors import FormatError
from tests.kg.ingest.examples import GOOD, GRAPHML, RDF, refuse

#: Linux says a process's own peak in /proc; getrusage's there counts its parent's, elsewhere (macOS) not, in bytes.
PEAK = """
from pathlib import Path
if Path("/proc/self/status").exists():
    kilobytes = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
else:
    import resource
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print("PEAK", kilobytes // 1024)
"""


def limited(code: str, *arguments: str, megabytes: int) -> str:
    """Run Python code in a process of its own; return what it printed, and check its peak memory."""
    program = f"import sys\nfrom kg import KnowledgeGraph, ingest\n{code}\n{PEAK}"
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

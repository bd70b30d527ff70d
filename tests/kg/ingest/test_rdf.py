from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError, InputError
from kg.records import XSD

#: The same three facts in every syntax.
SYNTAXES = {
    "nt": '<http://x/a> <http://x/r> <http://x/b> .\n<http://x/a> <http://x/n> "A"@en .\n'
    '<http://x/a> <http://x/s> "1.5"^^<http://www.w3.org/2001/XMLSchema#decimal> .\n',
    "nq": '<http://x/a> <http://x/r> <http://x/b> <http://x/g> .\n<http://x/a> <http://x/n> "A"@en .\n'
    '<http://x/a> <http://x/s> "1.5"^^<http://www.w3.org/2001/XMLSchema#decimal> .\n',
    "ttl": '@prefix : <http://x/> .\n:a :r :b ; :n "A"@en ; :s 1.5 .\n',
    "trig": '@prefix : <http://x/> .\n:g { :a :r :b ; :n "A"@en ; :s 1.5 . }\n',
    "rdf": '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://x/"><rdf:Description '
    'rdf:about="http://x/a"><r rdf:resource="http://x/b"/><n xml:lang="en">A</n>'
    '<s rdf:datatype="http://www.w3.org/2001/XMLSchema#decimal">1.5</s></rdf:Description></rdf:RDF>',
    "jsonld": '{"@id": "http://x/a", "http://x/r": {"@id": "http://x/b"}, "http://x/n": {"@value": "A", "@language": '
    '"en"}, "http://x/s": {"@value": "1.5", "@type": "http://www.w3.org/2001/XMLSchema#decimal"}}',
}
SYNTAXES |= {"xml": SYNTAXES["rdf"], "owl": SYNTAXES["rdf"]}

FACTS = {
    ("http://x/a", "http://x/r", "http://x/b"),
    ("http://x/a", "http://x/n", Literal("A", language="en")),
    ("http://x/a", "http://x/s", Literal("1.5", XSD + "decimal")),
}


@pytest.fixture
def store() -> KnowledgeGraph:
    return KnowledgeGraph.open("sqlite://")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("suffix", SYNTAXES)
def test_every_syntax_gives_the_same_facts(store: KnowledgeGraph, tmp_path: Path, suffix: str, packed: bool) -> None:
    path = tmp_path / f"a.{suffix}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(SYNTAXES[suffix].encode()) if packed else SYNTAXES[suffix].encode())
    report = ingest.load(path, into=store)
    assert {s.fact for s in store.triples()} == FACTS
    assert (report.triples, report.literals, report.entities, report.rejected) == (3, 2, 2, [])
    assert store.stats()["sources"] == {path.name: 3}


def test_plain_text_has_no_datatype_and_numbers_keep_theirs_and_their_spelling(
    store: KnowledgeGraph, tmp_path: Path
) -> None:
    (tmp_path / "a.ttl").write_text('<x:a> <x:b> "t", 007, 1e3, true, "u"^^<http://www.w3.org/2001/XMLSchema#string> .')
    ingest.load(tmp_path / "a.ttl", into=store)
    assert {s.tail for s in store.triples()} == {
        Literal("t"),
        Literal("u"),
        Literal("007", XSD + "integer"),
        Literal("1e3", XSD + "double"),
        Literal("true", XSD + "boolean"),
    }


def test_blank_nodes_are_one_s_own_in_every_file_and_the_same_in_every_reading(
    store: KnowledgeGraph, tmp_path: Path
) -> None:
    (tmp_path / "a.ttl").write_text("@prefix : <http://x/> . :a :r [ :r _:q ] .")
    (tmp_path / "b.ttl").write_text("@prefix : <http://x/> . :b :r _:q .")
    assert ingest.load(tmp_path / "a.ttl", into=store).triples == 2
    assert ingest.load(tmp_path / "a.ttl", into=store).triples == 0
    ingest.load(tmp_path / "b.ttl", into=store)
    blanks = {end for s in store.triples() for end in (s.head, s.tail) if isinstance(end, str) and end.startswith("_:")}
    assert len(blanks) == 3


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("bad.ttl", "@prefix : <http://x/> .\n:a :b :c .\n:a :b\n", r"bad\.ttl:(3|4): "),
        ("bad.nt", "<http://x/a> <http://x/b> <http://x/c> .\n<http://x/a> <http://x/b> x .\n", r"bad\.nt:2: "),
        ("bad.rdf", "<rdf:RDF>\n<oops\n</rdf:RDF>", r"bad\.rdf(:\d+)?: "),
        ("bad.jsonld", '{"@id": \n', r"bad\.jsonld(:\d+)?: "),
        ("bad.nt.gz", "not gzipped", r"bad\.nt\.gz: not a whole gzip file"),
        (
            "cut.nt.gz",
            gzip.compress(b"<http://x/a> <http://x/b> <http://x/c> .\n" * 99)[:-20],
            r"cut\.nt\.gz: not a whole",
        ),
    ],
)
def test_a_syntax_error_names_file_and_line_and_nothing_is_written(
    store: KnowledgeGraph, tmp_path: Path, name: str, content: str | bytes, place: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FormatError, match=place):
        ingest.load(tmp_path / name, into=store)
    assert store.version == 0 and store.stats()["triples"] == 0


def test_skipping_goes_on_line_by_line_and_lists_what_was_left_out(store: KnowledgeGraph, tmp_path: Path) -> None:
    good = [f'<http://x/n{n}> <http://x/v> "{n}" .' for n in range(20_000)]  # several blocks
    lines = [*good[:3], "rubbish", *good[3:15_000], '<http://x/a> "not a relation" <http://x/b> .', *good[15_000:]]
    path = tmp_path / "a.nt"
    path.write_text("\n".join(lines))
    report = ingest.load(path, into=store, on_error="skip")
    assert report.triples == 20_000 and report.num_rejected == 2
    assert [line.split(": ")[0] for line in report.rejected] == [f"{path}:4", f"{path}:15002"]


def test_turtle_can_not_be_skipped_through(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "bad.ttl").write_text("<http://x/a> <http://x/b> <http://x/c> .\n nonsense .\n")
    with pytest.raises(FormatError, match=r"bad\.ttl:2"):
        ingest.load(tmp_path / "bad.ttl", into=store, on_error="skip")
    assert store.version == 0


def test_a_context_from_elsewhere_is_refused(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "a.jsonld").write_text('{"@context": "http://schema.org/", "@id": "http://x/a", "name": "A"}')
    with pytest.raises(FormatError, match=r"a\.jsonld"):
        ingest.load(tmp_path / "a.jsonld", into=store)


def test_what_can_not_be_read_at_all_says_why(store: KnowledgeGraph, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file none"):
        ingest.load("none.ttl", into=store)
    with pytest.raises(InputError, match=r"d\.ttl holds no file that can be read"):
        (tmp_path / "d.ttl").mkdir()
        ingest.load(tmp_path / "d.ttl", into=store)
    with pytest.raises(InputError, match="there is no reader 'jsnld'; did you mean 'jsonld'"):
        ingest.load("a.jsnld", into=store)
    with pytest.raises(InputError, match="has no suffix to tell its format"):
        ingest.load("facts", into=store)
    with pytest.raises(InputError, match="'stop' or 'skip', not 'ignore'"):
        ingest.load("a.ttl", into=store, on_error="ignore")


def test_the_grocery_catalogue_is_read_whole(store: KnowledgeGraph, shared_data: Path) -> None:
    report = ingest.load(shared_data / "grocery" / "products.ttl", into=store, source="catalogue")
    assert report.triples == 1_569  # the file states 1,682, of which 113 twice
    product = store.describe(store.resolve("golden delicious"))
    assert product.types == ("http://example.org/grocery/Product",) and "juicy pulp" in product.description


@pytest.mark.parametrize("name", ingest.READERS)
def test_every_reader_of_the_table_can_be_imported(name: str) -> None:
    from kg.registry import resolve

    assert callable(resolve(ingest.READERS, name, "reader"))

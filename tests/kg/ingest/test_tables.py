from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kg import KnowledgeGraph, ingest
from kg.errors import FormatError


@pytest.fixture
def store() -> KnowledgeGraph:
    return KnowledgeGraph.open("sqlite://")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "Italy\tcapital\tRome\nFrance\tcapital\tParis\n"),
        ("a.txt", "\ufeffItaly\tcapital\tRome\r\n\r\nFrance\tcapital\tParis"),
        ("a.csv", 'Italy,capital,Rome\n"France","capital","Paris"\n'),
        ("a.tsv", "Relation\tTail\tHead\ncapital\tRome\tItaly\ncapital\tParis\tFrance\n"),
        ("a.csv", "tail,head,relation\nRome,Italy,capital\nParis,France,capital\n"),
        ("a.tsv.gz", gzip.compress(b"Italy\tcapital\tRome\nFrance\tcapital\tParis\n")),
    ],
)
def test_three_columns_are_facts_in_the_order_of_the_header(
    store: KnowledgeGraph, tmp_path: Path, name: str, content: str | bytes
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert ingest.load(tmp_path / name, into=store, source="s").triples == 2
    assert [s.fact for s in store.triples()] == [("Italy", "capital", "Rome"), ("France", "capital", "Paris")]


def test_a_quoted_comma_and_a_line_break_belong_to_the_name(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"Washington, D.C.",capital of,"United\nStates"\n')
    ingest.load(tmp_path / "a.csv", into=store)
    assert next(store.triples()).head == "Washington, D.C." and next(store.triples()).tail == "United\nStates"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.tsv", b"a\tr\tb\na\tr\n", r"a\.tsv:2: 2 columns instead of 3"),
        ("a.tsv", b"a\tr\tb\n\na\tr\tb\t0.5\n", r"a\.tsv:3: 4 columns instead of 3"),
        ("a.tsv", b"a\tr\tb\na\t \tb\n", r"a\.tsv:2: the relation is empty"),
        ("a.tsv", b"tail\thead\trelation\n\tb\tr\n", r"a\.tsv:2: the tail is empty"),
        ("a.tsv", b"a\tr\tb\na\tr\t\xff\n", r"a\.tsv:2: not UTF-8 text"),
        ("a.csv", b'a,r,b\na,"r"x,b\n', r"a\.csv:2: "),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_written(
    store: KnowledgeGraph, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=reason):
        ingest.load(tmp_path / name, into=store)
    assert store.version == 0


def test_skipped_lines_are_listed(store: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"a\tr\tb\nonly one\na\tr\t\xff\nb\tr\tc\n")
    report = ingest.load(tmp_path / "a.tsv", into=store, on_error="skip")
    assert report.triples == 2 and [line.split(": ")[0][-2:] for line in report.rejected] == [":2", ":3"]


def test_a_quarter_of_a_million_facts_of_fb15k_237_are_read(store: KnowledgeGraph, shared_data: Path) -> None:
    report = ingest.load(shared_data / "fb15k-237" / "train.tsv.gz", into=store)
    assert (report.triples, report.literals) == (272_115, 0) and len(store.relations()) == 237
    assert report.triples_per_second > 20_000

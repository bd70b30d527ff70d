from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kg import KnowledgeGraph, ingest
from kg.errors import FormatError, InputError
from kg.ingest import spelling

TURTLE = """@prefix : <http://x/> .
:a :r :b , [ :s "two\\nlines" ] ; :n "A"@en , 7 {| :since 1871 |} .
"""


@pytest.fixture
def store() -> Iterator[KnowledgeGraph]:
    with KnowledgeGraph.open("sqlite://") as graph:
        yield graph


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spelling, "LARGE", 0)


def lines(path: Path, **options: str) -> list[bytes]:
    return b"".join(spelling.spelt(path, spelling.RdfFormat.TURTLE, **options)).splitlines()


def test_another_process_spells_the_same_facts(store: KnowledgeGraph, tmp_path: Path, elsewhere: None) -> None:
    path = tmp_path / "a.ttl"
    path.write_text(TURTLE)
    assert ingest.load(path, into=store).triples == 5
    said = {(str(s.relation), str(s.tail)) for s in store.triples("http://x/a")}
    assert {("http://x/r", "http://x/b"), ("http://x/n", "A"), ("http://x/n", "7")} <= said
    spelling.LARGE = 1 << 30  # in this process; the fixture puts the number back
    assert ingest.load(path, into=store).triples == 0


def test_many_blocks_come_whole_and_in_order(tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spelling, "BLOCK", 1 << 16)
    path = tmp_path / "a.ttl"
    path.write_text("".join(f"<x:{n}> <x:r> {n} .\n" for n in range(45_000)))
    blocks = list(spelling.spelt(path, spelling.RdfFormat.TURTLE))
    assert len(blocks) == 3 and all(block.endswith(b" .\n") for block in blocks)
    assert [int(line.split(b'"')[1]) for line in b"".join(blocks).splitlines()] == list(range(45_000))


@pytest.mark.parametrize(
    ("content", "options", "error", "said"),
    [
        (b"<x:a> <x:r> 1 .\n<x:b> oops .", {}, FormatError, r"a\.ttl:2: .*mend it there"),
        (b"<a> <b> <c> .", {}, FormatError, r"a\.ttl:1: .*option base"),
        (b"<a> <b> <c> .", {"base": "no iri"}, InputError, "'base' is an absolute IRI, not 'no iri'"),
        (b"\xff\xfe<\0", {}, FormatError, "UTF-16"),
    ],
)
def test_mistakes_are_told_as_in_this_process(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    options: dict[str, str],
    error: type[Exception],
    said: str,
) -> None:
    path, told = tmp_path / "a.ttl", list[str]()
    path.write_bytes(content)
    for large in (0, 1 << 30):
        monkeypatch.setattr(spelling, "LARGE", large)
        with pytest.raises(error, match=said) as caught:
            lines(path, **options)
        told.append(str(caught.value))
    assert told[0] == told[1]


def children() -> set[int]:
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found in /proc")
def test_a_process_that_dies_is_an_error_and_none_stays(
    tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ttl"
    path.write_text("".join(f"<x:{n}> <x:r> {n} .\n" for n in range(200_000)))
    monkeypatch.setattr(spelling, "BLOCK", 1)
    before = children()
    blocks = spelling.spelt(path, spelling.RdfFormat.TURTLE)
    next(blocks)
    (reader,) = children() - before
    os.kill(reader, signal.SIGKILL)
    with pytest.raises(FormatError, match="ended unexpectedly"):
        list(blocks)
    blocks = spelling.spelt(path, spelling.RdfFormat.TURTLE)
    next(blocks)
    blocks.close()
    assert reader not in children() and children() <= before


def test_the_other_process_needs_torch_as_little_as_this_one() -> None:
    code = "import sys; from kg.ingest import spelling; print('torch' in sys.modules, 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False False\n"

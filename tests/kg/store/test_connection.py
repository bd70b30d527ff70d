from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from kg import KnowledgeGraph
from kg.errors import InputError, StoreError, StoreMissing
from kg.store import bulk, reading
from kg.store.light import Light
from kg.store.schema import triple

ROOT = str(Path(__file__).parents[3])


def test_a_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(
        StoreMissing, match=r"no store at sqlite:///.*none\.db: run `kemm ingest FILE --store sqlite:///"
    ):
        KnowledgeGraph.open(address, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_path_ending_in_db_is_an_address(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "a.db") as graph:
        assert graph.url == f"sqlite:///{tmp_path}/a.db"
    assert KnowledgeGraph.open(graph.url, create=False).version == 0


@pytest.mark.parametrize("content", [b"just some text, and long enough", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_store_is_left_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"notes\.db"):
        KnowledgeGraph.open(path)
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_another_program_s_database_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="a database but not a kemm store"):
        KnowledgeGraph.open(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_store_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    KnowledgeGraph.open(path).close()
    with sqlite3.connect(path) as store:
        store.execute("UPDATE meta SET value = '0' WHERE key = 'schema'")
    store.close()
    with pytest.raises(StoreError, match="has schema 0, this kemm reads schema 2: ingest it anew"):
        KnowledgeGraph.open(path)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("store", "is not the address of a store"),
        ("mysql://localhost/x", "SQLite or PostgreSQL, not mysql"),
        ("://", "is not the address of a store"),
    ],
)
def test_a_wrong_address_says_what_one_looks_like(address: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        KnowledgeGraph.open(address)


def test_a_folder_and_a_path_without_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match="is a folder, not a store"):
        KnowledgeGraph.open(tmp_path / "folder.db")
    with pytest.raises(StoreError, match=r"the folder .* does not exist"):
        KnowledgeGraph.open(tmp_path / "no" / "a.db")


def test_an_unreachable_server_is_a_store_error() -> None:
    pytest.importorskip("psycopg", reason="needs the extra [postgres]")
    with pytest.raises(StoreError, match="connection"):
        KnowledgeGraph.open("postgresql://nobody:secret@127.0.0.1:1/x")


def test_a_second_writer_waits_or_says_that_the_store_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    with KnowledgeGraph.open(path) as one:
        monkeypatch.setattr("kg.store.connection._PATIENCE", 0.2)
        with KnowledgeGraph.open(path) as other:
            with one.edit(source="s") as edit:
                edit.add("a", "b", "c")
                assert other.version == 0  # who reads does not wait
                with pytest.raises(StoreError, match="locked"):
                    other.add("a", "b", "d", source="s")
            other.add("a", "b", "d", source="s")
        assert [s.tail for s in one.triples()] == ["c", "d"]


LIGHT = """
import sys
from kg import KnowledgeGraph
with KnowledgeGraph.open(sys.argv[1], create=False) as graph:
    said = [statement.tail for statement in graph.triples(head="x:a")]
    print(said, "sqlalchemy" in sys.modules, len(graph.log()), "sqlalchemy" in sys.modules)
"""


@pytest.mark.parametrize("small", [0, 100])
def test_a_store_is_opened_and_read_without_sqlalchemy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr("kg.store.bulk.SMALL", small)
    with KnowledgeGraph.open(tmp_path / "a.db") as graph:
        bulk.load(graph, [("x:a", "x:r", "x:b"), ("x:c", "x:r", "x:d")], source="file")
    command = [sys.executable, "-c", LIGHT, str(tmp_path / "a.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": ROOT})
    has_rows = small > 0  # rows of ``triple`` are asked for through SQLAlchemy
    assert done.stdout.strip() == f"['x:b'] {has_rows} 1 True"


def test_a_reading_that_asks_for_more_sees_the_state_that_it_began_with(tmp_path: Path) -> None:
    KnowledgeGraph.open(tmp_path / "a.db").close()
    writer = KnowledgeGraph.open(tmp_path / "a.db")
    with KnowledgeGraph.open(tmp_path / "a.db", create=False) as graph:
        with graph.database.read() as connection:
            assert isinstance(connection, Light) and reading.current_version(connection) == 0
            writer.add("x:a", "x:r", "x:b", source="test")
            assert connection.execute(select(func.count()).select_from(triple)).scalar() == 0
            assert reading.current_version(connection) == 0
        with graph.database.read() as connection:
            assert not isinstance(connection, Light) and reading.current_version(connection) == 1
    writer.close()


def test_threads_read_at_once_without_sqlalchemy_and_with(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "a.db") as graph:
        graph.add("x:a", "x:r", "x:b", source="test")
    with KnowledgeGraph.open(tmp_path / "a.db", create=False) as graph, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: graph.version if n % 3 else len(graph.log()), range(60)))
        assert found == [1] * 60

"""Stores on the command line: the options that commands on one share, and how they open it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kemm.cli import screen

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Store = Annotated[
    str, typer.Option("--store", help="URL of the store: sqlite:///FILE.db or postgresql+psycopg://USER@HOST/NAME")
]
Source = Annotated[str, typer.Option("--source", help="Where this comes from; citations name it")]
Author = Annotated[str, typer.Option("--author", help="Who makes this version; `kg log` names them")]
Note = Annotated[str, typer.Option("--note", help="Why; `kg log` shows it")]
Version = Annotated[int | None, typer.Option("--version", min=0, help="Of the store; by default the last")]
Languages = Annotated[
    list[str], typer.Option("--language", help="Only names in this language, such as en, or in none; may be repeated")
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most rows to print")]


@contextlib.contextmanager
def existing(store: str, json: bool) -> Iterator[KnowledgeGraph]:
    """Open a store that must exist already; with ``json``, standard output is kept for the result."""
    from kg import KnowledgeGraph

    with screen.work(json), KnowledgeGraph.open(store, create=False) as graph:
        yield graph


@contextlib.contextmanager
def new_or_existing(store: str, json: bool, keep: bool = False) -> Iterator[KnowledgeGraph]:
    """Open a store, made where there is none; if one just made stays empty through an error, its file goes again."""
    from kg import KnowledgeGraph
    from kg.store.connection import parse

    url = parse(store)
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    is_new = file is not None and not file.exists() and not keep
    with screen.work(json), KnowledgeGraph.open(store) as graph:
        try:
            yield graph
        except BaseException:
            is_new = is_new and graph.version == 0
            raise
        else:
            is_new = False
        finally:
            graph.close()
            if is_new and file is not None:
                _remove_unless_open(file)


def _remove_unless_open(file: Path) -> None:
    """Remove a SQLite file, unless another process has opened it meanwhile."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(file, timeout=0)) as alone, contextlib.suppress(sqlite3.OperationalError):
        alone.execute("PRAGMA journal_mode = DELETE")  # refused while another connection has the file open
        file.unlink(missing_ok=True)

"""Our search by words beside plain tantivy, bm25s and SQLite's FTS5, on WordNet's synsets: lemmas and glosses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.retrieval_inputs import Arguments, glosses, microseconds, questions, recall

K = 10
#: FTS5 takes milliseconds a query: so many are asked of it.
FEW = 50


def _seconds(build: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    made = build()
    return made, time.process_time() - start


def _ours(arguments: Arguments, held: list[tuple[str, str]]) -> Any:
    from kg.records import Entity
    from retrieval.index.lexical import LexicalIndex

    folder = Path(arguments["work"]) / "lexical"
    if folder.exists():
        return LexicalIndex.open(folder)
    index = LexicalIndex.create(folder)
    names = [lemmas.split(", ") for lemmas, _ in held]
    entities = [Entity(str(n), name[0], held[n][1], tuple(name[1:])) for n, name in enumerate(names)]
    index.add(range(len(held)), entities)
    return index


def build_ours(arguments: Arguments) -> dict[str, Any]:
    import shutil

    shutil.rmtree(Path(arguments["work"]) / "lexical", ignore_errors=True)
    held = glosses(arguments)
    return {"value": 1e3 * _seconds(lambda: _ours(arguments, held))[1], "note": f"{len(held):,} synsets, on disk"}


def search_ours(arguments: Arguments) -> dict[str, Any]:
    held = glosses(arguments)
    asked, true = questions(held)
    index = _ours(arguments, held)
    value = microseconds(lambda: [index.search(text, K) for text in asked], len(asked))
    return {"value": value, "note": recall([[hit.id for hit in index.search(text, K)] for text in asked], true)}


def search_tantivy(arguments: Arguments) -> dict[str, Any]:
    import tantivy

    held = glosses(arguments)
    asked, true = questions(held)
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("id", stored=False, indexed=False, fast=True)
    builder.add_text_field("text", stored=False)
    index = tantivy.Index(builder.build())
    writer = index.writer(64_000_000, 1)
    for number, (_, text) in enumerate(held):
        writer.add_document(tantivy.Document(id=number, text=text))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def search(text: str) -> list[int]:
        query = index.parse_query(" ".join(re.findall(r"\w+", text.lower())), ["text"])
        return searcher.fast_field_values("id", [address for _, address in searcher.search(query, K).hits])

    value = microseconds(lambda: [search(text) for text in asked], len(asked))
    return {"value": value, "note": recall([search(text) for text in asked], true)}


def _bm25s(held: list[tuple[str, str]]) -> Any:
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize([f"{one} {two}" for one, two in held], show_progress=False), show_progress=False)
    return index


def build_bm25s(arguments: Arguments) -> dict[str, Any]:
    held = glosses(arguments)
    return {"value": 1e3 * _seconds(lambda: _bm25s(held))[1], "note": "in memory"}


def search_bm25s(arguments: Arguments) -> dict[str, Any]:
    import bm25s

    held = glosses(arguments)
    asked, true = questions(held)
    index = _bm25s(held)

    def search() -> Any:
        return index.retrieve(bm25s.tokenize(asked, show_progress=False), k=K, show_progress=False)[0]

    return {"value": microseconds(search, len(asked)), "note": recall(search().tolist(), true)}


def _fts5(held: list[tuple[str, str]]) -> Any:
    import sqlite3

    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE entity USING fts5(label, description)")
    database.executemany(
        "INSERT INTO entity (rowid, label, description) VALUES (?, ?, ?)", [(n, *row) for n, row in enumerate(held)]
    )
    return database


def build_fts5(arguments: Arguments) -> dict[str, Any]:
    held = glosses(arguments)
    return {"value": 1e3 * _seconds(lambda: _fts5(held))[1], "note": "in memory"}


def search_fts5(arguments: Arguments) -> dict[str, Any]:
    held = glosses(arguments)
    asked, true = questions(held)
    asked, true, database = asked[:FEW], true[:FEW], _fts5(held)

    def search(text: str) -> list[int]:
        query = " OR ".join(re.findall(r"\w+", text.lower())) or '""'
        query = " OR ".join(f'"{word}"' for word in query.split(" OR "))
        sql = "SELECT rowid FROM entity WHERE entity MATCH ? ORDER BY bm25(entity, 3, 1) LIMIT ?"
        return [row[0] for row in database.execute(sql, (query, K))]

    value = microseconds(lambda: [search(text) for text in asked], len(asked), times=1)
    return {"value": value, "note": recall([search(text) for text in asked], true) + f", of {FEW} queries"}

"""Loading: triples a second, from the file to a store that answers; and the bytes a triple that it then takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.frame import Skipped, peak
from benchmarks.kg_inputs import Paths


def load_ours(paths: Paths) -> dict[str, Any]:
    from kg import KnowledgeGraph, ingest

    store = Path(paths["out"]) / "ours.db"
    start = time.perf_counter()
    with KnowledgeGraph.open(store) as graph:
        report = ingest.load(paths["file"], into=graph)
    return {"value": report.triples / (time.perf_counter() - start), "note": f"{report.triples:,} triples"}


def load_ours_postgresql(paths: Paths) -> dict[str, Any]:
    """The same into an emptied PostgreSQL database, and the bytes a triple that it takes there, terms counted."""
    if not paths["postgresql"]:
        raise Skipped("no database: --postgresql URL (what is in it is deleted)")
    from sqlalchemy import create_engine, text

    from kg import KnowledgeGraph, ingest
    from kg.store.connection import parse

    engine = create_engine(parse(paths["postgresql"]))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    start = time.perf_counter()
    with KnowledgeGraph.open(paths["postgresql"]) as graph:
        report = ingest.load(paths["file"], into=graph)
    seconds = time.perf_counter() - start
    with engine.begin() as connection:
        size = connection.execute(
            text(
                "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relkind = 'r' AND relnamespace = "
                "'public'::regnamespace"
            )
        ).scalar_one()
    engine.dispose()
    each = float(size) / report.triples
    return {"value": report.triples / seconds, "note": f"{each:.1f} bytes a triple", "parts": {"bytes": each}}


def load_pyoxigraph(paths: Paths) -> dict[str, Any]:
    import pyoxigraph

    start = time.perf_counter()
    store = pyoxigraph.Store(str(Path(paths["out"]) / "oxigraph"))
    store.bulk_load(path=paths["file"])
    store.flush()
    seconds = time.perf_counter() - start
    return {"value": len(store) / seconds, "note": f"{len(store):,} triples"}


def parse_pyoxigraph(paths: Paths) -> dict[str, Any]:
    import pyoxigraph

    start = time.perf_counter()
    count = sum(1 for _ in pyoxigraph.parse(path=paths["file"]))
    return {"value": count / (time.perf_counter() - start)}


def load_rdflib(paths: Paths) -> dict[str, Any]:
    import rdflib

    start = time.perf_counter()
    graph = rdflib.Graph().parse(paths["file"])
    return {"value": len(graph) / (time.perf_counter() - start)}


def load_pykeen(paths: Paths) -> dict[str, Any]:
    try:
        from pykeen.triples import TriplesFactory
    except ImportError as error:
        raise Skipped(f"{error.name} is not installed") from None
    start = time.perf_counter()
    factory = TriplesFactory.from_path(paths["file"])
    return {"value": factory.num_triples / (time.perf_counter() - start), "note": f"{factory.num_triples:,} triples"}


def load_polars(paths: Paths) -> dict[str, Any]:
    import polars

    start = time.perf_counter()
    columns = ("head", "relation", "tail")
    table = polars.read_csv(paths["file"], separator="\t", has_header=False, new_columns=columns, quote_char=None)
    names = polars.concat([table["head"], table["tail"]]).unique(maintain_order=True)
    kind = polars.Enum(names)
    ids = [table[end].cast(kind).to_physical() for end in ("head", "tail")]
    ids.append(table["relation"].cast(polars.Categorical).to_physical())
    return {"value": len(ids[0]) / (time.perf_counter() - start)}


def disk_ours(paths: Paths) -> dict[str, Any]:
    """Bytes a triple beside the terms: statements, indexes and snapshot, by the pages that SQLite counts."""
    import sqlite3
    from contextlib import closing

    from kg import KnowledgeGraph

    store = Path(paths["store"])
    store.with_name(store.name + ".snapshot").unlink(missing_ok=True)  # it is taken here, not mapped
    with KnowledgeGraph.open(store, create=False) as graph:
        count, before = graph.count_facts(), peak()
        snapshot = graph.snapshot()
        taken = (peak() - before) / snapshot.num_edges
    beside = [path for path in store.parent.iterdir() if path.name == store.name + ".snapshot"]
    if not beside:  # kept in memory until someone saves it
        snapshot.save(Path(paths["out"]) / "snapshot")
        beside = [Path(paths["out"]) / "snapshot"]
    of_snapshot = sum(map(_size, beside))
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
        # A table of blocks holds statements and terms; it is divided as its blocks are.
        kinds = dict(connection.execute("SELECT kind, sum(length(data)) FROM block GROUP BY kind"))
    from kg.store.segments import PLACES

    of_blocks = sum(size for kind, size in kinds.items() if kind not in PLACES) / max(sum(kinds.values()), 1)
    of_terms = 0.0
    for name, size in pages.items():
        table = tables.get(name, name)
        of_terms += size * (of_blocks if table == "block" else table in ("term", "name"))
    whole = sum(pages.values())
    return {
        "value": (whole - of_terms + of_snapshot) / count,
        "note": f"statements {(whole - of_terms) / count:.1f}, snapshot {of_snapshot / count:.1f}; "
        f"and the terms {of_terms / count:.1f}",
        "parts": {
            "statements": (whole - of_terms) / count,
            "snapshot": of_snapshot / count,
            "terms": of_terms / count,
            "memory per edge": taken,
            "triples": count,
            "edges": snapshot.num_edges,
            "entities": snapshot.num_entities,
        },
    }


def disk_pyoxigraph(paths: Paths) -> dict[str, Any]:
    import pyoxigraph

    count = len(pyoxigraph.Store.read_only(paths["oxigraph"]))
    return {"value": _size(Path(paths["oxigraph"])) / count, "note": "strings counted"}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())

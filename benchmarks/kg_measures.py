"""The measures of ``benchmarks/kg.py``, each in a process of its own:

    python -m benchmarks.kg_measures NAME JSON


A measure gets the paths it needs, returns ``{"value": …}`` in the unit that its row in ``kg.py`` states, and may add
``"note"``. Nothing is imported before it is asked for, so that a process holds only what its measure uses. Peers run
under any Python that has them, so nothing of theirs touches ``kg``.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: 2 hops, at most so many edges out of each entity.
FAN_OUT = 16
NUM_STARTS = 1_000
TOP = 100
DAMPING = 0.85

Paths = dict[str, Any]


class Skipped(Exception):
    """The measure can't be taken here; the text says what is missing."""


# -- loading: triples a second, from the file to a store that answers -------------------------------------------------


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


# -- disk: bytes a triple ---------------------------------------------------------------------------------------------


def disk_ours(paths: Paths) -> dict[str, Any]:
    """Bytes a triple beside the terms: statements, indexes and snapshot, by the pages that SQLite counts."""
    import sqlite3
    from contextlib import closing

    from kg import KnowledgeGraph

    store = Path(paths["store"])
    with KnowledgeGraph.open(store, create=False) as graph:
        count, before = graph.count_facts(), _peak()
        snapshot = graph.snapshot()
        taken = (_peak() - before) / snapshot.num_edges
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


# -- neighbourhoods: entities a second, 2 hops along the edges out of each, at most FAN_OUT a step ---------------------


def _snapshot(paths: Paths) -> tuple[Any, Any, list[int]]:
    """Return the open store, its snapshot, and the dense numbers of the same entities that the peers start from."""
    from kg import KnowledgeGraph

    graph = KnowledgeGraph.open(paths["store"], create=False)
    snapshot = graph.snapshot()
    ids = graph.ids(paths["starts"])
    return graph, snapshot, [int(n) for n in snapshot.index_of([ids[iri] for iri in paths["starts"]])]


def _walks() -> Any:
    try:
        from kg import walks
    except ImportError:
        raise Skipped("there is no kg.walks") from None
    return walks


def hops_ours(paths: Paths) -> dict[str, Any]:
    walks = _walks()
    graph, snapshot, starts = _snapshot(paths)
    fan_out = (FAN_OUT, FAN_OUT)
    walks.neighbourhood(snapshot, starts[0], fan_out, direction="out")
    edges = 0

    def one_by_one() -> None:
        nonlocal edges
        edges = sum(len(walks.neighbourhood(snapshot, start, fan_out, direction="out").heads) for start in starts)

    seconds = _best(one_by_one)
    graph.close()
    return {"value": len(starts) / seconds, "note": f"{edges:,} edges"}


def hops_ours_batched(paths: Paths) -> dict[str, Any]:
    walks = _walks()
    graph, snapshot, starts = _snapshot(paths)
    fan_out = (FAN_OUT, FAN_OUT)
    walks.neighbourhoods(snapshot, starts, fan_out, direction="out")
    seconds = _best(lambda: walks.neighbourhoods(snapshot, starts, fan_out, direction="out"))
    graph.close()
    return {"value": len(starts) / seconds}


def hops_ours_store(paths: Paths) -> dict[str, Any]:
    from kg import KnowledgeGraph

    with KnowledgeGraph.open(paths["store"], create=False) as graph:
        graph.subgraph(paths["starts"][:1], hops=2, limit=FAN_OUT)
        start = time.perf_counter()
        for entity in paths["starts"]:
            graph.subgraph([entity], hops=2, limit=FAN_OUT)
        return {"value": len(paths["starts"]) / (time.perf_counter() - start), "note": "out and in, as statements"}


def _walk(out: Callable[[Any], Iterator[Any]], start: Any) -> int:
    """Follow the first ``FAN_OUT`` edges out of the start and out of each entity that they reach; return how many."""
    edges, reached = 0, [start]
    for _ in range(2):
        ends = []
        for entity in reached:
            for end, _ in zip(out(entity), range(FAN_OUT)):
                ends.append(end)
        edges += len(ends)
        reached = list(dict.fromkeys(ends))
    return edges


def hops_networkx(paths: Paths) -> dict[str, Any]:
    graph = _networkx(paths)
    return _rate(paths, lambda: [_walk(lambda e: iter(graph.adj[e]), start) for start in paths["starts"]])


def hops_rdflib(paths: Paths) -> dict[str, Any]:
    import rdflib

    graph = rdflib.Graph(bind_namespaces="none")
    for head, relation, tail in _rows(paths):
        graph.add((rdflib.URIRef(head), rdflib.URIRef(relation), rdflib.URIRef(tail)))
    starts = [rdflib.URIRef(start) for start in paths["starts"]]
    return _rate(paths, lambda: [_walk(graph.objects, start) for start in starts])


def hops_pyoxigraph(paths: Paths) -> dict[str, Any]:
    import pyoxigraph

    store = pyoxigraph.Store()
    node = pyoxigraph.NamedNode
    quads = (pyoxigraph.Quad(node("x:" + h), node("x:" + r), node("x:" + t)) for h, r, t in _rows(paths))
    store.bulk_extend(quads)

    def out(entity: Any) -> Iterator[Any]:
        return (quad.object for quad in store.quads_for_pattern(entity, None, None))

    return _rate(paths, lambda: [_walk(out, node("x:" + start)) for start in paths["starts"]])


def hops_pyg(paths: Paths) -> dict[str, Any]:
    return _pyg(paths, batch=1)


def hops_pyg_batched(paths: Paths) -> dict[str, Any]:
    return _pyg(paths, batch=NUM_STARTS)


def _pyg(paths: Paths, batch: int) -> dict[str, Any]:
    try:
        import torch
        from torch_geometric.data import Data
        from torch_geometric.loader import NeighborLoader
        from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
    except ImportError as error:
        raise Skipped(f"{error.name} is not installed") from None
    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        raise Skipped("NeighborLoader needs torch-sparse or pyg-lib, which are not installed")
    numbers: dict[str, int] = {}
    heads, tails = [], []
    for head, _, tail in _rows(paths):
        heads.append(numbers.setdefault(head, len(numbers)))
        tails.append(numbers.setdefault(tail, len(numbers)))
    # The loader walks against the edges, so that they are given the other way round.
    data = Data(edge_index=torch.tensor([tails, heads]), num_nodes=len(numbers))
    starts = torch.tensor([numbers[start] for start in paths["starts"]])
    loader = NeighborLoader(data, num_neighbors=[FAN_OUT, FAN_OUT], input_nodes=starts, batch_size=batch)
    for _ in loader:
        break
    sampler = "pyg-lib" if WITH_PYG_LIB else "torch-sparse"
    return _rate(paths, lambda: list(loader)) | {"note": f"by {sampler}, at random"}


# -- personalised PageRank: seeds a second ----------------------------------------------------------------------------


def ppr_ours(paths: Paths) -> dict[str, Any]:
    walks = _walks()
    graph, snapshot, starts = _snapshot(paths)
    walks.pageranks(snapshot, starts[:1], top=TOP, damping=DAMPING, direction="out")
    start = time.perf_counter()
    walks.pageranks(snapshot, starts, top=TOP, damping=DAMPING, direction="out")
    seconds = time.perf_counter() - start
    graph.close()
    return {"value": len(starts) / seconds}


def ppr_networkx(paths: Paths) -> dict[str, Any]:
    import networkx

    graph = _networkx(paths)
    few = paths["starts"][:3]
    start = time.perf_counter()
    for entity in few:
        ranks = networkx.pagerank(graph, alpha=DAMPING, personalization={entity: 1.0})
        sorted(ranks.items(), key=lambda pair: -pair[1])[:TOP]
    return {"value": len(few) / (time.perf_counter() - start), "note": f"on {len(few)} seeds"}


# -- opening: milliseconds from the first import to the answer of one 1-hop query --------------------------------------


def open_ours(paths: Paths) -> dict[str, Any]:
    start = time.perf_counter()
    from kg import KnowledgeGraph

    with KnowledgeGraph.open(paths["store"], create=False) as graph:
        count = sum(1 for _ in graph.triples(head=paths["starts"][0]))
        value = 1000 * (time.perf_counter() - start)
    return {"value": value, "note": f"{count} facts"}


def open_pyoxigraph(paths: Paths) -> dict[str, Any]:
    start = time.perf_counter()
    import pyoxigraph

    store = pyoxigraph.Store.read_only(paths["oxigraph"])
    count = sum(1 for _ in store.quads_for_pattern(pyoxigraph.NamedNode(paths["starts"][0]), None, None))
    return {"value": 1000 * (time.perf_counter() - start), "note": f"{count} facts"}


# -- SPARQL over a store: milliseconds a query ------------------------------------------------------------------------

GROUPED = (
    "PREFIX wno: <http://wordnet-rdf.princeton.edu/ontology#> "
    "SELECT ?to (COUNT(?s) AS ?n) WHERE { ?s wno:hypernym ?to . ?s a wno:NounSynset } "
    "GROUP BY ?to ORDER BY DESC(?n) LIMIT 10"
)


def sparql_ours(paths: Paths) -> dict[str, Any]:
    from kg import rdf

    with rdf.open(paths["store"], create=False) as graph:
        return _twice(graph)


def sparql_rdflib(paths: Paths) -> dict[str, Any]:
    import rdflib

    return _twice(rdflib.Graph().parse(paths["file"]))


def _twice(graph: Any) -> dict[str, Any]:
    """The second time: the first one, in the note, copies the relations where the engine wants that."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        rows = [(str(row[0]), int(row[1])) for row in graph.query(GROUPED)]
        times.append(1000 * (time.perf_counter() - start))
    return {"value": times[1], "note": f"{times[0]:,.0f} the first time; {rows[0][1]} the most"}


def sparql_pyoxigraph(paths: Paths) -> dict[str, Any]:
    import pyoxigraph

    store = pyoxigraph.Store.read_only(paths["oxigraph"])
    start = time.perf_counter()
    rows = list(store.query(GROUPED))
    return {"value": 1000 * (time.perf_counter() - start), "note": f"{rows[0]['n'].value} the most"}


# -- what several need ------------------------------------------------------------------------------------------------


def _rows(paths: Paths) -> Iterator[list[str]]:
    with Path(paths["tsv"]).open(encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def _networkx(paths: Paths) -> Any:
    import networkx

    graph = networkx.DiGraph()
    graph.add_edges_from((head, tail) for head, _, tail in _rows(paths))
    return graph


def _best(run: Callable[[], Any], times: int = 3) -> float:
    """The least seconds of a few runs in one process: the first warms the caches that a long-lived one has warm."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _rate(paths: Paths, run: Callable[[], Any]) -> dict[str, Any]:
    return {"value": len(paths["starts"]) / _best(run)}


def _peak() -> int:
    """The most bytes of memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def choose_starts(paths: Paths) -> dict[str, Any]:
    """The entities to start from: drawn with a fixed seed from those that have edges out."""
    heads = sorted({head for head, _, _ in _rows(paths)})
    return {"value": random.Random(0).sample(heads, NUM_STARTS)}


def main() -> None:
    """Run one measure and print its result as JSON, with the most memory that the process ever held, in MB."""
    name, paths = sys.argv[1], json.loads(sys.argv[2])
    try:
        result = globals()[name](paths)
    except (Skipped, ModuleNotFoundError) as error:
        result = {"skipped": str(error)}
    # A process starts with its parent's peak in this count, so that the parent must stay small.
    result["peak_mb"] = _peak() / 2**20
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()

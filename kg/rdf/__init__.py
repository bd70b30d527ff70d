"""A store as an ``rdflib.Graph``, so that SPARQL, serialisers and other RDF code work on it unchanged.

    from kg import rdf

    with rdf.open("sqlite:///world.db") as graph:
        graph.query("SELECT ?c WHERE { ?c <http://kemm.example/relation/currency> <http://kemm.example/currency/EUR> }")
        graph.update("DELETE WHERE { ?c <http://kemm.example/relation/area> ?a }")      # one new version
        with graph.edit(note="two facts, one version"):
            graph.add((a, p, b))
            graph.add((a, p, c))

    terms    rdflib's terms ↔ ours ↔ pyoxigraph's
    store    rdflib's view of a ``KnowledgeGraph``: look-ups, additions, removals; nothing is copied
    graph    the graph: what would be many edits (``parse``, ``update``, ``-=``, ``set``) is one version
    plan     what a query reads, and by which engine it is answered
    mirror   the relations that queries read, in pyoxigraph, where that is faster

A query is answered by rdflib over the store or by pyoxigraph over a mirror of the relations that it reads; ``plan``
gives the rule. The answers are the same.
"""

from __future__ import annotations

from pathlib import Path

from rdflib.term import URIRef

from kg.errors import InputError
from kg.rdf.graph import StoredGraph
from kg.rdf.store import SOURCE, TripleStore
from kg.rdf.terms import Quantity
from kg.store.graph import KnowledgeGraph

__all__ = ["Quantity", "StoredGraph", "TripleStore", "open"]


def open(
    url: str | Path | KnowledgeGraph,
    create: bool = False,
    source: str = SOURCE,
    *,
    version: int | None = None,
    mirror: bool = True,
) -> StoredGraph:
    """Return a store as a graph. ``graph.close()`` closes the store, too.

    Args:
        source: who says what is added through this graph.
        version: show the store as it stood then, read-only; by default as it is at each look.
        mirror: answer queries by pyoxigraph where that is faster; False never copies anything.

    Raises:
        StoreMissing: there is no store and ``create`` is False.
        InputError: the store has no such version.
    """
    knowledge = url if isinstance(url, KnowledgeGraph) else KnowledgeGraph.open(url, create)
    if version is not None and not 0 <= version <= (last := knowledge.version):
        raise InputError(f"the store is at version {last}: it has no version {version}")
    store = TripleStore(knowledge, source, version=version, mirror=mirror)
    return StoredGraph(store=store, identifier=URIRef(f"urn:uuid:{knowledge.uuid}"))

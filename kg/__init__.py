"""The knowledge graph: records, readers, a versioned store, entity linking, embeddings and graph encoders.

    from kg import KnowledgeGraph, ingest

    with KnowledgeGraph.open("sqlite:///world.db") as graph:
        ingest.load("countries", into=graph)
        graph.describe("http://kemm.example/country/IT").label        # 'Italy'

Names are imported on first use, so that ``import kg`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kg import ingest as ingest
    from kg.link import EntityLinker as EntityLinker
    from kg.records import Entity as Entity
    from kg.records import Link as Link
    from kg.records import Literal as Literal
    from kg.records import Picture as Picture
    from kg.records import Statement as Statement
    from kg.records import Subgraph as Subgraph
    from kg.store.graph import KnowledgeGraph as KnowledgeGraph
    from kg.store.snapshot import Snapshot as Snapshot

#: Public name → where it lives; a bare module is exported as itself.
_EXPORTS = {
    "KnowledgeGraph": "kg.store.graph:KnowledgeGraph",
    "Snapshot": "kg.store.snapshot:Snapshot",
    "EntityLinker": "kg.link:EntityLinker",
    "Entity": "kg.records:Entity",
    "Link": "kg.records:Link",
    "Literal": "kg.records:Literal",
    "Picture": "kg.records:Picture",
    "Statement": "kg.records:Statement",
    "Subgraph": "kg.records:Subgraph",
    "errors": "kg.errors",
    "ingest": "kg.ingest",
    "records": "kg.records",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'kg' has no attribute '{name}'")
    module, _, attribute = _EXPORTS[name].partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded

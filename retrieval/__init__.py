"""Retrieval: from a question and a picture to the few facts of a knowledge graph that could answer it.

    Query ── link ──► anchors ── walk ──► candidate facts ── select ──► Evidence

The names below are imported on first use. ``INDEXES`` is the table of searches, name → "module:Class"; their contract,
`Index`, stands beside it in `retrieval.index`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.catalogue import build_index as build_index
    from retrieval.catalogue import update_index as update_index
    from retrieval.embed import Embedder as Embedder
    from retrieval.embed import EmbeddingCache as EmbeddingCache
    from retrieval.entity_index import EntityIndex as EntityIndex
    from retrieval.evidence import Evidence as Evidence
    from retrieval.evidence import EvidenceFact as EvidenceFact
    from retrieval.evidence import Query as Query
    from retrieval.fact_index import FactIndex as FactIndex
    from retrieval.index import INDEXES as INDEXES
    from retrieval.index import Hit as Hit
    from retrieval.index import Index as Index
    from retrieval.index.graph_walk import GraphWalk as GraphWalk
    from retrieval.linker_head import LinkerHead as LinkerHead
    from retrieval.retriever import Retriever as Retriever
    from retrieval.step_scorer import StepScorer as StepScorer

_EXPORTS = {
    "Retriever": "retrieval.retriever",
    "Query": "retrieval.evidence",
    "Evidence": "retrieval.evidence",
    "EvidenceFact": "retrieval.evidence",
    "EntityIndex": "retrieval.entity_index",
    "FactIndex": "retrieval.fact_index",
    "build_index": "retrieval.catalogue",
    "update_index": "retrieval.catalogue",
    "Embedder": "retrieval.embed",
    "EmbeddingCache": "retrieval.embed",
    "GraphWalk": "retrieval.index.graph_walk",
    "LinkerHead": "retrieval.linker_head",
    "StepScorer": "retrieval.step_scorer",
    "INDEXES": "retrieval.index",
    "Index": "retrieval.index",
    "Hit": "retrieval.index",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'retrieval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

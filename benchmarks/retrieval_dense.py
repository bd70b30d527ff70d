"""Our dense search beside FAISS's own, on the very same index file: the same neighbours, so the same recall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.retrieval_inputs import QUERIES, Arguments, microseconds, queries, vectors

K = 10


def _prepared(arguments: Arguments) -> tuple[Path, Any, str]:
    """The index's file, made by the first process that asks, the queries, and the recall that tuning measured."""
    import numpy as np

    path = Path(arguments["work"]) / f"{arguments['kind']}.faiss"
    if not path.exists():
        from retrieval.index.dense import DenseIndex

        held = vectors(arguments)
        index = DenseIndex.create(held.shape[1], len(held), arguments["kind"])
        index.add(np.arange(len(held)), held)
        np.save(path.with_suffix(".npy"), queries(held))
        path.with_suffix(".txt").write_text(f"recall@10 {index.recall:.4f}")
        index.save(path)
    return path, np.load(path.with_suffix(".npy")), path.with_suffix(".txt").read_text()


def search_ours(arguments: Arguments) -> dict[str, Any]:
    from retrieval.index.dense import DenseIndex

    path, asked, recall = _prepared(arguments)
    index = DenseIndex.open(path)
    if arguments["how"] == "batch":
        return {"value": microseconds(lambda: index.search_batch(asked, K), QUERIES), "note": recall}
    return {"value": microseconds(lambda: [index.search(query, K) for query in asked], QUERIES), "note": recall}


def search_faiss(arguments: Arguments) -> dict[str, Any]:
    import faiss

    path, asked, recall = _prepared(arguments)
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if arguments["how"] == "batch":
        return {"value": microseconds(lambda: index.search(asked, K), QUERIES), "note": recall}
    rows = [query[None] for query in asked]
    return {"value": microseconds(lambda: [index.search(row, K) for row in rows], QUERIES), "note": recall}

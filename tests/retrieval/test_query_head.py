"""A head on queries: it learns where the answers lie, on vectors whose answer one knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg.errors import InputError
from retrieval.index.dense import DenseIndex
from retrieval.query_head import QueryHead


def world() -> tuple[np.ndarray, DenseIndex, np.ndarray]:
    """400 documents; each one's query is its vector with the first 16 of 32 coordinates shifted round by one."""
    documents = np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32)
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    index = DenseIndex.create(32, 400)
    index.add(np.arange(400) + 1000, documents)
    queries = np.concatenate([np.roll(documents[:, :16], 1, axis=1), documents[:, 16:]], axis=1)
    return queries, index, np.arange(400) + 1000


def found(index: DenseIndex, queries: np.ndarray, right: np.ndarray) -> float:
    return float((index.search_batch(queries, 1)[1][:, 0] == right).mean())


def test_it_learns_from_some_queries_where_the_answers_of_others_lie() -> None:
    queries, index, right = world()
    head = QueryHead.train(queries[:300], right[:300].tolist(), index, steps=300)
    before, after = found(index, queries[300:], right[300:]), found(index, head(queries[300:]), right[300:])
    assert before < 0.55 and after > 0.65


def test_before_training_it_changes_nothing_but_length() -> None:
    queries, index, right = world()
    head = QueryHead.train(queries, right.tolist(), index, steps=0)
    assert head(3 * queries) == pytest.approx(queries, abs=1e-5)


def test_what_is_saved_is_what_is_opened_and_another_file_is_refused(tmp_path: Path) -> None:
    head = QueryHead(np.diag([1.0, 2.0]).astype(np.float32))
    head.save(tmp_path / "head.safetensors")
    vectors = np.array([[1.0, 1.0]], dtype=np.float32)
    assert np.array_equal(QueryHead.open(tmp_path / "head.safetensors")(vectors), head(vectors))
    assert head(vectors)[0] == pytest.approx([1 / 5**0.5, 2 / 5**0.5])
    (tmp_path / "none").write_bytes(b"")
    with pytest.raises(InputError, match="not a query head"):
        QueryHead.open(tmp_path / "none")

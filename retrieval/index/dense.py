"""Nearest neighbours by inner product: FAISS, exact below a million vectors, HNSW above (Malkov and Yashunin, 2016)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import faiss
import numpy as np

from kg.errors import InputError
from retrieval.index import Hit

#: From here on an exact search takes over half a second on two cores at 384 dimensions, so HNSW takes over.
APPROXIMATE_FROM = 1_000_000
_GONE = -1  # FAISS's own mark for "no id"


class DenseIndex:
    """Vectors (N, D) under 64-bit ids.

    An exact index removes for good. HNSW can't take nodes out of its graph: a removed vector stays as a way-point, but
    its id is struck out and no search returns it; a rebuild frees the room.
    """

    def __init__(self, index: Any, writable: bool = True) -> None:
        self._index = index
        self._writable = writable
        self._is_exact = isinstance(faiss.downcast_index(index.index), faiss.IndexFlat)
        self._sorted: np.ndarray | None = None  # the ids in order, made when first asked for
        self._num_gone = 0 if self._is_exact else int((faiss.vector_to_array(index.id_map) == _GONE).sum())

    @classmethod
    def create(cls, dimension: int, size: int = 0, kind: str = "auto") -> Self:
        """Make an empty index of ``kind`` exact, hnsw, or auto: by the ``size`` it is going to have."""
        assert kind in ("auto", "exact", "hnsw")
        inner: Any
        if kind == "hnsw" or (kind == "auto" and size > APPROXIMATE_FROM):
            inner = faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
            inner.hnsw.efSearch = 128
        else:
            inner = faiss.IndexFlatIP(dimension)
        outer = faiss.IndexIDMap2(inner)
        inner.this.disown()  # the outer index owns it in C++ from here on
        outer.own_fields = True
        return cls(outer)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal) - self._num_gone

    @property
    def ids(self) -> np.ndarray:
        """The ids held, int64 (N,), in the order of addition."""
        ids = faiss.vector_to_array(self._index.id_map)
        return ids[ids != _GONE]

    def add(self, ids: Sequence[int] | np.ndarray, items: np.ndarray) -> None:
        """Add vectors float32 (N, D); ids must be new and not negative."""
        assert self._writable, "opened read-only"
        self._sorted = None
        keys = np.asarray(ids, dtype=np.int64)
        assert keys.shape == (len(items),) and (keys >= 0).all()
        if len(keys):
            self._index.add_with_ids(np.ascontiguousarray(items, dtype=np.float32), keys)

    def remove(self, ids: Sequence[int] | np.ndarray) -> int:
        assert self._writable, "opened read-only"
        self._sorted = None
        keys = np.asarray(ids, dtype=np.int64)
        if self._is_exact:
            return int(self._index.remove_ids(keys)) if len(keys) else 0
        held = faiss.vector_to_array(self._index.id_map)
        struck = np.isin(held, keys)
        held[struck] = _GONE
        faiss.copy_array_to_vector(held, self._index.id_map)
        self._index.construct_rev_map()
        self._num_gone += int(struck.sum())
        return int(struck.sum())

    def search(self, query: np.ndarray, k: int) -> list[Hit]:
        """Nearest ids of one vector (D,), best first."""
        scores, ids = self.search_batch(query[None], k)
        return [Hit(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i != _GONE]

    def search_batch(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Nearest ids of vectors (Q, D): scores float32 (Q, k), ids int64 (Q, k); −inf and −1 beyond the last."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        assert queries.ndim == 2 and queries.shape[1] == self.dimension
        wide = min(k + min(self._num_gone, 4 * k + 64), int(self._index.ntotal))  # struck-out ids take places too
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), _GONE, dtype=np.int64)
        if wide == 0:
            return scores, ids
        found_scores, found_ids = self._index.search(queries, wide)  # (Q, wide) each
        order = np.argsort(found_ids == _GONE, axis=1, kind="stable")[:, :k]  # the living first, still by score
        width = order.shape[1]
        ids[:, :width] = np.take_along_axis(found_ids, order, axis=1)
        scores[:, :width] = np.take_along_axis(found_scores, order, axis=1)
        scores[ids == _GONE] = -np.inf
        return scores, ids

    def vectors(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The stored vectors of ids, float32 (N, D); a zero row for an id that isn't held."""
        keys = np.asarray(ids, dtype=np.int64)
        result = np.zeros((len(keys), self.dimension), dtype=np.float32)
        if self._sorted is None:
            self._sorted = np.sort(self.ids)
        if len(keys) and len(self._sorted):
            nearest = self._sorted[np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)]
            known = np.flatnonzero(nearest == keys)
            if len(known):
                result[known] = self._index.reconstruct_batch(keys[known])
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, to a temporary name first."""
        temporary = f"{os.fspath(path)}.tmp"
        faiss.write_index(self._index, temporary)
        os.replace(temporary, path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], writable: bool = False) -> Self:
        """Open a saved index, memory-mapped unless it is to be changed.

        Raises:
            InputError: the file is missing or no index.
        """
        try:  # FAISS crashes on changing a mapped index, hence the two ways
            return cls(faiss.read_index(os.fspath(path), 0 if writable else faiss.IO_FLAG_MMAP_IFC), writable)
        except RuntimeError as error:
            raise InputError(f"{os.fspath(path)}: no readable index; build it again with `kemm index`") from error

"""Nearest neighbours of vectors by FAISS: exact, by inverted lists (IVF), or by a graph (HNSW).

| kind  | finds            | removes            | after                                                |
|-------|------------------|--------------------|------------------------------------------------------|
| exact | all              | for good           |                                                      |
| ivf   | 99 % (`tuning`)  | for good           | Sivic and Zisserman, 2003; Jégou et al., 2011        |
| hnsw  | 99 % (`tuning`)  | strikes out the id | Malkov and Yashunin, 2016, arXiv:1603.09320          |
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import faiss
import numpy as np

from kg.errors import InputError
from retrieval.index import Hit
from retrieval.index.tuning import tune

KINDS = ("exact", "ivf", "hnsw")
METRICS = {"inner_product": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}
#: Up to here ``auto`` is exact, beyond it HNSW; `kind_for` has the figures.
EXACT_UP_TO = 200_000
_GONE = -1  # FAISS's own mark for "no id"
_PER_LIST = 39  # vectors that k-means wants at least for each centre; FAISS warns below
_TRAINED_ON = 64  # vectors a list that it is trained on: more moves the centres no further


class DenseIndex:
    """Vectors (N, D) under 64-bit ids, by inner product (of unit vectors: the cosine) or L2.

    Scores are inner products, or −‖q − x‖² for L2, so that higher is better. HNSW can't take nodes out of its graph: a
    removed vector stays as a way-point, but its id is struck out and no search returns it. `rebuilt` frees the room.

    Attributes:
        kind: exact, ivf or hnsw.
        recall: what the tuning of an approximate index measured on queries it was not tuned on; None if it was not
            tuned by this process. 1 for an exact one.
    """

    def __init__(self, index: Any, writable: bool = True) -> None:
        self._index = index
        self._writable = writable
        self._sorted: np.ndarray | None = None  # the ids in order, made when first asked for
        self._num_gone = 0
        self._is_l2 = index.metric_type == faiss.METRIC_L2
        if isinstance(index, faiss.IndexIVF):
            self.kind = "ivf"
        else:
            self.kind = "exact" if isinstance(faiss.downcast_index(index.index), faiss.IndexFlat) else "hnsw"
            self._num_gone = int((faiss.vector_to_array(index.id_map) == _GONE).sum())
        self.recall: float | None = 1.0 if self.kind == "exact" else None

    @classmethod
    def create(cls, dimension: int, size: int = 0, kind: str = "auto", metric: str = "inner_product") -> Self:
        """Make an empty index of ``kind`` exact, ivf, hnsw, or auto: by the ``size`` it is going to have.

        An approximate index is trained and tuned by its first `add`: give that many vectors, or all.
        """
        assert kind in ("auto", *KINDS) and metric in METRICS
        kind = kind_for(size) if kind == "auto" else kind
        if kind == "ivf":
            return cls(_inverted_lists(dimension, 1, METRICS[metric]))
        inner: Any
        if kind == "hnsw":
            inner = faiss.IndexHNSWFlat(dimension, 32, METRICS[metric])
            inner.hnsw.efSearch = 128
        else:
            inner = faiss.IndexFlat(dimension, METRICS[metric])
        outer = faiss.IndexIDMap2(inner)
        inner.this.disown()  # the outer index owns it in C++ from here on
        outer.own_fields = True
        return cls(outer)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @property
    def metric(self) -> str:
        return "l2" if self._is_l2 else "inner_product"

    def __len__(self) -> int:
        return int(self._index.ntotal) - self._num_gone

    @property
    def ids(self) -> np.ndarray:
        """The ids held, int64 (N,), in no particular order."""
        if self.kind == "ivf":
            lists = self._index.invlists
            held = [(lists.get_ids(n), lists.list_size(n)) for n in range(self._index.nlist) if lists.list_size(n)]
            parts = [np.array(faiss.rev_swig_ptr(pointer, size)) for pointer, size in held]
            return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        ids = faiss.vector_to_array(self._index.id_map)
        return ids[ids != _GONE]

    def add(self, ids: Sequence[int] | np.ndarray, items: np.ndarray) -> None:
        """Add vectors float32 (N, D); ids must be new and not negative: `update` takes any."""
        assert self._writable, "opened read-only"
        keys, vectors = np.asarray(ids, dtype=np.int64), np.ascontiguousarray(items, dtype=np.float32)
        assert vectors.shape == (len(keys), self.dimension) and (keys >= 0).all()
        if not len(keys):
            return
        is_first = self._index.ntotal == 0
        if self.kind == "ivf" and not self._index.is_trained:
            self._train(vectors)
        self._sorted = None
        self._index.add_with_ids(vectors, keys)
        if is_first and self.kind != "exact":
            self.recall = tune(self, keys, vectors)

    def remove(self, ids: Sequence[int] | np.ndarray) -> int:
        """Forget ids; return how many were there."""
        assert self._writable, "opened read-only"
        self._sorted = None
        keys = np.unique(np.asarray(ids, dtype=np.int64))
        if not len(keys) or not self._index.ntotal:
            return 0
        if self.kind == "exact":
            return int(self._index.remove_ids(keys))
        if self.kind == "ivf":  # the map from id to place takes no other selector
            return int(self._index.remove_ids(faiss.IDSelectorArray(len(keys), faiss.swig_ptr(keys))))
        held = faiss.vector_to_array(self._index.id_map)
        struck = np.isin(held, keys[keys >= 0])
        held[struck] = _GONE
        faiss.copy_array_to_vector(held, self._index.id_map)
        self._index.construct_rev_map()
        self._num_gone += int(struck.sum())
        return int(struck.sum())

    def update(self, ids: Sequence[int] | np.ndarray, items: np.ndarray) -> None:
        """Put vectors (N, D) in place of those held under ``ids``, new ids among them or not."""
        self.remove(ids)
        self.add(ids, items)

    def search(self, query: np.ndarray, k: int) -> list[Hit]:
        """Nearest ids of one vector (D,), best first."""
        scores, ids = self.search_batch(query[None], k)
        return [Hit(key, score) for key, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if key != _GONE]

    def search_batch(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Nearest ids of vectors (Q, D): scores float32 (Q, k), ids int64 (Q, k); −inf and −1 beyond the last."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        assert queries.ndim == 2 and queries.shape[1] == self.dimension
        found = min(k, len(self))
        if found < 1:
            return np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), _GONE, np.int64)
        scores, ids = self._index.search(queries, found, params=self._only_living() if self._num_gone else None)
        if self._is_l2:
            np.negative(scores, out=scores)
        if (ids[:, -1] == _GONE).any():  # FAISS marks what it did not find by the largest float
            scores[ids == _GONE] = -np.inf
        if found < k:
            scores = np.pad(scores, ((0, 0), (0, k - found)), constant_values=-np.inf)
            ids = np.pad(ids, ((0, 0), (0, k - found)), constant_values=_GONE)
        return scores, ids

    def _only_living(self) -> Any:
        """Let a search walk over struck-out nodes but not return them; new each time, for the search writes in it."""
        if self.kind != "hnsw":
            return None
        living = faiss.IDSelectorRange(0, np.iinfo(np.int64).max)
        chosen: Any = faiss.SearchParametersHNSW(sel=living, efSearch=self._graph.efSearch)  # type: ignore[attr-defined]
        chosen.living = living  # FAISS keeps the bare pointer
        return chosen

    @property
    def _graph(self) -> Any:
        inner: Any = faiss.downcast_index(self._index.index)
        return inner.hnsw

    @property
    def effort(self) -> int:
        """How much of an approximate index a search looks at: ``nprobe`` lists of IVF, ``efSearch`` nodes of HNSW."""
        return int(self._index.nprobe if self.kind == "ivf" else self._graph.efSearch)

    @effort.setter
    def effort(self, value: int) -> None:
        if self.kind == "ivf":
            self._index.nprobe = value
        else:
            self._graph.efSearch = value

    @property
    def most_effort(self) -> int:
        """From here on more effort changes nothing."""
        return int(self._index.nlist if self.kind == "ivf" else max(self._index.ntotal, 1))

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

    @property
    def is_worn(self) -> bool:
        """Whether more of it is struck out than alive, or it has outgrown its lists fourfold: time for `rebuilt`."""
        outgrown = (
            self.kind == "ivf"
            and self._index.ntotal > 16 * _PER_LIST
            and (4 * self._index.nlist < num_lists(int(self._index.ntotal)))
        )
        return outgrown or self._num_gone > len(self)

    def rebuilt(self, kind: str | None = None) -> Self:
        """A new index of the same vectors, trained and tuned on all of them; of the same kind unless one is given."""
        keys = self.ids
        fresh = self.create(self.dimension, len(keys), kind or self.kind, self.metric)
        fresh.add(keys, self.vectors(keys))
        return fresh

    def _train(self, vectors: np.ndarray) -> None:
        """Lay the lists out for vectors (N, D), by a sample of them."""
        lists = num_lists(len(vectors))
        self._index = _inverted_lists(self.dimension, lists, self._index.metric_type)
        sample = np.random.default_rng(0).permutation(len(vectors))[: _TRAINED_ON * lists]
        self._index.train(vectors[sample])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, to a temporary name first."""
        temporary = f"{os.fspath(path)}.tmp"
        try:
            faiss.write_index(self._index, temporary)
            os.replace(temporary, path)
        except (RuntimeError, OSError) as error:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise InputError(f"{os.fspath(path)}: the index can't be written ({_reason(error)})") from error

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


def kind_for(size: int) -> str:
    """The kind that ``auto`` takes for ``size`` vectors: exact up to `EXACT_UP_TO`, HNSW beyond.

    Measured on MiniLM's vectors of WordNet and the countries (384 dimensions; processor time of one core; recall of
    noisy copies of the vectors), a query in ms after building in s:

    | N       | exact       | IVF, recall         | HNSW, recall        |
    |---------|-------------|---------------------|---------------------|
    | 10,000  | 0.56 in 0   | 0.68 in 1,   0.995  | 0.39 in 2,   0.995  |
    | 30,000  | 2.9 in 0.1  | 2.6 in 5,    0.998  | 0.87 in 9,   0.995  |
    | 118,430 | 14.5 in 0.6 | 6.4 in 21,   0.995  | 2.8 in 41,   0.996  |

    HNSW's search is faster from 10,000 on, but it pays for its building only after thousands of queries, its updates
    strike out rather than remove, and it misses some; so ``auto`` stays exact while a query takes about 25 ms. IVF must
    look at a half of its lists for that recall here: it is for whoever removes much, or builds often.
    """
    return "exact" if size <= EXACT_UP_TO else "hnsw"


def num_lists(size: int) -> int:
    """4 √N lists, as FAISS's authors advise, fewer where that leaves too few vectors each."""
    return max(1, min(round(4 * size**0.5), size // _PER_LIST))


def _inverted_lists(dimension: int, lists: int, metric: int) -> Any:
    """An empty, untrained IVF that can tell where an id is, so that it can be read back and removed."""
    centres: Any = faiss.IndexFlat(dimension, metric)
    index = faiss.IndexIVFFlat(centres, dimension, lists, metric)
    centres.this.disown()
    index.own_fields = True
    index.cp.seed = 0
    index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
    return index


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[-1]

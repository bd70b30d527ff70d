"""Triples sorted by the parts of their head and tail, in one file that is mapped."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kg.embeddings.partitions.plan import Plan
from kg.embeddings.triples import Array

#: Triples that are sorted into the file at a time.
CHUNK = 1 << 20


class Buckets:
    """The triples of training by pairs of parts.

    Args:
        folder: for the file, which is written unless it is there; those of other deals are removed.
        train: (N, 3), may be mapped.
    """

    def __init__(self, folder: Path, train: Array, plan: Plan) -> None:
        self.plan = plan
        counts = np.zeros(plan.num_parts**2, dtype=np.int64)
        for start in range(0, len(train), CHUNK):
            counts += np.bincount(self._bucket(train[start : start + CHUNK]), minlength=len(counts))
        self.starts = np.append(0, counts.cumsum())
        path = folder / f"triples-{plan.deal}-{len(train)}.npy"
        for other in folder.glob("triples-*"):
            if other != path:
                other.unlink()
        if not path.is_file():
            partial = path.with_name(path.name + ".partial")
            written = np.lib.format.open_memmap(partial, mode="w+", dtype=np.int32, shape=(len(train), 3))
            free = self.starts[:-1].copy()
            for start in range(0, len(train), CHUNK):
                rows = np.asarray(train[start : start + CHUNK])
                bucket = self._bucket(rows)
                order = np.argsort(bucket, kind="stable")
                ordered = bucket[order]
                place = np.arange(len(order)) - np.searchsorted(ordered, ordered)  # within the chunk's share of it
                written[free[ordered] + place] = rows[order]
                free += np.bincount(bucket, minlength=len(free))
            written.flush()
            del written
            os.replace(partial, path)
        self._rows = np.load(path, mmap_mode="r")

    def _bucket(self, rows: Array) -> Array:
        found: Array = self.plan.part(rows[:, 0]).astype(np.int64) * self.plan.num_parts + self.plan.part(rows[:, 2])
        return found

    def between(self, heads: int, tails: int) -> Array:
        """Return the triples with their head in one part and their tail in another, (M, 3) int64."""
        bucket = heads * self.plan.num_parts + tails
        return np.array(self._rows[self.starts[bucket] : self.starts[bucket + 1]], dtype=np.int64)

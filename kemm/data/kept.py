"""Arrays made of files, kept by content: in memory, and in shards of a folder for the next run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

Source = TypeVar("Source")
SHARD = 512  # arrays of a file


class Kept(Generic[Source]):
    """One array a source, found again by a key that has the hash of a file's bytes; so a changed file is noticed.

    Args:
        folder: where shards are; None keeps all in memory only.
        name: what shards' names begin with.
        made_by: what the arrays hang on besides the files (tower, size); shards made by anything else are left alone.
        shape, dtype: of an array.
    """

    def __init__(
        self, folder: Path | None, name: str, made_by: dict[str, Any], shape: tuple[int, ...], dtype: type
    ) -> None:
        self.folder, self.name, self.made_by, self.shape, self.dtype = folder, name, made_by, shape, dtype
        self.rows: dict[str, np.ndarray] = {}
        for shard in sorted(folder.glob(f"{name}-*.json")) if folder else ():
            saved = json.loads(shard.read_text())
            keys = saved.pop("keys")
            if saved == made_by:
                array = np.load(shard.with_suffix(".npy"), mmap_mode="r")
                self.rows.update(zip(keys, array, strict=True))
        self._hashes: dict[tuple[str, int, int], str] = {}

    def make(self, items: Sequence[tuple[str, Source]]) -> np.ndarray:
        """(N, …) of some keys and their sources."""
        raise TypeError(f"{type(self).__name__} must define make")

    def content(self, file: str) -> str:
        """The hash of a file's bytes, read again when its time or size has changed.

        Raises:
            OSError: it can't be read.
        """
        state = os.stat(file)
        known = file, state.st_mtime_ns, state.st_size
        if known not in self._hashes:
            self._hashes[known] = hashlib.blake2b(Path(file).read_bytes(), digest_size=12).hexdigest()
        return self._hashes[known]

    def keep(self, wanted: dict[str, Source], progress: Callable[[int], object] | None = None, batch: int = 32) -> None:
        """Make sure that these are there; a shard is written every 512."""
        todo = [item for item in wanted.items() if item[0] not in self.rows]
        if progress is not None:
            progress(len(wanted) - len(todo))
        for start in range(0, len(todo), SHARD):
            shard = todo[start : start + SHARD]
            made: np.ndarray = np.empty((len(shard), *self.shape), dtype=self.dtype)
            for first in range(0, len(shard), batch):
                part = shard[first : first + batch]
                made[first : first + len(part)] = self.make(part)
                if progress is not None:
                    progress(len(part))
            self._write([key for key, _ in shard], made)

    def found(self, key: str, source: Source) -> np.ndarray:
        """One array; made now, for this process alone, where ``keep`` has not been asked for it."""
        if key not in self.rows:
            self.rows[key] = self.make([(key, source)])[0]
        return self.rows[key]

    def _write(self, keys: list[str], made: np.ndarray) -> None:
        if self.folder is None:
            self.rows.update(zip(keys, made, strict=True))
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.name}-{hashlib.blake2b(''.join(keys).encode(), digest_size=8).hexdigest()}"
        np.save(self.folder / f"{name}.npy", made)
        partial = self.folder / f"{name}.partial"
        partial.write_text(json.dumps({**self.made_by, "keys": keys}))
        partial.replace(self.folder / f"{name}.json")  # the shard counts only once this stands
        self.rows.update(zip(keys, np.load(self.folder / f"{name}.npy", mmap_mode="r"), strict=True))

"""Many texts as one run of UTF-8: no object for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Texts:
    """n texts: the bytes of all, and where in them each begins, (n + 1,) int64."""

    __slots__ = ("offsets", "run")

    def __init__(self, run: Array, offsets: Array) -> None:
        self.run, self.offsets = run, offsets

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Put texts together.

        Raises:
            UnicodeEncodeError: one of them holds half a surrogate pair.
        """
        parts = [text.encode() for text in texts]
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        return cls(np.frombuffer(b"".join(parts), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> str:
        return self.run[self.offsets[place] : self.offsets[place + 1]].tobytes().decode()

    def to_list(self) -> list[str]:
        """Return each as a text."""
        first = int(self.offsets[0])
        run, bounds = self.run[first : int(self.offsets[-1])].tobytes(), (self.offsets - first).tolist()
        return [run[start:stop].decode() for start, stop in pairwise(bounds)]

    def take(self, places: Array) -> Texts:
        """Return those at places."""
        if len(places) == len(self) and (places == np.arange(len(self))).all():
            return self
        from kg.store.numbering import kernels

        lengths = self.offsets[places + 1] - self.offsets[places]
        offsets = np.zeros(len(places) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        run = np.empty(int(offsets[-1]), np.uint8)
        places = np.ascontiguousarray(places, np.int64)
        kernels.gather(self.run, np.ascontiguousarray(self.offsets), places, len(places), run, offsets)
        return Texts(run, offsets)


NONE = Texts(np.empty(0, np.uint8), np.zeros(1, np.int64))


def join(parts: Sequence[Texts]) -> Texts:
    """Return all texts in their order."""
    runs, bounds, at = [], [np.zeros(1, np.int64)], 0
    for part in parts:
        first, last = int(part.offsets[0]), int(part.offsets[-1])
        runs.append(part.run[first:last])
        bounds.append(part.offsets[1:] + (at - first))
        at += last - first
    return Texts(np.concatenate(runs) if runs else np.empty(0, np.uint8), np.concatenate(bounds))

"""The texts of relation paths ("capital of borders") with their vectors, each embedded once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class PathVectors:
    """Every path text met so far with its vector, each embedded once: rows of ``texts`` and of ``vectors`` (P, D)."""

    def __init__(self, embed: Callable[[list[str]], np.ndarray]) -> None:
        self._embed = embed
        self.texts: list[str] = []
        self._rows: dict[str, int] = {}
        self._held = np.zeros((0, 0), dtype=np.float32)  # grows by half: a walk meets new paths all the time

    @property
    def vectors(self) -> np.ndarray:
        return self._held[: len(self.texts)]

    def rows(self, texts: list[str]) -> np.ndarray:
        """Rows of texts, int32; those never met are embedded together in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self.learn(new, self._embed(new))
        return np.array([self._rows[text] for text in texts], dtype=np.int32)

    def learn(self, texts: list[str], vectors: np.ndarray) -> None:
        """Take vectors (N, D) computed elsewhere, such as an index's relations."""
        fresh = [i for i, text in enumerate(texts) if text not in self._rows]
        number = len(self.texts) + len(fresh)
        if number > len(self._held):
            grown = np.zeros((number * 3 // 2, vectors.shape[1]), dtype=np.float32)
            if self.texts:
                grown[: len(self.texts)] = self.vectors
            self._held = grown
        for i in fresh:
            self._held[len(self.texts)] = vectors[i]
            self._rows[texts[i]] = len(self.texts)
            self.texts.append(texts[i])

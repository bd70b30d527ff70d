"""Texts encoded once by the frozen text tower: states of questions and captions, a vector of labels and paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from kemm.encoders.text import HuggingFaceText, TextEmbedder


class TextBank:
    """A memo of the text tower's outputs.

    Attributes:
        name, dimension: as ``retrieval.embed.Embedder`` asks, so that a retriever can share the memo.
    """

    def __init__(self, tower: HuggingFaceText, max_tokens: int) -> None:
        self.tower, self.max_tokens = tower, max_tokens
        self.embedder = TextEmbedder(tower, max_tokens)
        self.name, self.dimension = self.embedder.name, self.embedder.dimension
        self._states: dict[str, np.ndarray] = {}
        self._rows: dict[str, int] = {}
        self._vectors = np.zeros((1024, self.dimension), dtype=np.float32)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tower.tokenize(texts, self.max_tokens)

    def warm(self, texts: Sequence[str], progress: Callable[[int], object] | None = None) -> None:
        """Encode the token states of many texts, batched by length."""
        new = [text for text in dict.fromkeys(texts) if text not in self._states]
        todo = sorted(zip(new, self.ids(new) if new else (), strict=True), key=lambda item: len(item[1]))
        for start in range(0, len(todo), 256):
            part = [text for text, _ in todo[start : start + 256]]
            ids, mask = self.tower.pad([tokens for _, tokens in todo[start : start + 256]])
            states = self.tower(ids, mask)[0].numpy().astype(np.float16)
            for text, row, length in zip(part, states, mask.sum(1).tolist(), strict=True):
                self._states[text] = row[:length].copy()
            if progress is not None:
                progress(len(part))

    def states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Padded token states ``(B, T, D)`` and mask ``(B, T)``."""
        self.warm(texts)
        rows = [self._states[text] for text in texts]
        length = max(map(len, rows))
        states = np.zeros((len(rows), length, self.dimension), dtype=np.float32)
        mask = np.zeros((len(rows), length), dtype=bool)
        for number, row in enumerate(rows):
            states[number, : len(row)], mask[number, : len(row)] = row, True
        return torch.from_numpy(states), torch.from_numpy(mask)

    def tokens(self, items: Sequence[str]) -> list[np.ndarray]:
        """Token states of each text without the special tokens, ``(T, D)`` float16; all of them where nothing else is.

        What ``retrieval.embed.TokenEmbedder`` asks for.
        """
        self.warm(items)
        return [self._states[text][1:-1] if len(self._states[text]) > 2 else self._states[text] for text in items]

    def rows(self, texts: Sequence[str]) -> np.ndarray:
        """Row numbers of the texts in ``matrix``, encoding those that are new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            vectors = self._pooled(new)
            start = len(self._rows)
            if start + len(new) > len(self._vectors):
                grown = np.zeros((max(2 * len(self._vectors), start + len(new)), self.dimension), dtype=np.float32)
                grown[:start] = self._vectors[:start]
                self._vectors = grown
            self._vectors[start : start + len(new)] = vectors
            self._rows.update((text, start + offset) for offset, text in enumerate(new))
        return np.array([self._rows[text] for text in texts], dtype=np.int64)

    def _pooled(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors ``(N, D)``: the mean of a text's states where there are any, by the tower else."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        rest = [place for place, text in enumerate(texts) if text not in self._states]
        vectors[rest] = self.embedder.embed([texts[place] for place in rest])
        for place, text in enumerate(texts):
            if text in self._states:
                mean = self._states[text].mean(0, dtype=np.float32)
                vectors[place] = mean / np.linalg.norm(mean)
        return vectors

    @property
    def matrix(self) -> np.ndarray:
        """All vectors so far, ``(N, D)`` float32, L2-normalised."""
        return self._vectors

    def embed(self, items: Sequence[str]) -> np.ndarray:
        """The vectors of some texts, ``(N, D)``, from the memo."""
        rows = self.rows(items)  # before the matrix is taken: it may grow
        return self.matrix[rows]

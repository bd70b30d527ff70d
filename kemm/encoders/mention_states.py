"""What the text tower makes of a word where it stands: the mean state of a mention's tokens in its sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kemm.encoders.text import HuggingFaceText


class MentionStates:
    """Encodes mentions in their sentences; ``retrieval.linker_head`` asks for it.

    Args:
        tower: gives the states of tokens.
        max_tokens: of a text; a mention behind them is read as the mean of what was kept.
        batch: texts encoded at once.
    """

    def __init__(self, tower: HuggingFaceText, max_tokens: int = 64, batch: int = 256) -> None:
        self.tower, self.max_tokens, self.batch = tower, max_tokens, batch
        self.name, self.dimension = f"{tower.name}/mentions", tower.width

    def mentions(
        self,
        texts: Sequence[str],
        spans: Sequence[tuple[int, int]],
        progress: Callable[[int], object] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode one mention a text.

        Args:
            spans: (start, end) of each mention, in characters of its text.

        Returns:
            The mean state of the mention's tokens and that of the whole text, float32 (N, D) each, of length 1.
        """
        inside = np.zeros((len(texts), self.tower.width), dtype=np.float32)
        whole = np.zeros_like(inside)
        found = self.tower.tokenizer(
            [text or " " for text in texts],
            truncation=True,
            max_length=self.max_tokens,
            return_offsets_mapping=True,
        )
        ids, offsets = found["input_ids"], found["offset_mapping"]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            tensor, mask = self.tower.pad([ids[row] for row in rows])
            states, pooled = (part.numpy() for part in self.tower(tensor, mask))  # (B, T, D), (B, D)
            for place, row in enumerate(rows):
                low, high = spans[row]
                held = [at for at, (one, two) in enumerate(offsets[row]) if one < high and two > low and two > one]
                inside[row] = states[place, held].mean(0) if held else pooled[place]
                whole[row] = pooled[place]
            if progress is not None:
                progress(len(rows))
        return _unit(inside), _unit(whole)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

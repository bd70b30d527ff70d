"""What the text tower makes of a word where it stands: the mean state of a mention's tokens in its sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kemm.encoders.text import HuggingFaceText

_Read = tuple[str, list[tuple[int, int]], np.ndarray, np.ndarray]


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
        self._kept: _Read | None = None

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
        of_text: dict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(texts):
            of_text[text].append(row)
        for text, offsets, states, pooled in self._read(list(of_text)):
            for row in of_text[text]:
                low, high = spans[row]
                held = [at for at, (one, two) in enumerate(offsets) if one < high and two > low and two > one]
                inside[row] = states[held].mean(0) if held else pooled
                whole[row] = pooled
            if progress is not None:
                progress(len(of_text[text]))
        return _unit(inside), _unit(whole)

    def _read(self, texts: list[str]) -> Iterator[_Read]:
        """Each of some different texts: itself, its tokens' places (T, 2), their states (T, D) and its vector (D,).

        One asked for alone is kept until the next: its mentions are asked about one by one.
        """
        kept = self._kept
        if kept is not None and texts == [kept[0]]:
            yield kept
            return
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
                read = texts[row], offsets[row], states[place], pooled[place]
                if len(texts) == 1:
                    self._kept = read
                yield read


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

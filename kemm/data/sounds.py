"""Spectrograms of sounds, as a model takes them, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kemm.data.kept import Kept
from kg.errors import InputError

READING = 1  # how a file becomes a spectrogram; those made otherwise are made anew


class SoundBank(Kept[str]):
    """Normalised log-mel spectrograms (F, M) float32 of files, kept by content.

    Args:
        folder: where to keep them; None keeps them in memory only.
        frames: F, of 10 ms; longer sounds are cut, shorter ones padded with silence's zero, as AST does.
        bands: M.
    """

    def __init__(self, folder: Path | None, frames: int, bands: int) -> None:
        made_by = {"frames": frames, "bands": bands, "reading": READING}
        super().__init__(folder, "sounds", made_by, (frames, bands), np.float32)

    def key(self, file: str) -> str:
        """Raises InputError: there is no such sound."""
        try:
            return self.content(file)
        except OSError as error:
            raise InputError(f"{file}: no such sound ({error.strerror})") from None

    def compute(self, files: Sequence[str]) -> None:
        """Make sure that all are there, on disk too."""
        self.keep({self.key(file): file for file in files})

    def get(self, file: str) -> np.ndarray:
        """(F, M)."""
        return self.found(self.key(file), file)

    def make(self, items: Sequence[tuple[str, str]]) -> np.ndarray:
        from kemm.encoders.audio import DEVIATION, MEAN
        from kemm.encoders.sound import log_mel, read_wave

        made = np.zeros((len(items), *self.shape), dtype=np.float32)
        for row, (_, file) in enumerate(items):
            energies = log_mel(read_wave(file), self.shape[1])[: self.shape[0]]
            made[row, : len(energies)] = energies.numpy()
        return (made - np.float32(MEAN)) / np.float32(2 * DEVIATION)

"""A tower for sound: patches of a log-mel spectrogram through a Transformer, as AST (arXiv:2104.01778)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from kemm.encoders.encoder import Features
from kemm.encoders.patch_transformer import PatchTransformer
from kemm.encoders.sound import log_mel
from kemm.fuse.block import BlockOptions

MEAN, DEVIATION = -4.2677393, 4.5689974  # of AudioSet's log-mel energies, as AST publishes them


class SpectrogramTransformer(PatchTransformer):
    """AST (Gong et al., 2021): 16 × 16 patches every 10 steps of time and frequency, two class tokens.

    Args:
        frames: most frames of 10 ms; longer sounds are cut, shorter ones padded with zeros as AST does.
        num_mels: M.
        stride: of patches, in frequency and time.
        width, layers, heads, options: see `Transformer`.
    """

    modality = "audio"

    def __init__(
        self,
        frames: int = 1024,
        num_mels: int = 128,
        stride: int = 10,
        width: int = 384,
        layers: int = 12,
        heads: int = 6,
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__((16, 16), (stride, stride), 1, (num_mels, frames), width, layers, heads, 2, **options)
        self.frames, self.num_mels = frames, num_mels
        self.name = f"ast/{width}x{layers}/{num_mels}x{frames}"

    def prepare(self, waveforms: Sequence[Tensor]) -> Tensor:
        """Waveforms ``(S_i,)`` at 16 kHz → normalised spectrograms ``(B, T, M)``; AST normalises the padding, too."""
        found = torch.zeros(len(waveforms), self.frames, self.num_mels)
        for row, waveform in enumerate(waveforms):
            energies = log_mel(waveform, self.num_mels)[: self.frames]
            found[row, : len(energies)] = energies
        return (found - MEAN) / (2 * DEVIATION)

    def features(self, spectrograms: Tensor) -> Features:  # type: ignore[override]
        """Class tokens and patches of ``prepare``'s ``(B, T, M)``, frequency by frequency."""
        tokens = self.body(self.embed(spectrograms.transpose(1, 2)[:, None]))
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, self.pool(tokens), mask)

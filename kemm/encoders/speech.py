"""A tower for short recordings of speech: convolutions over time, a state every 20 ms, as letters are short."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.encoders.audio import DEVIATION, MEAN
from kemm.encoders.encoder import Encoder, Features, mean_over
from kemm.encoders.sound import FLOOR, log_mel
from kg.errors import InputError

SILENT = (torch.tensor(FLOOR).log().item() - MEAN) / (2 * DEVIATION)  # a frame without any energy, as padding is
_ROUNDED = 0.01  # more than half precision moves it; a tenth of a neper above the floor is still no sound


class ConvolutionBlock(nn.Module):
    """Conformer's convolution module (Gulati et al., 2020, arXiv:2005.08100), with LayerNorm where it has BatchNorm.

        y = x + W_3 SiLU(LN(d ∗ GLU(W_1 LN(x))))

    d one filter a channel. Where the mask is false, zeros enter the filters, as they do before and after the sound.
    """

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.filters = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm_filtered = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) and (B, T) → (B, T, D)."""
        gated = F.glu(self.gate(self.norm(x)), dim=-1).masked_fill(~mask[..., None], 0.0)
        filtered = self.filters(gated.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(self.out(F.silu(self.norm_filtered(filtered))))


class SpeechConvolution(Encoder):
    """Log-mel energies → a convolution of stride 2 → `ConvolutionBlock` s: a state every 20 ms.

        x = SiLU(W ∗ E),   tokens = LN(blocks(x)),   pooled = their mean

    As QuartzNet (Kriman et al., 2020, arXiv:1910.10261) without attention, which learns the order of a few thousand
    words in minutes where a Transformer does not. Frames without energy at the end are padding.

    Args:
        frames: most frames of 10 ms; longer sounds are cut.
        num_mels: M.
        width: D.
        layers: blocks.
        kernel: steps of 20 ms that a filter spans, odd.
        dropout: in each block.
    """

    modality = "audio"

    def __init__(
        self,
        frames: int = 1024,
        num_mels: int = 48,
        width: int = 128,
        layers: int = 6,
        kernel: int = 15,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise InputError(f"a filter of {kernel} steps has no middle; give an odd number")
        self.frames, self.num_mels, self.width = frames, num_mels, width
        self.enter = nn.Conv1d(num_mels, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(ConvolutionBlock(width, kernel, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.name = f"speech/{width}x{layers}x{kernel}/{num_mels}x{frames}"

    def prepare(self, waveforms: Sequence[Tensor]) -> Tensor:
        """Waveforms ``(S_i,)`` at 16 kHz → normalised spectrograms ``(B, T, M)``, silent where a sound has ended."""
        found = torch.full((len(waveforms), self.frames, self.num_mels), SILENT)
        for row, waveform in enumerate(waveforms):
            energies = log_mel(waveform, self.num_mels)[: self.frames]
            found[row, : len(energies)] = (energies - MEAN) / (2 * DEVIATION)
        return found

    def features(self, spectrograms: Tensor) -> Features:  # type: ignore[override]
        """States of ``prepare``'s ``(B, T, M)``, ``(B, ⌈T / 2⌉, D)``; T is cut to the longest sound of the batch."""
        sounding = (spectrograms > SILENT + _ROUNDED).any(-1)  # (B, T)
        ends = (sounding * torch.arange(1, sounding.shape[1] + 1, device=sounding.device)).amax(1)
        longest = max(int(ends.max()), 2)
        steps = torch.arange(longest, device=ends.device)
        energies = spectrograms[:, :longest].masked_fill((steps >= ends[:, None])[..., None], 0.0)
        mask = steps[: (longest + 1) // 2] < ((ends + 1) // 2)[:, None]
        x = F.silu(self.enter(energies.transpose(1, 2))).transpose(1, 2)
        for block in self.blocks:
            x = block(x, mask)
        tokens = self.norm(x)
        return Features(tokens, mean_over(tokens, mask), mask)

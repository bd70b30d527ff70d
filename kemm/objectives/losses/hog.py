"""Histograms of oriented gradients of a picture, as targets of masked modelling.

MaskFeat (Wei et al., 2022, arXiv:2112.09133): 9 unsigned directions in cells of 8×8 pixels, in each of 3 channels; a
patch of 16×16 pixels has 2 × 2 cells and so 108 values. Dalal and Triggs' descriptor without its overlapping blocks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


def gaussian_window(size: int, spread: float, like: Tensor) -> Tensor:
    """(size, size), sums to 1: pixels in the middle of a patch count more."""
    place = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    bell = torch.exp(-0.5 * (place / spread) ** 2)
    window = torch.outer(bell, bell)
    return window / window.sum()


@torch.no_grad()
def hog(pixels: Tensor, bins: int = 9, cell: int = 8, patch: int = 16, window: bool = True) -> Tensor:
    """The histograms of every patch.

        g_x, g_y = Sobel (edges mirrored),   b = ⌊bins · atan2(g_x, g_y) / π⌋ mod bins
        h_cell,b = Σ_{pixels of the cell in bin b} |g| w,   ĥ = h / ‖h‖₂ over the bins

    w is a Gaussian over the patch of spread ``patch`` / 2, as in the paper's code; each pixel counts in one bin,
    without sharing between neighbours (Dalal and Triggs do share). A cell without any gradient is all zeros.
    At the mirrored edges g_x is zero but for rounding, whose sign would choose the first bin or the last: here it is
    zero.

    Args:
        pixels: (B, C, H, W), H and W multiples of ``patch``, that one of ``cell``.

    Returns:
        (B, P, C · bins · (patch/cell)²), patches row after row; within one: channel, bin, row and column of the cell.

    Raises:
        ValueError: the sizes do not divide.
    """
    batch, channels, height, width = pixels.shape
    if height % patch or width % patch or patch % cell:
        raise ValueError(f"a picture of {height} × {width} pixels has no whole patches of {patch} with cells of {cell}")
    pixels = pixels if pixels.dtype == torch.float64 else pixels.float()
    across = torch.tensor(SOBEL, dtype=pixels.dtype, device=pixels.device).expand(channels, 1, 3, 3)
    padded = F.pad(pixels, (1, 1, 1, 1), mode="reflect")
    g_x = F.conv2d(padded, across, groups=channels)  # (B, C, H, W)
    g_y = F.conv2d(padded, across.transpose(2, 3), groups=channels)
    size = torch.hypot(g_x, g_y)
    g_x = torch.where(g_x.abs() <= 1e-5 * size, 0.0, g_x)
    if window:
        size = size * gaussian_window(patch, patch / 2, pixels).repeat(height // patch, width // patch)
    which = (torch.atan2(g_x, g_y) / math.pi * bins).floor().long() % bins
    votes = size.new_zeros(batch, channels, bins, height, width)
    votes.scatter_(2, which.unsqueeze(2), size.unsqueeze(2))
    rows, columns, cells = height // patch, width // patch, patch // cell
    grid = votes.view(batch, channels, bins, rows, cells, cell, columns, cells, cell).sum((5, 8))
    grid = F.normalize(grid, dim=2)  # (B, C, bins, rows, cells, columns, cells)
    return grid.permute(0, 3, 5, 1, 2, 4, 6).reshape(batch, rows * columns, -1)

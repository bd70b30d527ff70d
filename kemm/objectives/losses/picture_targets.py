"""What is predicted of hidden patches: pixels (MAE), HOG (MaskFeat), codes (BEiT), a teacher's features (EVA, UMT).

``hidden`` (B, P) bool says which patches count; the loss is the mean over those of the whole batch, zero where none is.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import mean_where, precise


def patchify(pixels: Tensor, size: int) -> Tensor:
    """(B, C, H, W) → (B, P, size² C): patches row after row; within one row, column, channel, as MAE has them."""
    batch, channels, height, width = pixels.shape
    cut = pixels.reshape(batch, channels, height // size, size, width // size, size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, size * size * channels)


def normalised(patches: Tensor, eps: float = 1e-6) -> Tensor:
    """(x − mean) / √(variance + ε) of each patch (B, P, N), the variance with N − 1, as MAE's code has it."""
    patches = precise(patches)
    return (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + eps).sqrt()


def squared_error(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """L = mean over hidden p of mean over n of (x̂_pn − x_pn)².

    With ``normalised(patchify(…))`` MAE (He et al., 2022, arXiv:2111.06377), with ``hog`` MaskFeat (arXiv:2112.09133).

    Args:
        predicted, target: (B, P, N). hidden: (B, P).
    """
    return mean_where((precise(predicted) - precise(target)).square().mean(-1), hidden)


def code_loss(logits: Tensor, codes: Tensor, hidden: Tensor) -> Tensor:
    """L = mean over hidden p of −log softmax(z_p)[code_p] (BEiT, Bao et al., 2022, arXiv:2106.08254).

    Args:
        logits: (B, P, V). codes: (B, P) in 0 … V − 1 at the hidden; others are not read.
    """
    wanted = codes.masked_fill(~hidden, 0)
    return mean_where(F.cross_entropy(precise(logits).movedim(-1, 1), wanted, reduction="none"), hidden)


def negative_cosine(predicted: Tensor, teacher: Tensor, hidden: Tensor) -> Tensor:
    """L = mean over hidden p of −cos(f̂_p, sg[f_p]), in [−1, 1] (EVA, Fang et al., 2023, arXiv:2211.07636).

    Args:
        predicted, teacher: (B, P, D).
    """
    return mean_where(-F.cosine_similarity(precise(predicted), precise(teacher).detach(), dim=-1), hidden)


def unmasked_alignment(student: Tensor, teacher: Tensor, shown: Tensor) -> Tensor:
    """L = mean over shown p and layers l of ‖ŝ_lp − t̂_lp‖² / D, ^ unit length (UMT, Li et al., 2023,
    arXiv:2303.16058).

    The student sees nothing but what the teacher attends to and agrees with it there, in its last layers.

    Args:
        student, teacher: (K, B, P, D) of K layers. shown: (B, P).
    """
    error = (F.normalize(precise(student), dim=-1) - F.normalize(precise(teacher).detach(), dim=-1)).square().mean(-1)
    return mean_where(error, shown.expand_as(error))


def features_on(states: Tensor, grid: tuple[int, int]) -> Tensor:
    """A tower's square of patches (B, P', D_v) on another grid: (B, P, D_v)."""
    side = round(states.shape[1] ** 0.5)
    raster = states.transpose(1, 2).unflatten(2, (side, side))
    if raster.shape[2:] != grid:
        raster = F.interpolate(raster, grid, mode="bilinear")
    return raster.flatten(2).transpose(1, 2)

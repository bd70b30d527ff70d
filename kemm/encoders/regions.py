"""A tower for regions that a detector has found: features and boxes are given, this makes tokens of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from kemm.encoders.encoder import Encoder, Features, mean_over
from kg.errors import InputError


def box_numbers(boxes: Tensor, sizes: Tensor, kind: Literal["uniter", "vilbert"] = "uniter") -> Tensor:
    """Where a box is, as shares of the picture.

        UNITER (arXiv:1909.11740):  (x1/W, y1/H, x2/W, y2/H, w/W, h/H, w h / W H)
        ViLBERT (arXiv:1908.02265): (x1/W, y1/H, x2/W, y2/H, w h / W H)

    Args:
        boxes: ``(B, R, 4)`` pixels: left, top, right, bottom.
        sizes: ``(B, 2)`` width and height of each picture in pixels.

    Returns:
        ``(B, R, 7)`` or ``(B, R, 5)``.
    """
    corners = boxes.float() / sizes.float().repeat(1, 2)[:, None]  # (B, R, 4)
    sides = corners[..., 2:] - corners[..., :2]
    area = sides.prod(-1, keepdim=True)
    return torch.cat([corners, sides, area] if kind == "uniter" else [corners, area], dim=-1)


class RegionTokens(Encoder):
    """Regions → tokens.

        UNITER:  LN(LN(W_f f) + LN(W_b b))          ViLBERT:  LN(W_f f + W_b b)

    with f the detector's features and b ``box_numbers``. Heads of fusion encoders read them as any other tokens.

    Args:
        features: width of f; 2048 of the usual detectors.
        width: D.
        kind: whose.

    Raises:
        InputError: there is no such kind.
    """

    modality = "vision"

    def __init__(
        self, features: int = 2048, width: int = 384, kind: Literal["uniter", "vilbert"] = "uniter", eps: float = 1e-12
    ) -> None:
        super().__init__()
        if kind not in ("uniter", "vilbert"):
            raise InputError(f"there is no kind of regions '{kind}' (there are: uniter, vilbert)")
        self.kind, self.width, self.name = kind, width, f"regions/{kind}/{features}x{width}"
        self.feature = nn.Linear(features, width)
        self.box = nn.Linear(7 if kind == "uniter" else 5, width)
        is_uniter = kind == "uniter"
        self.feature_norm = nn.LayerNorm(width, eps=eps) if is_uniter else nn.Identity()
        self.box_norm = nn.LayerNorm(width, eps=eps) if is_uniter else nn.Identity()
        self.norm = nn.LayerNorm(width, eps=eps)

    def features(self, found: Tensor, boxes: Tensor, sizes: Tensor, mask: Tensor) -> Features:  # type: ignore[override]
        """Encode.

        Args:
            found: ``(B, R, D_f)`` features.
            boxes, sizes: see ``box_numbers``.
            mask: ``(B, R)`` bool, true at real regions.

        Raises:
            InputError: a real box ends before it begins, or its picture has no size.
        """
        if ((boxes[..., 2:] < boxes[..., :2]).any(-1) & mask).any():
            raise InputError(
                "a box ends left of or above where it begins; boxes are left, top, right, bottom in pixels"
            )
        if (sizes <= 0).any():
            raise InputError("a picture of regions has no size; give its width and height in pixels")
        where = box_numbers(boxes, sizes, self.kind)
        tokens = self.norm(self.feature_norm(self.feature(found)) + self.box_norm(self.box(where)))
        return Features(tokens, mean_over(tokens, mask), mask)

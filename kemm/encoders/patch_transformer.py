"""Patch Transformers from scratch: a raster cut into patches, each a token, after class tokens (ViT; AST)."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.encoders.encoder import Encoder, Features
from kemm.encoders.vision import VisionTower
from kemm.fuse.block import BlockOptions
from kemm.fuse.positions import check_positions
from kemm.fuse.transformer import Transformer
from kg.errors import InputError


class PatchTransformer(Encoder):
    """Patches → tokens → a pre-norm Transformer.

        x = [c_1 … c_C; W patch_1 + b; …] + p,   tokens = LN(blocks(x)),   pooled = mean of the c's

    ViT (Dosovitskiy et al., 2021, arXiv:2010.11929) with one class token, AST and DeiT with two. The patches'
    projection is a matrix product, faster than the convolution that it equals.

    Args:
        patch: height and width of a patch; stride: of the next one, down and across.
        channels: of the raster.
        size: height and width of the raster.
        width, layers, heads: see `Transformer`.
        num_class: C.
        options: see `Block`.

    Attributes:
        grid: rows and columns of patches.
    """

    def __init__(
        self,
        patch: tuple[int, int],
        stride: tuple[int, int],
        channels: int,
        size: tuple[int, int],
        width: int,
        layers: int,
        heads: int,
        num_class: int = 1,
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__()
        if size[0] < patch[0] or size[1] < patch[1]:
            raise InputError(f"a raster of {size[0]}×{size[1]} holds no patch of {patch[0]}×{patch[1]}")
        self.patch, self.step, self.width, self.num_class = patch, stride, width, num_class
        self.grid = ((size[0] - patch[0]) // stride[0] + 1, (size[1] - patch[1]) // stride[1] + 1)
        self.project = nn.Linear(channels * patch[0] * patch[1], width)
        self.class_tokens = nn.Parameter(torch.randn(num_class, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(num_class + self.grid[0] * self.grid[1], width) * 0.02)
        self.body = Transformer(width, layers, heads, **options)

    def embed(self, raster: Tensor) -> Tensor:
        """``(B, C, height, width)`` → class tokens and patches ``(B, C + P, D)``.

        Raises:
            InputError: there are more patches than positions.
        """
        columns = functional.unfold(raster, self.patch, stride=self.step)  # (B, C·h·w, P)
        patches = self.project(columns.transpose(1, 2))
        check_positions(self.num_class + patches.shape[1], len(self.positions))
        x = torch.cat([self.class_tokens.expand(len(patches), -1, -1), patches], dim=1)
        return x + self.positions[: x.shape[1]]

    def pool(self, tokens: Tensor) -> Tensor:
        """The mean of the class tokens."""
        return tokens[:, : self.num_class].mean(1)


class PictureTransformer(PatchTransformer, VisionTower):
    """A Vision Transformer from scratch; see `PatchTransformer`.

    Args:
        size: side of the input in pixels.
        patch: side of a patch.
    """

    def __init__(
        self,
        size: int = 224,
        patch: int = 16,
        width: int = 384,
        layers: int = 12,
        heads: int = 6,
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__((patch, patch), (patch, patch), 3, (size, size), width, layers, heads, **options)
        self.size, self.name = size, f"vit/{width}x{layers}/{patch}@{size}"

    def raster(self, pixels: Tensor) -> Tensor:
        """``(B, S, S, 3)`` uint8 → ``(B, 3, S, S)`` from −1 to 1."""
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.features(pixels).tokens[:, self.num_class :]
        return patches.transpose(1, 2).unflatten(2, self.grid)

    def features(self, pixels: Tensor) -> Features:  # type: ignore[override]
        """Class token and patches of ``(B, size, size, 3)`` uint8 pixels."""
        tokens = self.body(self.embed(self.raster(pixels)))
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, self.pool(tokens), mask)

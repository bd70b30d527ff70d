"""A tower for video: an image tower whose blocks also look along time, from Frozen in Time (arXiv:2104.00650)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from kemm.encoders.encoder import Encoder, Features
from kemm.encoders.patch_transformer import PictureTransformer
from kemm.fuse.attention import Attention
from kemm.fuse.block import Block
from kg.errors import InputError


class AlongTime(nn.Module):
    """What a video adds to a block of an image tower: attention along time before it.

        t = x + A_time(LN(x)),   s = x + A_space(LN(t)),   y = s + FFN(LN(s))

    A patch reads the same patch of all frames in A_time, all patches of its own frame in A_space, and the class token
    in both; the class token reads everything. A_time's output starts at zero, so t = x: at first all is as in the image
    block. The residual of s is x, not t, as in Frozen in Time (TimeSformer takes t).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.attention.out.bias)

    def forward(self, x: Tensor, mask: Tensor, block: Block) -> Tensor:
        """x ``(B, 1 + F·P, D)``, the class token and the frames one by one; mask ``(B, F)``, true at real frames."""
        moved = x + divided(self.attention, self.norm(x), mask, along_time=True)
        seen = divided(block.attention, block.attention_residual.enter(moved), mask, along_time=False)
        x = block.attention_residual.leave(x, seen)
        return block.feed_forward_residual.leave(x, block.feed_forward(block.feed_forward_residual.enter(x)))


def divided(attention: Attention, x: Tensor, mask: Tensor, *, along_time: bool) -> Tensor:
    """Attention along time or within frames, of ``(B, 1 + F·P, D)``; nobody reads frames that ``mask`` hides."""
    batch, frames = mask.shape
    qkv = attention.project(x).permute(2, 0, 3, 1, 4)  # (3, B, H, 1 + F·P, d)
    heads, width = qkv.shape[2], qkv.shape[4]
    first, rest = qkv[:, :, :, :1], qkv[:, :, :, 1:].unflatten(3, (frames, -1))  # (3, B, H, F, P, d)
    patches = rest.shape[4]
    is_real = torch.cat([torch.ones_like(mask[:, :1]), mask.repeat_interleave(patches, dim=1)], dim=1)  # (B, 1 + F·P)
    q, k, v = qkv
    summary = attention.attend(q[:, :, :1], k, v, is_real[:, None], None)  # (B, 1, H, d)
    if along_time:
        rest = rest.transpose(3, 4)  # (3, B, H, P, F, d)
    groups = rest.shape[3]
    rest = rest.transpose(2, 3).flatten(1, 2)  # (3, B·groups, H, length, d)
    shared = first[:, :, None].expand(-1, -1, groups, -1, -1, -1).flatten(1, 2)  # the class token of each group
    q, k, v = rest[0], *torch.cat([shared, rest], dim=3)[1:]
    readable = None
    if along_time:
        readable = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1).repeat_interleave(groups, dim=0)[:, None]
    read = attention.attend(q, k, v, readable, None)  # (B·groups, length, H, d)
    read = read.unflatten(0, (batch, groups))
    if along_time:
        read = read.transpose(1, 2)
    read = read.reshape(batch, frames * patches, heads, width)
    return attention.finish(torch.cat([summary, read], dim=1))


class VideoTransformer(Encoder):
    """Frames → tokens; one frame gives what the image tower gives.

    Positions of frames start at zero, as attention along time does.

    Args:
        frames: most frames.
        image: a trained image tower, whose weights are the video's from then on; a new one unless given.
        options: of a new one; see `PictureTransformer`.
    """

    modality = "video"

    def __init__(self, frames: int = 8, image: PictureTransformer | None = None, **options: Any) -> None:
        super().__init__()
        self.image = PictureTransformer(**options) if image is None else image
        self.num_frames, self.width = frames, self.image.width
        self.name = f"video/{frames}x{self.image.name}"
        self.frame_positions = nn.Parameter(torch.zeros(frames, self.width))
        heads = cast(Block, self.image.body.blocks[0]).attention.heads
        self.along_time = nn.ModuleList(AlongTime(self.width, heads) for _ in self.image.body.blocks)

    def depths(self) -> dict[str, int]:
        """Attention along time lies as deep as the image's block that it stands before."""
        own = {"frame_positions": 0}
        for layer, part in enumerate(self.along_time):
            own |= {f"along_time.{layer}.{name}": layer + 1 for name, _ in part.named_parameters()}
        return super().depths() | own

    def features(self, pixels: Tensor, mask: Tensor | None = None) -> Features:  # type: ignore[override]
        """Encode ``(B, F, size, size, 3)`` uint8 frames; mask ``(B, F)`` bool, true at real ones.

        Returns:
            The class token and the patches of each frame, frame by frame.

        Raises:
            InputError: there are no frames, or more than the tower has positions for.
        """
        batch, frames = pixels.shape[:2]
        if not 1 <= frames <= self.num_frames:
            raise InputError(f"{frames} frames can't be read by a tower of 1 to {self.num_frames}; take some of them")
        if mask is None:
            mask = torch.ones(batch, frames, dtype=torch.bool, device=pixels.device)
        x = self.image.embed(self.image.raster(pixels.flatten(0, 1))).unflatten(0, (batch, frames))  # (B, F, 1 + P, D)
        patches = x[:, :, 1:] + self.frame_positions[:frames, None]
        num_patches = patches.shape[2]
        tokens = torch.cat([x[:, 0, :1], patches.flatten(1, 2)], dim=1)  # (B, 1 + F·P, D)
        for along_time, block in zip(self.along_time, self.image.body.blocks, strict=True):
            tokens = along_time(tokens, mask, block)
        tokens = self.image.body.norm(tokens)
        is_real = torch.cat([torch.ones_like(mask[:, :1]), mask.repeat_interleave(num_patches, dim=1)], dim=1)
        return Features(tokens, tokens[:, 0], is_real)

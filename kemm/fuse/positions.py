"""Where a token stands: vectors added to tokens, rotations of queries and keys, and biases on attention's logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kg.errors import InputError

# ── added to tokens ──────────────────────────────────────────────────────────────────────────────────────────────


class LearnedPositions(nn.Module):
    """x_i + p_i, p learned.

    Args:
        length: how many positions there are.
        width: D.
        first: rows of the table left unused (RoBERTa and fairseq: 2).
    """

    def __init__(self, length: int, width: int, first: int = 0) -> None:
        super().__init__()
        self.length, self.first = length, first
        self.table = nn.Parameter(torch.randn(length + first, width) * 0.02)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """(B, L, D) → (B, L, D), tokens standing at ``offset``, ``offset`` + 1, …

        Raises:
            InputError: there are more tokens than positions.
        """
        check_positions(offset + x.shape[1], self.length)
        start = self.first + offset
        return x + self.table[start : start + x.shape[1]]


def check_positions(tokens: int, positions: int) -> None:
    """Refuse more tokens than positions."""
    if tokens > positions:
        raise InputError(
            f"{tokens} tokens do not fit into the model's {positions} positions; shorten the input, or build the model "
            "with more"
        )


def sinusoidal(length: int, width: int, is_interleaved: bool = True) -> Tensor:
    """sin and cos of i · 10000^(−2j/D), j < D/2 (Vaswani et al., 2017), in turn, or all sines first (fairseq, MAE).

    Returns:
        (L, D).
    """
    angles = torch.arange(length, dtype=torch.float64)[:, None] * _frequencies(width)  # (L, D/2)
    return _sines(angles, is_interleaved).float()


def sinusoidal_grid(rows: int, columns: int, width: int, first: int = 1) -> Tensor:
    """Half of the numbers for the row, half for the column, sines first; ``first`` tokens of zeros before.

    As transformers has it for MAE, whose own code has the column first.

    Returns:
        (first + rows · columns, D).
    """
    y, x = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    parts = [_sines(axis.reshape(-1, 1) * _frequencies(width // 2), False) for axis in (y, x)]
    return torch.cat([torch.zeros(first, width, dtype=torch.float64), torch.cat(parts, dim=1)]).float()


def _frequencies(width: int, base: float = 10_000.0) -> Tensor:
    return base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)  # (D/2,)


def _sines(angles: Tensor, is_interleaved: bool) -> Tensor:
    if is_interleaved:
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


# ── rotations ────────────────────────────────────────────────────────────────────────────────────────────────────


class Rotary(nn.Module):
    """Rotate pairs of numbers of queries and keys by angles in proportion to the position.

        (x_a, x_b) → (x_a cos θ − x_b sin θ, x_b cos θ + x_a sin θ),   θ = i · base^(−2j/d)

    Then a logit depends on the distance alone (RoFormer, Su et al., 2021, arXiv:2104.09864).

    Args:
        head_width: d.
        base: of the angles.
        is_interleaved: pairs are neighbours (RoFormer); else number j goes with j + d/2 (LLaMA).
    """

    frequencies: Tensor

    def __init__(self, head_width: int, base: float = 10_000.0, is_interleaved: bool = False) -> None:
        super().__init__()
        self.is_interleaved = is_interleaved
        self.register_buffer("frequencies", _frequencies(head_width, base).float(), persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, H, L, d), positions (L,) or (B, L) → (B, H, L, d)."""
        angles = positions[..., None].float() * self.frequencies  # (…, L, d/2)
        if angles.dim() == 3:
            angles = angles[:, None]
        return rotate(x, angles, self.is_interleaved)


class RotaryGrid(nn.Module):
    """Rotary for patches: half of the numbers turn by the row, half by the column (EVA-02, arXiv:2303.11331).

    Args:
        rows, columns: of the grid.
        head_width: d.
        first: tokens before the patches, which are not turned.
        pretrained: side of the grid that the angles are stretched from; the grid's own unless given.
    """

    angles: Tensor

    def __init__(
        self, rows: int, columns: int, head_width: int, first: int = 1, pretrained: int | None = None, base: float = 1e4
    ) -> None:
        super().__init__()
        frequencies = _frequencies(head_width // 2, base)  # (d/4,)
        sides = [torch.arange(n, dtype=torch.float64) / n * (pretrained or n) for n in (rows, columns)]
        y, x = torch.meshgrid(*sides, indexing="ij")
        angles = torch.cat([axis.reshape(-1, 1) * frequencies for axis in (y, x)], dim=1)  # (P, d/2)
        angles = torch.cat([torch.zeros(first, angles.shape[1], dtype=torch.float64), angles])
        self.register_buffer("angles", angles.float(), persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, H, L, d), positions (L,) → (B, H, L, d).

        Raises:
            InputError: there are more tokens than positions.
        """
        check_positions(int(positions.max()) + 1 if positions.numel() else 0, len(self.angles))
        return rotate(x, self.angles[positions], is_interleaved=True)


def rotate(x: Tensor, angles: Tensor, is_interleaved: bool) -> Tensor:
    """Turn the d/2 pairs of (…, d) by angles (…, d/2)."""
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if is_interleaved:
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


# ── biases on attention's logits ─────────────────────────────────────────────────────────────────────────────────


class RelativeBuckets(nn.Module):
    """T5's: one number a head and bucket of distances, exact when near, logarithmic when far (arXiv:1910.10683).

    Args:
        heads: H.
        buckets: how many.
        farthest: distances from here on share the last one.
        is_causal: keys after the query are of no interest (a decoder).
    """

    def __init__(self, heads: int, buckets: int = 32, farthest: int = 128, is_causal: bool = False) -> None:
        super().__init__()
        self.buckets, self.farthest, self.is_causal = buckets, farthest, is_causal
        self.table = nn.Embedding(buckets, heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        """→ (H, L_q, L_k); the queries are the last of the keys."""
        device = self.table.weight.device
        query = torch.arange(keys - queries, keys, device=device)
        distance = torch.arange(keys, device=device)[None, :] - query[:, None]
        return self.table(self.bucket(distance)).permute(2, 0, 1)

    def bucket(self, distance: Tensor) -> Tensor:
        """Key's position − query's → the bucket."""
        buckets, offset = self.buckets, torch.zeros_like(distance)
        if self.is_causal:
            distance = (-distance).clamp(min=0)
        else:
            buckets //= 2
            offset, distance = (distance > 0) * buckets, distance.abs()
        exact = buckets // 2
        ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(self.farthest / exact)
        far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < exact, distance, far)


class RelativeGrid(nn.Module):
    """BEiT's: one number a head and offset in rows and columns, and three for the class token (arXiv:2106.08254).

    Args:
        rows, columns: of the grid of patches; a class token stands first.
        heads: H.
    """

    index: Tensor

    def __init__(self, rows: int, columns: int, heads: int) -> None:
        super().__init__()
        offsets = (2 * rows - 1) * (2 * columns - 1)
        self.table = nn.Parameter(torch.zeros(offsets + 3, heads))
        place = torch.arange(rows * columns)
        y, x = place // columns, place % columns
        index = torch.full((rows * columns + 1,) * 2, offsets)  # from the class token
        index[1:, 1:] = (y[:, None] - y + rows - 1) * (2 * columns - 1) + (x[:, None] - x + columns - 1)
        index[1:, 0], index[0, 0] = offsets + 1, offsets + 2  # to the class token, and its own
        self.register_buffer("index", index, persistent=False)

    def forward(self, queries: int, keys: int) -> Tensor:
        """→ (H, 1 + P, 1 + P).

        Raises:
            InputError: there are not 1 + P tokens.
        """
        if queries != len(self.index) or keys != len(self.index):
            raise InputError(f"a grid's bias is for {len(self.index)} tokens, class token included, not for {keys}")
        return self.table[self.index].permute(2, 0, 1)

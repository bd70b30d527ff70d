"""Keys and values that attention has already computed, so that each new token of a text costs one token's work."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Cache:
    """Those of one attention: (B, H, L, d) each."""

    key: Tensor | None = None
    value: Tensor | None = None

    @property
    def length(self) -> int:
        """L, the number of tokens kept."""
        return 0 if self.key is None else self.key.shape[2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new tokens; returns all of them."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order, repeats allowed: what beam search does."""
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key.index_select(0, rows), self.value.index_select(0, rows)


@dataclass
class BlockCache:
    """Those of one block: of its self-attention, which grow, and of its cross-attention, computed once."""

    attention: Cache = field(default_factory=Cache)
    cross: Cache = field(default_factory=Cache)

    def select(self, rows: Tensor) -> None:
        self.attention.select(rows)
        self.cross.select(rows)


@dataclass
class MultiwayCache:
    """Those of a multiway Transformer: one a layer, and how many tokens of each modality they have seen."""

    layers: list[Cache]
    seen: dict[str, int] = field(default_factory=dict)

    def select(self, rows: Tensor) -> None:
        for layer in self.layers:
            layer.select(rows)

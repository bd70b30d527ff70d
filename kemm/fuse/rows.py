"""Tokens of several modalities as rows sorted by modality, and laid out by sample where attention needs them so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kg.errors import InputError


class Grid:
    """The place of every token of a batch.

    Dense, modality m has N_m = B · L_m rows, and laid out by sample, the batch is B × L places, L = Σ L_m, in the order
    of the modalities. Packed, there are as many rows as real tokens, and places for the fullest sample's alone: real
    tokens move up to the front.

    Args:
        tokens: modality → (B, L_m, D).
        masks: modality → (B, L_m) bool, true at real tokens; one not named has no padding.
        is_packed: no rows for padding.
        seen: modality → how many of its tokens stand before these, in a cache.

    Raises:
        InputError: shapes do not agree.
    """

    def __init__(
        self,
        tokens: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        is_packed: bool = False,
        seen: Mapping[str, int] | None = None,
    ) -> None:
        self.names = list(tokens)
        self.lengths = {name: part.shape[1] for name, part in tokens.items()}
        self.masks = {name: mask for name, mask in (masks or {}).items() if name in tokens}
        first = tokens[self.names[0]]
        self.batch, _, self.width = first.shape
        for name, part in tokens.items():
            if part.shape[0] != self.batch or part.shape[2] != self.width:
                raise InputError(
                    f"{name} tokens of shape {tuple(part.shape)} do not go with {self.names[0]} tokens of shape "
                    f"{tuple(first.shape)}: batch and width must agree"
                )
            if name in self.masks and self.masks[name].shape != part.shape[:2]:
                raise InputError(
                    f"the mask of {name}, {tuple(self.masks[name].shape)}, does not go with tokens of shape "
                    f"{tuple(part.shape)}"
                )
        self.length = sum(self.lengths.values())  # L, or packed the fullest sample's
        self.is_packed = is_packed and any(not bool(mask.all()) for mask in self.masks.values())
        self.rows = [part.reshape(-1, self.width) for part in tokens.values()]
        sample = torch.arange(self.batch, device=first.device)
        self.samples = [sample.repeat_interleave(length) for length in self.lengths.values()]
        self.seen = seen or {}
        starts = [self.seen.get(name, 0) for name in tokens]
        self.positions = [  # of each modality, (N_m,)
            torch.arange(start, start + length, device=first.device).repeat(self.batch)
            for start, length in zip(starts, self.lengths.values(), strict=True)
        ]
        if self.is_packed:
            self._pack(first.device)
        self.numbers = [len(part) for part in self.rows]
        self.all_samples = torch.cat(self.samples)

    def _pack(self, device: torch.device) -> None:
        """Drop the rows of padding, and remember where the others were."""
        parts = [
            self.masks.get(name, torch.ones(self.batch, own, dtype=torch.bool, device=device))
            for name, own in self.lengths.items()
        ]
        self.kept = [part.flatten().nonzero()[:, 0] for part in parts]  # of each modality, (N_m,) rows that are real
        real = torch.cat(parts, dim=1)  # (B, L)
        counts = real.sum(1)
        self.length = max(1, int(counts.max()))
        self.filled = torch.arange(self.length, device=device) < counts[:, None]  # (B, length)
        first = torch.argsort(real.int(), dim=1, descending=True, stable=True)
        self.origin = first[:, : self.length]  # (B, length) of L places
        place = torch.arange(self.batch, device=device)[:, None] * self.length + real.cumsum(1) - 1
        starts = place.split(list(self.lengths.values()), dim=1)
        self.places = torch.cat([own[part] for own, part in zip(starts, parts, strict=True)])  # (N,) of B · length
        self.rows = [part[kept] for part, kept in zip(self.rows, self.kept, strict=True)]
        self.samples = [own[kept] for own, kept in zip(self.samples, self.kept, strict=True)]
        self.positions = [own[kept] for own, kept in zip(self.positions, self.kept, strict=True)]

    def split(self, x: Tensor) -> list[Tensor]:
        """(N, …) → (N_m, …) of each modality."""
        return list(x.split(self.numbers)) if len(self.numbers) > 1 else [x]

    def lay_out(self, parts: Sequence[Tensor]) -> Tensor:
        """Query, key and value of each modality's rows, (N_m, 3, H, d) → (3, B, H, L, d)."""
        if self.is_packed:
            x = join(parts)
            grid = x.new_zeros(self.batch * self.length, *x.shape[1:]).index_copy(0, self.places, x)
            return grid.unflatten(0, (self.batch, self.length)).permute(2, 0, 3, 1, 4)
        laid = [
            part.unflatten(0, (self.batch, own)).permute(2, 0, 3, 1, 4)
            for part, own in zip(parts, self.lengths.values(), strict=True)
        ]
        return torch.cat(laid, dim=3) if len(laid) > 1 else laid[0]  # heads lie together: one copy, not two

    def take_up(self, x: Tensor) -> list[Tensor]:
        """(B, L, …) → (N_m, …) of each modality."""
        if self.is_packed:
            return self.split(x.flatten(0, 1).index_select(0, self.places))
        return [part.flatten(0, 1) for part in x.split(list(self.lengths.values()), dim=1)]

    def give_back(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """(N_m, D) of each modality → (B, L_m, D), 0 where packing left padding out."""
        out = {}
        for number, (name, length) in enumerate(self.lengths.items()):
            part = parts[number]
            if self.is_packed:
                full = part.new_zeros(self.batch * length, self.width)
                part = full.index_copy(0, self.kept[number], part)
            out[name] = part.unflatten(0, (self.batch, length))
        return out

    def mask(self, mask: Tensor | None) -> Tensor | None:
        """What may be read, (B or 1, L or 1, L_k): of ``mask``, as `MultiwayTransformer.forward` has it, no padding.

        None: all. Of a packed batch, L is the fullest sample's.
        """
        length = sum(self.lengths.values())
        if mask is not None:
            before = sum(self.seen.values())
            if mask.shape[-1] != before + length or mask.shape[-2] not in (1, length):
                raise InputError(f"a mask of shape {tuple(mask.shape)} does not go with {before + length} tokens")
            mask = mask if mask.dim() == 3 else mask[None]
        if self.is_packed and not self.seen:
            real = None if bool(self.filled.all()) else self.filled[:, None]
            if mask is None:
                return real
            mask = self.moved_up(mask[:, None])[:, 0]
            return mask if real is None else mask & real
        if self.masks and not self.seen:
            real = self._along({name: self.masks.get(name) for name in self.names}, True, torch.bool)
            mask = real if mask is None else mask & real
        return mask

    def bias(self, biases: Mapping[str, Tensor] | None) -> Tensor | None:
        """What to add to the logits of the keys, (B, 1, 1, L), L of all places."""
        if not biases or not any(name in biases for name in self.names):
            return None
        return self._along({name: biases.get(name) for name in self.names}, 0.0, self.rows[0].dtype)[:, None]

    def moved_up(self, x: Tensor) -> Tensor:
        """(B or 1, H or 1, L or 1, L) of all places → the same of those that a packed batch has."""
        if not self.is_packed:
            return x
        x = x.expand(self.batch, -1, -1, -1)
        keys = self.origin[:, None, None].expand(-1, x.shape[1], x.shape[2], -1)
        x = x.gather(3, keys)  # (B, H, L or 1, length)
        if x.shape[2] == 1:
            return x
        return x.gather(2, self.origin[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))

    def _along(self, parts: Mapping[str, Tensor | None], default: float, dtype: torch.dtype) -> Tensor:
        """(B, L_m) of each modality, all ``default`` where there is none → (B, 1, L)."""
        device = self.rows[0].device
        filled = [
            torch.full((self.batch, self.lengths[name]), default, dtype=dtype, device=device)
            if part is None
            else part.to(device, dtype)
            for name, part in parts.items()
        ]
        return torch.cat(filled, dim=1)[:, None, :]


def join(parts: Sequence[Tensor]) -> Tensor:
    """Rows of all modalities as one tensor."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]

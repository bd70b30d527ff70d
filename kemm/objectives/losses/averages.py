"""Means over what counts: hidden patches, real words, filled candidates; never NaN where nothing does."""

from __future__ import annotations

from torch import Tensor


def precise(values: Tensor) -> Tensor:
    """Half-precision values as float32, others as they are: a sum over many in bf16 has two right digits."""
    return values.float() if values.element_size() < 4 else values


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Σ_{chosen} v / |chosen|, a scalar; zero, with a zero gradient, where nothing is chosen.

    Args:
        values: (…,) what is not chosen may be any finite number (a NaN there spares the value but not the slope).
        chosen: the same shape, bool.
    """
    kept = precise(values).masked_fill(~chosen, 0.0)
    return kept.sum() / chosen.sum().clamp(min=1)

"""What other processes have of a step as further candidates: values with gradients, as CLIP's, or numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

_apart = False


def is_alone() -> bool:
    """Whether no other process trains with this one."""
    is_one = not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1
    return is_one or _apart


@contextmanager
def alone() -> Iterator[None]:
    """Gather nothing here: this process measures what the others do not."""
    global _apart
    was, _apart = _apart, True
    try:
        yield
    finally:
        _apart = was


class _AllGather(torch.autograd.Function):
    """All processes' tensors of one shape; this one's gradient is the sum of what every process's loss asks of it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> tuple[Tensor, ...]:
        found = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(found, own)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = torch.stack(gradients)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]


def gather(values: Tensor, fill: float = 0) -> Tensor:
    """Rows of all processes, this one's first: (N_w, …) each → (ΣN_w, …). Gradients go back to where rows came from.

    Later axes of different lengths (texts) are filled up to the longest with ``fill``. In one process the values
    themselves. All processes must call it equally often: their batches have the same kinds of rows.
    """
    if is_alone():
        return values
    own = torch.tensor(values.shape, device=values.device)
    shapes = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(shapes, own)
    most = torch.stack(shapes).amax(0).tolist()
    dtype = values.dtype if values.is_floating_point() else torch.long
    grown = torch.full(most, fill, dtype=dtype, device=values.device)
    grown[tuple(slice(size) for size in values.shape)] = values
    found = _AllGather.apply(grown)
    rank = distributed.get_rank()
    order = [rank, *(other for other in range(len(found)) if other != rank)]
    return torch.cat([found[number][: int(shapes[number][0])] for number in order]).to(values.dtype)

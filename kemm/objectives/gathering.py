"""What other processes have of a step as further candidates: values with gradients, as CLIP's, or numbers."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def is_alone() -> bool:
    """Whether no other process trains with this one."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1


def gather(values: Tensor, fill: float = 0) -> Tensor:
    """Rows of all processes, this one's first: (N_w, …) each → (ΣN_w, …). Gradients go back to where rows came from.

    Later axes of different lengths (texts) are filled up to the longest with ``fill``. In one process the values
    themselves. All processes must call it equally often: their batches have the same kinds of rows.
    """
    if is_alone():
        return values
    from torch.distributed.nn.functional import all_gather

    own = torch.tensor(values.shape, device=values.device)
    shapes = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(shapes, own)
    most = torch.stack(shapes).amax(0).tolist()
    is_float = values.is_floating_point()
    grown = torch.full(most, fill, dtype=values.dtype if is_float else torch.long, device=values.device)
    grown[tuple(slice(size) for size in values.shape)] = values
    if is_float:
        found = list(all_gather(grown))
    else:
        found = [torch.zeros_like(grown) for _ in shapes]
        distributed.all_gather(found, grown)
    rank = distributed.get_rank()
    order = [rank, *(other for other in range(len(found)) if other != rank)]
    return torch.cat([found[number][: int(shapes[number][0])] for number in order]).to(values.dtype)

"""Processes that train one run together, as ``torchrun --nproc_per_node N -m kemm pretrain CONFIG`` starts them.

The first of them writes all files and all output; the others read what it wrote: they need the same folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def count() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this one writes and speaks: the only one, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process do what stands here before the others do it too, so that they find its files."""
    if count() == 1:
        yield
        return
    from datetime import timedelta

    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=1))  # features may take hours
    with state.main_process_first():
        yield


def leave() -> None:
    """End what the processes share; nothing may be asked of the others afterwards."""
    if count() > 1:
        from accelerate import PartialState

        PartialState().destroy_process_group()

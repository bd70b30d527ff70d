"""Where tensors are worked on: which device a run gets, and whether the compiled kernels can read a tensor.

Kernels compiled by numba read the processor's memory. Wherever there is one, there is a path in plain torch beside it
with the same results up to rounding, which all other devices take; tests let the processor take it too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from kg.errors import InputError

Device = Literal["cpu", "cuda", "auto"]

#: Tests set this, so that the processor takes the path of other devices.
PLAIN = False


def choose(asked: Device) -> torch.device:
    """Return a device; "auto" is a GPU where there is one.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if asked == "cuda" and not has_gpu:
        why = "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no GPU here"
        raise InputError(f"training.device is cuda, but {why}: set it to auto or cpu")
    return torch.device("cuda" if has_gpu and asked != "cpu" else "cpu")


def is_compiled(tensor: Tensor) -> bool:
    """Whether compiled kernels work on a tensor: it lies in the processor's memory."""
    return tensor.device.type == "cpu" and not PLAIN


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Let a GPU give the same numbers each time: sums by several threads at once are taken in a fixed order.

    On the processor nothing changes. An operation that has no such form warns and goes on.
    """
    if device.type == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for, read at the first product
    was, only_warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    checks: Any = torch.utils.deterministic
    fills = checks.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    checks.fill_uninitialized_memory = False  # it would write every new tensor twice
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=only_warned)
        checks.fill_uninitialized_memory = fills

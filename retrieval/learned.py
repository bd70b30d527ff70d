"""What the learned judges share: weights on disk, and token states of several texts as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kg.errors import InputError


def open_weights(path: Path, shapes: dict[str, int], what: str, remedy: str) -> dict[str, np.ndarray]:
    """Read a safetensors file that must hold arrays of these names and numbers of axes.

    Raises:
        InputError: it holds something else; the text says what it should be and the remedy.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        weights: dict[str, np.ndarray] = load_file(path)
        if {name: array.ndim for name, array in weights.items()} != shapes:
            raise ValueError(f"it holds {', '.join(weights) or 'nothing'}")
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not {what} ({reason}); {remedy}") from None
    return weights


def padded(rows: Sequence[np.ndarray]) -> tuple[Any, Any]:
    """Token states of N texts as one tensor (N, T, D) and its mask (N, T)."""
    import torch

    states = torch.zeros(len(rows), max(map(len, rows)), rows[0].shape[1])
    mask = torch.zeros(states.shape[:2], dtype=torch.bool)
    for number, row in enumerate(rows):
        states[number, : len(row)] = torch.from_numpy(row.astype(np.float32))
        mask[number, : len(row)] = True
    return states, mask

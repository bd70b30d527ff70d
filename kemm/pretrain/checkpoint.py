"""Checkpoints: weights and optimizer state as safetensors, everything else as JSON. Nothing is pickled."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from kemm.weights import first_difference, read_safetensors
from kg.errors import InputError


def save_state(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer | None, progress: dict[str, Any]
) -> None:
    """Write a checkpoint beside the old one, then put it in its place: a kill leaves the one or the other.

    Args:
        folder: holds ``model.safetensors``, ``optimizer.safetensors`` and ``progress.json``.
        progress: what JSON can hold: the step, the losses so far.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, partial / "model.safetensors")
    if optimizer is not None:
        state = optimizer.state_dict()["state"]
        flat = {
            f"{number}/{key}": torch.as_tensor(value) for number, entry in state.items() for key, value in entry.items()
        }
        save_file({name: value.contiguous() for name, value in flat.items()}, partial / "optimizer.safetensors")
    (partial / "progress.json").write_text(json.dumps(progress))
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_weights(folder: Path, module: nn.Module) -> None:
    """Load a module's weights.

    Raises:
        InputError: they are missing, truncated, or of another shape; names the first that differs.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{folder}: no model there; run `kemm pretrain` first")
    state = read_safetensors(path)
    wrong = first_difference(module.state_dict(), state)
    if wrong is not None:
        raise InputError(f"{path}: {wrong}; train anew with --no-resume")
    module.load_state_dict(state)


def load_state(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Load a checkpoint to go on from; None when there is none. A kill between two renames is mended here."""
    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():
        os.replace(old, folder)
    if not (folder / "progress.json").is_file():
        return None
    load_weights(folder, module)
    loaded: dict[str, Any] = {}
    for name, read in (("optimizer.safetensors", load_file), ("progress.json", _read_json)):
        try:
            loaded[name] = read(folder / name)
        except Exception as error:  # safetensors raises its own bare exception type for a damaged file
            raise InputError(f"{folder / name}: can't be read ({error}); train anew with --no-resume") from None
    flat, progress = loaded["optimizer.safetensors"], loaded["progress.json"]
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in flat.items():
        number, _, key = name.partition("/")
        entries.setdefault(int(number), {})[key] = value
    state = optimizer.state_dict()
    state["state"] = entries
    optimizer.load_state_dict(state)
    return progress


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())

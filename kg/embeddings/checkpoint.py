"""What training leaves on disk: numbers as safetensors, the rest as JSON; a kill leaves the last whole checkpoint.

A checkpoint doesn't say on which device it was made: what one device wrote another goes on with.

run/last/   model, optimiser and progress, to go on from
run/best/   the model with the best validation MRR so far
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from kg.errors import InputError


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None, about: dict[str, Any]) -> None:
    """Write a checkpoint beside the old one, then put it in its place.

    Args:
        about: what JSON holds: the vocabulary's fingerprint, settings, progress.
    """
    partial = begin(folder)
    numbers = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(numbers, partial / "model.safetensors")
    if optimizer is not None:
        flat = {
            f"{number}/{key}": torch.as_tensor(value).cpu().contiguous()
            for number, entry in optimizer.state_dict()["state"].items()
            for key, value in entry.items()
        }
        save_file(flat, partial / "optimizer.safetensors")
    finish(folder, about)


def begin(folder: Path) -> Path:
    """Return an empty folder beside a checkpoint's, for its files."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def finish(folder: Path, about: dict[str, Any]) -> None:
    """Put what was written beside a checkpoint in its place."""
    partial, old = folder.with_name(folder.name + ".partial"), folder.with_name(folder.name + ".old")
    (partial / "about.json").write_text(json.dumps(about), encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_about(folder: Path) -> dict[str, Any] | None:
    """Return a checkpoint's JSON, or None when there is no checkpoint; a kill between two renames is mended here.

    Raises:
        InputError: it is damaged.
    """
    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():
        os.replace(old, folder)
    path = folder / "about.json"
    if not path.is_file():
        return None
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not a whole checkpoint ({error}): remove {folder} and train anew") from None
    return about


def check(folder: Path, fingerprint: str) -> None:
    """Make sure that a checkpoint is there and of this vocabulary.

    Raises:
        InputError: it is not.
    """
    about = read_about(folder)
    if about is None:
        raise InputError(f"{folder}: there is no checkpoint; run `kemm kg train` first")
    if about.get("fingerprint") != fingerprint:
        raise InputError(
            f"{folder}: the checkpoint is of another vocabulary (other entities or relations, or in another order); "
            "train anew in another folder, or give the data it was trained on"
        )


def load_model(folder: Path, model: nn.Module, fingerprint: str) -> None:
    """Load a model's numbers.

    Raises:
        InputError: there is no checkpoint, it is damaged, of another vocabulary, or of a model of another shape.
    """
    check(folder, fingerprint)
    state = _tensors(folder / "model.safetensors")
    own = model.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in own or name not in state or own[name].shape != state[name].shape:
            theirs, ours = (tuple(held[name].shape) if name in held else "absent" for held in (state, own))
            raise InputError(f"{folder}: {name} is {theirs} there and {ours} by the settings: train anew elsewhere")
    model.load_state_dict(state)


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Load what an optimiser had gathered."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in _tensors(folder / "optimizer.safetensors").items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own bare exception type for a damaged file
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None

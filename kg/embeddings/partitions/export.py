"""Parts as one ordinary checkpoint: ``model.safetensors`` with all entities in their order, written by a few rows.

Safetensors: eight bytes with the length of a JSON header (little-endian), the header, which gives each tensor's type,
shape and place, and the numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from kg.embeddings import checkpoint
from kg.embeddings.model import KGEModel
from kg.embeddings.partitions.tables import Tables
from kg.errors import InputError

#: Numbers that are held at a time.
BLOCK = 1 << 18


def export(tables: Tables, folder: Path, about: dict[str, Any]) -> None:
    """Write a checkpoint as ``kg.embeddings.checkpoint`` reads it; ``tables.keep`` comes before."""
    partial = checkpoint.begin(folder)
    plan, width = tables.plan, tables.arrays[0].shape[1]
    rest = {name: value.numpy() for name, value in tables.model.state_dict().items() if name != "entities"}
    assert all(value.dtype in (np.float32, np.int64) for value in rest.values())
    header, end = {}, 0
    sizes = {"entities": ("F32", [plan.num_entities, width], plan.num_entities * width * 4)}
    sizes |= {n: ("F32" if v.dtype == np.float32 else "I64", list(v.shape), v.nbytes) for n, v in rest.items()}
    for name, (kind, shape, num_bytes) in sizes.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + num_bytes]}
        end += num_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (partial / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        rows = max(1, BLOCK // width)
        for start in range(0, plan.num_entities, rows):
            entities = np.arange(start, min(start + rows, plan.num_entities))
            block = np.empty((len(entities), width), dtype=np.float32)
            tables.gather(entities, [block])
            block.tofile(file)
        for value in rest.values():
            value.tofile(file)
    checkpoint.finish(folder, about)


class Checkpoint:
    """The rows of ``entities`` in a checkpoint, read as they are asked for.

    Raises:
        InputError: the file is missing or has no such rows.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.safetensors"
        try:
            with self.path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length))
            entry = header["entities"]
            self.num_entities, self.width = entry["shape"]
            if entry["dtype"] != "F32":
                raise ValueError(f"entities are {entry['dtype']}, not F32")
        except (OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
            raise InputError(f"{self.path}: not a readable checkpoint ({error})") from None
        self._start = 8 + length + entry["data_offsets"][0]

    def load_rest(self, model: KGEModel) -> None:
        """Load all parameters and buffers of a model but its entities."""
        with safe_open(self.path, framework="pt") as file, torch.no_grad():
            for name, value in model.state_dict().items():
                if name != "entities":
                    value.copy_(file.get_tensor(name))

    def block(self, start: int, into: Any) -> None:
        """Read the rows from ``start`` on into an array, (n, De)."""
        with self.path.open("rb") as file:
            file.seek(self._start + start * self.width * 4)
            if file.readinto(into.data.cast("B")) != into.nbytes:
                raise InputError(f"{self.path}: the file is cut short")

    def rows(self, entities: Any) -> Any:
        """Return the vectors of some entities, (N, De), read one by one: mapping would bring their neighbours."""
        found = np.empty((len(entities), self.width), dtype=np.float32)
        with self.path.open("rb", buffering=0) as file:
            for vector, entity in zip(found, entities.tolist()):
                file.seek(self._start + entity * self.width * 4)
                file.readinto(vector.data.cast("B"))
        return found

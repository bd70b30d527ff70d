"""A published checkpoint as the Hugging Face hub has it: ``config.json`` and safetensors, whole or in shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from kemm.weights import read_safetensors, weights_of
from kg.errors import InputError


def read_published(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the configuration and the weights of a checkpoint's folder.

    Raises:
        InputError: a file is missing, damaged, or a pickle, which may hold code and is never loaded.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with config.json and model.safetensors")
    return read_json(folder / "config.json"), _read_weights(folder)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not index.is_file():
        files = [weights_of(folder)]
    else:
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise InputError(f"{index}: it has no weight_map; fetch it again")
        files = [folder / str(name) for name in sorted(set(map(str, shards.values())))]
    state: dict[str, Tensor] = {}
    for file in files:
        state.update(read_safetensors(file))
    return state


def read_json(file: Path) -> dict[str, Any]:
    """Read a file that is one JSON object.

    Raises:
        InputError: it is missing, damaged or something else.
    """
    try:
        found = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{file}: can't be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{file}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{file}: a JSON object is wanted")
    return found

"""A system in a folder of its own: weights under our names as safetensors, and what it was built from as JSON.

    model.safetensors   system.json

Tied weights are written once. Nothing is pickled, and nothing pickled is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kemm import __version__
from kemm.fuse.adapters import has_adapters
from kemm.systems import name_of, system_class
from kemm.systems.published import read_json
from kemm.systems.system import System, build
from kemm.weights import first_difference, read_safetensors, weights_of
from kemm.whole_folder import check_free, written_whole
from kg.errors import InputError

WEIGHTS, SETTINGS, KIND = "model.safetensors", "system.json", "a saved system"


def save(system: System, folder: Path, origin: str | None = None) -> Path:
    """Write a system; when that fails or is killed, the folder is as it was.

    Args:
        folder: is made; one that holds a saved system is replaced.
        origin: where the weights come from, to be remembered.

    Raises:
        InputError: the folder holds something else, or the system was not built by ``from_config``.
    """
    from safetensors.torch import save_file

    if system.config is None:
        raise InputError(f"{type(system).__name__} was not built by from_config, so nobody could build it again")
    if has_adapters(system):
        raise InputError(
            f"{type(system).__name__} has adapters: save those alone with `save_adapters`, or `merge_adapters` first"
        )
    settings: dict[str, Any] = {"system": name_of(type(system)), "version": __version__, "config": dict(system.config)}
    if origin is not None:
        settings["origin"] = origin
    try:
        text = json.dumps(settings, indent=1, sort_keys=True)
    except TypeError as error:
        raise InputError(f"the configuration of {settings['system']} can't be written as JSON: {error}") from None
    with written_whole(folder, SETTINGS, KIND) as partial:
        first, state = first_names(system), system.state_dict()
        weights = {name: state[name].detach().cpu().contiguous() for name in state if first[name] == name}
        save_file(weights, partial / WEIGHTS, metadata={"format": "pt", "system": settings["system"]})
        (partial / SETTINGS).write_text(text + "\n")
    return folder


def load(folder: Path) -> System:
    """Read what `save` wrote, ready to be used: in evaluation mode.

    Raises:
        InputError: a file is missing or damaged, or the weights are of another system.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise InputError(f"{folder}: no saved system there; `kemm import-weights` writes one, with a {SETTINGS}")
    settings = read_json(path)
    name, config = settings.get("system"), settings.get("config")
    if not isinstance(name, str) or not isinstance(config, Mapping):
        raise InputError(f"{path}: 'system' or 'config' is missing; import the weights again")
    system = build(system_class(name), config, path)
    state, first, own = read_safetensors(weights_of(folder)), first_names(system), system.state_dict()
    wrong = first_difference({key: own[key] for key in first.values()}, state)
    if wrong is not None:
        raise InputError(f"{folder / WEIGHTS}: not the weights that {SETTINGS} describes: {wrong}")
    system.load_state_dict({key: state[first[key]] for key in own})
    return system.eval()


def import_weights(name: str, checkpoint: Path, folder: Path, side: int | None = None) -> dict[str, Any]:
    """Read a published checkpoint and write it as a system of ours.

    Args:
        name: of ``SYSTEMS``.
        checkpoint: a folder in the Hugging Face layout.
        folder: to write.
        side: of pictures to be read, in pixels, if not as published; see `System.resize`.

    Returns:
        ``system``, ``folder``, ``parameters`` and ``bytes``.

    Raises:
        InputError: there is no such system, the checkpoint can't be read or is of another one, or the folder is taken.
    """
    kind = system_class(name)
    check_free(folder, SETTINGS, KIND)  # before a large file is read
    system = kind.from_published(checkpoint, side)
    save(system, folder, origin=str(checkpoint))
    count = sum(parameter.numel() for parameter in system.parameters())
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {"system": name, "folder": folder, "parameters": count, "bytes": size}


def first_names(module: nn.Module) -> dict[str, str]:
    """Each tensor's name → the first name of the same tensor."""
    seen: dict[tuple[int, tuple[int, ...]], str] = {}

    def first(name: str, value: Tensor) -> str:
        return seen.setdefault((value.data_ptr(), tuple(value.shape)), name) if value.numel() else name

    return {name: first(name, value) for name, value in module.state_dict().items()}

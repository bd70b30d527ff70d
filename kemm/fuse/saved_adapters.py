"""Adapters in a folder of their own, without the model they belong to, in peft's layout.

    adapter_model.safetensors   adapter_config.json

Those of LoRA are what ``peft.PeftModel.from_pretrained(model, folder)`` reads, too. Nothing pickled is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kemm.fuse.adapters import adapt, adapters, import_peft, put_lora, remove_adapters
from kemm.settings import AdapterSettings
from kemm.weights import first_difference, read_safetensors
from kemm.whole_folder import written_whole
from kg.errors import InputError

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
BEFORE = "base_model.model."  # what peft's names begin with


def save_adapters(model: nn.Module, folder: str | Path) -> Path:
    """Write a model's adapters; a kill leaves the folder as it was.

    Args:
        folder: is made; one that holds adapters is replaced.

    Raises:
        InputError: the model has none, or the folder holds something else.
    """
    from safetensors.torch import save_file

    if not adapters(model):
        raise InputError(f"{type(model).__name__} has no adapters to be saved; put some into it with `adapt`")
    with written_whole(Path(folder), SETTINGS, "adapters") as partial:
        if _is_lora(model):
            config: Any = model.peft_config["default"]  # type: ignore[index, union-attr]
            config.inference_mode = True  # as peft writes it: whoever loads them does not go on training
            config.save_pretrained(str(partial))
            config.inference_mode = False
        else:
            settings: Any = model.adapter_settings
            said = {"peft_type": settings.kind.upper(), **settings.model_dump(mode="json", exclude={"kind"})}
            (partial / SETTINGS).write_text(json.dumps(said, indent=1) + "\n")
        tensors = {f"{BEFORE}{name}": t.detach().cpu().contiguous() for name, t in adapter_state(model).items()}
        save_file(tensors, partial / WEIGHTS, metadata={"format": "pt"})
    return Path(folder)


def load_adapters(model: nn.Module, folder: str | Path) -> nn.Module:
    """Put adapters that `save_adapters`, or peft, wrote into a model, which is frozen by it.

    Returns:
        the model.

    Raises:
        InputError: a file is missing or damaged, or they are of another model; the model has none then.
    """
    folder = Path(folder)
    try:
        said = json.loads((folder / SETTINGS).read_text())
        kind = said.pop("peft_type").lower()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / SETTINGS}: no adapters that `save_adapters` or peft wrote ({error})") from None
    state = {name.removeprefix(BEFORE): value for name, value in read_safetensors(folder / WEIGHTS).items()}
    if kind == "lora":
        config = import_peft().LoraConfig.from_pretrained(str(folder))
        config.inference_mode = False
        try:
            put_lora(model, config)
        except ValueError as error:  # peft's, when none of the layers is there
            raise InputError(f"{folder}: adapters of another model ({str(error).splitlines()[0]})") from None
    elif kind in ("bottleneck", "prefix"):
        adapt(model, AdapterSettings.model_validate({**said, "kind": kind}))
    else:
        raise InputError(f"{folder / SETTINGS}: adapters of kind '{kind}'; there are lora, bottleneck and prefix here")
    wrong = first_difference(adapter_state(model), state)
    if wrong is not None:
        remove_adapters(model)
        raise InputError(f"{folder / WEIGHTS}: adapters of another model: {wrong}")
    with torch.no_grad():
        for name, value in adapter_state(model).items():
            value.copy_(state[name])
    return model


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' weights as peft names them; they are not copied."""
    if _is_lora(model):
        return import_peft().get_peft_model_state_dict(model)
    names = {
        f"{holder}.{name}"
        for holder, part in adapters(model).items()
        for name, _ in part.named_parameters()
        if not name.startswith("base_layer.")
    }
    return {name: parameter.data for name, parameter in model.named_parameters() if name in names}


def _is_lora(model: nn.Module) -> bool:
    return hasattr(model, "peft_config")

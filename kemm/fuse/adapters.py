"""Small parts that learn in a model that stays as it is: LoRA by ``peft``, bottlenecks and prefixes by parts of ours.

    adapt(model, AdapterSettings(kind="lora", size=8))
    …                                     # train: nothing else requires a gradient
    save_adapters(model, "my-adapters")   # kemm.fuse.saved_adapters
    merge_adapters(model)                 # LoRA alone: into the weights, and the model is one without adapters again

peft has no bottlenecks, and its prefixes ask for models of transformers, with their cache.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, cast

from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.bottleneck import Bottleneck
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.prefix import Prefix
from kemm.settings import AdapterSettings
from kg.errors import InputError

#: The linear layers of our parts that LoRA is put beside, the last of each the one that a bottleneck is put behind.
LAYERS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "attention": (Attention, ("qkv", "query", "key_value", "out")),
    "feed_forward": (FeedForward, ("up", "down")),
}


def adapt(model: nn.Module, settings: AdapterSettings) -> nn.Module:
    """Freeze a model and put adapters into it; it computes what it did until they have learned (prefixes: nearly).

    Args:
        model: any with parts of ours, a published system, a tower; with ``settings.layers``, any with linear layers.

    Returns:
        the model.

    Raises:
        InputError: it has adapters, or nothing that the settings could mean; or ``peft`` is not installed.
    """
    if has_adapters(model):
        raise InputError("the model has adapters already; merge or remove them first")
    if settings.kind == "prefix":
        _put_prefixes(model, settings)
    elif settings.kind == "bottleneck":
        _put_bottlenecks(model, settings)
    else:
        put_lora(
            model,
            import_peft().LoraConfig(
                r=settings.size,
                lora_alpha=settings.alpha,
                lora_dropout=settings.dropout,
                target_modules=layers(model, settings),
            ),
        )
        return model
    model.adapter_settings = settings  # type: ignore[assignment]  # as peft leaves peft_config
    return model


def layers(model: nn.Module, settings: AdapterSettings) -> list[str]:
    """Names of the linear layers that settings of LoRA or bottlenecks mean.

    Raises:
        InputError: there are none.
    """
    if settings.layers is not None:
        wanted = re.compile(settings.layers)
        found = [n for n, part in model.named_modules() if isinstance(part, nn.Linear) and wanted.fullmatch(n)]
    else:
        kinds = [LAYERS[part] for part in settings.parts]
        found = [
            f"{name}.{layer}".lstrip(".")
            for name, part in model.named_modules()
            for kind, own in kinds
            if isinstance(part, kind)
            for layer in (own[-1:] if settings.kind == "bottleneck" else own)
            if hasattr(part, layer)
        ]
    if not found:
        asked = (
            f"named like '{settings.layers}'" if settings.layers is not None else f"in {' or '.join(settings.parts)}"
        )
        raise InputError(f"{type(model).__name__} has no linear layer {asked} to put adapters to; say adapters.layers")
    return found


def _put_bottlenecks(model: nn.Module, settings: AdapterSettings) -> None:
    names = layers(model, settings)
    model.requires_grad_(False)
    for name in names:
        layer = cast(nn.Linear, model.get_submodule(name))
        put(model, name, Bottleneck(layer, layer.out_features, settings.size).to(layer.weight))


def _put_prefixes(model: nn.Module, settings: AdapterSettings) -> None:
    """To each self-attention; the experts of one attention share theirs."""
    of = {name: part for name, part in model.named_modules() if isinstance(part, Attention) and not part.is_cross}
    if not of:
        raise InputError(f"{type(model).__name__} has no self-attention of ours to put prefixes to")
    model.requires_grad_(False)
    made: dict[str, Prefix] = {}
    for name, attention in of.items():
        holder = name.rpartition(".")[0]
        key = holder if isinstance(model.get_submodule(holder), nn.ModuleDict) else name
        if key not in made:
            made[key] = Prefix(attention.heads, attention.head_width, settings.size).to(attention.out.weight)
        attention.prefix = made[key]


def put_lora(model: nn.Module, config: Any) -> None:
    """Put peft's adapters of a configuration into a model, in place."""
    import_peft().inject_adapter_in_model(config, model)


def adapters(model: nn.Module) -> dict[str, nn.Module]:
    """Name → part: layers with an adapter around them, peft's and ours, and prefixes."""
    return {
        name: part for name, part in model.named_modules() if isinstance(part, Prefix) or hasattr(part, "base_layer")
    }


def has_adapters(model: nn.Module) -> bool:
    return bool(adapters(model))


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights of the model without its adapters, by the names that they had before; they are not copied."""
    own: dict[str, str | None] = {}
    for holder, part in adapters(model).items():
        for name in part.state_dict():
            is_base = name.startswith("base_layer.")
            own[f"{holder}.{name}"] = f"{holder}.{name.removeprefix('base_layer.')}" if is_base else None
    state = model.state_dict()
    # A prefix that several attentions share stands under all their names in a state
    names = {name: own.get(name, name) for name in state if ".prefix." not in name}
    return {plain: state[name] for name, plain in names.items() if plain is not None}


@contextlib.contextmanager
def without_adapters(model: nn.Module) -> Iterator[nn.Module]:
    """Within, the model computes what it did before it was adapted, bit for bit."""
    _switch(model, False)
    try:
        yield model
    finally:
        _switch(model, True)


def _switch(model: nn.Module, is_on: bool) -> None:
    for part in adapters(model).values():
        if isinstance(part, (Prefix, Bottleneck)):
            part.is_on = is_on
        else:
            cast(Any, part).enable_adapters(is_on)


def merge_adapters(model: nn.Module) -> nn.Module:
    """Add LoRA's products to the weights that they stand beside; what is computed stays, but for rounding.

    Raises:
        InputError: the adapters are of another kind, which no weight could do the work of.
    """
    found = adapters(model)
    if any(isinstance(part, (Prefix, Bottleneck)) for part in found.values()):
        raise InputError("bottlenecks and prefixes can't be merged into weights; LoRA alone can")
    for part in found.values():
        cast(Any, part).merge(safe_merge=True)
    return remove_adapters(model)


def remove_adapters(model: nn.Module) -> nn.Module:
    """Take adapters out; what they stood beside stays as it is, frozen."""
    for name, part in adapters(model).items():
        if not isinstance(part, Prefix):
            put(model, name, cast(nn.Module, part.base_layer))
    for part in model.modules():
        if isinstance(part, Attention):
            part.prefix = None
    for mark in ("peft_config", "adapter_settings"):
        if hasattr(model, mark):
            delattr(model, mark)
    return model


def put(model: nn.Module, name: str, part: nn.Module) -> None:
    """Put a module where another was."""
    holder, _, own = name.rpartition(".")
    setattr(model.get_submodule(holder), own, part)


def import_peft() -> Any:
    """``peft``, imported when first used.

    Raises:
        InputError: it is not installed.
    """
    from kemm.compat import mend_torchvision

    mend_torchvision()
    try:
        import peft
    except ImportError as error:
        raise InputError(f"LoRA needs peft: pip install 'kemm[adapters]' ({error})") from None
    return peft

"""Weights of a published checkpoint under the names of our parts, by a table that is written beside each system."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from kg.errors import InputError

#: Ours → theirs; ``*`` stands for a number, the same on both sides. A name is a parameter's, or a module's for its
#: weight and bias. Several of theirs are joined to one of ours along the first dimension.
Names = Mapping[str, str | tuple[str, ...]]


def rename(theirs: Mapping[str, Tensor], names: Names, unused: Iterable[str] = ()) -> dict[str, Tensor]:
    """Return weights under our names.

    Args:
        theirs: the checkpoint.
        names: the table.
        unused: patterns of names in the checkpoint that have no place in our model (position numbers, pooling heads).

    Raises:
        InputError: the table and the checkpoint do not fit: a name is missing, or left over.
    """
    ours: dict[str, Tensor] = {}
    left = {name for name in theirs if not any(_pattern(p).fullmatch(name) for p in unused)}
    for own, sources in names.items():
        sources = (sources,) if isinstance(sources, str) else sources
        found = False
        for ending in ("", ".weight", ".bias"):
            pattern = _pattern(sources[0] + ending)
            for number in dict.fromkeys(m.groups() for name in theirs if (m := pattern.fullmatch(name))):
                wanted = [_fill(source + ending, number) for source in sources]
                missing = [name for name in wanted if name not in theirs]
                if missing:
                    raise InputError(f"the checkpoint has '{wanted[0]}', but no '{missing[0]}' to go with it")
                ours[_fill(own + ending, number)] = torch.cat([theirs[name] for name in wanted])
                left.difference_update(wanted)
                found = True
        if not found:
            raise InputError(f"the checkpoint has no '{sources[0]}': it is of another system, or not whole")
    if left:
        raise InputError(f"{len(left)} weights of the checkpoint have no place in the model, the first '{min(left)}'")
    return ours


def load(model: nn.Module, theirs: Mapping[str, Tensor], names: Names, unused: Iterable[str] = ()) -> None:
    """Put a checkpoint's weights into ``model``; nothing changes unless all of them fit.

    Raises:
        InputError: see `rename`; or a weight of the model is not in the checkpoint or has another shape.
    """
    ours, state = rename(theirs, names, unused), model.state_dict()
    for name, value in state.items():
        if name not in ours:
            raise InputError(f"the checkpoint has nothing for the model's '{name}'")
        shape = ours[name].shape
        if [side for side in shape if side != 1] != [side for side in value.shape if side != 1]:
            raise InputError(
                f"'{name}' is {tuple(shape)} in the checkpoint and {tuple(value.shape)} in the model: build it with "
                "the checkpoint's sizes"
            )
        ours[name] = ours[name].reshape(value.shape)  # (1, 1, D) is as good as (D,)
    model.load_state_dict(ours)


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\*", r"(\d+)"))


def _fill(name: str, numbers: Iterable[str]) -> str:
    for number in numbers:
        name = name.replace("*", number, 1)
    return name

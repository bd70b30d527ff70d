"""The contract of a published system, and the reading of its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from kemm.systems.names import ForeignCheckpoint, Names, translate
from kemm.systems.published import read_published
from kg.errors import InputError


class System(nn.Module):
    """A model as it was published, made of kemm's parts.

    Attributes:
        NAMES: of our modules and parameters → those of the published checkpoint.
        IGNORED: patterns of names in the checkpoint that have no place here.
    """

    NAMES: ClassVar[Names] = {}
    IGNORED: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from a checkpoint's ``config.json``, with fresh weights.

        Raises:
            InputError: it lacks a key, or asks for what this system does not have.
        """
        raise TypeError(f"{cls.__name__} must define from_config")

    @classmethod
    def from_published(cls, folder: Path) -> Self:
        """Read a published checkpoint in the Hugging Face layout.

        Raises:
            InputError: the folder or a file can't be read, or is of another system; says which parameter differs.
        """
        config, state = read_published(folder)
        try:
            system = cls.from_config(config)
        except KeyError as error:
            raise InputError(f"{folder / 'config.json'}: it has no {error}, which {cls.__name__} needs") from None
        system.load_published(state, folder)
        return system

    def load_published(self, state: Mapping[str, Tensor], folder: Path | str = "the checkpoint") -> None:
        """Take over published weights; nothing is changed when they don't fit.

        Raises:
            ForeignCheckpoint: they are of another system or size.
        """
        try:
            found = translate(state, self.NAMES, self.state_dict(), self.IGNORED)
        except ForeignCheckpoint as error:
            raise ForeignCheckpoint(f"{folder}: not a checkpoint of {type(self).__name__}: {error}") from None
        first: dict[int, str] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            other = first.setdefault(id(parameter), name)
            if not torch.equal(found[name], found[other]):
                raise ForeignCheckpoint(
                    f"{folder}: {other} and {name} are one matrix in {type(self).__name__}, but differ here; "
                    "does config.json say that they are tied?"
                )
        self.load_state_dict(found)


def refuse(config: Mapping[str, Any], system: str, **known: object) -> None:
    """Refuse settings that would make the system compute something else than what is built here.

    Args:
        known: key → the value that is built, or a tuple of several.

    Raises:
        InputError: the configuration says otherwise.
    """
    for key, value in known.items():
        allowed = value if isinstance(value, tuple) else (value,)
        if key in config and config[key] not in allowed:
            said = " or ".join(map(repr, allowed))
            raise InputError(f"config.json: {key} is {config[key]!r}; {system} is built with {said} alone")


#: Hugging Face's names of activations → ours.
ACTIVATION = {
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "gelu_fast": "gelu-tanh",
    "quick_gelu": "quick-gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def activation(config: Mapping[str, Any], key: str = "hidden_act") -> str:
    """The activation that a configuration names.

    Raises:
        InputError: there is none of that name.
    """
    name = config[key]
    if name not in ACTIVATION:
        raise InputError(f"config.json: {key} is {name!r}; there are {', '.join(sorted(ACTIVATION))}")
    return ACTIVATION[name]

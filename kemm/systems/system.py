"""The contract of a published system, and the reading of its checkpoint."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from kemm.fuse.inputs import PatchInput
from kemm.systems.names import ForeignCheckpoint, Names, translate
from kemm.systems.published import read_published
from kg.errors import InputError


class System(nn.Module):
    """A model as it was published, made of kemm's parts.

    Attributes:
        config: what ``from_config`` was given; None when built otherwise.
        NAMES: of our modules and parameters → those of the published checkpoint.
        IGNORED: patterns of names in the checkpoint that have no place here.
        SIDE: where the configuration says how large a picture is, if its positions can be stretched; else empty.
    """

    NAMES: ClassVar[Names] = {}
    IGNORED: ClassVar[tuple[str, ...]] = ()
    SIDE: ClassVar[tuple[str, ...]] = ()
    config: Mapping[str, Any] | None = None

    def __init_subclass__(cls) -> None:
        """Let every ``forward`` ask for what it lacks, and every ``from_config`` leave what it was told for saving."""
        super().__init_subclass__()
        if "forward" in vars(cls):
            cls.forward = asking(vars(cls)["forward"])  # type: ignore[method-assign]
        if "from_config" in vars(cls):
            written = vars(cls)["from_config"].__func__

            @functools.wraps(written)
            def from_config(kind: type[System], config: Mapping[str, Any]) -> System:
                system = written(kind, config)
                system.config = dict(config)
                return system

            cls.from_config = classmethod(from_config)  # type: ignore[assignment, method-assign]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from a checkpoint's ``config.json``, with fresh weights.

        Raises:
            InputError: it lacks a key, or asks for what this system does not have.
        """
        raise TypeError(f"{cls.__name__} must define from_config")

    @classmethod
    def from_published(cls, folder: Path, side: int | None = None) -> Self:
        """Read a published checkpoint in the Hugging Face layout.

        Args:
            side: of pictures to be read, in pixels; see `resize`.

        Raises:
            InputError: the folder or a file can't be read, or is of another system; says which parameter differs.
        """
        config, state = read_published(folder)
        system = build(cls, config, folder / "config.json")
        said = config.get("model_type")
        system.load_published(state, f"{folder} ({said})" if said else folder)
        if side is not None:
            system.resize(side)
        return system

    def resize(self, side: int) -> None:
        """Take square pictures of another size: learned positions are stretched, see `PatchInput.resize`.

        Raises:
            InputError: this system's positions are not such, or patches do not fill such a picture.
        """
        parts = [part for part in self.modules() if isinstance(part, PatchInput)]
        if not self.SIDE or not parts or self.config is None:
            raise InputError(f"{type(self).__name__} has no positions to be stretched for pictures of another size")
        for part in parts:
            part.resize(side)
        self.config = _with(self.config, self.SIDE, side)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what ``save_pretrained`` or `kemm import-weights` wrote, in evaluation mode.

        Raises:
            InputError: a file is missing or damaged, or it is another system.
        """
        from kemm.systems.saved import load

        system = load(Path(folder))
        if not isinstance(system, cls):
            raise InputError(f"{folder}: it is a {type(system).__name__}, not a {cls.__name__}")
        return system

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights and settings to a folder; see `kemm.systems.saved.save`."""
        from kemm.systems.saved import save

        return save(self, Path(folder))

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


def _with(config: Mapping[str, Any], path: tuple[str, ...], value: int) -> dict[str, Any]:
    """The configuration with another value at a place; old files have a section twice, the second as ``…_dict``."""
    key, *rest = path
    if not rest:
        return {**config, key: value}
    sections = [key, *([f"{key}_dict"] if config.get(f"{key}_dict") else [])]
    return {**config, **{each: _with(config.get(each) or {}, tuple(rest), value) for each in sections}}


def asking(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Let a forward refuse to go without a tensor that it needs, or with texts of no word at all, in one line."""
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    order = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    needed = [p.name for p in parameters if p.annotation == "Tensor" and p.default is p.empty]

    @functools.wraps(forward)
    def checked(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(order, args)) | kwargs
        for name in needed:
            if given.get(name) is None:
                raise InputError(f"{type(self).__name__} was given no {name}; it needs {', '.join(needed)}")
        for name in ("tokens", "words"):
            if given.get(name) is not None and given[name].shape[1] == 0:
                raise InputError(f"{type(self).__name__} was given {name} of no word; a text has at least one token")
        return forward(self, *args, **kwargs)

    return checked


Kind = TypeVar("Kind", bound=System)


def build(kind: type[Kind], config: Mapping[str, Any], path: Path) -> Kind:
    """Build from the configuration that a file holds.

    Raises:
        InputError: it lacks a key, has a value of another kind, or asks for what the system does not have.
    """
    try:
        return kind.from_config(config)
    except KeyError as error:
        raise InputError(f"{path}: it has no {error}, which {kind.__name__} needs") from None
    except (TypeError, ValueError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: {kind.__name__} can't be built from it ({reason})") from None


def with_losses(found: dict[str, Tensor], losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs, the losses that there are, and their sum as ``loss``."""
    return {**found, **losses, "loss": torch.stack(list(losses.values())).sum()} if losses else found


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

"""Settings: a YAML file, typed by a pydantic model, with every wrong key named at once and every value's origin known.

    configs/quickstart.yaml:31: unknown key 'objectives.itc.temprature'; did you mean 'temperature'?
    configs/quickstart.yaml:12: 'model.width' must be an integer (got 'wide')
    --set model.heads: 'model.heads' must be greater than 0 (got -1)

What the settings are is the business of :mod:`kemm.settings`; how YAML is read, of :mod:`kemm.yaml_lines`; how a fault
is worded, of :mod:`kemm.config_faults`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from kemm.config_faults import worded
from kemm.yaml_lines import Path as KeyPath
from kemm.yaml_lines import dotted, read
from kg.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Loaded(Generic[Model]):
    """Settings, and for each value where it came from: ``file:line`` or ``--set key``; the rest are defaults."""

    settings: Model
    origins: dict[KeyPath, str]

    def rows(self) -> Iterator[tuple[str, Any, str]]:
        """Every value as ``(dotted key, value, origin)``, in the order of the model's fields."""
        for path, value in _leaves(self.settings.model_dump(mode="json"), ()):
            yield dotted(path), value, self.origins.get(path, "default")


def load(path: str | Path, model: type[Model], overrides: Iterable[str] = ()) -> Loaded[Model]:
    """Read a settings file and apply ``key=value`` overrides, whose values are read as YAML.

    Raises:
        ConfigError: the file or an override is wrong; one line a fault, all of them at once.
    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{name}: there is no such settings file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not a text file in UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{name}: can't be read: {error.strerror}") from None

    document = read(text)
    faults = [(line, f"{name}:{line}: {reason}") for line, reason in document.faults]
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        faults.append((1, f"{name}:1: a settings file must be a mapping of keys to values"))
        data = {}
    lines = dict(document.lines)
    origins = {path: f"{name}:{line}" for path, line in lines.items() if path}
    for override in overrides:
        faults += [(0, fault) for fault in _apply(override, data, origins, lines)]

    settings = None
    if data or not faults:
        try:
            settings = model.model_validate(data)
        except ValidationError as error:
            for key_path, reason in worded(error, data, model):
                at = next((key_path[:n] for n in range(len(key_path), 0, -1) if key_path[:n] in origins), ())
                faults.append((lines.get(at, 0), f"{origins.get(at, name)}: {reason}"))
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(fault for _, fault in sorted(faults, key=lambda fault: fault[0]))))
    assert settings is not None
    return Loaded(settings, origins)


def _apply(override: str, data: dict, origins: dict[KeyPath, str], lines: dict[KeyPath, int]) -> Iterator[str]:
    """Write one ``key=value`` into ``data``, noting its origin; yield what is wrong with it."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    origin = f"--set {key.strip()}"
    if not equals or not all(path):
        yield f"--set {override}: write it as key=value, such as model.width=256"
        return
    document = read(text)
    if document.faults:
        yield from (f"{origin}: {reason}" for _, reason in document.faults)
        return

    place: Any = data
    real: KeyPath = ()  # as ``path``, with positions in lists as numbers
    for step in path[:-1]:
        inner = _step(place, step)
        if inner is None:
            yield f"{origin}: '{dotted(real)}' has no '{step}' below it"
            return
        real = (*real, inner)
        if isinstance(place, dict) and place.get(step) is None:
            place[step] = {}
            origins[real] = origin
        place = place[inner]
    last = _step(place, path[-1])
    if last is None:
        yield f"{origin}: '{dotted(real)}' has no '{path[-1]}' below it"
        return
    place[last] = document.data
    real = (*real, last)
    for known in [known for known in origins if known[: len(real)] == real]:
        del origins[known]
        lines.pop(known, None)
    origins.update({(*real, *inner): origin for inner in document.lines} or {real: origin})


def _step(place: Any, step: str) -> str | int | None:
    """``step`` as a key of the mapping, or a position of the list, ``place``; None if it can be neither."""
    if isinstance(place, dict):
        return step
    if isinstance(place, list) and step.isdecimal() and int(step) < len(place):
        return int(step)
    return None


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that holds no further keys; a list of plain values is one."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for i, inner in enumerate(value):
            yield from _leaves(inner, (*path, i))
    else:
        yield path, value

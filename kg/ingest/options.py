"""What a user may ask of a reader: its keyword-only parameters, given as text or as Python values.

    def read_wikidata(path, reject, *, language: tuple[str, ...] = (), ranks: Literal["best", "all"] = "best")

makes ``ingest.load(path, into=…, language="en,de")`` and ``kemm ingest … --option language=en,de``.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kg.errors import InputError


def options_of(part: Callable[..., Any]) -> dict[str, Any]:
    """Return option → type of a reader or exporter."""
    parameters = inspect.signature(part).parameters.values()
    written = {p.name: p.annotation for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    # The other parameters' types may be known to type checkers alone.
    return typing.get_type_hints(types.SimpleNamespace(__annotations__=written), getattr(part, "__globals__", {}))


def choose(parts: Mapping[str, Callable[..., Any]], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return, for each part, those of the given options that it has, converted to their types.

    Args:
        parts: name → reader; several when a folder holds several formats.

    Raises:
        InputError: an option that none of them has (the text names the nearest), or a value that can't be one.
    """
    known = {name: options_of(part) for name, part in parts.items()}
    every = sorted({option for options in known.values() for option in options})
    for option in given:
        if option not in every:
            near = difflib.get_close_matches(option, every, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            names = ", ".join(parts)
            raise InputError(f"{names} has no option '{option}'{hint} (there are: {', '.join(every) or 'none'})")
    return {
        name: {option: _convert(option, value, options[option]) for option, value in given.items() if option in options}
        for name, options in known.items()
    }


def _convert(name: str, value: Any, kind: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        kind = next(one for one in inner if one is not type(None))
        return _convert(name, value, kind)
    if origin is typing.Literal:
        if value not in inner:
            raise InputError(f"the option '{name}' is one of {', '.join(map(str, inner))}, not '{value}'")
        return value
    if origin is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(part.strip() for part in parts if part.strip())
    if kind is bool and isinstance(value, str):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise InputError(f"the option '{name}' is true or false, not '{value}'")
        return value.lower() in ("true", "yes", "1")
    if kind in (int, float) and isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            raise InputError(f"the option '{name}' is a number, not '{value}'") from None
    if kind is Path:
        return Path(value)
    if kind in (str, int, float, bool) and not isinstance(value, kind):
        raise InputError(f"the option '{name}' is a {kind.__name__}, not {value!r}")
    return value

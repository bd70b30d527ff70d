"""What pydantic found wrong with some settings, said so that the reader can mend it."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from kemm.yaml_lines import Path, dotted

#: pydantic's error types → what the value must be; types not listed are worded by ``_requirement``.
MUST_BE = {
    "int": "an integer",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping of keys to values",
    "mapping": "a mapping of keys to values",
    "model": "a section with keys of its own",
    "none": "null",
}
COMPARISONS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "greater than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def worded(error: ValidationError, data: Any, model: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    """Each fault as ``(path of the value, what is wrong with it)``; the alternatives of a union become one fault."""
    requirements: dict[Path, list[str]] = {}
    for fault in error.errors(include_url=False):
        path = _real_path(fault["loc"], data, missing=fault["type"] == "missing")
        context = fault.get("ctx", {})
        if fault["type"] == "extra_forbidden":
            yield path, _unknown_key(path, model)
        elif fault["type"] == "missing":
            yield path, f"'{dotted(path)}' is missing"
        elif fault["type"] == "value_error":
            yield path, f"'{dotted(path)}': {context['error']}" if path else str(context["error"])
        else:
            requirements.setdefault(path, []).append(_requirement(fault["type"], fault["msg"], context))
    for path, needs in requirements.items():
        needed = " or ".join(dict.fromkeys(needs))
        subject = f"'{dotted(path)}'" if path else "the file"
        yield path, f"{subject} must be {needed} (got {_shown(_at(data, path))}){_near(path, data, model)}"


def _requirement(kind: str, message: str, context: dict[str, Any]) -> str:
    if kind in COMPARISONS:
        bound, words = COMPARISONS[kind]
        limit = context[bound]
        return f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}"
    if kind in {"literal_error", "enum"}:
        return f"one of {context['expected']}" if " or " in context["expected"] else context["expected"]
    if kind == "union_tag_invalid":
        return f"a section whose {context['discriminator']} is one of {context['expected_tags']}"
    for prefix, words in MUST_BE.items():
        if kind == prefix or kind.startswith(f"{prefix}_"):
            return words if "_type" in kind or "_parsing" in kind or kind == prefix else f"{words}: {message.lower()}"
    return f"valid: {message[:1].lower()}{message[1:]}"


def _unknown_key(path: Path, model: type[BaseModel]) -> str:
    """Name the nearest right key: one of the same section, or the same key elsewhere."""
    key, section = str(path[-1]), path[:-1]
    siblings = [name for place in _annotations_at(model, section) for name in _fields(place)]
    near = difflib.get_close_matches(key, siblings, n=1, cutoff=0.6)
    if not near:
        near = [dotted(known) for known in _all_keys(model, ()) if known[-1] == key][:1]
    if near:
        return f"unknown key '{dotted(path)}'; did you mean '{near[0]}'?"
    where = f"'{dotted(section)}'" if section else "the file"
    return f"unknown key '{dotted(path)}'; {where} knows {', '.join(siblings) or 'no keys'}"


def _near(path: Path, data: Any, model: type[BaseModel]) -> str:
    """For a misspelt choice, the choice that was probably meant."""
    value = _at(data, path)
    choices = [c for place in _annotations_at(model, path) for c in _choices(place) if isinstance(c, str)]
    near = difflib.get_close_matches(value, choices, n=1, cutoff=0.6) if isinstance(value, str) else []
    return f"; did you mean '{near[0]}'?" if near else ""


def _real_path(location: Path, data: Any, missing: bool) -> Path:
    """pydantic's location without the names of union members and validators that it mixes in."""
    path: Path = ()
    place: Any = data
    for step in location[:-1] if missing else location:
        if (isinstance(place, dict) and step in place) or (isinstance(place, list) and isinstance(step, int)):
            path, place = (*path, step), _at(place, (step,))
    return (*path, location[-1]) if missing else path


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _shown(value: Any) -> str:
    """A value as the user would write it, cut to what fits in one line."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


# -- what a model knows at a path ------------------------------------------------------------------------------------


def _parts(annotation: Any) -> Iterator[Any]:
    """The members of a union, and what ``Annotated`` wraps."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _parts(member)
    else:
        yield annotation


def _annotations_at(model: Any, path: Path) -> list[Any]:
    """The types that the value at ``path`` may have."""
    places = list(_parts(model))
    for step in path:
        inner: list[Any] = []
        for place in places:
            origin, arguments = get_origin(place) or place, get_args(place)
            if step in _fields(place):
                inner += _parts(place.model_fields[step].annotation)
            elif isinstance(origin, type) and issubclass(origin, Mapping) and arguments:
                inner += _parts(arguments[1])
            elif isinstance(origin, type) and issubclass(origin, Sequence) and arguments:
                inner += _parts(arguments[0])
        places = inner
    return places


def _fields(place: Any) -> list[str]:
    return list(place.model_fields) if isinstance(place, type) and issubclass(place, BaseModel) else []


def _choices(place: Any) -> tuple[Any, ...]:
    """The members of a ``Literal[…]`` or an Enum."""
    if str(get_origin(place)) == "typing.Literal":
        return get_args(place)
    return tuple(member.value for member in getattr(place, "__members__", {}).values())


def _all_keys(place: Any, path: Path) -> Iterator[Path]:
    """Every key below ``place`` that is written out in a model; what stands in lists and free mappings is left out."""
    for name in _fields(place):
        yield (*path, name)
        if len(path) < 8:  # a model may contain itself
            for part in _parts(place.model_fields[name].annotation):
                yield from _all_keys(part, (*path, name))

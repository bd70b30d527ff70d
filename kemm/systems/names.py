"""Whose parameter is whose: a published checkpoint's names beside ours, written out, and the reading of one by the other.

A system's table gives, for each of our modules or parameters, the module or parameter that it is in the published
checkpoint::

    NAMES = {
        "embed.word": "bert.embeddings.word_embeddings",
        "encoder.blocks.{i}.attention.query": "bert.encoder.layer.{i}.attention.self.query",
        "encoder.blocks.{i}.attention.qkv": ("h.{i}.attn.q", "h.{i}.attn.k", "h.{i}.attn.v"),   # put one below another
        "encoder.blocks.{i}.feed_forward.up": Transposed("h.{i}.mlp.c_fc"),
    }

``{i}`` is the same number on both sides. An entry of modules covers their ``weight`` and ``bias``. Two of ours may read
the same one of theirs: tied weights.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from kg.errors import InputError

MOST_NAMED = 6  # parameters that an error lists


class Transposed(str):
    """The name of a matrix that the checkpoint keeps the other way round, as GPT-2's linear layers do."""


Source = str | tuple[str, ...]
Names = Mapping[str, Source]


class ForeignCheckpoint(InputError):
    """A checkpoint is not of the system that it is read as."""


def translate(
    theirs: Mapping[str, Tensor], names: Names, ours: Mapping[str, Tensor], ignored: Collection[str] = ()
) -> dict[str, Tensor]:
    """Return the checkpoint's tensors under our names.

    Args:
        theirs: the published state.
        names: the system's table.
        ours: our own state, for its names and shapes.
        ignored: patterns of their names that have no place in ours on purpose: position numbers, tied copies.

    Raises:
        ForeignCheckpoint: something of ours has no source, something of theirs no place, or a shape differs; names them.
    """
    patterns = [(_pattern(name), source) for name, source in names.items()]
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    faults: list[str] = []
    for name, own in ours.items():
        sources = _sources(name, patterns)
        assert sources, f"the table of names has no entry for {name}"
        absent = [source for source in sources if source not in theirs]
        if absent:
            near = difflib.get_close_matches(absent[0], theirs, n=1)
            faults.append(f"{absent[0]} is missing" + (f" (nearest: {near[0]})" if near else ""))
            continue
        used.update(sources)
        parts = [theirs[source].T if isinstance(source, Transposed) else theirs[source] for source in sources]
        value = parts[0] if len(parts) == 1 else torch.cat(parts)
        if value.shape != own.shape:
            faults.append(f"{' + '.join(sources)} has shape {tuple(value.shape)}, {tuple(own.shape)} is wanted")
        found[name] = value.to(own.dtype)
    skipped = [re.compile(_as_expression(pattern)) for pattern in ignored]
    left = [name for name in theirs if name not in used and not any(one.fullmatch(name) for one in skipped)]
    faults += [f"{name} has no place" for name in left]
    if faults:
        more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise ForeignCheckpoint("; ".join(faults[:MOST_NAMED]) + more)
    return found


def _sources(name: str, patterns: Sequence[tuple[re.Pattern[str], Source]]) -> list[str]:
    """What one of our parameters is made of, by the first entry that covers it; [] when none does."""
    for pattern, source in patterns:
        if match := pattern.fullmatch(name):
            ending = match["ending"] or ""
            values = {key: value for key, value in match.groupdict().items() if key != "ending"}
            parts = source if isinstance(source, tuple) else (source,)
            return [type(part)(part.format(**values) + ending) for part in parts]
    return []


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_as_expression(name) + r"(?P<ending>\.(?:weight|bias))?")


def _as_expression(name: str) -> str:
    """``blocks.{i}.norm`` as a regular expression with the group ``i``; ``*`` stands for anything."""
    parts = re.split(r"(\{\w+\}|\*)", name)
    seen: set[str] = set()

    def expression(part: str) -> str:
        if part == "*":
            return ".*"
        if part.startswith("{"):
            key = part[1:-1]
            if key in seen:
                return f"(?P={key})"
            seen.add(key)
            return rf"(?P<{key}>\d+)"
        return re.escape(part)

    return "".join(map(expression, parts))

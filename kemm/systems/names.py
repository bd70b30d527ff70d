"""Whose parameter is whose: a published checkpoint's names beside ours, written out.

A system's table gives, for each of our modules or parameters, the module or parameter that it is in the published
checkpoint::

    NAMES = {
        "embed.word": "bert.embeddings.word_embeddings",
        "encoder.blocks.{i}.attention.query": "bert.encoder.layer.{i}.attention.self.query",
        "encoder.blocks.{i}.attention.qkv": ("h.{i}.attn.q", "h.{i}.attn.k", "h.{i}.attn.v"),   # put one below another
        "encoder.blocks.{i}.feed_forward.up": Transposed("h.{i}.mlp.c_fc"),
        "head": Either("lm_head", "shared"),    # the first that the checkpoint has
        "language.*": "language_model.*",       # a model within, under its own names
        "query.weight": "in_proj[0:1/3]",       # the first of three equal parts that are put one below another
    }

``{i}`` is the same number on both sides, ``*`` the same text. An entry of modules covers their ``weight`` and
``bias``. Two of ours may read the same one of theirs: tied weights. Axes of length 1 may be more or fewer, and a
convolution that we have as a linear map over patches is read as its matrix.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kg.errors import InputError

MOST_NAMED = 6  # parameters that an error lists


class Transposed(str):
    """The name of a matrix that the checkpoint keeps the other way round, as GPT-2's linear layers do."""


class Biasless(str):
    """The name of a part of a joined projection that has no bias where its fellows have one, as BEiT's key."""


Plain = str | tuple[str, ...]


@dataclass(frozen=True)
class Either:
    """The first that a checkpoint has of several: tied weights are written once, under any name of theirs."""

    sources: tuple[Plain, ...]

    def __init__(self, *sources: Plain) -> None:
        object.__setattr__(self, "sources", sources)


Source = Plain | Either
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
        ForeignCheckpoint: one of ours has no source, one of theirs no place, or a shape differs; names them.
    """
    patterns = [(_pattern(name), source) for name, source in names.items()]
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    faults: list[str] = []
    for name, own in ours.items():
        sources = _sources(name, patterns, theirs)
        assert sources, f"the table of names has no entry for {name}"
        absent = [whole(source) for source in sources if not _there(source, theirs)]
        if absent:
            near = difflib.get_close_matches(absent[0], theirs, n=1)
            faults.append(f"{absent[0]} is missing" + (f" (nearest: {near[0]})" if near else ""))
            continue
        used.update(map(whole, sources))
        rows = own.shape[0] // len(sources) if own.dim() else 0
        parts = [_read(theirs, source) if whole(source) in theirs else own.new_zeros(rows) for source in sources]
        value = _laid_out(parts[0] if len(parts) == 1 else torch.cat(parts), own)
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


_PART = re.compile(r"\[(\d+):(\d+)/(\d+)\]$")


def whole(source: str) -> str:
    """The parameter that a source is, or is a part of."""
    return _PART.sub("", source)


def _there(source: str, theirs: Collection[str]) -> bool:
    """Whether a checkpoint has it, or need not."""
    return whole(source) in theirs or (isinstance(source, Biasless) and source.endswith(".bias"))


def _read(theirs: Mapping[str, Tensor], source: str) -> Tensor:
    value = theirs[whole(source)]
    if match := _PART.search(source):
        first, end, parts = map(int, match.groups())
        rows = len(value) // parts
        return value[first * rows : end * rows]
    return value.T if isinstance(source, Transposed) else value


def _laid_out(value: Tensor, own: Tensor) -> Tensor:
    """The same numbers with other axes of length 1, or a convolution's kernel as a matrix, where ours is so."""
    if [n for n in value.shape if n != 1] == [n for n in own.shape if n != 1]:
        return value.reshape(own.shape)
    if value.dim() > own.dim() == 2 and value.shape[0] == own.shape[0] and value.numel() == own.numel():
        return value.flatten(1)
    return value


def _sources(name: str, patterns: Sequence[tuple[re.Pattern[str], Source]], theirs: Collection[str]) -> list[str]:
    """What one of our parameters is made of, by the first entry that covers it; [] when none does."""
    for pattern, source in patterns:
        if match := pattern.fullmatch(name):
            values = match.groupdict()
            ending, rest = values.pop("ending") or "", values.pop("rest", None) or ""
            found = [
                [
                    type(part)(part.format(**values).replace("*", rest) + ending)
                    for part in (choice if isinstance(choice, tuple) else (choice,))
                ]
                for choice in (source.sources if isinstance(source, Either) else (source,))
            ]
            return next((parts for parts in found if all(_there(part, theirs) for part in parts)), found[0])
    return []


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_as_expression(name) + r"(?P<ending>\.(?:weight|bias))?")


def _as_expression(name: str) -> str:
    """``blocks.{i}.norm`` as a regular expression with the group ``i``; ``*`` stands for anything."""
    parts = re.split(r"(\{\w+\}|\*)", name)
    seen: set[str] = set()

    def expression(part: str) -> str:
        if part == "*":
            return "(?P<rest>.*)"
        if part.startswith("{"):
            key = part[1:-1]
            if key in seen:
                return f"(?P={key})"
            seen.add(key)
            return rf"(?P<{key}>\d+)"
        return re.escape(part)

    return "".join(map(expression, parts))

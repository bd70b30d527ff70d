"""Test triples that descriptions give away: one of whose entities is named in the other's description."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kg.errors import FormatError, InputError
from kg.names import fold

_NO_WORD = re.compile(r"[\W_]+")

#: Entity → (name, description).
Texts = Mapping[str, tuple[str, str]]


def read_texts(path: str | Path) -> dict[str, tuple[str, str]]:
    """Read entity → (name, description) from TSV or JSON lines, plain or gzipped.

    TSV has the columns entity, name, description, or entity, text, whose name is what comes before the first comma;
    JSON lines have ``id``, ``label`` and ``description``.

    Raises:
        FormatError: a line of another form, or text that is not UTF-8.
        InputError: there is no such file.
    """
    path = Path(path)
    is_json = any(suffix in (".json", ".jsonl") for suffix in path.suffixes)
    found: dict[str, tuple[str, str]] = {}
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if is_json:
                    row = json.loads(line)
                    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
                        raise FormatError(str(path), number, "the line has no 'id' that is a text")
                    found[row["id"]] = str(row.get("label") or ""), str(row.get("description") or "")
                    continue
                columns = line.rstrip("\r\n").split("\t")
                if len(columns) < 2:
                    raise FormatError(str(path), number, "1 column instead of 2 (entity, text) or 3 (… name, text)")
                entity, text = columns[0], columns[-1]
                found[entity] = (columns[1] if len(columns) > 2 else text.split(",", 1)[0]), text
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise FormatError(str(path), number + 1, f"not {'JSON' if is_json else 'UTF-8 text'} ({error})") from None
    return found


def named_in_texts(edges: Sequence[tuple[str, str, str]], texts: Texts, shortest_name: int) -> np.ndarray:
    """Tell which edges have an end that is named, as whole words, in the other's description, (M,) bool.

    Args:
        shortest_name: letters of a name below which its being in a text means nothing.
    """
    names: dict[str, str] = {}
    spoken: dict[str, str] = {}
    for entity, (name, about) in texts.items():
        names[entity] = _words(name) if len(name.strip()) >= shortest_name else ""
        spoken[entity] = _words(about)
    named = [
        any(names.get(b) and names[b] in spoken.get(a, "") and names.get(a) != names[b] for a, b in ((h, t), (t, h)))
        for h, _, t in edges
    ]
    return np.array(named, dtype=bool)


def _words(text: str) -> str:
    """Return the folded words, each with a blank before and behind: ``" el paso "``."""
    return f" {_NO_WORD.sub(' ', fold(text)).strip()} "

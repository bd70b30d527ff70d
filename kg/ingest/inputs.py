"""What a user names as input → the files to read, each with its reader: a file, a folder, a glob, "-", a list."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kg.errors import InputError
from kg.ingest.files import STDIN
from kg.ingest.id_files import ENTITIES, RELATIONS


@dataclass(frozen=True, slots=True)
class Input:
    """One file and the name in ``READERS`` that reads it."""

    path: Path
    format: str


def find(path: str | Path | Sequence[str | Path], format: str | None = None) -> list[Input]:
    """Return the files that ``path`` names.

    A folder means all files below it whose suffix tells a format (every file when ``format`` is given), in the order of
    their names; what is hidden is left out, and so are the id files of tables.

    Raises:
        InputError: there is nothing there, or nothing that can be read.
    """
    if not isinstance(path, str | Path):
        return [one for each in path for one in find(each, format)]
    return list(_find(path, format))


def _find(path: str | Path, format: str | None) -> Iterator[Input]:
    from kg.ingest import PACKAGED, format_of

    file = Path(path)
    if str(path) == STDIN:
        if format is None:
            raise InputError("standard input has no suffix to tell its format: give --format")
        yield Input(file, format_of(path, format))
    elif file.is_dir():
        yield from _folder(file, format)
    elif file.is_file():
        yield Input(file, format_of(path, format))
    elif (name := _packaged(path, format)) in PACKAGED:
        yield Input(file, name)
    elif glob.has_magic(str(path)):
        matches = sorted(one for one in map(Path, glob.glob(str(path), recursive=True)) if one.is_file())
        if not matches:
            raise InputError(f"no file matches {path}")
        yield from (Input(one, format_of(one, format)) for one in matches)
    else:
        format_of(path, format)  # a wrong suffix is told first
        raise InputError(f"there is no file {path}" if not file.exists() else f"{path} is not a file")


def _packaged(path: str | Path, format: str | None) -> str:
    return (format or str(path)).lower()


def _folder(folder: Path, format: str | None) -> Iterator[Input]:
    from kg.ingest import READERS, format_of, suffix_of

    num_found = 0
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if hidden or not file.is_file() or file.name in (ENTITIES, RELATIONS):
            continue
        if format or suffix_of(file) in READERS:
            num_found += 1
            yield Input(file, format_of(file, format))
    if not num_found:
        raise InputError(f"the folder {folder} holds no file that can be read; the suffixes are: {', '.join(READERS)}")

"""Pictures from a table: every row checked, every fault reported with its line, nothing added when one is wrong."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from kg.errors import FormatError, InputError
from kg.records import Picture
from kg.store import terms
from kg.store.graph import KnowledgeGraph

#: How many faults one error lists.
MOST_FAULTS = 20


def add_pictures_from_table(
    graph: KnowledgeGraph, path: str | Path, root: str | Path | None = None, source: str = "", check: bool = True
) -> dict[str, Any]:
    """Add the pictures that a TSV or CSV table lists, as one version.

    Args:
        path: a table with a header that names the columns ``path`` and ``entity``, and may name ``split``; others are
            ignored. Tabs or commas, whichever its header has; or Parquet, by its suffix.
        root: the folder that the paths are relative to; the table's own by default.
        source: who says so; the table's file name by default.
        check: decode each picture's header and structure, rather than trust its name.

    Returns:
        ``{"pictures": added, "entities": n, "splits": {split: rows}, "version": the store's version}``.

    Raises:
        FormatError: no such header.
        InputError: rows that can't be added, up to twenty, as ``file:line: reason``; nothing was added.
    """
    table = Path(path)
    folder = Path(root).absolute() if root is not None else table.absolute().parent
    rows = _rows(table)
    with graph.database.read() as connection:
        known = terms.find_many(connection, (row[1] for row in rows))
    pictures: list[Picture] = []
    faults: list[str] = []
    for line, entity, relative, split in rows:
        fault, digest = "", ""
        if not relative or not entity:
            fault = f"the column '{'entity' if relative else 'path'}' is empty"
        elif os.path.isabs(relative) or os.path.normpath(relative).startswith(".."):
            fault = f"{relative} is not below {folder}"
        elif entity not in known:
            fault = f"the store has no entity <{entity}>"
        else:
            fault, digest = look(folder / relative, check)
        if fault:
            faults.append(f"{path}:{line}: {fault}")
        pictures.append(Picture(relative, entity, split, str(folder), digest))
    if faults:
        more = f"\n… and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise InputError("\n".join(faults[:MOST_FAULTS]) + more)
    with graph.edit(source or table.name, action="pictures") as edit:
        added = edit.add_pictures(pictures)
        version = edit.version
    splits = dict(Counter(shot.split for shot in pictures))
    return {
        "pictures": added,
        "entities": len({shot.entity for shot in pictures}),
        "splits": splits,
        "version": version,
    }


def _rows(table: Path) -> list[tuple[int, str, str, str]]:
    """Return (line, entity, path, split) of each row."""
    if table.suffix.lower() == ".parquet":
        from kg.ingest.columnar import read_picture_rows

        return read_picture_rows(table)
    try:
        data = table.read_bytes()
    except OSError as error:
        raise InputError(f"{table} can't be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(str(table), data.count(b"\n", 0, error.start) + 1, "not UTF-8 text") from None
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter="\t" if "\t" in first else ",")
    header = [name.strip().lower() for name in next(reader, [])]
    if missing := [name for name in ("path", "entity") if name not in header]:
        raise FormatError(
            str(table), 1, f"the header must name the column '{missing[0]}' (it has: {', '.join(header)})"
        )
    places = [header.index(name) if name in header else None for name in ("entity", "path", "split")]
    rows = []
    for row in reader:
        if row:
            entity, path, split = (row[at].strip() if at is not None and at < len(row) else "" for at in places)
            rows.append((reader.line_num, entity, path, split))
    return rows


def look(file: Path, check: bool) -> tuple[str, str]:
    """Return (what is wrong with a picture file, or nothing; its sha256)."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return f"there is no file {file}", ""
    except OSError as error:
        return f"{file} can't be read: {error.strerror}", ""
    if check:
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(data)) as image:
                    image.verify()
        except Exception as error:  # Pillow's decoders raise whatever they meet in damaged files
            reason = str(error).replace(str(file), "").split(" <")[0] or type(error).__name__
            return f"{file} is not a picture that can be opened ({reason})", ""
    return "", hashlib.sha256(data).hexdigest()

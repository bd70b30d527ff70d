"""Vectors that entities have beside their place in the graph: of texts, of pictures, of literals; any of them missing.

    text = read_modality("text", "features/text.npy", triples.entities)
    text.vectors                  # (E, T, W) float32: T tokens of width W for each entity; (E, 1, W) for one vector
    text.known                    # (E, T) bool: False where there is none, which no vector can say

A modality lies on disk as two files: ``text.npy``, (N, W) or (N, T, W) float16 or float32, which is mapped and from
which only the rows of known entities are read, and ``text.names``, N names of entities, one a line, in the order of the
rows. A row or token that holds a NaN is missing, as is every entity that the names don't list.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kg.embeddings.triples import Array
from kg.errors import InputError


@dataclass(frozen=True)
class Modality:
    """What one modality says of each entity.

    Attributes:
        name: "text", "picture", "literals", or what the user calls it.
        vectors: (E, T, W) float32; 0 where nothing is known.
        known: (E, T) bool.
    """

    name: str
    vectors: Array
    known: Array

    @property
    def num_known(self) -> int:
        """Entities with at least one vector."""
        return int(self.known.any(axis=1).sum())


def read_modality(name: str, path: str | Path, entities: Sequence[str]) -> Modality:
    """Read the vectors of a vocabulary's entities.

    Args:
        path: the ``.npy`` file; the names lie beside it.
        entities: names, in the order of their numbers.

    Raises:
        InputError: a file is missing or of another form, rows and names differ in number, a name comes twice, or no
            entity of the vocabulary is named.
    """
    path = Path(path)
    rows, names = _map(path), _names(path.with_suffix(".names"))
    if len(rows) != len(names):
        raise InputError(f"{path}: {len(rows):,} rows, but {path.with_suffix('.names').name} has {len(names):,} names")
    row_of = {entity: row for row, entity in enumerate(names)}
    if len(row_of) != len(names):
        twice = next(entity for row, entity in enumerate(names) if row_of[entity] != row)
        raise InputError(f"{path.with_suffix('.names')}: '{twice}' comes twice: an entity has one row")
    where = np.array([row_of.get(entity, -1) for entity in entities], dtype=np.int64)  # (E,)
    if not (where >= 0).any():
        raise InputError(
            f"{path}: none of its {len(names):,} names, such as '{names[0] if names else ''}', is an entity of the "
            f"triples, such as '{entities[0]}': the two must use the same names"
        )
    vectors = np.zeros((len(entities), *rows.shape[1:]), dtype=np.float32)
    vectors[where >= 0] = rows[where[where >= 0]]
    is_nan = np.isnan(vectors).any(axis=2)
    vectors[is_nan] = 0
    return Modality(name, vectors, ~is_nan & (where >= 0)[:, None])


def write_modality(path: str | Path, names: Iterable[str], vectors: Array) -> None:
    """Write the two files of a modality; a kill leaves the old ones or none.

    Args:
        path: ends with ``.npy``.
        vectors: (N, W) or (N, T, W), NaN where a token is missing.

    Raises:
        InputError: names and vectors differ in number, or a name has a line break.
    """
    path, names = Path(path), list(names)
    if len(names) != len(vectors) or vectors.ndim not in (2, 3):
        raise InputError(f"{path}: {len(names):,} names and vectors of shape {vectors.shape}: give a row for each name")
    if broken := next((name for name in names if "\n" in name or "\r" in name), None):
        raise InputError(f"{path}: the name {broken!r} has a line break")
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = path.with_suffix(".names")
    partial = path.with_name(path.stem + ".partial.npy"), listed.with_name(listed.name + ".partial")
    np.save(partial[0], np.asarray(vectors))
    partial[1].write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    listed.unlink(missing_ok=True)  # so that new rows are never read with old names
    os.replace(partial[0], path)
    os.replace(partial[1], listed)


def read_modalities(paths: Mapping[str, str | Path], entities: Sequence[str]) -> list[Modality]:
    """Read several modalities, name → path, in that order."""
    return [read_modality(name, path, entities) for name, path in paths.items()]


def _map(path: Path) -> Array:
    try:
        rows: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: a modality is a .npy file with a .names file beside it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a .npy file of numbers ({error})") from None
    if rows.ndim not in (2, 3) or rows.dtype not in (np.float16, np.float32, np.float64):
        raise InputError(f"{path}: {rows.dtype} of shape {rows.shape}: floats of shape (N, W) or (N, T, W) are needed")
    return rows if rows.ndim == 3 else rows[:, None]  # (N, T, W)


def _names(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        return text.removesuffix("\n").split("\n") if text else []  # not splitlines: a name may hold U+2028
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: it names the entity of each row, one a line") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start})") from None

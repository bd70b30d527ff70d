"""Things of a user's own table, each known by any of picture, sound, film, text and class."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.rewriting import Rewriter
from kemm.data.samples import UNKNOWN, Part, Samples
from kemm.data.wordings import share
from kg.errors import InputError

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData

COLUMNS = {"picture": "vision", "text": "language", "sound": "audio", "frames": "video", "regions": "regions"}
HELD_OUT = 0.1


class MediaTable:
    """A TSV with a header of any of ``picture``, ``sound``, ``frames``, ``regions``, ``text``, ``label``, ``split``.

    Frames are a folder of pictures, or an animated one; regions an NPZ of what a detector found (see
    ``PartMaker.regions``). ``spoken`` says from where to where in the film the text is heard, as shares of its length:
    "0.25-0.5".

    Paths are relative to the table; an empty cell is something not known. Rows whose split is one of
    ``data.test_splits`` are left out; ``dev`` ones, or without that column a tenth, are held out.

    Raises:
        InputError: the table is not there, or has none of the columns.
    """

    def __init__(self, data: TrainingData) -> None:
        path = data.settings.data.media
        self.parts = data.world.parts
        self.train: list[dict[str, str]] = []
        self.dev: list[dict[str, str]] = []
        self.names: list[str] = []
        if path is None:
            self.modalities: frozenset[str] = frozenset()
            return
        rows = _read(path)
        self.names = [column for column in COLUMNS if any(row.get(column) for row in rows)]
        said = sorted({row["label"] for row in rows if row.get("label")})
        self.labels = {label: number for number, label in enumerate(said)}
        for row in rows:
            split = row.get("split") or ""
            if split in data.settings.data.test_splits:
                continue
            is_dev = split == "dev" if "split" in row else share(data.seed, "media", str(row)) < HELD_OUT
            (self.dev if is_dev else self.train).append(row)
        used = (*self.train, *self.dev)
        pictures, sounds = ([row[name] for row in used if row.get(name)] for name in ("picture", "sound"))
        self.parts.keep(pictures, sounds)
        is_said = {"text", "label"} <= set(rows[0])
        self.roles = data.roles & {"tags", "retrieved", "rewritten"} if is_said else frozenset()
        self.said: dict[str, list[str]] = {}  # label → texts
        for row in self.train:
            if row.get("text") and row.get("label"):
                self.said.setdefault(row["label"], []).append(row["text"])
        self.rewrite = Rewriter(self.said)
        known = {COLUMNS[column] for column in self.names} | ({"label"} if len(self.labels) > 1 else set())
        self.is_spoken = any(row.get("spoken") for row in used)
        self.modalities = frozenset(known) | self.roles | ({"span"} if self.is_spoken else set())

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        return self._draw(self.train, rng, size)

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        return self._draw(self.dev, rng, size) if self.dev else None

    def _draw(self, rows: list[dict[str, str]], rng: np.random.Generator, size: int) -> Samples:
        chosen = [rows[i] for i in rng.permutation(len(rows))[:size]]
        parts: dict[str, Part] = {}
        for column in self.names:
            cells = [row.get(column) or None for row in chosen]
            if column == "picture":
                shown = [self.parts.picture(cell) if cell else None for cell in cells]
                parts["vision"] = self.parts.pictures(shown)
            else:
                make = {"text": "texts", "sound": "sounds", "frames": "films", "regions": "regions"}[column]
                parts[COLUMNS[column]] = getattr(self.parts, make)(cells)
        label = [self.labels[row["label"]] if row.get("label") else UNKNOWN for row in chosen]
        further = {
            role: self.parts.texts([self._further(role, row, rng) for row in chosen]) for role in sorted(self.roles)
        }
        unknown = torch.full((len(chosen),), UNKNOWN)
        made = Samples(parts, unknown, torch.tensor(label, dtype=torch.long), further=further)
        return replace(made, span=spans_of(chosen, parts["video"])) if self.is_spoken else made

    def _further(self, role: str, row: dict[str, str], rng: np.random.Generator) -> str | None:
        """A row's class, another text of its class, or its text made wrong."""
        text, label = row.get("text") or "", row.get("label") or ""
        if role == "tags":
            return label or None
        if role == "rewritten":
            return self.rewrite(label, text, rng) if text else None
        others = self.said.get(label, [])
        return others[rng.integers(len(others))] if others else None


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such table; set data.media to a TSV of pictures, sounds and texts")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows or not set(COLUMNS) & set(rows[0]):
        raise InputError(f"{path}: a header with any of {', '.join(COLUMNS)}, tab-separated, and rows are needed")
    for number, row in enumerate(rows, 2):
        if row.get("spoken"):
            spoken_share(row, f"{path}:{number}")
        for column in ("picture", "sound", "frames", "regions"):
            if row.get(column):
                row[column] = str(path.parent / row[column])
    return rows


def spoken_share(row: dict[str, str], where: str) -> tuple[float, float]:
    """From where to where in the film a row's text is spoken, as shares of it."""
    parts = re.fullmatch(r"([\d.]+)-([\d.]+)", row["spoken"].strip())
    try:
        first, last = (float(part) for part in parts.groups()) if parts else (1.0, 0.0)
    except ValueError:
        first, last = 1.0, 0.0
    if not 0 <= first < last <= 1:
        raise InputError(f"{where}: spoken is {row['spoken']!r}; write two shares of the film's length, as in 0.25-0.5")
    if not row.get("frames") or not row.get("text"):
        raise InputError(f"{where}: spoken says where in a film a text is heard; give frames and text in this row, too")
    return first, last


def spans_of(rows: list[dict[str, str]], films: Part) -> torch.Tensor:
    """(B, 2) the first and the last of the frames taken during which a row's text is spoken, or ``UNKNOWN``."""
    assert films.mask is not None
    spans = torch.full((len(rows), 2), UNKNOWN)
    for number, (row, count) in enumerate(zip(rows, films.mask.sum(1).tolist(), strict=True)):
        if row.get("spoken"):
            first, last = spoken_share(row, f"row {number}")
            start = min(int(first * count), count - 1)
            spans[number] = torch.tensor([start, max(start, math.ceil(last * count) - 1)])
    return spans

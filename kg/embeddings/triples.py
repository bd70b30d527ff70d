"""Triples as numbers: a vocabulary of entities and relations, and the splits as (N, 3) arrays, mapped from disk.

    triples = read_files({"train": "train.tsv.gz", "valid": "valid.tsv.gz", "test": "test.tsv.gz"})
    triples.save("fb15k-237")
    triples = Triples.open("fb15k-237")      # nothing but the names is read; arrays are mapped
    triples["train"]                         # (272115, 3) int32: head, relation, tail

What is done with odd triples, all of it counted in ``triples.report``:

- **duplicates** within a split count once; a triple of one split that another has too is kept in both, and counted.
- **self-loops** are kept.
- **unseen entities** of valid and test (not in training) are kept, as the published figures have them: their vectors
  stay as they were drawn. ``unseen="drop"`` leaves such triples out (as PyKEEN does), ``unseen="refuse"`` is an error.
- **unseen relations** are an error unless they are to be dropped, too, or kept (``unseen="keep-all"``): no model here
  can say anything of them, so their triples rank by chance.
- **empty splits**: training must not be empty; of others, whoever needs one says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kg.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
Unseen = Literal["keep", "keep-all", "drop", "refuse"]

_FORMAT = 1


@dataclass(frozen=True)
class Triples:
    """Numbered triples in named splits.

    Attributes:
        entities: names, in the order of their numbers, (E,).
        relations: names, (R,).
        splits: split → (N, 3) int32, columns head, relation, tail; "train" is always there.
        report: split → ``{"triples", "duplicates", "self_loops", "in_train", "unseen_entities", "dropped"}``.
    """

    entities: Sequence[str]
    relations: Sequence[str]
    splits: Mapping[str, Array]
    report: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def num_entities(self) -> int:
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        return len(self.relations)

    def __getitem__(self, split: str) -> Array:
        """Return a split's triples, (N, 3).

        Raises:
            InputError: there is no such split, or it is empty.
        """
        if split not in self.splits:
            raise InputError(f"there is no split '{split}' (there are: {', '.join(self.splits)})")
        if not len(self.splits[split]):
            raise InputError(f"the split '{split}' is empty")
        return self.splits[split]

    def fingerprint(self) -> str:
        """Return a hash of the names and their order: models and triples of one fingerprint belong together."""
        digest = hashlib.sha256()
        for names in (self.entities, self.relations):
            digest.update(json.dumps(list(names), ensure_ascii=False, separators=(",", ":")).encode())
        return digest.hexdigest()[:32]

    def save(self, folder: str | Path) -> None:
        """Write ``<split>.npy``, ``names.json`` and ``triples.json`` to a folder that does not exist yet or is one.

        Raises:
            InputError: there is something else there.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / "triples.json").is_file() and (folder.is_file() or any(folder.iterdir())):
            raise InputError(f"{folder} holds something else: triples are written to a folder of their own")
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for split, rows in self.splits.items():
                np.save(work / f"{split}.npy", np.ascontiguousarray(rows, dtype=np.int32))
            names = {"entities": list(self.entities), "relations": list(self.relations)}
            (work / "names.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
            about = {"format": _FORMAT, "splits": list(self.splits), "report": self.report}
            (work / "triples.json").write_text(json.dumps(about), encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @classmethod
    def open(cls, folder: str | Path) -> Triples:
        """Map the triples that ``save`` wrote.

        Raises:
            InputError: the folder holds none, or of another format.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / "triples.json").read_text(encoding="utf-8"))
            names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
            splits = {split: np.load(folder / f"{split}.npy", mmap_mode="r") for split in about["splits"]}
            if about["format"] != _FORMAT:
                raise InputError(f"{folder}: triples of format {about['format']}, not {_FORMAT}: read them again")
            return cls(names["entities"], names["relations"], splits, about["report"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: not a folder of numbered triples ({error})") from None


def number(
    splits: Mapping[str, Iterable[tuple[str, str, str]]], *, unseen: Unseen = "keep", names: str = "the triples"
) -> Triples:
    """Number the triples of named splits, "train" among them; entities and relations in the order they come.

    Args:
        unseen: what to do with triples of other splits that hold an entity that training does not; see above.
        names: what to call the input in errors.

    Raises:
        InputError: see the head of this file.
    """
    entities: dict[str, int] = {}
    relations: dict[str, int] = {}
    ordered = ["train", *(split for split in splits if split != "train")] if "train" in splits else []
    rows = {}
    for split in ordered:
        found = [
            (
                entities.setdefault(head, len(entities)),
                relations.setdefault(relation, len(relations)),
                entities.setdefault(tail, len(entities)),
            )
            for head, relation, tail in splits[split]
        ]
        rows[split] = np.array(found, dtype=np.int32).reshape(-1, 3)
    return tidy(list(entities), list(relations), rows, unseen=unseen, names=names)


def tidy(
    entities: Sequence[str],
    relations: Sequence[str],
    splits: Mapping[str, Array],
    *,
    unseen: Unseen = "keep",
    names: str = "the triples",
) -> Triples:
    """Return numbered triples without duplicates, after looking for all that the head of this file lists.

    Args:
        entities, relations: names; those of training must come first, as ``number`` gives them.
        splits: split → (N, 3) of their numbers.

    Raises:
        InputError: see the head of this file.
    """
    if "train" not in splits or not len(splits["train"]):
        raise InputError(f"{names}: the training split is {'empty' if 'train' in splits else 'missing'}")
    train = splits["train"]
    num_seen = int(train[:, [0, 2]].max()) + 1
    num_known = int(train[:, 1].max()) + 1
    taken: dict[str, Array] = {}
    report: dict[str, dict[str, int]] = {}
    keys_of_train: Array | None = None
    for split, given in splits.items():
        keys = _keys(given, len(entities), len(relations))
        kept = np.sort(np.unique(keys, return_index=True)[1])
        rows, keys = given[kept], keys[kept]
        counts = {"duplicates": len(given) - len(rows)}
        is_new = (rows[:, [0, 2]] >= num_seen).any(axis=1)
        is_foreign = rows[:, 1] >= num_known
        counts["unseen_entities"] = int((np.unique(rows[:, [0, 2]]) >= num_seen).sum())
        if unseen == "drop":
            rows, keys = rows[~(is_new | is_foreign)], keys[~(is_new | is_foreign)]
        elif is_foreign.any() and unseen != "keep-all":
            name = relations[int(rows[is_foreign][0, 1])]
            raise InputError(
                f"{names}: {int(is_foreign.sum()):,} triples of '{split}' have a relation that training has not, "
                f"such as '{name}': no model can know them; leave them out (unseen=drop) or keep them (unseen=keep-all)"
            )
        elif unseen == "refuse" and is_new.any():
            first = rows[is_new][0, [0, 2]]
            name = entities[int(first.max())]
            raise InputError(
                f"{names}: {int(is_new.sum()):,} triples of '{split}' have an entity that training has not, such as "
                f"'{name}': keep them (unseen=keep) or leave them out (unseen=drop)"
            )
        counts["dropped"] = int((is_new | is_foreign).sum()) if unseen == "drop" else 0
        counts["self_loops"] = int((rows[:, 0] == rows[:, 2]).sum())
        keys_of_train = keys if keys_of_train is None else keys_of_train
        counts["in_train"] = int(np.isin(keys, keys_of_train).sum()) if split != "train" else 0
        taken[split] = rows
        report[split] = {"triples": len(rows), **counts}
    if unseen == "drop":
        entities, relations = entities[:num_seen], relations[:num_known]
    return Triples(entities, relations, taken, report)


def _keys(rows: Array, num_entities: int, num_relations: int) -> Array:
    """One number a triple, (N,) int64."""
    if num_entities * num_relations * num_entities >= 1 << 63:
        raise InputError(f"{num_entities:,} entities and {num_relations:,} relations are too many to number triples")
    wide = rows.astype(np.int64)
    keys: Array = (wide[:, 0] * num_relations + wide[:, 1]) * num_entities + wide[:, 2]
    return keys

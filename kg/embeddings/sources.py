"""Where numbered triples come from: files of three columns, a folder of a published set, or a store.

read_folder("../shared/data/wn18rr")                     # train.*, valid.*, test.*
read_files({"train": "a.tsv", "test": "b.tsv"}, columns="rht")
read_negatives("../shared/data/codex-s", triples)        # valid_negatives.*, test_negatives.*
read_store(graph, {"train": ["atlas", "census"], "test": ["held out"]})
read_store(graph, {"train": 0.8, "valid": 0.1, "test": 0.1}, seed=0)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kg.embeddings.triples import Array, Triples, Unseen, number, tidy
from kg.errors import FormatError, InputError
from kg.ingest.files import LONGEST_LINE, open_bytes

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

#: Names of files of a published set, in the order in which they are looked for.
_SUFFIXES = (".tsv", ".tsv.gz", ".txt", ".txt.gz", ".tsv.zst", ".tsv.bz2")
_SPLITS = ("train", "valid", "test")


def read_files(splits: Mapping[str, str | Path], *, columns: str = "hrt", unseen: Unseen = "keep") -> Triples:
    """Read tab-separated files, plain or packed, one a split.

    Args:
        columns: their order, of the letters h, r and t.
        unseen: see ``kg.embeddings.triples``.

    Raises:
        InputError: a file is missing or of another form (with file and line), or what ``tidy`` refuses.
    """
    order = _order(columns)
    names = ", ".join(str(path) for path in splits.values())
    lines = {split: (names for _, names in _lines(Path(path), order)) for split, path in splits.items()}
    return number(lines, unseen=unseen, names=names)


def read_folder(folder: str | Path, *, columns: str = "hrt", unseen: Unseen = "keep") -> Triples:
    """Read ``train``, ``valid`` and ``test`` of a folder; training must be there.

    Raises:
        InputError: there is no training file, or what ``read_files`` raises.
    """
    folder = Path(folder)
    if (folder / "triples.json").is_file():
        return Triples.open(folder)
    found = {split: path for split in _SPLITS if (path := _file(folder, split)) is not None}
    if "train" not in found:
        what = f"holds no train{', train'.join(_SUFFIXES)}" if folder.is_dir() else "is no folder"
        raise InputError(f"{folder} {what}: a set is a folder with train.tsv, valid.tsv and test.tsv")
    return read_files(found, columns=columns, unseen=unseen)


def read_known(path: str | Path, triples: Triples, *, columns: str = "hrt") -> Array:
    """Read more triples with the numbers that entities and relations have already, (N, 3) int32; duplicates are kept.

    Raises:
        InputError: the file is missing or of another form, or names what ``triples`` don't (with file and line).
    """
    entities = {name: n for n, name in enumerate(triples.entities)}
    relations = {name: n for n, name in enumerate(triples.relations)}
    rows = []
    for place, (head, relation, tail) in _lines(Path(path), _order(columns)):
        for kind, name, known in (
            ("entity", head, entities),
            ("relation", relation, relations),
            ("entity", tail, entities),
        ):
            if name not in known:
                raise FormatError(str(path), place, f"the {kind} '{name}' is not among those the model was trained on")
        rows.append((entities[head], relations[relation], entities[tail]))
    return np.array(rows, dtype=np.int32).reshape(-1, 3)


def read_negatives(folder: str | Path, triples: Triples, *, columns: str = "hrt") -> dict[str, Array]:
    """Read the false triples of a folder: ``valid_negatives`` and ``test_negatives`` as "valid" and "test".

    Raises:
        InputError: one of the files is missing, or what ``read_known`` raises.
    """
    found = {}
    for split in _SPLITS[1:]:
        path = _file(Path(folder), f"{split}_negatives")
        if path is None:
            raise InputError(f"{folder} holds no {split}_negatives.tsv: classification needs triples known to be false")
        found[split] = read_known(path, triples, columns=columns)
    return found


def read_store(
    graph: KnowledgeGraph,
    splits: Mapping[str, float | Sequence[str]],
    *,
    seed: int = 0,
    version: int | None = None,
    unseen: Unseen = "keep",
) -> Triples:
    """Read the statements between entities of a store.

    Args:
        splits: split → names of sources whose statements it gets, or share of all of them, drawn at random (the
            shares sum to 1; a triple is drawn into training when it is the first of an entity or a relation, so that
            nothing unseen is asked for).
        seed: of that draw; the same store and seed give the same splits.
        version: as the store stood then (default: now).

    Raises:
        InputError: the store has no such source, shares do not sum to 1, or what ``tidy`` refuses.
    """
    names = f"the store {graph.database.name}"
    shares = {split: value for split, value in splits.items() if isinstance(value, (int, float))}
    if shares and len(shares) < len(splits):
        raise InputError(f"{names}: give all splits as shares or all as sources")
    if shares:
        if not math.isclose(sum(shares.values()), 1) or min(shares.values()) < 0:
            raise InputError(f"{names}: the shares of the splits must sum to 1 (got {sum(shares.values()):g})")
        edges = graph.edges(version)
        columns = np.stack([edges.heads, edges.relations, edges.tails], axis=1)
        terms = draw(columns, {split: float(share) for split, share in shares.items()}, seed)
    else:
        given = {split: [v] if isinstance(v, str) else list(v) for split, v in splits.items()}  # type: ignore[arg-type]
        terms = _by_source(graph, given, version, names)
    ordered = {split: terms[split] for split in ["train", *(split for split in terms if split != "train")]}
    ids, numbered = _dense(ordered)
    iris = [graph.iris(part.tolist()) for part in ids]
    named = [[known[term] for term in part.tolist()] for known, part in zip(iris, ids, strict=True)]
    return tidy(named[0], named[1], numbered, unseen=unseen, names=names)


def _order(columns: str) -> tuple[int, ...]:
    """Return the places of head, relation and tail."""
    if sorted(columns) != ["h", "r", "t"]:
        raise InputError(f"columns must be an order of the letters h, r and t, such as 'hrt' (got '{columns}')")
    return tuple(columns.index(letter) for letter in "hrt")


def _file(folder: Path, name: str) -> Path | None:
    """Return the first file of that name with a known suffix."""
    return next((path for suffix in _SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def _lines(path: Path, order: tuple[int, ...]) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Yield the number of each line and what it names."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    h, r, t = order
    with open_bytes(path, LONGEST_LINE) as file:
        for place, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise FormatError(str(path), place, f"not UTF-8 (byte {error.start} of the line)") from None
            if not text.strip():
                continue
            fields = text.split("\t")
            if len(fields) != 3 or not all(field.strip() for field in fields):
                raise FormatError(str(path), place, f"three names between tabs are needed, there are {len(fields)}")
            yield place, (fields[h], fields[r], fields[t])


def _by_source(
    graph: KnowledgeGraph, splits: Mapping[str, Sequence[str]], version: int | None, names: str
) -> dict[str, Array]:
    """Return split → (N, 3) term ids of the statements of its sources."""
    from kg.store import facts, reading
    from kg.store.edges import distinct

    with graph.database.read() as connection:
        numbers = {name: n for n, name in reading.source_names(connection).items()}
        for name in (name for given in splits.values() for name in given):
            if name not in numbers:
                raise InputError(f"{names} has no source '{name}' (there are: {', '.join(numbers) or 'none'})")
        parts: dict[str, list[Array]] = {split: [] for split in splits}
        for found in facts.windows(connection, version):
            for split, given in splits.items():
                is_of = np.isin(found.source, [numbers[name] for name in given])
                parts[split].append(distinct(found.take(is_of), only_edges=True))
    return {split: np.concatenate(some) if some else np.empty((0, 3), np.int64) for split, some in parts.items()}


def draw(columns: Array, shares: Mapping[str, float], seed: int) -> dict[str, Array]:
    """Split rows at random; the first row that shows an entity or a relation goes to training."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(columns))
    shuffled = columns[order]
    must = np.zeros(len(columns), dtype=bool)
    must[np.unique(shuffled[:, 1], return_index=True)[1]] = True
    ends = shuffled[:, [0, 2]].reshape(-1)
    must[np.unique(ends, return_index=True)[1] // 2] = True
    free = np.flatnonzero(~must)
    result, start = {}, 0
    for split, share in shares.items():
        if split == "train":
            continue
        stop = min(start + round(share * len(columns)), len(free))
        result[split] = shuffled[free[start:stop]]
        start = stop
    rest = np.concatenate([np.flatnonzero(must), free[start:]])
    return {"train": shuffled[np.sort(rest)], **result}


def _dense(splits: Mapping[str, Array]) -> tuple[tuple[Array, Array], dict[str, Array]]:
    """Renumber term ids from 0, those of training first; return the ids in their new order, and the splits."""
    found = []
    for columns in ((0, 2), (1,)):
        ids = np.empty(0, dtype=np.int64)
        for rows in splits.values():
            ids = np.concatenate([ids, np.setdiff1d(rows[:, columns], ids)])
        found.append(ids)
    numbered = {}
    sorters = [np.argsort(ids, kind="stable") for ids in found]
    for split, rows in splits.items():
        result = np.empty((len(rows), 3), dtype=np.int32)
        for column in range(3):
            ids, sorter = found[column % 2], sorters[column % 2]
            result[:, column] = sorter[np.searchsorted(ids, rows[:, column], sorter=sorter)]
        numbered[split] = result
    return (found[0], found[1]), numbered

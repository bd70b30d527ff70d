"""Making the entity index of a store and keeping it up to date by difference.

A generation is written beside the old one and the manifest renamed over the old manifest last, so a reader sees the one
or the other, and an interrupted run changes nothing. `retrieval.entity_index` says what the files are and reads them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from kg.errors import InputError
from retrieval.embed import Embedder, EmbeddingCache, Progress, checked
from retrieval.entity_index import FORMAT, EntityIndex
from retrieval.entries import entity_text, picture_rows, row_identity
from retrieval.fact_index import FactTable, build_facts
from retrieval.index.dense import DenseIndex, kind_for
from retrieval.index.lexical import LexicalIndex
from retrieval.overlay import changed_ids
from retrieval.paths import common_paths, one_step_paths

if TYPE_CHECKING:
    from kg import KnowledgeGraph

_SHARD = 2048  # embedded, and kept by a cache, at a time


def build_index(
    graph: KnowledgeGraph,
    out: str | os.PathLike[str],
    text: Embedder,
    images: Embedder | None = None,
    progress: Progress | None = None,
    cache: EmbeddingCache | None = None,
    labels_only: bool = False,
    facts: Embedder | None = None,
) -> dict[str, Any]:
    """Index every entity of a store, and every picture outside the held-out splits; return the manifest.

    Args:
        labels_only: embed labels without descriptions, several times faster; the lexical index has both in any case.
        facts: index every fact as well, a text that this embeds (`retrieval.fact_index`); ``text``, or one that differs
            from it in the length it cuts at.

    Raises:
        InputError: ``out`` is a file.
        UnreadableImage: a picture of the store can't be read. Either way an older index at ``out`` stays as it was.
    """
    with _Generation(out) as new:
        version = graph.version  # first: what changes while we read is then seen as stale, not lost
        entities = list(graph.entities())
        ids = [entity.id for entity in entities]
        dense = DenseIndex.create(text.dimension, size=len(ids))
        texts = [entity_text(entity, labels_only) for entity in entities]
        dense.add(ids, _embed(text, texts, cache, "embed entities", progress))
        dense.save(new.folder / "text.faiss")
        LexicalIndex.create(new.folder / "lexical").add(ids, entities)
        table: dict[int, dict[str, Any]] = {}
        if images is not None:
            table = picture_rows(graph, np.array(ids, dtype=np.int64))
            shown = DenseIndex.create(images.dimension, size=len(table))
            vectors = _embed(images, [_file(row) for row in table.values()], cache, "embed pictures", progress)
            shown.add(list(table), vectors)
            shown.save(new.folder / "pictures.faiss")
        if facts is not None:
            embed = partial(_embed, facts, cache=cache, stage="embed facts", progress=progress)
            build_facts(graph, new.folder / "facts", embed, facts.dimension)
        return new.publish(graph, version, text, images, labels_only, len(ids), table, cache, progress)


def update_index(
    graph: KnowledgeGraph,
    out: str | os.PathLike[str],
    text: Embedder,
    images: Embedder | None = None,
    progress: Progress | None = None,
    cache: EmbeddingCache | None = None,
    facts: Embedder | None = None,
) -> dict[str, Any]:
    """Bring an index up to the store's version by embedding only what changed since; return the new manifest.

    Args:
        facts: embeds those, where the index has them; ``text`` if not given.

    Raises:
        IndexStale: the index is another store's.
        InputError: there is no index, or it was made by other embedders.
    """
    with _Generation(out) as new:
        old = EntityIndex.open(out, graph, allow_stale=True)
        old.require(text, images, exactly=True)
        if bool(images) != bool(old.manifest["images"]):
            raise InputError(
                f"{out} was built {'without' if images else 'with'} pictures: run `kemm index` without --update"
            )
        version = graph.version
        current = graph.entity_ids()
        dense = DenseIndex.open(old.folder / "text.faiss", writable=True)
        stray = np.setdiff1d(dense.ids, current)  # what is no entity any more, whatever made it none
        touched = np.union1d(changed_ids(graph, old.kg_version), stray)
        now = np.union1d(np.intersect1d(touched, current), np.setdiff1d(current, dense.ids))
        entities = [graph.describe(iri) for iri in graph.iris(now.tolist()).values()]
        fresh = [entity.id for entity in entities]
        dense.remove(touched)
        labels_only = old.manifest.get("labels_only", False)
        texts = [entity_text(entity, labels_only) for entity in entities]
        dense.add(fresh, _embed(text, texts, cache, "embed entities", progress))
        _fit(dense).save(new.folder / "text.faiss")
        shutil.copytree(old.folder / "lexical", new.folder / "lexical", ignore=shutil.ignore_patterns("*.lock"))
        LexicalIndex.open(new.folder / "lexical").update(fresh, entities, gone=touched.tolist())
        table = old.pictures
        if images is not None:
            wanted = picture_rows(graph, current, start=max(table, default=-1) + 1)
            held = {row_identity(row) for row in table.values()}
            added = {position: row for position, row in wanted.items() if row_identity(row) not in held}
            stay = {row_identity(row) for row in wanted.values()}
            gone = [position for position, row in table.items() if row_identity(row) not in stay]
            table = {p: row for p, row in table.items() if row_identity(row) in stay} | added
            shown = DenseIndex.open(old.folder / "pictures.faiss", writable=True)
            shown.remove(gone)
            shown.add(
                list(added), _embed(images, [_file(row) for row in added.values()], cache, "embed pictures", progress)
            )
            _fit(shown).save(new.folder / "pictures.faiss")
        if (old.folder / "facts").exists():
            embed = partial(_embed, facts or text, cache=cache, stage="embed facts", progress=progress)
            build_facts(graph, new.folder / "facts", embed, text.dimension, old.folder / "facts")
        counted = len(dense), table
        return new.publish(graph, version, text, images, labels_only, *counted, cache, progress, old.path_vectors())


class _Generation:
    """A folder being filled beside the index it will replace; gone again if anything fails.

    What a killed run left behind, folders without a manifest that names them, the next one clears away. One run at a
    time: the lock on ``.writing`` goes with its process, however that ends.
    """

    def __init__(self, out: str | os.PathLike[str]) -> None:
        self.out = Path(out)

    def __enter__(self) -> _Generation:
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out} is a file: name a folder for the index")
        self._made = not self.out.exists()
        self.out.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.out / ".writing", "w")
        if not _try_lock(self._lock):
            self._lock.close()
            raise InputError(f"{self.out} is being written by another `kemm index`: wait for it, or name another --out")
        self.folder = Path(tempfile.mkdtemp(prefix="generation-", dir=self.out))
        self._is_published = False
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_published:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()
        if not self._is_published and self._made:
            (self.out / ".writing").unlink(missing_ok=True)
            self.out.rmdir()

    def publish(
        self,
        graph: KnowledgeGraph,
        version: int,
        text: Embedder,
        images: Embedder | None,
        labels_only: bool,
        num_entities: int,
        table: dict[int, dict[str, Any]],
        cache: EmbeddingCache | None,
        progress: Progress | None,
        known_paths: tuple[list[str], np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Write the paths, the picture table and the manifest; from the last rename on, this is the index."""
        is_known = known_paths is not None and set(one_step_paths(graph)) <= set(known_paths[0])
        paths = known_paths[0] if known_paths and is_known else common_paths(graph)
        (self.folder / "paths.json").write_text(json.dumps(paths, ensure_ascii=False), encoding="utf-8")
        vectors = _embed_new(text, paths, known_paths, cache, progress)
        np.save(self.folder / "paths.npy", vectors, allow_pickle=False)
        with open(self.folder / "pictures.jsonl", "w", encoding="utf-8") as lines:
            lines.writelines(json.dumps({"position": p, **row}) + "\n" for p, row in table.items())
        manifest = {
            "format": FORMAT,
            "store": graph.uuid,
            "kg_version": version,
            "text": {"name": text.name, "dimension": text.dimension},
            "images": _described(images) if images else None,
            "labels_only": labels_only,
            "entities": num_entities,
            "facts": len(FactTable(self.folder / "facts")) if (self.folder / "facts").exists() else None,
            "pictures": len(table),
            "paths": len(paths),
            "generation": self.folder.name,
        }
        os.chmod(self.folder, 0o755)  # mkdtemp's folders are their maker's alone
        temporary = self.folder / "manifest.json"
        temporary.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        os.replace(temporary, self.out / "manifest.json")
        self._is_published = True
        for old in self.out.glob("generation-*"):
            if old != self.folder:
                shutil.rmtree(old, ignore_errors=True)
        return manifest


def _fit(dense: DenseIndex) -> DenseIndex:
    """The index itself, or one made anew: worn by many changes, or grown out of what an exact search is good for."""
    kind = dense.kind if dense.kind != "exact" else kind_for(len(dense))
    return dense.rebuilt(kind) if dense.is_worn or kind != dense.kind else dense


def _embed(
    embedder: Embedder, items: list[Any], cache: EmbeddingCache | None, stage: str, progress: Progress | None
) -> np.ndarray:
    """Vectors (N, D) of items, each different one embedded once, from the cache where there is one."""
    if cache is not None:
        return cache.embed(embedder, items, progress, stage, _SHARD)
    different = {item: row for row, item in enumerate(dict.fromkeys(items))}
    new, parts = list(different), [np.zeros((0, embedder.dimension), dtype=np.float32)]
    for start in range(0, len(new), _SHARD):
        parts.append(checked(embedder, new[start : start + _SHARD]))
        if progress:
            progress(stage, min(start + _SHARD, len(new)), len(new))
    return np.concatenate(parts)[[different[item] for item in items]]


def _embed_new(
    text: Embedder,
    paths: list[str],
    known: tuple[list[str], np.ndarray] | None,
    cache: EmbeddingCache | None,
    progress: Progress | None,
) -> np.ndarray:
    """Vectors (P, D) of path texts, taking those that are known already."""
    held = dict(zip(*known, strict=True)) if known else {}
    new = [path for path in paths if path not in held]
    held |= zip(new, _embed(text, new, cache, "embed paths", progress), strict=True)
    return np.stack([held[path] for path in paths]) if paths else np.zeros((0, text.dimension), dtype=np.float32)


def _file(row: dict[str, Any]) -> Path:
    return Path(row["root"]) / row["path"]


def _try_lock(file: TextIO) -> bool:
    """Take the lock on a file if nobody holds it; where the system has no such locks, say yes."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _described(images: Embedder) -> dict[str, Any]:
    """Whose vectors the pictures' are, and, where the embedder says so, how its tower is built again."""
    tower = getattr(images, "built_as", None)
    return {"name": images.name, "dimension": images.dimension, **({"tower": tower} if tower else {})}

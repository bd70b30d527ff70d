"""One store's entities searched by vector, by words and by picture: an index on disk, opened.

    OUT/manifest.json                 what was indexed: store, KG version, embedders, counts, the generation's folder
    OUT/<generation>/text.faiss       text vectors, by KG term id
                     pictures.faiss   picture vectors, by position
                     pictures.jsonl   position → entity, path, root, sha256
                     lexical/         words
                     facts/           every fact as a text, where asked for: `retrieval.fact_index`
                     paths.npy        vectors of the common paths of one and two steps; paths.json has their texts

`retrieval.catalogue` writes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.errors import IndexStale, InputError
from retrieval.embed import Embedder, TokenEmbedder, share_space
from retrieval.index import Hit
from retrieval.index.dense import DenseIndex
from retrieval.index.lexical import LexicalIndex
from retrieval.overlay import Overlay

if TYPE_CHECKING:
    from kg import KnowledgeGraph
    from retrieval.fact_index import FactIndex
    from retrieval.fact_ranker import FactRanker

FORMAT = 2  # 1 cut words of non-Latin scripts apart at their marks


def tower_of(out: Path) -> str | None:
    """How the tower of an index's pictures is built again (`PictureEmbedder.built_as`); None where it doesn't say."""
    try:
        images = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["images"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # opening the index says what is wrong
    return (images or {}).get("tower")


class EntityIndex:
    """An index opened for searching. Entities are KG term ids; vectors have length 1."""

    def __init__(self, out: Path, manifest: dict[str, Any]) -> None:
        self.out, self.manifest = out, manifest
        self.folder = out / manifest["generation"]
        self.kg_version: int = manifest["kg_version"]
        self.text = DenseIndex.open(self.folder / "text.faiss")
        self.words = LexicalIndex.open(self.folder / "lexical")
        self.pictures: dict[int, dict[str, Any]] = {}  # position → entity, path, root, sha256
        self.shown: DenseIndex | None = None
        if manifest["images"]:
            self.shown = DenseIndex.open(self.folder / "pictures.faiss")
            with open(self.folder / "pictures.jsonl", encoding="utf-8") as lines:
                self.pictures = {row.pop("position"): row for row in map(json.loads, lines)}
        self._positions: dict[int, list[int]] = {}  # entity → its pictures
        for position, row in self.pictures.items():
            self._positions.setdefault(row["entity"], []).append(position)
        self._overlay: Overlay | None = None

    @classmethod
    def open(cls, folder: str | os.PathLike[str], graph: KnowledgeGraph, allow_stale: bool = False) -> EntityIndex:
        """Open the index at ``folder`` for ``graph``.

        Args:
            allow_stale: take an index of another version of the store; only labels, descriptions and pictures can be
                behind, for facts are always read from the store.

        Raises:
            InputError: there is no index, or one of another format.
            IndexStale: it was built for another store or, unless ``allow_stale``, at another version.
        """
        out = Path(folder)
        manifest = cls._checked(out, graph, allow_stale)
        try:
            return cls(out, manifest)
        except InputError:
            if cls._checked(out, graph, allow_stale)["generation"] == manifest["generation"]:
                raise
            return cls.open(out, graph, allow_stale)  # an update has replaced it under our hands

    @classmethod
    def _checked(cls, out: Path, graph: KnowledgeGraph, allow_stale: bool) -> dict[str, Any]:
        """The manifest of an index that may be opened for this store."""
        try:
            manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"no index at {out}: run `kemm index --store {graph.url} --out {out}` first") from None
        except ValueError as error:
            raise InputError(f"{out / 'manifest.json'}: not a manifest ({error}); build the index again") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            made = manifest.get("format") if isinstance(manifest, dict) else None
            raise InputError(f"{out}: index format {made}, not {FORMAT}: run `kemm index` again")
        if manifest["store"] != graph.uuid:
            raise IndexStale(f"{out} was built for another store than {graph.url}: run `kemm index` with another --out")
        version = graph.version
        at = f"the index was built at KG version {manifest['kg_version']}, the store is at {version}"
        if manifest["kg_version"] > version:  # an older copy of the store was put back: what came after is not its past
            raise IndexStale(f"{at}: run `kemm index` without --update")
        if manifest["kg_version"] != version and not allow_stale:
            raise IndexStale(f"{at}: run `kemm index --update`")
        return manifest

    def fact_index(self, graph: KnowledgeGraph, text: TokenEmbedder, ranker: FactRanker | None = None) -> FactIndex:
        """The facts of the store, to be searched by a question alone.

        Raises:
            InputError: the index was built without them, or by another embedder.
        """
        from retrieval.fact_index import FactIndex

        self.require(text, None)
        if not (self.folder / "facts").exists():
            raise InputError(f"{self.out} was built without facts: run `kemm index --facts`")
        return FactIndex(self.folder / "facts", graph, self.kg_version, text, ranker)

    def follow(self, graph: KnowledgeGraph, text: Embedder) -> None:
        """From now on, see edits of the store at once: `retrieval.overlay`.

        Args:
            text: embeds what changed, in the index's own space (`require`).
        """
        self._overlay = Overlay(self, graph, text)

    def _changed(self) -> Overlay | None:
        """The changes since the index was built, where there are any and it follows them."""
        if self._overlay is not None:
            self._overlay.refresh()
            if self._overlay.version != self.kg_version:
                return self._overlay
        return None

    def require(self, text: Embedder, images: Embedder | None, exactly: bool = False) -> None:
        """Refuse embedders whose vectors can't be compared with the index's, or ``exactly``: that aren't its own.

        Raises:
            InputError: naming both.
        """
        for what, embedder in (("text", text), ("images", images)):
            made = self.manifest[what]
            if embedder is None or made is None:
                continue
            if not share_space(made["name"], embedder.name) or (exactly and made["name"] != embedder.name):
                raise InputError(
                    f"{self.out} was built with {made['name']}, not {embedder.name}: run `kemm index` again"
                )

    def search_text(self, vector: np.ndarray, k: int) -> list[Hit]:
        """Entities whose text is nearest to a vector (D,)."""
        changed = self._changed()
        if changed is None:
            return self.text.search(vector, k)
        kept = _unstruck(lambda wide: self.text.search(vector, wide), k, changed.struck)
        return _best([*kept, *changed.by_vector(vector, k)], k)

    def search_words(self, text: str, k: int) -> list[Hit]:
        """Entities that share words with a text."""
        changed = self._changed()
        if changed is None:
            return self.words.search(text, k)
        kept = _unstruck(lambda wide: self.words.search(text, wide), k, changed.struck)
        return _best([*kept, *changed.by_words(text, self.words)], k)

    def search_pictures(self, vector: np.ndarray, k: int) -> list[tuple[int, float]]:
        """Entities with the pictures nearest to a vector (D,): (entity, its best picture's similarity), best first."""
        if self.shown is None or k < 1:
            return []
        changed = self._changed()
        struck = changed.struck_pictures if changed else set()
        wide = 8 * k + 32
        while True:
            best: dict[int, float] = {}
            for hit in self.shown.search(vector, wide):
                if hit.id not in struck:
                    best.setdefault(self.pictures[hit.id]["entity"], hit.score)
            if len(best) >= k or wide >= len(self.shown):
                return list(best.items())[:k]
            wide *= 4  # one entity has most of the near pictures: look further

    def text_vectors(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Text vectors of entities, float32 (N, D); a zero row for one that isn't indexed."""
        vectors = self.text.vectors(ids)
        changed = self._changed()
        if changed is not None:
            rows = [row for row, key in enumerate(ids) if int(key) in changed.struck]
            vectors[rows] = changed.vectors(np.asarray(ids, dtype=np.int64)[rows])
        return vectors

    def picture_vectors(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Mean picture vectors of entities scaled to length 1, float32 (N, D); a zero row for one without pictures."""
        width = self.shown.dimension if self.shown else 0
        result = np.zeros((len(ids), width), dtype=np.float32)
        for row, key in enumerate(ids):
            vectors = self.pictures_of(int(key))
            if len(vectors):
                mean = vectors.mean(axis=0)
                result[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return result

    def pictures_of(self, key: int) -> np.ndarray:
        """The vectors of one entity's indexed pictures, float32 (n, D)."""
        if self.shown is None:
            return np.zeros((0, 0), dtype=np.float32)
        return self.shown.vectors(self._positions.get(key, []))

    def path_vectors(self) -> tuple[list[str], np.ndarray]:
        """The texts of the graph's common paths and their vectors (P, D)."""
        texts = json.loads((self.folder / "paths.json").read_text(encoding="utf-8"))
        return texts, np.load(self.folder / "paths.npy", allow_pickle=False)


def _unstruck(search: Callable[[int], list[Hit]], k: int, struck: set[int]) -> list[Hit]:
    """The first ``k`` hits that aren't struck out, of a search for as many as that takes."""
    wide = 2 * k
    while True:
        hits = search(wide)
        kept = [hit for hit in hits if hit.id not in struck]
        if len(kept) >= k or len(hits) < wide:
            return kept[:k]
        wide *= 4


def _best(hits: list[Hit], k: int) -> list[Hit]:
    return sorted(hits, key=lambda hit: -hit.score)[:k]

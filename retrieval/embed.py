"""A corpus of texts or pictures embedded once: vectors are kept by content, so only what is new is ever computed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from kg.errors import InputError, UnreadableImage

#: ``progress(what, done, total)``, called now and then.
Progress = Callable[[str, int, int], object]


@runtime_checkable
class Embedder(Protocol):
    """Whatever turns texts, or pictures, into unit vectors.

    ``name`` identifies weights and preprocessing: two embedders with one name give the same vectors. A name may end in
    ``/NUMBER``, the length that inputs are cut to; names that differ in nothing else share one space. ``embed`` takes
    texts (``list[str]``) or pictures (paths or PIL images) and returns float32 (N, D) with rows of length 1.
    """

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, items: Sequence[Any]) -> np.ndarray: ...


class TokenEmbedder(Embedder, Protocol):
    """A text embedder that also gives the states of a text's tokens, special ones left out: (T, D) each, T ≥ 1."""

    def tokens(self, items: Sequence[str]) -> list[np.ndarray]: ...


def content_key(item: Any) -> bytes:
    """The sha256 of a text, of a picture file's bytes, or of an open picture's pixels: 32 bytes.

    Raises:
        UnreadableImage: the file can't be read.
    """
    if isinstance(item, str):
        return hashlib.sha256(b"text\0" + item.encode()).digest()
    if isinstance(item, os.PathLike):
        try:
            with open(item, "rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise UnreadableImage(f"{os.fspath(item)}: can't be read ({error.strerror}); check the path") from error
    digest = hashlib.sha256(f"{item.mode} {item.size}\0".encode())  # a PIL image
    digest.update(item.tobytes())
    return digest.digest()


class EmbeddingCache:
    """Vectors on disk, by embedder and content.

    One folder an embedder; in it shards of two memory-mappable files, ``<shard>.vectors.npy`` float32 (n, D) and
    ``<shard>.keys.npy`` uint8 (n, 32). A shard is named after its keys and its key file is renamed into place last, so
    an interrupted run keeps every finished shard and two runs at once do no harm.

    A ``str`` is a text; a picture is a ``Path`` or a PIL image.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._tables: dict[str, dict[bytes, tuple[int, int]]] = {}  # embedder name → key → (shard, row)
        self._shards: dict[str, list[np.ndarray]] = {}

    def embed(
        self,
        embedder: Embedder,
        items: Sequence[Any],
        progress: Progress | None = None,
        what: str = "embed",
        shard: int = 4096,
    ) -> np.ndarray:
        """Return the vectors of ``items``, float32 (N, D), computing only those never seen before.

        Args:
            progress: called with ``what``, how many are embedded and how many were new, after every shard.
            shard: how many items are computed and stored at a time; at most so many are lost by an interruption.

        Raises:
            UnreadableImage: a picture can't be read; the shards before it are kept.
        """
        table, shards = self._open(embedder)
        keys = [content_key(item) for item in items]
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in table}
        done = 0
        for chunk in _chunks(list(missing.items()), shard):
            vectors = checked(embedder, [item for _, item in chunk])
            self._append(embedder, [key for key, _ in chunk], vectors)
            done += len(chunk)
            if progress:
                progress(what, done, len(missing))
        result = np.empty((len(keys), embedder.dimension), dtype=np.float32)  # (N, D)
        places = np.array([table[key] for key in keys], dtype=np.int64).reshape(-1, 2)
        for number in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == number)
            result[rows] = shards[number][places[rows, 1]]
        return result

    def _folder(self, embedder: Embedder) -> Path:
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", embedder.name)[:60]
        return self.folder / f"{readable}-{hashlib.sha256(embedder.name.encode()).hexdigest()[:8]}"

    def _open(self, embedder: Embedder) -> tuple[dict[bytes, tuple[int, int]], list[np.ndarray]]:
        if embedder.name not in self._tables:
            self._tables[embedder.name], self._shards[embedder.name] = {}, []
            for path in sorted(self._folder(embedder).glob("*.keys.npy")):
                vectors = path.with_name(path.name.replace(".keys.", ".vectors."))
                self._remember(embedder, np.load(path, allow_pickle=False), vectors)
        return self._tables[embedder.name], self._shards[embedder.name]

    def _remember(self, embedder: Embedder, keys: np.ndarray, path: Path) -> None:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        if vectors.shape != (len(keys), embedder.dimension):
            raise InputError(f"{path}: holds vectors of another shape than {embedder.name} makes; delete its folder")
        shards, table = self._shards[embedder.name], self._tables[embedder.name]
        table.update((key.tobytes(), (len(shards), row)) for row, key in enumerate(keys))
        shards.append(vectors)

    def _append(self, embedder: Embedder, keys: list[bytes], vectors: np.ndarray) -> None:
        folder = self._folder(embedder)
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
        table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32)
        for path, array in ((folder / f"{name}.vectors.npy", vectors), (folder / f"{name}.keys.npy", table)):
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            with open(temporary, "wb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(temporary, path)
        self._remember(embedder, table, folder / f"{name}.vectors.npy")


def share_space(one: str, other: str) -> bool:
    """Whether two embedders, by their names, give vectors that can be compared: lengths of input aside, they agree."""
    return re.sub(r"/\d+$", "", one) == re.sub(r"/\d+$", "", other)


def checked(embedder: Embedder, items: Sequence[Any]) -> np.ndarray:
    """Embed, and hold the embedder to its contract: (N, D) float32 with rows of length 1."""
    if not len(items):
        return np.zeros((0, embedder.dimension), dtype=np.float32)
    vectors = np.ascontiguousarray(embedder.embed(items), dtype=np.float32)
    assert vectors.shape == (len(items), embedder.dimension), f"{embedder.name} gave {vectors.shape}"
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2), f"{embedder.name} gives vectors not of length 1"
    return vectors


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

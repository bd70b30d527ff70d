"""Write a store's facts, of any version, to a file or as another library's graph.

    from kg import export

    export.write(graph, "world.nt.gz")           # by the suffix: nt, ttl, tsv, parquet, graphml; gz, bz2, zst
    export.to_networkx(graph), export.to_hetero(graph)

An exporter is a function ``write_x(graph, file, version, *, option=…) -> int`` that writes to a file opened for bytes
and returns the number of facts. A file appears under its name only when it is whole. docs/formats.md says what each
format carries.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kg import registry
from kg.errors import InputError

if TYPE_CHECKING:
    import networkx
    import torch_geometric.data

    from kg.store.graph import KnowledgeGraph

Exporter = Callable[..., int]

#: Format → "module:exporter". A file's format is its suffix (``.gz``, ``.bz2``, ``.zst`` left out).
EXPORTERS: dict[str, str] = {
    "nt": "kg.export.rdf:write_n_triples",
    "ttl": "kg.export.rdf:write_turtle",
    "tsv": "kg.export.tables:write_tsv",
    "parquet": "kg.export.columnar:write_parquet",
    "graphml": "kg.export.graphml:write_graphml",
}

#: Kind of object in memory → "module:function".
OBJECTS: dict[str, str] = {
    "networkx": "kg.ingest.networkx_graphs:to_networkx",
    "hetero": "kg.export.hetero:to_hetero",
}

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Written:
    """What an export wrote: facts, bytes, and the version of the store that they stand for."""

    path: str
    format: str
    facts: int
    bytes: int
    version: int
    seconds: float


def write(
    graph: KnowledgeGraph, path: str | Path, format: str | None = None, version: int | None = None, **options: Any
) -> Written:
    """Write the facts of a version, by default the last, to a file; one that several sources state is written once.

    Args:
        path: "-" is standard output, which then gets all or nothing as well; it needs ``format``.
        format: a name in ``EXPORTERS``; by default the file's suffix says.
        options: what the exporter may be asked; docs/formats.md lists them.

    Raises:
        InputError: no such format or option, a folder that is not there, or a fact that the format can't carry. What
            was at ``path`` before stays as it was.
    """
    from kg.ingest import suffix_of
    from kg.ingest.options import choose

    target = Path(path)
    name = (format or suffix_of(target)).lower()
    if name in OBJECTS:
        raise InputError(f"'{name}' is no file but an object of Python: kg.export.to_{name}(graph)")
    if not name:
        what = "standard output" if str(path) == STDOUT else path
        raise InputError(f"{what} has no suffix to tell its format: name one of {', '.join(EXPORTERS)}")
    exporter: Exporter = registry.resolve(EXPORTERS, name, "exporter")
    chosen = choose({name: exporter}, options)[name]
    at = graph.version if version is None else version
    start = time.perf_counter()
    try:
        if str(path) == STDOUT:
            with tempfile.TemporaryFile() as file:
                facts, size = exporter(graph, file, at, **chosen), file.tell()
                file.seek(0)
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()
        else:
            _check(target)
            with _fresh(target) as packed:
                facts = exporter(graph, packed, at, **chosen)
            size = target.stat().st_size
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror or error}") from None
    return Written(str(path), name, facts, size, at, time.perf_counter() - start)


def to_networkx(graph: KnowledgeGraph, version: int | None = None) -> networkx.MultiDiGraph:
    """Return a store's facts as a networkx graph (kg/ingest/networkx_graphs.py)."""
    return registry.resolve(OBJECTS, "networkx", "kind of graph")(graph, version)  # type: ignore[no-any-return]


def to_hetero(graph: KnowledgeGraph, version: int | None = None) -> torch_geometric.data.HeteroData:
    """Return the facts between entities as PyG's heterogeneous graph (kg/export/hetero.py)."""
    return registry.resolve(OBJECTS, "hetero", "kind of graph")(graph, version)  # type: ignore[no-any-return]


def _check(target: Path) -> None:
    if not target.absolute().parent.is_dir():
        raise InputError(f"there is no folder {target.absolute().parent} to write {target.name} to")
    if target.is_dir():
        raise InputError(f"{target} is a folder: name a file in it")
    if target.is_file():
        with target.open("rb") as file:
            if file.read(15) == b"SQLite format 3":
                raise InputError(f"{target} is a database, maybe a store: choose another name")


@contextmanager
def _fresh(target: Path) -> Iterator[IO[bytes]]:
    """Open a new file beside ``target``, packed as its name says, that takes its place when all is well."""
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as plain:
            with _packed(target, plain) as file:
                yield file
            plain.flush()
            os.fsync(plain.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _packed(target: Path, plain: IO[bytes]) -> Iterator[IO[bytes]]:
    packed: Any
    match target.suffix.lower():
        case ".gz":
            import gzip

            packed = gzip.GzipFile("", "wb", 6, plain, mtime=0)  # the same facts give the same bytes
        case ".bz2":
            import bz2

            packed = bz2.BZ2File(plain, "wb")
        case ".zst":
            import zstandard

            packed = zstandard.ZstdCompressor().stream_writer(plain, closefd=False)
        case _:
            yield plain
            return
    with packed as file:
        yield file

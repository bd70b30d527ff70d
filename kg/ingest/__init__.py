"""Read any supported format into a store.

A reader is a function ``reader(path, reject) -> Iterator[Fact]`` that streams facts ``(head, relation, tail)``. For a
line it can't read it calls ``reject(FormatError)``, which raises when the load shall stop, and returns when the line
shall be left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kg import registry
from kg.errors import FormatError, InputError
from kg.records import Tail

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Fact = tuple[str, str, Tail]
Reject = Callable[[FormatError], None]
Reader = Callable[[Path, Reject], Iterator[Fact]]

#: Format → "module:reader". A file's format is its suffix (``.gz`` left out); names without a suffix read data that
#: installed packages carry.
READERS: dict[str, str] = {
    "nt": "kg.ingest.rdf:read_n_triples",
    "nq": "kg.ingest.rdf:read_n_quads",
    "ttl": "kg.ingest.rdf:read_turtle",
    "trig": "kg.ingest.rdf:read_trig",
    "rdf": "kg.ingest.rdf:read_rdf_xml",
    "xml": "kg.ingest.rdf:read_rdf_xml",
    "owl": "kg.ingest.rdf:read_rdf_xml",
    "jsonld": "kg.ingest.rdf:read_json_ld",
    "tsv": "kg.ingest.tables:read_tsv",
    "txt": "kg.ingest.tables:read_tsv",
    "csv": "kg.ingest.tables:read_csv",
    "graphml": "kg.ingest.networkx_graphs:read_graphml",
    "wordnet": "kg.ingest.wordnet:read_wordnet",
    "countries": "kg.ingest.countries:read_countries",
}

#: Readers that need no file.
PACKAGED = ("wordnet", "countries")

#: How many rejected lines a report lists; it counts all.
MOST_LISTED = 1_000


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load added: statements, those with a literal tail, the entities in them; and what it left out."""

    triples: int
    literals: int
    entities: int
    seconds: float
    rejected: list[str] = field(default_factory=list)
    num_rejected: int = 0
    version: int = 0

    @property
    def triples_per_second(self) -> float:
        return self.triples / self.seconds if self.seconds > 0 else 0.0


def format_of(path: str | Path, format: str | None = None) -> str:
    """Return the name in ``READERS`` for a path.

    Raises:
        InputError: no reader for it; the text lists what there is.
    """
    suffixes = [suffix.lower().lstrip(".") for suffix in Path(path).suffixes]
    if suffixes[-1:] == ["gz"]:
        suffixes.pop()
    name = format or ("" if str(path) not in PACKAGED else str(path)) or (suffixes[-1] if suffixes else "")
    if not name:
        raise InputError(f"{path} has no suffix to tell its format: name one of {', '.join(READERS)}")
    registry.resolve(dict.fromkeys(READERS, "builtins:object"), name.lower(), "reader")
    return name.lower()


def load(
    path: str | Path,
    into: KnowledgeGraph,
    source: str | None = None,
    format: str | None = None,
    on_error: str = "stop",
    progress: Callable[[int], None] | None = None,
) -> LoadReport:
    """Read a file, or a packaged graph (``wordnet``, ``countries``), into a store as one version.

    Args:
        source: who says so; the file's name by default.
        format: a name in ``READERS``; by default the file's suffix says.
        on_error: ``"stop"`` at the first line that can't be read, or ``"skip"`` such lines and list them.
        progress: called now and then with the number of facts read so far.

    Raises:
        FormatError: a line can't be read (``path:line: reason``). The store stays as it was.
        InputError: there is no such file or no reader for it.
    """
    from kg.store import bulk

    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error is 'stop' or 'skip', not '{on_error}'")
    name = format_of(path, format)
    file = Path(path)
    if name not in PACKAGED and not file.is_file():
        raise InputError(f"there is no file {path}" if not file.exists() else f"{path} is not a file")
    rejected: list[str] = []
    num_rejected = 0

    def reject(error: FormatError) -> None:
        nonlocal num_rejected
        if on_error == "stop":
            raise error
        num_rejected += 1
        if len(rejected) < MOST_LISTED:
            rejected.append(str(error))

    read: Reader = registry.resolve(READERS, name, "reader")
    start = time.perf_counter()
    try:
        loaded = bulk.load(into, read(file, reject), source=source or file.name, progress=progress)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from None
    seconds = time.perf_counter() - start
    return LoadReport(loaded.triples, loaded.literals, loaded.entities, seconds, rejected, num_rejected, loaded.version)

"""Read any supported format into a store.

A reader is a function ``reader(path, reject, *, option=…) -> Iterator[Fact]`` that streams facts. A fact is ``(head,
relation, tail)``, or ``(head, relation, tail, qualifiers)`` with qualifiers a tuple of ``(key IRI, tail)``: what the
source says of the fact itself. For a line it can't read a reader calls ``reject(FormatError)``, which raises when the
load shall stop, and returns when the line shall be left out. What a format carries and what not: docs/formats.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg import registry
from kg.errors import FormatError, InputError
from kg.records import Tail

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Qualifiers = tuple[tuple[str, Tail], ...]
Fact = tuple[str, str, Tail] | tuple[str, str, Tail, Qualifiers]
Reject = Callable[[FormatError], None]
Reader = Callable[..., Iterator[Any]]

#: Format → "module:reader". A file's format is its suffix (``.gz``, ``.bz2``, ``.zst`` left out); names without a
#: suffix read data that installed packages carry.
READERS: dict[str, str] = {
    "nt": "kg.ingest.rdf:read_n_triples",
    "nq": "kg.ingest.rdf:read_n_quads",
    "ttl": "kg.ingest.rdf:read_turtle",
    "trig": "kg.ingest.rdf:read_trig",
    "rdf": "kg.ingest.rdf:read_rdf_xml",
    "xml": "kg.ingest.rdf:read_rdf_xml",
    "owl": "kg.ingest.rdf:read_rdf_xml",
    "jsonld": "kg.ingest.rdf:read_json_ld",
    "json": "kg.ingest.json_files:read_json",
    "tsv": "kg.ingest.tables:read_tsv",
    "txt": "kg.ingest.tables:read_tsv",
    "csv": "kg.ingest.tables:read_csv",
    "parquet": "kg.ingest.columnar:read_parquet",
    "arrow": "kg.ingest.columnar:read_arrow",
    "feather": "kg.ingest.columnar:read_arrow",
    "graphml": "kg.ingest.graphml:read_graphml",
    "wikidata": "kg.ingest.wikidata:read_wikidata",
    "conceptnet": "kg.ingest.conceptnet:read_conceptnet",
    "wordnet": "kg.ingest.wordnet:read_wordnet",
    "countries": "kg.ingest.countries:read_countries",
}

#: Readers that need no file.
PACKAGED = ("wordnet", "countries")

#: Package of a Python object → "module:function" that yields its facts.
OBJECTS: dict[str, str] = {
    "rdflib": "kg.ingest.rdflib_graphs:from_rdflib",
    "networkx": "kg.ingest.networkx_graphs:from_networkx",
    "pyarrow": "kg.ingest.columnar:from_arrow",
}

#: How many rejected lines a report lists; it counts all.
MOST_LISTED = 1_000

_REMEDY = "mend it, or leave such lines out with on_error='skip' (--on-error skip)"


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


def suffix_of(path: str | Path) -> str:
    """Return the suffix that tells a file's format: "nt" for ``world.nt.gz``; nothing when it has none."""
    suffixes = [suffix.lower().lstrip(".") for suffix in Path(path).suffixes]
    if suffixes[-1:] and suffixes[-1] in ("gz", "bz2", "zst"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def format_of(path: str | Path, format: str | None = None) -> str:
    """Return the name in ``READERS`` for a path.

    Raises:
        InputError: no reader for it; the text lists what there is.
    """
    name = format or (str(path) if str(path) in PACKAGED else suffix_of(path))
    if not name:
        raise InputError(f"{path} has no suffix to tell its format: name one of {', '.join(READERS)}")
    registry.resolve(dict.fromkeys(READERS, "builtins:object"), name.lower(), "reader")
    return name.lower()


def load(
    path: Any,
    into: KnowledgeGraph,
    source: str | None = None,
    format: str | None = None,
    on_error: str = "stop",
    progress: Callable[[int], None] | None = None,
    resume: bool = False,
    author: str = "",
    note: str = "",
    **options: Any,
) -> LoadReport:
    """Read files, a packaged graph (``wordnet``, ``countries``) or a graph in memory into a store as one version.

    Args:
        path: a file, a folder, a glob, "-" for standard input, or a list of these: one load, all files. Or an
            ``rdflib.Graph``, a networkx graph or a ``pyarrow.Table``.
        source: who says so; the name of the file, folder or pattern by default.
        format: a name in ``READERS``; by default the file's suffix says.
        on_error: ``"stop"`` at the first line that can't be read, or ``"skip"`` such lines and list them.
        progress: called now and then with the number of facts read so far.
        resume: commit part by part, and go on where such a load of the same file was interrupted.
        author, note: who loads it, and why, for the version's entry in ``graph.log()``.
        options: what the reader may be asked; docs/formats.md lists them.

    Raises:
        FormatError: a line can't be read (``path:line: reason``). The store stays as it was.
        InputError: there is no such file, no reader for it, or the reader has no such option.
    """
    from kg.store import bulk

    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error is 'stop' or 'skip', not '{on_error}'")
    rejected: list[str] = []
    num_rejected = 0

    def reject(error: FormatError) -> None:
        nonlocal num_rejected
        if on_error == "stop":
            raise FormatError(error.path, error.line, f"{error.reason}; {_REMEDY}")
        num_rejected += 1
        if len(rejected) < MOST_LISTED:
            rejected.append(str(error))

    facts = _facts(path, format, reject, options)
    start = time.perf_counter()
    try:
        name = source or _name(path)
        identity = _identity(path, format, options) if resume else ""
        story = {"source": name, "author": author, "note": note}
        loaded = bulk.load(into, facts, **story, progress=progress, resume=resume, identity=identity)
    except OSError as error:
        raise InputError(f"{error.filename or path} can't be read: {error.strerror or error}") from None
    seconds = time.perf_counter() - start
    return LoadReport(loaded.triples, loaded.literals, loaded.entities, seconds, rejected, num_rejected, loaded.version)


def _facts(path: Any, format: str | None, reject: Reject, options: dict[str, Any]) -> Iterator[Any]:
    """Find the readers and check the options now; return the facts of all files, read later."""
    from kg.ingest import inputs
    from kg.ingest.options import choose
    from kg.store.batches import Batched, Chain

    package = type(path).__module__.split(".")[0]
    if package in OBJECTS:
        convert = registry.resolve(OBJECTS, package, "kind of graph")
        return storable(convert(path, **choose({package: convert}, options)[package]), package, reject)
    files = inputs.find(path, format)
    readers: dict[str, Reader] = {one.format: registry.resolve(READERS, one.format, "reader") for one in files}
    chosen = choose(readers, options)
    parts = [(readers[one.format](one.path, reject, **chosen[one.format]), str(one.path)) for one in files]
    if any(isinstance(facts, Batched) for facts, _ in parts):
        # A reader of batches refuses itself what can't be stored.
        return Chain([f if isinstance(f, Batched) else storable(f, path, reject) for f, path in parts])
    return (fact for facts, path in parts for fact in storable(facts, path, reject))


def _identity(path: Any, format: str | None, options: dict[str, Any]) -> str:
    """Return what tells one input from another: names, sizes and times of files, and what was asked of the reader."""
    from kg.ingest import inputs

    if type(path).__module__.split(".")[0] in OBJECTS or str(path) == "-":
        raise InputError("only files can be loaded in parts: what comes once can't be read again from where it stopped")
    files = [] if str(path) in PACKAGED else [one.path for one in inputs.find(path, format)]
    said = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return "; ".join([str(path), *said, *(f"{name}={value}" for name, value in sorted(options.items()))])


def storable(facts: Iterable[Any], path: str, reject: Reject) -> Iterator[Any]:
    """Yield facts, rejecting those that hold what no database keeps: the character U+0000."""
    for fact in facts:
        tail = fact[2]
        if "\0" in fact[0] or "\0" in fact[1] or "\0" in (tail if tail.__class__ is str else tail.value):
            text = " ".join(str(part) for part in fact[:3])
            reject(FormatError(path, 0, f"a fact with the character U+0000 can't be stored: {text[:80]!r}"))
        else:
            yield fact


def _name(path: Any) -> str:
    from kg.ingest.files import STDIN

    if isinstance(path, str | Path):
        return "stdin" if str(path) == STDIN else (Path(path).name or str(path))
    if isinstance(path, Sequence) and path:
        return _name(path[0]) if len(path) == 1 else f"{_name(path[0])} and {len(path) - 1} more"
    return type(path).__module__.split(".")[0]

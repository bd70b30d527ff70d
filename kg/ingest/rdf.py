"""RDF files through pyoxigraph: N-Triples, N-Quads, Turtle, TriG, RDF/XML and JSON-LD, plain or gzipped.

Blank nodes get a name made of the file's content and their order in it, so that reading the same file twice adds
nothing, and two files never share one. The names of named graphs are not kept: a statement's source is the load's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyoxigraph
from pyoxigraph import RdfFormat

from kg.errors import FormatError
from kg.ingest.files import open_bytes
from kg.records import XSD, Literal, Tail

Fact = tuple[str, str, Tail]
Reject = Callable[[FormatError], None]

#: Lines that are parsed together when wrong ones shall be left out; a wrong one costs parsing its block line by line.
BLOCK = 5_000

_NO_DATATYPE = (XSD + "string", "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString")


def read_n_triples(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of an N-Triples file; a wrong line is rejected and the next one read."""
    from kg.ingest.n_triples import NTriples

    return NTriples(path, reject, _Terms(path))


def read_n_quads(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of an N-Quads file; a wrong line is rejected and the next one read."""
    return _read_lines(path, RdfFormat.N_QUADS, reject)


def read_turtle(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of a Turtle file.

    Raises:
        FormatError: a syntax error. What follows one can't be told in this format, so it always ends the load.
    """
    return _read_whole(path, RdfFormat.TURTLE)


def read_trig(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of a TriG file; a syntax error ends the load."""
    return _read_whole(path, RdfFormat.TRIG)


def read_rdf_xml(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of an RDF/XML file; a syntax error ends the load."""
    return _read_whole(path, RdfFormat.RDF_XML)


def read_json_ld(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of a JSON-LD file; a syntax error, or a context that is not in the file, ends the load."""
    return _read_whole(path, RdfFormat.JSON_LD)


class _Terms:
    """pyoxigraph's terms as ours."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stem: str | None = None  # the file is hashed only when it has blank nodes
        self._blanks: dict[str, str] = {}

    def blank(self, name: str) -> str:
        if self._stem is None:
            with self._path.open("rb") as file:
                self._stem = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        return self._blanks.setdefault(name, f"_:{self._stem}b{len(self._blanks)}")

    def facts(self, quads: Iterable[Any]) -> Iterator[Fact]:
        iri, literal, blank = pyoxigraph.NamedNode, pyoxigraph.Literal, pyoxigraph.BlankNode
        for quad in quads:
            head, tail = quad.subject, quad.object
            end: Tail
            if tail.__class__ is iri:
                end = tail.value
            elif tail.__class__ is literal:
                datatype = tail.datatype.value
                end = Literal(tail.value, None if datatype in _NO_DATATYPE else datatype, tail.language)
            elif tail.__class__ is blank:
                end = self.blank(tail.value)
            else:
                raise FormatError(str(self._path), 0, f"a triple about a triple can't be stored: {tail}")
            yield head.value if head.__class__ is iri else self.blank(head.value), quad.predicate.value, end


def _read_whole(path: Path, format: RdfFormat) -> Iterator[Fact]:
    with open_bytes(path) as file:
        try:
            yield from _Terms(path).facts(pyoxigraph.parse(file, format=format))
        except SyntaxError as error:
            raise FormatError(str(path), error.lineno or 0, reason(error)) from None


def _read_lines(path: Path, format: RdfFormat, reject: Reject) -> Iterator[Fact]:
    terms = _Terms(path)
    with open_bytes(path) as file:
        first = 1
        while lines := file.readlines(BLOCK * 100):
            try:
                quads = list(pyoxigraph.parse(b"".join(lines), format=format))
            except SyntaxError:
                quads = []
                for number, line in enumerate(lines, first):
                    try:
                        quads += pyoxigraph.parse(line, format=format)
                    except SyntaxError as error:
                        reject(FormatError(str(path), number, reason(error)))
            yield from terms.facts(quads)
            first += len(lines)


def reason(error: SyntaxError) -> str:
    """Return pyoxigraph's message without its place, which the error gives itself, on one line."""
    text = str(error.msg)
    if text.startswith("Parser error") and ": " in text:
        text = text.split(": ", 1)[1]
    return " ".join(text.split())

"""RDF files through pyoxigraph: N-Triples, N-Quads, Turtle, TriG, RDF/XML and JSON-LD, plain or packed.

Blank nodes get a name made of the file's content and their order in it, so that reading the same file twice adds
nothing, and two files never share one. The names of named graphs are not kept: a statement's source is the load's.
Annotations become qualifiers (kg/ingest/rdf_star.py).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyoxigraph
from pyoxigraph import RdfFormat

from kg.errors import FormatError
from kg.ingest.files import LONGEST_LINE, STDIN, open_bytes
from kg.ingest.rdf_names import NAME, from_iri
from kg.ingest.rdf_star import Annotations, Quoted
from kg.ingest.spelling import reason, spelt
from kg.records import XSD, Literal, Tail

Fact = Any  # (head, relation, tail) or (head, relation, tail, qualifiers)
Reject = Callable[[FormatError], None]

#: Lines that are parsed together when wrong ones shall be left out; a wrong one costs parsing its block line by line.
BLOCK = 5_000

_NO_DATATYPE = (XSD + "string", "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString")
_DIRECTED = "http://www.w3.org/1999/02/22-rdf-syntax-ns#dirLangString"
_REIFIES = "http://www.w3.org/1999/02/22-rdf-syntax-ns#reifies"
_BATCH = 256
_ANY = pyoxigraph.Literal("")


def read_n_triples(
    path: Path, reject: Reject, *, quoted: Quoted = "refuse", keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of an N-Triples file; a wrong line is rejected and the next one read."""
    from kg.ingest.n_triples import NTriples

    return NTriples(path, reject, _Terms(path, reject, quoted, keep_blank))


def read_n_quads(path: Path, reject: Reject, *, quoted: Quoted = "refuse", keep_blank: bool = False) -> Iterator[Fact]:
    """Yield the facts of an N-Quads file; a wrong line is rejected and the next one read."""
    return _read_lines(path, RdfFormat.N_QUADS, _Terms(path, reject, quoted, keep_blank), reject)


def read_turtle(
    path: Path, reject: Reject, *, base: str | None = None, quoted: Quoted = "refuse", keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of a Turtle file.

    Args:
        base: the IRI that relative IRIs are relative to.
        quoted: what to do with a quoted triple that is not stated.
        keep_blank: keep the names of blank nodes as they are in the file, for a file that a store was written to.

    Raises:
        FormatError: a syntax error. What follows one can't be told in this format, so it always ends the load.
    """
    return _respelt(path, RdfFormat.TURTLE, _Terms(path, reject, quoted, keep_blank), reject, base)


def read_trig(
    path: Path, reject: Reject, *, base: str | None = None, quoted: Quoted = "refuse", keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of a TriG file; a syntax error ends the load."""
    return _respelt(path, RdfFormat.TRIG, _Terms(path, reject, quoted, keep_blank), reject, base)


def read_rdf_xml(
    path: Path, reject: Reject, *, base: str | None = None, quoted: Quoted = "refuse", keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of an RDF/XML file; a syntax error ends the load, and so do entities without bounds."""
    return _respelt(path, RdfFormat.RDF_XML, _Terms(path, reject, quoted, keep_blank), reject, base)


def read_json_ld(
    path: Path, reject: Reject, *, base: str | None = None, context: Path | None = None, keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of a JSON-LD file; a syntax error ends the load.

    Args:
        context: a file with the context that the document names by its address. None is ever fetched.

    Raises:
        FormatError: a syntax error, or a context that is neither in the file nor given.
    """
    return _respelt(path, RdfFormat.JSON_LD, _Terms(path, reject, "refuse", keep_blank), reject, base, context)


class _MetQuoted(Exception):
    """There is a quoted triple in a batch that was taken for one of plain triples."""


class _Terms:
    """pyoxigraph's terms as ours."""

    def __init__(self, path: Path, reject: Reject, quoted: Quoted = "refuse", keep_blank: bool = False) -> None:
        self._path, self._reject, self._keep_blank = path, reject, keep_blank
        self._stem: str | None = None  # the file is hashed only when it has blank nodes
        self._blanks: dict[str, str] = {}
        self._annotations = Annotations(str(path), reject, quoted)
        self._held: Any = None
        self._is_plain = False  # no annotation is open: facts need not be looked at one by one

    def blank(self, name: str) -> str:
        if self._keep_blank:
            return f"_:{name}"
        if self._stem is None:
            if str(self._path) == STDIN:  # can't be read twice: the names are new each time
                self._stem = uuid.uuid4().hex[:12]
            else:
                with self._path.open("rb") as file:
                    self._stem = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        return self._blanks.setdefault(name, f"_:{self._stem}b{len(self._blanks)}")

    def tail(self, term: Any) -> Tail:
        """Return one term of an object's place, which is no quoted triple."""
        if term.__class__ is pyoxigraph.NamedNode:
            return from_iri(term.value)
        if term.__class__ is pyoxigraph.BlankNode:
            return self.blank(term.value)
        datatype = term.datatype.value
        if datatype == _DIRECTED:  # RDF 1.2's direction stays in the language tag, as it is written: "en--rtl"
            return Literal(term.value, None, f"{term.language}--{term.direction}")
        return Literal(term.value, None if datatype in _NO_DATATYPE else from_iri(datatype), term.language)

    def facts(self, quads: Iterable[Any]) -> Iterator[Fact]:
        """Yield the facts of quads without regard to annotations; a quoted triple is rejected."""
        iri, literal, quoted = pyoxigraph.NamedNode, pyoxigraph.Literal, pyoxigraph.Triple
        for quad in quads:
            head, relation, tail = quad.subject, quad.predicate.value, quad.object
            if head.__class__ is iri:
                start = head.value
                if start.startswith(NAME):
                    start = from_iri(start)
            else:
                start = self.blank(head.value)
            end: Tail
            if tail.__class__ is iri:
                end = tail.value
                if end.startswith(NAME):
                    end = from_iri(end)
            elif tail.__class__ is literal:
                if tail.datatype.value in _NO_DATATYPE:
                    end = Literal(tail.value, None, tail.language)
                else:
                    end = self.tail(tail)
            elif tail.__class__ is quoted:
                if self._is_plain:
                    raise _MetQuoted
                self._fail(f"a triple as the object of a triple can't be stored: {tail}")
                continue
            else:
                end = self.blank(tail.value)
            yield start, from_iri(relation) if relation.startswith(NAME) else relation, end

    def annotated(self, quads: Iterable[Any]) -> Iterator[Fact]:
        """Yield facts with their annotations. The last is held back, since one may follow; ``finish`` is the rest."""
        rest = iter(quads)
        while batch := list(islice(rest, _BATCH)):
            self._is_plain = not self._annotations.open
            try:
                facts = list(self.facts(batch)) if self._is_plain else None
            except _MetQuoted:
                facts = None
            self._is_plain = False
            if facts is None:
                yield from self._annotated(batch)
            elif facts:
                self._annotations.recent.extend(facts)
                if self._held is not None:
                    yield self._held
                self._held = facts.pop()
                yield from facts

    def _annotated(self, quads: Iterable[Any]) -> Iterator[Fact]:
        quoted, annotations = pyoxigraph.Triple, self._annotations
        recent, opened = annotations.recent, annotations.open
        for quad in quads:
            if quad.object.__class__ is quoted and quad.predicate.value == _REIFIES:
                (start,) = (fact[0] for fact in self.facts([pyoxigraph.Quad(quad.subject, quad.predicate, _ANY)]))
                for about in self.facts([quad.object]):
                    is_last = about == self._held
                    self._held = None if is_last else self._held
                    yield from annotations.quote(start, about, is_last)
                continue
            for fact in self.facts((quad,)):
                if opened and fact[0] in opened:
                    opened[fact[0]].qualifiers.append(fact[1:])
                    continue
                if self._held is not None:
                    yield self._held
                recent.append(fact)
                self._held = None if opened and annotations.is_awaited(fact) else fact

    def finish(self) -> Iterator[Fact]:
        if self._held is not None:
            yield self._held
            self._held = None
        yield from self._annotations.finish()

    def remember(self, facts: Iterable[Fact]) -> None:
        """Take facts that were given out already: an annotation may still speak of them."""
        self._annotations.recent.extend(facts)

    def _fail(self, reason: str) -> None:
        self._reject(FormatError(str(self._path), 0, " ".join(reason.split())[:300]))


def _respelt(
    path: Path, format: RdfFormat, terms: _Terms, reject: Reject, base: str | None, context: Path | None = None
) -> Iterator[Fact]:
    from kg.ingest.n_triples import Respelt

    return Respelt(path, reject, terms, spelt(path, format, base, context))


def _read_lines(path: Path, format: RdfFormat, terms: _Terms, reject: Reject) -> Iterator[Fact]:
    with open_bytes(path, LONGEST_LINE) as file:
        first = 1
        while lines := file.readlines(BLOCK * 100):
            try:
                quads = list(pyoxigraph.parse(b"".join(lines), format=format))
            except (SyntaxError, MemoryError):
                quads = []
                for number, line in enumerate(lines, first):
                    try:
                        quads += list(pyoxigraph.parse(line, format=format))  # all of a line, or nothing
                    except SyntaxError as error:
                        reject(FormatError(str(path), number, reason(error)))
                    except MemoryError:
                        reject(FormatError(str(path), number, "a term is longer than 16 MiB: shorten it"))
            yield from terms.annotated(quads)
            first += len(lines)
        yield from terms.finish()

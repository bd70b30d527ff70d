"""RDF files through pyoxigraph: N-Triples, N-Quads, Turtle, TriG, RDF/XML and JSON-LD, plain or packed.

Blank nodes get a name made of the file's content and their order in it, so that reading the same file twice adds
nothing, and two files never share one. The names of named graphs are not kept: a statement's source is the load's.
Annotations become qualifiers (kg/ingest/rdf_star.py).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyoxigraph
from pyoxigraph import RdfFormat

from kg.errors import FormatError, InputError
from kg.ingest.files import LONGEST_LINE, STDIN, open_bytes
from kg.ingest.rdf_names import NAME, from_iri
from kg.ingest.rdf_star import Annotations, Quoted
from kg.ingest.xml_guard import GuardedXml
from kg.records import XSD, Literal, Tail

Fact = Any  # (head, relation, tail) or (head, relation, tail, qualifiers)
Reject = Callable[[FormatError], None]

#: Lines that are parsed together when wrong ones shall be left out; a wrong one costs parsing its block line by line.
BLOCK = 5_000

_NO_DATATYPE = (XSD + "string", "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString")
_DIRECTED = "http://www.w3.org/1999/02/22-rdf-syntax-ns#dirLangString"
_REIFIES = "http://www.w3.org/1999/02/22-rdf-syntax-ns#reifies"


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
    from kg.ingest.n_triples import Respelt

    quads = _quads(path, RdfFormat.TURTLE, base)
    return Respelt(path, reject, _Terms(path, reject, quoted, keep_blank), quads)


def read_trig(
    path: Path, reject: Reject, *, base: str | None = None, quoted: Quoted = "refuse", keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of a TriG file; a syntax error ends the load."""
    return _read_whole(path, RdfFormat.TRIG, _Terms(path, reject, quoted, keep_blank), base)


def read_rdf_xml(
    path: Path, reject: Reject, *, base: str | None = None, quoted: Quoted = "refuse", keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of an RDF/XML file; a syntax error ends the load, and so do entities without bounds."""
    return _read_whole(path, RdfFormat.RDF_XML, _Terms(path, reject, quoted, keep_blank), base)


def read_json_ld(
    path: Path, reject: Reject, *, base: str | None = None, context: Path | None = None, keep_blank: bool = False
) -> Iterator[Fact]:
    """Yield the facts of a JSON-LD file; a syntax error ends the load.

    Args:
        context: a file with the context that the document names by its address. None is ever fetched.

    Raises:
        FormatError: a syntax error, or a context that is neither in the file nor given.
    """
    return _read_whole(path, RdfFormat.JSON_LD, _Terms(path, reject, "refuse", keep_blank), base, context)


class _Terms:
    """pyoxigraph's terms as ours."""

    def __init__(self, path: Path, reject: Reject, quoted: Quoted, keep_blank: bool) -> None:
        self._path, self._reject, self._keep_blank = path, reject, keep_blank
        self._stem: str | None = None  # the file is hashed only when it has blank nodes
        self._blanks: dict[str, str] = {}
        self._annotations = Annotations(str(path), reject, quoted)
        self._held: Any = None

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

    def facts(self, quads: Iterable[Any]) -> Iterator[Fact]:
        """Yield facts, each one quad late, since an annotation may follow; ``finish`` yields the last."""
        iri, literal, quoted = pyoxigraph.NamedNode, pyoxigraph.Literal, pyoxigraph.Triple
        annotations, held = self._annotations, self._held
        recent, opened = annotations.recent, annotations.open
        self._held = None
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
                datatype = tail.datatype.value
                end = Literal(tail.value, None if datatype in _NO_DATATYPE else datatype, tail.language)
                if datatype == _DIRECTED:
                    end = _directed(tail)
                elif datatype.startswith(NAME):
                    end = Literal(tail.value, from_iri(datatype))
            elif tail.__class__ is quoted:
                if relation == _REIFIES:
                    fact = self._triple(tail)
                    if fact is not None:
                        is_last = fact == held
                        held = None if is_last else held
                        yield from annotations.quote(start, fact, is_last)
                else:
                    self._fail(f"a triple as the object of a triple can't be stored: {tail}")
                continue
            else:
                end = self.blank(tail.value)
            if relation.startswith(NAME):
                relation = from_iri(relation)
            if opened and start in opened:
                opened[start].qualifiers.append((relation, end))
                continue
            if held is not None:
                yield held
            held = (start, relation, end)
            recent.append(held)
            if opened and annotations.is_awaited(held):
                held = None
        self._held = held

    def finish(self) -> Iterator[Fact]:
        if self._held is not None:
            yield self._held
            self._held = None
        yield from self._annotations.finish()

    def _triple(self, triple: Any) -> tuple[str, str, Tail] | None:
        """Return a quoted triple as a fact; None, rejected, when there is yet another one in it."""
        if isinstance(triple.object, pyoxigraph.Triple):
            self._fail(f"a triple within a quoted triple can't be stored: {triple}")
            return None
        return self.fact(pyoxigraph.Quad(triple.subject, triple.predicate, triple.object))

    def fact(self, quad: Any) -> tuple[str, str, Tail]:
        """Return one quad as a fact, whatever is said of it."""
        inner = _Terms(self._path, self._reject, "drop", self._keep_blank)
        inner.blank = self.blank  # type: ignore[method-assign]
        (fact,) = (*inner.facts([quad]), *inner.finish())
        return fact  # type: ignore[no-any-return]

    def _fail(self, reason: str) -> None:
        self._reject(FormatError(str(self._path), 0, " ".join(reason.split())[:300]))


def _directed(literal: Any) -> Literal:
    """RDF 1.2's text with a direction keeps it in its language tag, as it is written: ``en--rtl``."""
    return Literal(literal.value, None, f"{literal.language}--{literal.direction}")


def _read_whole(
    path: Path, format: RdfFormat, terms: _Terms, base: str | None, context: Path | None = None
) -> Iterator[Fact]:
    yield from terms.facts(_quads(path, format, base, context))
    yield from terms.finish()


def _quads(path: Path, format: RdfFormat, base: str | None, context: Path | None = None) -> Iterator[Any]:
    """Yield pyoxigraph's quads of a file, with its errors told as ours."""
    with open_bytes(path) as opened:
        file: Any = opened
        if format == RdfFormat.RDF_XML:
            file = GuardedXml(str(path), opened)
        elif context is not None:
            file = _with_context(path, opened, context)
        try:
            quads = pyoxigraph.parse(file, format=format, base_iri=base)
        except ValueError as error:
            raise InputError(f"the option 'base' is an absolute IRI, not '{base}' ({error})") from None
        try:
            yield from quads
        except SyntaxError as error:
            line = error.lineno or (file.line if isinstance(file, GuardedXml) else 0)
            raise FormatError(str(path), line, _reason(error)) from None
        except MemoryError as error:
            raise FormatError(str(path), 0, f"a term is longer than 16 MiB ({error}): shorten it") from None


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
                        reject(FormatError(str(path), number, _reason(error)))
                    except MemoryError:
                        reject(FormatError(str(path), number, "a term is longer than 16 MiB"))
            yield from terms.facts(quads)
            first += len(lines)
        yield from terms.finish()


def _with_context(path: Path, file: IO[bytes], context: Path) -> IO[bytes]:
    """Return a JSON-LD document whose contexts' addresses are replaced by the context in a file."""
    try:
        local = json.loads(context.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{context} can't be read as a JSON-LD context: {error}") from None
    known = local.get("@context", local) if isinstance(local, dict) else local

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(one) for one in value]
        if isinstance(value, dict):
            return {key: _known(one) if key == "@context" else put(one) for key, one in value.items()}
        return value

    def _known(value: Any) -> Any:
        if isinstance(value, list):
            return [_known(one) for one in value]
        return known if isinstance(value, str) else value

    try:
        return io.BytesIO(json.dumps(put(json.loads(file.read()))).encode())
    except (ValueError, RecursionError) as error:
        raise FormatError(str(path), getattr(error, "lineno", 0), f"not JSON ({error})") from None


def _reason(error: SyntaxError) -> str:
    """Return pyoxigraph's message without its place, which the error gives itself, on one line, with the remedy."""
    text = str(error.msg)
    if text.startswith("Parser error") and ": " in text:
        text = text.split(": ", 1)[1]
    text = " ".join(text.split())
    if "LoadDocumentCallback" in text:
        return "the context is not in the file, and nothing is fetched: give a local copy with the option context=FILE"
    if re.search("No scheme found", text):
        text += " (a relative IRI? The option base=IRI of Turtle, TriG, RDF/XML and JSON-LD completes those)"
    return text[:400]

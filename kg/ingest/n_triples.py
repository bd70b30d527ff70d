"""N-Triples by columns: millions of lines are split at once, and each different term is read once.

What the splitter takes is ``<iri> <iri> object .`` with single blanks. Of each different term it reads by itself only
the plain ones: IRIs of ASCII without escapes, texts without escapes. All others go to pyoxigraph, one by one; lines of
another shape (comments, tabs, mistakes) go to it whole. So what is read, and what is refused, is what pyoxigraph says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyoxigraph
from pyoxigraph import RdfFormat

from kg.errors import FormatError
from kg.ingest import storable
from kg.ingest.files import chunks, open_chunks
from kg.ingest.split import Splitter, look, with_more
from kg.store.batches import Batch, BatchReader, Fact, at_position, batches_of, facts_of, read_ahead

Reject = Callable[[FormatError], None]

#: Bytes that are split at once; memory is about six times this.
CHUNK = 8 << 20

#: How a line may spell the character U+0000, which no database keeps.
_NULLS = (b"\0", b"\\u0000", b"\\U00000000")


class NTriples(BatchReader):
    """The facts of an N-Triples file: one by one as an iterator, or as batches.

    Args:
        reject: called with the error of a line that can't be read.
        read_terms: turns pyoxigraph's quads into facts.
    """

    def __init__(self, path: Path, reject: Reject, terms: Any) -> None:
        self._path, self._reject, self._terms = path, reject, terms
        self._split = Splitter(b" ", b" .", is_table=False)
        self._suffixes: dict[str, str] = {}  # of literals: what follows the closing quote → the content's beginning
        self._is_annotated = False
        self._last: Batch | None = None  # of the last chunk that was split: annotations may speak of its end

    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Yield the facts from a byte of the unpacked file on, which must begin a line."""
        with open_chunks(self._path) as file:
            line, at = 1 + _skip(file, position), position
            first = lambda: line  # noqa: E731
            for chunk in chunks(self._path, file, CHUNK, first):
                at += len(chunk)
                found, lines = self._read(np.frombuffer(chunk, np.uint8), line)
                yield from at_position(found, at)
                line += lines
        yield from at_position(list(batches_of(list(self._terms.finish()))), at)

    def _read(self, data: np.ndarray, line: int) -> tuple[list[Batch], int]:
        """Return whole lines as batches of those split and of those that pyoxigraph has read; and their number."""
        is_text, has_null, has_return = look(data)
        if has_return:
            data = np.frombuffer(data.tobytes().replace(b"\r\n", b"\n"), np.uint8)
        found: list[Batch] = []
        at, first = 0, line
        while at < len(data):
            at = self._split.split(data, at)
            bounds = self._split.lines
            batch, odd = None, np.arange(len(bounds) - 1)
            if is_text and not has_null and not self._is_annotated and not self._split.has_annotations:
                batch, odd = self._batch()
            lines = [data[bounds[place] : bounds[place + 1]].tobytes() for place in odd.tolist()]
            # An annotation is said of a fact in several lines: from the first on, one line can't be read by itself.
            if not self._is_annotated and any(b"#reifies>" in one for one in lines):
                self._is_annotated = True
                self._terms.remember(facts_of(self._last) if self._last is not None else ())
                batch, odd = None, np.arange(len(bounds) - 1)
                lines = [data[bounds[place] : bounds[place + 1]].tobytes() for place in odd.tolist()]
            if batch is not None and len(batch):
                found.append(batch)
                self._last = batch
            found += batches_of(list(self._read_odd(lines, odd, line))) if lines else []
            line += len(bounds) - 1
        return found, line - first

    def _batch(self) -> tuple[Batch, np.ndarray]:
        """Return what the splitter takes, and the places of the other lines."""
        iris, literals, places, odd = self._split.terms(self._begin)
        if len(odd):
            more = self._odd_terms(odd, (len(iris), len(literals)), places)
            iris, literals = with_more(iris, more[0]), with_more(literals, more[1])
        found = self._split.facts(places)
        return Batch(iris, literals, found.head, found.relation, found.tail), found.odd

    def _begin(self, suffix: str) -> str:
        if suffix not in self._suffixes:
            self._suffixes[suffix] = self._beginning(suffix)
        return self._suffixes[suffix]

    def _beginning(self, suffix: str) -> str:
        """Return how the content of a literal with that suffix begins; nothing when pyoxigraph refuses it."""
        found = self._parse([f'"x"{suffix}'])
        if found is None or found[0].__class__ is not pyoxigraph.Literal or found[0].value != "x":
            return ""
        fact = self._terms.tail(found[0])
        from kg.store.terms import content

        return content(fact)[:-1]

    @staticmethod
    def _parse(tokens: list[str]) -> list[Any] | None:
        """Return the terms that tokens spell, as pyoxigraph reads them; None when one of them is no single term."""
        text = "".join([f"<x:s> <x:{number}> {token} .\n" for number, token in enumerate(tokens)])
        try:
            quads = list(pyoxigraph.parse(text.encode(), format=RdfFormat.N_TRIPLES))
        except (SyntaxError, MemoryError):
            return None
        if [quad.predicate.value for quad in quads] != [f"x:{number}" for number in range(len(tokens))]:
            return None
        return [quad.object for quad in quads]

    def _odd_terms(self, odd: np.ndarray, first: tuple[int, int], places: np.ndarray) -> tuple[list[str], list[str]]:
        """Let pyoxigraph read terms, all at once or, when one is wrong, one by one; return IRIs and literals.

        Args:
            first: how many IRIs and literals there are already.
            places: of each term, filled in for those that are right.
        """
        tokens = [self._split.text(place) for place in odd.tolist()]
        found = self._parse(tokens)
        each = [(found[i] if found else (self._parse([token]) or [None])[0]) for i, token in enumerate(tokens)]
        from kg.store.terms import content

        names, texts = list[str](), list[str]()
        for place, term in zip(odd.tolist(), each, strict=True):
            if term is None or term.__class__ is pyoxigraph.Triple:
                continue
            tail = self._terms.tail(term)
            if "\0" in (text := content(tail)):
                continue
            if isinstance(tail, str):
                places[place] = first[0] + len(names)
                names.append(tail)
            else:
                places[place] = -1 - (first[1] + len(texts))
                texts.append(text)
        return names, texts

    def _read_odd(self, lines: list[bytes], odd: np.ndarray, first: int) -> Iterator[Fact]:
        """Yield what pyoxigraph reads in lines; a wrong one is rejected."""
        try:
            if any(null in line for line in lines for null in _NULLS):
                raise SyntaxError  # one by one: the error names the line
            quads = list(pyoxigraph.parse(b"".join(lines), format=RdfFormat.N_TRIPLES))
        except (SyntaxError, MemoryError):
            quads = []
            for place, line in zip(odd.tolist(), lines, strict=True):
                quads += self._read_one(line, self._line(first + place))
        facts = self._terms.annotated(quads) if self._is_annotated else self._terms.facts(quads)
        yield from storable(facts, str(self._path), self._reject)

    def _read_one(self, line: bytes, number: int) -> list[Any]:
        """Return what pyoxigraph reads in a line, all of it or nothing."""
        from kg.ingest.spelling import reason

        wrong = "a term is longer than 16 MiB: shorten it"
        try:
            quads = list(pyoxigraph.parse(line, format=RdfFormat.N_TRIPLES))
            terms = (term for quad in quads for term in (quad.subject, quad.predicate, quad.object))
            if not any("\0" in getattr(term, "value", "") for term in terms):
                return quads
            wrong = "a fact with the character U+0000 can't be stored: take the character out"
        except SyntaxError as error:
            wrong = reason(error)
        except MemoryError:
            pass
        self._reject(FormatError(str(self._path), number, wrong))
        return []

    def _line(self, number: int) -> int:
        """Return what an error says of a line."""
        return number


class Respelt(NTriples):
    """The facts of a file in another syntax: pyoxigraph reads it and spells it as lines, which are split.

    Args:
        spelt: blocks of those lines; may raise what the reader of that syntax raises.
    """

    def __init__(self, path: Path, reject: Reject, terms: Any, spelt: Iterator[bytes]) -> None:
        super().__init__(path, reject, terms)
        self._spelt = spelt

    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Yield the facts from a statement of the file on."""
        at = 0
        for lines in read_ahead(self._spelt):
            data = np.frombuffer(lines, np.uint8)
            count = int(np.count_nonzero(data == 10))
            if at + count > position:
                yield from at_position(self._read(data, 0)[0], at + count)
            at += count
        yield from at_position(list(batches_of(list(self._terms.finish()))), at)

    def _line(self, number: int) -> int:
        return 0  # those that were spelt are not the file's


def _skip(file: IO[bytes], position: int) -> int:
    """Move to a byte of the unpacked file; return how many lines lie before it."""
    lines = 0
    while position > 0 and (part := file.read(min(position, CHUNK))):
        lines += part.count(b"\n")
        position -= len(part)
    return lines

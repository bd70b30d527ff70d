"""N-Triples by columns: millions of lines are split at once, and each different term is read once.

What the splitter takes is ``<iri> <iri> object .`` with single blanks. Of each different term it reads by itself only
the plain ones: IRIs of ASCII without escapes, texts without escapes. All others go to pyoxigraph, one by one; lines of
another shape (comments, tabs, mistakes) go to it whole. So what is read, and what is refused, is what pyoxigraph says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyoxigraph
from pyoxigraph import RdfFormat

from kg.errors import FormatError
from kg.ingest import storable
from kg.ingest.files import LONGEST_LINE, open_chunks
from kg.ingest.rdf_names import NAME
from kg.ingest.split import Splitter
from kg.store.batches import Batch, BatchReader, Fact, at_position, batches_of, facts_of

Reject = Callable[[FormatError], None]

#: Bytes that are split at once; memory is about eight times this.
CHUNK = 12 << 20
#: Statements of another syntax that are spelt as lines at once.
QUADS = 50_000

_PATH = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/]*"
#: IRIs that RFC 3987 allows in any case: a host without a port and a path, or a path that no "//" begins.
_PLAIN_IRI = (
    r"^<[A-Za-z][A-Za-z0-9+.\-]*:"
    rf"(//[A-Za-z0-9.\-_~]+(/{_PATH})?|/?[A-Za-z0-9\-._~]{_PATH})"
    rf"(\?{_PATH})?(#{_PATH})?>$"
)
_BAD = np.int64(1) << 62


class NTriples(BatchReader):
    """The facts of an N-Triples file: one by one as an iterator, or as batches.

    Args:
        reject: called with the error of a line that can't be read.
        read_terms: turns pyoxigraph's quads into facts.
    """

    def __init__(self, path: Path, reject: Reject, terms: Any) -> None:
        self._path, self._reject, self._terms = path, reject, terms
        self._suffixes: dict[str, str] = {}  # of literals: what follows the closing quote → the content's beginning
        self._is_annotated = False
        self._last: Batch | None = None  # of the last chunk that was split: annotations may speak of its end

    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Yield the facts from a byte of the unpacked file on, which must begin a line."""
        with open_chunks(self._path) as file:
            line, at = 1 + _skip(file, position), position
            while data := file.read(CHUNK):
                if not data.endswith(b"\n"):
                    data += file.readline(LONGEST_LINE + 1)
                if len(data) > CHUNK + LONGEST_LINE:
                    much = f"a line longer than {LONGEST_LINE // 2**20} MiB: is this text?"
                    raise FormatError(str(self._path), line + data.count(b"\n"), much)
                at += len(data)
                lines = data.count(b"\n")
                yield from self._read(data, line, at)
                line += lines
        yield from at_position(list(batches_of(list(self._terms.finish()))), at)

    def _read(self, data: bytes, line: int, position: int) -> Iterator[Batch]:
        """Yield a chunk of whole lines as a batch of those split, and one of those that pyoxigraph has read."""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        # An annotation is said of a fact in several lines: from the first on, one line can't be read by itself.
        if not self._is_annotated and b"#reifies>" in data:
            self._is_annotated = True
            self._terms.remember(facts_of(self._last) if self._last is not None else ())
        split = Splitter(data, b" ", b" .")
        batch, odd = None, np.arange(len(split.places))
        if not self._is_annotated and b"\0" not in data and (data.isascii() or _is_utf8(data)):
            batch, odd = self._split(split)
        facts = list(self._read_odd(data, split.places[odd, 6:], odd, line)) if len(odd) else []
        if batch is not None and len(batch):
            self._last = batch
        yield from at_position([*([batch] if batch is not None and len(batch) else []), *batches_of(facts)], position)

    def _split(self, split: Splitter) -> tuple[Batch, np.ndarray]:
        """Return what the splitter takes, and the places of the other lines."""
        iris: list[pl.Series] = []
        literals: list[pl.Series] = []
        columns = []
        for number, begins in enumerate(("<_", "<", '<_"')):
            codes, values = split.column(number)
            columns.append(self._places(pl.Series(values, dtype=pl.String), iris, literals, begins)[codes])
        head, relation, tail = columns
        kept = (head != _BAD) & (relation != _BAD) & (tail != _BAD)
        batch = Batch(_join(iris), _join(literals), head[kept], relation[kept], tail[kept])
        return batch, np.flatnonzero(~kept)

    def _places(self, terms: pl.Series, iris: list[pl.Series], literals: list[pl.Series], begins: str) -> np.ndarray:
        """Read different terms; return where they are, as a batch's tails; ``_BAD`` for what is no such term."""
        places = np.full(len(terms) + 1, _BAD)  # the last is that of a line without
        first = terms.str.head(1)
        kinds = {mark: np.flatnonzero((first == mark).to_numpy()) for mark in begins}
        plain = kinds["<"]
        if len(plain):
            some = terms.gather(plain)
            is_plain = (some.str.contains(_PLAIN_IRI) & ~some.str.starts_with("<" + NAME)).to_numpy()
            self._put(iris, places, plain[is_plain], some.filter(pl.Series(is_plain)).str.head(-1).str.slice(1))
            odd = plain[~is_plain]
        else:
            odd = plain
        odd = np.concatenate([odd, kinds.get("_", plain[:0])])
        if len(quoted := kinds.get('"', plain[:0])):
            odd = np.concatenate([odd, self._texts(terms.gather(quoted), quoted, literals, places)])
        if len(odd):
            self._odd_terms(terms.gather(odd).to_list(), odd, iris, literals, places)
        return places

    @staticmethod
    def _put(kept: list[pl.Series], places: np.ndarray, where: np.ndarray, contents: pl.Series) -> None:
        start = sum(map(len, kept))
        numbers = np.arange(start, start + len(where))
        places[where] = numbers
        kept.append(contents)

    def _texts(self, some: pl.Series, where: np.ndarray, literals: list[pl.Series], places: np.ndarray) -> np.ndarray:
        """Read literals of two quotes and no backslash; return the places of the others."""
        term = pl.col("term")
        frame = some.to_frame("term")
        is_escaped = frame["term"].str.contains("\\", literal=True)
        is_marked = frame["term"].str.contains("\x00", literal=True)
        if is_escaped.any() or is_marked.any():  # an escaped quote is the usual one: put a mark in its place
            is_odd = is_marked | frame["term"].str.contains(r'\\[^"]|\\$')
            swapped = term.str.replace_all('\\"', "\x00", literal=True)
            frame = frame.select(pl.when(is_odd).then(pl.lit("?")).when(is_escaped).then(swapped).otherwise(term))
            frame.columns = ["term"]
        frame = frame.select(
            (
                (term.str.count_matches('"', literal=True) == 2)
                & ~term.str.contains("\r", literal=True)
                & ~term.str.ends_with("\x00")
            ).alias("is_simple"),
            term.str.slice(1).str.splitn('"', 2).alias("parts"),
        )
        frame = frame.unnest("parts")
        if is_escaped.any():
            frame = frame.with_columns(pl.col("field_0").str.replace_all("\x00", '"', literal=True))
        is_simple = frame["is_simple"].to_numpy()
        frame = frame.filter(pl.col("is_simple"))
        for suffix in frame["field_1"].unique().to_list():
            if suffix not in self._suffixes:
                self._suffixes[suffix] = self._beginning(suffix)
        known = {suffix: begin for suffix, begin in self._suffixes.items() if begin}
        begins = frame["field_1"].replace_strict(known, default=None, return_dtype=pl.String)
        is_known = begins.is_not_null().to_numpy()
        contents = begins.filter(pl.Series(is_known)) + frame["field_0"].filter(pl.Series(is_known))
        good = where[is_simple][is_known]
        start = sum(map(len, literals))
        places[good] = -1 - np.arange(start, start + len(good))
        literals.append(contents)
        return np.concatenate([where[~is_simple], where[is_simple][~is_known]])

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

    def _odd_terms(
        self, tokens: list[str], where: np.ndarray, iris: list[pl.Series], literals: list[pl.Series], places: np.ndarray
    ) -> None:
        """Let pyoxigraph read terms, all at once or, when one is wrong, one by one."""
        found = self._parse(tokens)
        each = [(found[i] if found else (self._parse([token]) or [None])[0]) for i, token in enumerate(tokens)]
        from kg.store.terms import content

        names, texts = list[str](), list[str]()
        start, first_text = sum(map(len, iris)), sum(map(len, literals))
        for place, term in zip(where.tolist(), each, strict=True):
            if term is None or term.__class__ is pyoxigraph.Triple:
                continue
            tail = self._terms.tail(term)
            if "\0" in (text := content(tail)):
                continue
            if isinstance(tail, str):
                places[place] = start + len(names)
                names.append(tail)
            else:
                places[place] = -1 - (first_text + len(texts))
                texts.append(text)
        iris.append(pl.Series(names, dtype=pl.String))
        literals.append(pl.Series(texts, dtype=pl.String))

    def _read_odd(self, data: bytes, places: np.ndarray, odd: np.ndarray, first: int) -> Iterator[Fact]:
        """Yield what pyoxigraph reads in lines; a wrong one is rejected."""
        lines = [data[start:end] for start, end in places.tolist()]
        try:
            quads = list(pyoxigraph.parse(b"".join(lines), format=RdfFormat.N_TRIPLES))
        except (SyntaxError, MemoryError):
            from kg.ingest.rdf import reason

            quads = []
            for place, line in zip(odd.tolist(), lines, strict=True):
                try:
                    quads += list(pyoxigraph.parse(line, format=RdfFormat.N_TRIPLES))  # all of it, or nothing
                except SyntaxError as error:
                    self._reject(FormatError(str(self._path), first + place, reason(error)))
                except MemoryError:
                    self._reject(FormatError(str(self._path), first + place, "a term is longer than 16 MiB"))
        facts = self._terms.annotated(quads) if self._is_annotated else self._terms.facts(quads)
        yield from storable(facts, str(self._path), self._reject)


class Respelt(NTriples):
    """The facts of a file in another syntax: pyoxigraph reads it and spells it as lines, which are split.

    Args:
        quads: pyoxigraph's, of the default graph only; may raise what the reader of that syntax raises.
    """

    def __init__(self, path: Path, reject: Reject, terms: Any, quads: Iterator[Any]) -> None:
        super().__init__(path, reject, terms)
        self._quads = quads

    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Yield the facts from a statement of the file on."""
        at = 0
        while quads := list(islice(self._quads, QUADS)):
            at += len(quads)
            if at > position:
                lines = pyoxigraph.serialize(quads, format=RdfFormat.N_QUADS)
                yield from self._read(lines or b"", 0, at)
        yield from at_position(list(batches_of(list(self._terms.finish()))), at)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _skip(file: IO[bytes], position: int) -> int:
    """Move to a byte of the unpacked file; return how many lines lie before it."""
    lines = 0
    while position > 0 and (part := file.read(min(position, CHUNK))):
        lines += part.count(b"\n")
        position -= len(part)
    return lines


def _join(parts: list[pl.Series]) -> pa.LargeStringArray:
    if not parts:
        return pa.array([], pa.large_string())
    joined = pl.concat(parts).to_arrow(compat_level=pl.CompatLevel.oldest())
    return joined.cast(pa.large_string())

"""Tab-separated facts by columns: lines of three plain names are split at once, all others read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kg.errors import FormatError
from kg.ingest import storable
from kg.ingest.files import chunks, open_chunks
from kg.ingest.split import Splitter, look
from kg.ingest.tables import COLUMNS, SYNONYMS, parse_columns
from kg.store.batches import Batch, BatchReader, Fact, at_position, batches_of

Reject = Callable[[FormatError], None]
Rows = Iterator[tuple[int, list[str]]]

#: Bytes that are split at once.
CHUNK = 8 << 20


class Tsv(BatchReader):
    """The facts of a table of three columns: one by one as an iterator, or as batches.

    Args:
        columns: their order, where it was asked for; a header tells it otherwise.
        read_rows: reads rows of fields with care, given the columns.
    """

    def __init__(
        self,
        path: Path,
        reject: Reject,
        columns: Sequence[str],
        read_rows: Callable[[Rows, Sequence[str]], Iterable[Fact]],
    ) -> None:
        self._path, self._reject, self._columns, self._read_rows = path, reject, columns, read_rows
        self._split = Splitter(b"\t", b"", is_table=True)

    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Yield the facts from a byte of the unpacked file on, which must begin a line."""
        with open_chunks(self._path) as file:
            line, at, order = 1, 0, list(self._columns)
            first = lambda: line  # noqa: E731
            for chunk in chunks(self._path, file, CHUNK, first):
                data = np.frombuffer(chunk, np.uint8)
                if line == 1:
                    order = self._order(chunk[: 1 << 16].tobytes().partition(b"\n")[0])
                at += len(data)
                if at > position:
                    found, lines = self._read(data, line, order)
                    yield from at_position(found, at)
                    line += lines
                else:
                    line += int(np.count_nonzero(data == 10))

    def _order(self, first: bytes) -> list[str]:
        """Return the order of the columns that the first line, or the user, gives."""
        names = [name.strip().lower() for name in first.decode("utf-8", "replace").split("\t")]
        is_header = set(COLUMNS) <= {SYNONYMS.get(name, name) for name in names}
        return parse_columns(self._path, self._columns or (names if is_header else COLUMNS))

    def _read(self, data: np.ndarray, line: int, order: list[str]) -> tuple[list[Batch], int]:
        """Return whole lines as batches, and their number."""
        is_text, _, has_return = look(data)
        if has_return:
            data = np.frombuffer(data.tobytes().replace(b"\r\n", b"\n"), np.uint8)
        is_split = is_text and sorted(order) == sorted(COLUMNS)
        found: list[Batch] = []
        at, first = 0, line
        while at < len(data):
            at = self._split.split(data, at)
            bounds = self._split.lines
            batch, odd = None, np.arange(len(bounds) - 1)
            if is_split:
                batch, odd = self._batch([order.index(name) for name in COLUMNS], is_first=line == 1)
            if len(odd):
                lines = [data[bounds[place] : bounds[place + 1]].tobytes() for place in odd.tolist()]
                rows = self._rows(lines, (odd + line).tolist())
                found += batches_of(list(storable(self._read_rows(rows, order), str(self._path), self._reject)))
            if batch is not None and len(batch):
                found.append(batch)
            line += len(bounds) - 1
        return found, line - first

    def _batch(self, order: list[int], is_first: bool) -> tuple[Batch, np.ndarray]:
        """Return the facts of plain lines, and the places of the others."""
        names, literals, places, _ = self._split.terms(str)
        found = self._split.facts(places)
        head, relation, tail = ((found.head, found.relation, found.tail)[place] for place in order)
        odd = found.odd
        if is_first and not (len(odd) and odd[0] == 0):  # it may be a header
            head, relation, tail, odd = head[1:], relation[1:], tail[1:], np.concatenate([[0], odd])
        return Batch(names, literals, head, relation, tail), odd

    def _rows(self, lines: list[bytes], numbers: list[int]) -> Rows:
        for line, number in zip(lines, numbers, strict=True):
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                reason = f"not UTF-8 text (byte {error.start + 1} of the line): convert it (iconv -t UTF-8)"
                self._reject(FormatError(str(self._path), number, reason))
                continue
            if text.strip():
                yield number, text.split("\t")

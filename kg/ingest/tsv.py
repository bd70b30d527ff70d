"""Tab-separated facts by columns: lines of three plain names are split at once, all others read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kg.errors import FormatError
from kg.ingest import storable
from kg.ingest.files import LONGEST_LINE, open_bytes
from kg.ingest.split import Splitter
from kg.ingest.tables import COLUMNS, SYNONYMS, parse_columns
from kg.store.batches import Batch, BatchReader, Fact, at_position, batches_of

Reject = Callable[[FormatError], None]
Rows = Iterator[tuple[int, list[str]]]

#: Bytes that are split at once.
CHUNK = 12 << 20


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
        with open_bytes(self._path, LONGEST_LINE) as file:
            line, at, order = 1, 0, list(self._columns)
            while data := file.read(CHUNK):
                data += b"" if data.endswith(b"\n") else file.readline()
                if line == 1:
                    order = self._order(data[: data.find(b"\n") + 1] or data)
                at += len(data)
                if at > position:
                    yield from self._read(data, line, at, order)
                line += data.count(b"\n")

    def _order(self, first: bytes) -> list[str]:
        """Return the order of the columns that the first line, or the user, gives."""
        names = [name.strip().lower() for name in first.decode("utf-8", "replace").split("\t")]
        is_header = set(COLUMNS) <= {SYNONYMS.get(name, name) for name in names}
        return parse_columns(self._path, self._columns or (names if is_header else COLUMNS))

    def _read(self, data: bytes, line: int, position: int, order: list[str]) -> Iterator[Batch]:
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        is_split = sorted(order) == sorted(COLUMNS) and (data.isascii() or _is_utf8(data))
        found: list[Batch] = []
        while data:
            taken = self._split.split(data)
            bounds = self._split.lines
            batch, odd = None, np.arange(self._split.num_lines)
            if is_split:
                batch, odd = self._batch([order.index(name) for name in COLUMNS], is_first=line == 1)
            if len(odd):
                starts, ends = bounds[odd].tolist(), bounds[odd + 1].tolist()
                rows = self._rows(data, list(zip(starts, ends, strict=True)), (odd + line).tolist())
                found += batches_of(list(storable(self._read_rows(rows, order), str(self._path), self._reject)))
            if batch is not None and len(batch):
                found.append(batch)
            line += len(bounds) - 1
            data = data[taken:]
        yield from at_position(found, position)

    def _batch(self, order: list[int], is_first: bool) -> tuple[Batch, np.ndarray]:
        """Return the facts of plain lines, and the places of the others."""
        names, literals, places, _ = self._split.terms(str)
        found = self._split.facts(places)
        head, relation, tail = ((found.head, found.relation, found.tail)[place] for place in order)
        odd = found.odd
        if is_first and not (len(odd) and odd[0] == 0):  # it may be a header
            head, relation, tail, odd = head[1:], relation[1:], tail[1:], np.concatenate([[0], odd])
        return Batch(names, literals, head, relation, tail), odd

    def _rows(self, data: bytes, places: list[tuple[int, int]], numbers: list[int]) -> Rows:
        for (start, end), number in zip(places, numbers, strict=True):
            try:
                text = data[start:end].decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                reason = f"not UTF-8 text (byte {error.start + 1} of the line): convert it (iconv -t UTF-8)"
                self._reject(FormatError(str(self._path), number, reason))
                continue
            if text.strip():
                yield number, text.split("\t")


def _is_utf8(data: Any) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

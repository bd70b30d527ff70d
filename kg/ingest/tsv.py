"""Tab-separated facts by columns: lines of three plain names are split at once, all others read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from kg.errors import FormatError
from kg.ingest import storable
from kg.ingest.files import LONGEST_LINE, open_bytes
from kg.ingest.tables import COLUMNS, SYNONYMS, parse_columns
from kg.store.batches import Batch, BatchReader, Fact, at_position, batches_of

Reject = Callable[[FormatError], None]
Rows = Iterator[tuple[int, list[str]]]

#: Bytes that are split at once.
CHUNK = 12 << 20

#: What the splitter leaves to the careful reader: control characters, and blanks at an end.
_ODD = r"[\x00-\x1f]|^\s|\s$|^$"


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
        batch, facts = None, list[Fact]()
        is_text = data.isascii() or _is_utf8(data)
        starts = _starts(data)
        odd = np.arange(len(starts) - 1)
        frame = self._frame(data, len(odd)) if sorted(order) == sorted(COLUMNS) and is_text else None
        if frame is not None:
            batch, odd = self._split(frame, [order.index(name) for name in COLUMNS], is_first=line == 1)
        if len(odd):
            rows = self._rows(
                data, [(starts[place], starts[place + 1]) for place in odd.tolist()], (odd + line).tolist()
            )
            facts = list(storable(self._read_rows(rows, order), str(self._path), self._reject))
        yield from at_position([*batches_of(facts), *([batch] if batch is not None and len(batch) else [])], position)

    @staticmethod
    def _frame(data: bytes, num_lines: int) -> pl.DataFrame | None:
        """Return three columns, and what follows them, of each line; None where polars counts the lines otherwise."""
        schema = dict.fromkeys((*COLUMNS, "more"), pl.String)
        try:
            frame = pl.read_csv(
                data,
                has_header=False,
                separator="\t",
                quote_char=None,
                schema=schema,
                truncate_ragged_lines=True,
                missing_columns="insert",
            )
        except pl.exceptions.PolarsError:
            return None
        return frame if len(frame) == num_lines else None

    @staticmethod
    def _split(frame: pl.DataFrame, order: list[int], is_first: bool) -> tuple[Batch, np.ndarray]:
        """Return the facts of plain lines, and the places of the others."""
        iris: list[pl.Series] = []
        columns = []
        for number in order:
            coded = frame.to_series(number).to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            names = pl.Series(coded.dictionary, dtype=pl.String)
            places = np.full(len(names) + 1, -1)
            good = np.flatnonzero(~names.str.contains(_ODD).to_numpy())
            places[good] = np.arange(len(good)) + sum(map(len, iris))
            iris.append(names if len(good) == len(names) else names.gather(good))
            columns.append(places[codes])
        kept = (columns[0] >= 0) & (columns[1] >= 0) & (columns[2] >= 0) & frame["more"].is_null().to_numpy()
        if is_first:
            kept[0] = False  # it may be a header
        joined = pl.concat(iris).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
        head, relation, tail = (column[kept] for column in columns)
        return Batch(joined, pa.array([], pa.large_string()), head, relation, tail), np.flatnonzero(~kept)

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


def _starts(data: bytes) -> np.ndarray:
    """Return where each line begins, and where the last ends."""
    breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
    return np.concatenate([[0], breaks, [len(data)] if not len(breaks) or breaks[-1] < len(data) else []]).astype(
        np.int64
    )


def _is_utf8(data: Any) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

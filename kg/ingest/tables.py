"""Tables of facts: TSV and CSV with three columns, plain or gzipped. Names are kept as they are.

Without a header the columns are head, relation, tail. A first line that names just these three gives their order.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from kg.errors import FormatError
from kg.ingest.files import open_bytes
from kg.records import Tail

Fact = tuple[str, str, Tail]
Reject = Callable[[FormatError], None]

COLUMNS = ("head", "relation", "tail")


def read_tsv(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of a tab-separated table; a line without three filled columns is rejected."""
    rows = ((number, line.split("\t")) for number, line in _lines(path, reject))
    return _facts(path, rows, reject)


def read_csv(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield the facts of a comma-separated table; a row without three filled columns is rejected."""
    reader = csv.reader((line + "\n" for _, line in _lines(path, reject)), strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reject(FormatError(str(path), reader.line_num, str(error)))
                continue
            if row:
                yield reader.line_num, row

    return _facts(path, rows(), reject)


def _lines(path: Path, reject: Reject) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of the lines that are not empty."""
    with open_bytes(path) as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                reject(FormatError(str(path), number, f"not UTF-8 text (byte {error.start + 1} of the line)"))
                continue
            if line.strip():
                yield number, line


def _facts(path: Path, rows: Iterator[tuple[int, list[str]]], reject: Reject) -> Iterator[Fact]:
    order, is_first = (0, 1, 2), True
    for number, row in rows:
        fields = [field.strip() for field in row]
        if is_first:
            is_first = False
            names = [field.lower() for field in fields]
            if sorted(names) == sorted(COLUMNS):
                order = (names.index("head"), names.index("relation"), names.index("tail"))
                continue
        if len(fields) != 3:
            reject(FormatError(str(path), number, f"{len(fields)} columns instead of 3 (head, relation, tail)"))
        elif not all(fields):
            empty = COLUMNS[order.index(fields.index(""))]
            reject(FormatError(str(path), number, f"the {empty} is empty"))
        else:
            yield fields[order[0]], fields[order[1]], fields[order[2]]

"""Parquet and Arrow tables of facts, read in batches.

The columns head, relation and tail (or subject, predicate, object; or the first three, or as the option ``columns``
says) are texts or whole numbers. What ``kg.export`` writes beside them is read back exactly: ``kind`` of the tail,
``datatype``, ``language``, ``unit``, ``qualifiers`` (JSON). A column of numbers or truth values among the tails gives
typed literals.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg.errors import FormatError, InputError
from kg.ingest.files import MOST_RATIO, on_disk, size_of
from kg.ingest.tables import COLUMNS, SYNONYMS, TYPED, parse_columns, read_qualifiers
from kg.records import XSD, Literal, Tail

if TYPE_CHECKING:
    import pyarrow

Reject = Callable[[FormatError], None]

#: Rows that are held at once.
BATCH = 16_384


def read_parquet(path: Path, reject: Reject, *, columns: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield the facts of a Parquet file; a row with an empty column is rejected.

    Args:
        columns: what the file's columns are, in order: ``head,relation,tail``; "-" leaves one out.
    """
    import pyarrow
    import pyarrow.parquet

    on_disk(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > max(10_000_000, MOST_RATIO * size_of(path)):
                raise FormatError(str(path), 0, f"says it has {file.metadata.num_rows:,} rows: is it made to harm?")
            order = _order(path, file.schema_arrow.names, columns)
            yield from _facts(path, file.iter_batches(BATCH), order, reject)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _broken(path, "Parquet", error) from None


def read_arrow(path: Path, reject: Reject, *, columns: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield the facts of an Arrow (Feather) file or stream. The options are those of ``read_parquet``."""
    import pyarrow

    on_disk(path)
    try:
        with pyarrow.memory_map(str(path)) as source:
            try:
                reader = pyarrow.ipc.open_file(source)
                batches: Iterable[Any] = (reader.get_batch(number) for number in range(reader.num_record_batches))
            except pyarrow.ArrowInvalid:
                source.seek(0)
                batches = reader = pyarrow.ipc.open_stream(source)
            order = _order(path, reader.schema.names, columns)
            yield from _facts(path, map(_validated, batches), order, reject)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _broken(path, "Arrow", error) from None


def _validated(batch: Any) -> Any:
    """Return a batch whose offsets and texts were looked at: a damaged one would be read past its end."""
    batch.validate(full=True)
    return batch


def from_arrow(table: pyarrow.Table, *, columns: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield the facts of an Arrow table in memory.

    Raises:
        FormatError: a row with an empty column.
    """

    def stop(error: FormatError) -> None:
        raise error

    path = Path("pyarrow.Table")
    return _facts(path, table.to_batches(BATCH), _order(path, table.column_names, columns), stop)


def _broken(path: Path, what: str, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None and error.filename:
        return error
    return FormatError(str(path), 0, f"not a whole {what} file ({' '.join(str(error).split())[:200]})")


def _order(path: Path, names: list[str], columns: tuple[str, ...]) -> list[str]:
    """Return what each column of the file is, "-" for one that says nothing of facts."""
    if columns:
        order = parse_columns(path, columns)
        if len(order) != len(names):
            raise InputError(f"{path} has {len(names)} columns ({', '.join(names)}), and columns= names {len(order)}")
        return order
    order = [SYNONYMS.get(name.strip().lower(), name.strip().lower()) for name in names]
    if set(COLUMNS) <= set(order):
        return parse_columns(path, [name if name in COLUMNS + TYPED else "-" for name in order])
    if len(names) == 3:
        return list(COLUMNS)
    raise InputError(
        f"{path} has the columns {', '.join(names)}: say which are which with the option columns=head,relation,tail "
        "('-' leaves one out)"
    )


def _facts(path: Path, batches: Iterable[Any], order: list[str], reject: Reject) -> Iterator[Any]:
    row = 0
    for batch in batches:
        for piece in (batch.slice(start, BATCH) for start in range(0, len(batch), BATCH)):
            named = {name: piece.column(at).to_pylist() for at, name in enumerate(order) if name != "-"}
            size = len(piece)
            more = [named.get(name, [None] * size) for name in TYPED]
            for values in zip(*(named[name] for name in COLUMNS), *more, strict=True):
                row += 1
                try:
                    yield _fact("kind" in named, *values)
                except (ValueError, TypeError) as error:
                    reject(FormatError(str(path), row, f"row {row}: {error}"))


def _fact(
    is_typed: bool, head: Any, relation: Any, tail: Any, kind: Any, datatype: Any, language: Any, unit: Any, said: Any
) -> Any:
    for name, value in (("head", head), ("relation", relation)):
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise ValueError(f"the {name} is {'empty' if value in (None, '') else 'neither a text nor a number'}")
    if tail is None or (tail == "" and kind != "literal"):
        raise ValueError("the tail is empty")
    if is_typed and kind not in ("entity", "literal"):
        raise ValueError(f"the kind is 'entity' or 'literal', not {kind!r}")
    end: Tail
    if kind == "literal" or (not is_typed and (datatype or language or unit)):
        end = Literal(_text(tail), datatype or None, language or None, unit or None)
    elif isinstance(tail, str):
        end = tail
    elif isinstance(tail, int) and not isinstance(tail, bool) and isinstance(head, int):
        end = str(tail)  # ids all over
    else:
        end = _typed(tail)
    fact = (str(head), str(relation), end)
    return (*fact, read_qualifiers(said)) if said else fact


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("the tail of the kind 'literal' is not a text")
    return value


def _typed(value: Any) -> Literal:
    if isinstance(value, bool):
        return Literal(str(value).lower(), XSD + "boolean")
    if isinstance(value, int):
        return Literal(str(value), XSD + "integer")
    if isinstance(value, float):
        return Literal(repr(value), XSD + "double")
    if isinstance(value, datetime.datetime):
        return Literal(value.isoformat(), XSD + "dateTime")
    if isinstance(value, datetime.date):
        return Literal(value.isoformat(), XSD + "date")
    raise ValueError(f"a tail of the type {type(value).__name__} can't be stored")


def read_picture_rows(path: Path) -> list[tuple[int, str, str, str]]:
    """Return (row, entity, path, split) of a Parquet table of pictures.

    Raises:
        FormatError: it is not Parquet, or lacks a column of texts named ``path`` or ``entity``.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = {name.strip().lower(): name for name in file.schema_arrow.names}
            if missing := [name for name in ("path", "entity") if name not in names]:
                has = ", ".join(names)
                raise FormatError(str(path), 0, f"it must have the column '{missing[0]}' (it has: {has})")
            wanted = [names[name] for name in ("entity", "path", "split") if name in names]
            table = file.read(columns=wanted).select(wanted).to_pydict()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _broken(path, "Parquet", error) from None
    columns = list(table.values())
    if len(columns) == 2:
        columns.append([""] * len(columns[0]))
    return [(row, *(str(part or "").strip() for part in parts)) for row, parts in enumerate(zip(*columns), 1)]  # type: ignore[misc]

"""Tables of facts: TSV and CSV, plain or packed. Names are kept as they are.

Without a header the columns are head, relation, tail. A first line that names these gives their order, and may name
``kind`` (``entity`` or ``literal``, of the tail), ``datatype``, ``language``, ``unit`` and ``qualifiers`` (JSON), as
``kg.export`` writes them. With ``kind`` in a TSV, ``\\t``, ``\\n``, ``\\r`` and ``\\\\`` are escapes and blanks count.
The columns are otherwise given by the option ``columns``; "-" names one to leave out.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from typing import Literal as Choice

from kg.errors import FormatError, InputError
from kg.ingest import json_text
from kg.ingest.files import LONGEST_LINE, open_bytes
from kg.ingest.id_files import Ids, beside
from kg.records import Literal, Tail

Fact = Any  # (head, relation, tail) or (head, relation, tail, qualifiers)
Reject = Callable[[FormatError], None]
Rows = Iterator[tuple[int, list[str]]]

COLUMNS = ("head", "relation", "tail")
#: Columns that say more of a tail or a fact.
TYPED = ("kind", "datatype", "language", "unit", "qualifiers")
#: Other names of the three columns.
SYNONYMS = {"subject": "head", "predicate": "relation", "object": "tail"}

Separator = Choice["tab", "comma", "semicolon", "space"]
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": None}
_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
_ESCAPE = re.compile(r"\\[\\tnr]")


def read_tsv(
    path: Path,
    reject: Reject,
    *,
    columns: tuple[str, ...] = (),
    separator: Separator | None = None,
    entity_ids: Path | None = None,
    relation_ids: Path | None = None,
) -> Iterator[Fact]:
    """Yield the facts of a tab-separated table; a line without three filled columns is rejected.

    Args:
        columns: what the columns are, in order: ``relation,head,tail`` or ``head,tail,-,relation``.
        separator: what stands between columns; "space" is any white space.
        entity_ids: an id file (kg/ingest/id_files.py) when heads and tails are ids; OpenKE's are found by themselves.
        relation_ids: the same for relations.
    """
    ids = _ids(path, entity_ids, relation_ids)
    if beside(path) and not entity_ids:
        columns, separator = columns or ("head", "tail", "relation"), separator or "space"
    between = _SEPARATORS[separator or "tab"]
    if between == "\t" and not any(ids):
        from kg.ingest.tsv import Tsv

        return Tsv(path, reject, columns, lambda rows, order: _facts(path, rows, reject, order, ids, is_tsv=True))
    rows = ((number, line.split(between)) for number, line in _lines(path, reject))
    return _facts(path, rows, reject, columns, ids, is_tsv=True)


def read_csv(
    path: Path,
    reject: Reject,
    *,
    columns: tuple[str, ...] = (),
    separator: Separator | None = None,
    entity_ids: Path | None = None,
    relation_ids: Path | None = None,
) -> Iterator[Fact]:
    """Yield the facts of a comma-separated table; a row without three filled columns is rejected.

    The options are those of ``read_tsv``.
    """
    # The module's limit is 128 KB a field and holds for the whole process; literals may be longer.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    between = _SEPARATORS[separator or "comma"] or " "
    reader = csv.reader((line + "\n" for _, line in _lines(path, reject, False)), strict=True, delimiter=between)

    def rows() -> Rows:
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reject(FormatError(str(path), reader.line_num, str(error)))
                continue
            if row and row != [""]:
                yield reader.line_num, row

    return _facts(path, rows(), reject, columns, _ids(path, entity_ids, relation_ids), is_tsv=False)


def _ids(path: Path, entity_ids: Path | None, relation_ids: Path | None) -> tuple[Ids | None, Ids | None]:
    if not entity_ids and not relation_ids and (found := beside(path)):
        entity_ids, relation_ids = found
    for file in (entity_ids, relation_ids):
        if file and not file.is_file():
            raise InputError(f"there is no id file {file}")
    return (
        Ids(entity_ids, "entity") if entity_ids else None,
        Ids(relation_ids, "relation") if relation_ids else None,
    )


def _lines(path: Path, reject: Reject, skip_empty: bool = True) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of the lines that are UTF-8; an empty one stands for one that is not, where those count."""
    with open_bytes(path, LONGEST_LINE) as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                reason = f"not UTF-8 text (byte {error.start + 1} of the line): convert it (iconv -t UTF-8)"
                reject(FormatError(str(path), number, reason))
                line = ""
            if not skip_empty or line.strip():
                yield number, line


def parse_columns(path: Path, names: Sequence[str]) -> list[str]:
    """Return the columns' names as ours, "-" for those to leave out.

    Raises:
        InputError: one is unknown, comes twice or is missing.
    """
    order = [SYNONYMS.get(name.strip().lower(), name.strip().lower()) for name in names]
    for name in order:
        if name != "-" and name not in COLUMNS + TYPED:
            known = ", ".join(COLUMNS + TYPED)
            raise InputError(f"{path}: '{name}' is no column of facts (there are: {known}; '-' leaves one out)")
        if name != "-" and order.count(name) > 1:
            raise InputError(f"{path}: the column '{name}' comes twice")
    if missing := [name for name in COLUMNS if name not in order]:
        raise InputError(f"{path}: the columns lack '{missing[0]}' (they are: {', '.join(order)})")
    return order


def _facts(
    path: Path, rows: Rows, reject: Reject, columns: Sequence[str], ids: tuple[Ids | None, Ids | None], is_tsv: bool
) -> Iterator[Fact]:
    order = parse_columns(path, columns) if columns else list(COLUMNS)
    entities, relations = ids
    is_first, said, num_rows, number = True, -1, 0, 0
    for number, row in rows:
        if is_first:
            is_first = False
            names = [SYNONYMS.get(field.strip().lower(), field.strip().lower()) for field in row]
            if row[0].startswith("/a/[/r/"):
                raise FormatError(str(path), number, "these are ConceptNet's assertions: use --format conceptnet")
            if len(names) == 1 and names[0].isdecimal() and any(ids):
                said = int(names[0])
                continue
            if set(COLUMNS) <= set(names):
                order = parse_columns(path, columns or names)
                continue
        num_rows += 1
        try:
            yield _fact(path, number, row, order, entities, relations, is_tsv)
        except FormatError as error:
            reject(error)
    if said >= 0 and said != num_rows:
        reject(
            FormatError(
                str(path), number, f"the first line says {said} facts, and there are {num_rows}: is it cut off?"
            )
        )


def _fact(
    path: Path,
    number: int,
    row: list[str],
    order: list[str],
    entities: Ids | None,
    relations: Ids | None,
    is_tsv: bool,
) -> Fact:
    if len(row) != len(order):
        wanted = f"{len(order)} ({', '.join(order)})"
        raise FormatError(str(path), number, f"{len(row)} columns instead of {wanted}")
    is_typed = "kind" in order
    if is_typed:
        fields = [_ESCAPE.sub(lambda found: _ESCAPES[found[0]], field) for field in row] if is_tsv else row
    else:
        fields = [field.strip() for field in row]
    named = dict(zip(order, fields, strict=True))
    for name in COLUMNS:
        if not named[name] and not (is_typed and name == "tail" and named["kind"] == "literal"):
            raise FormatError(str(path), number, f"the {name} is empty")
    head, relation, tail = named["head"], named["relation"], named["tail"]
    if entities:
        head, tail = entities.name(head, str(path), number), entities.name(tail, str(path), number)
    if relations:
        relation = relations.name(relation, str(path), number)
    if len(order) == 3:
        return head, relation, tail
    if is_typed and named["kind"] not in ("entity", "literal"):
        raise FormatError(str(path), number, f"the kind is 'entity' or 'literal', not '{named['kind'][:60]}'")
    parts = [named.get(name) or None for name in ("datatype", "language", "unit")]
    end: Tail = Literal(tail, *parts) if (named["kind"] == "literal" if is_typed else any(parts)) else tail
    if not named.get("qualifiers"):
        return head, relation, end
    try:
        return head, relation, end, read_qualifiers(named["qualifiers"])
    except (ValueError, TypeError):
        raise FormatError(str(path), number, "the qualifiers are not a JSON list of [key, value]") from None


def read_qualifiers(text: str) -> tuple[tuple[str, Tail], ...]:
    """Return qualifiers from JSON: ``[[key, "IRI"], [key, {"value": …, "datatype": …}], …]``."""
    result: list[tuple[str, Tail]] = []
    for key, value in json_text.parse(text):
        if not isinstance(key, str) or not isinstance(value, str | dict):
            raise ValueError(key)
        tail: Tail = value if isinstance(value, str) else Literal(**value)
        if isinstance(tail, Literal) and not isinstance(tail.value, str):
            raise ValueError(tail)
        result.append((key, tail))
    return tuple(result)


def write_qualifiers(qualifiers: Sequence[tuple[str, Tail]]) -> str:
    """Return qualifiers as JSON that ``read_qualifiers`` reads; nothing when there are none."""
    if not qualifiers:
        return ""
    rows = []
    for key, tail in qualifiers:
        if isinstance(tail, Literal):
            parts = {name: getattr(tail, name) for name in ("datatype", "language", "unit")}
            rows.append([key, {"value": tail.value} | {name: part for name, part in parts.items() if part}])
        else:
            rows.append([key, tail])
    return json.dumps(rows, ensure_ascii=False)

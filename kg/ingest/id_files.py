"""Id files: numbers that stand for names in tables of facts, as benchmark data sets come.

    entity2id.txt     name<TAB>id, below a line with their number (OpenKE)
    entities.dict     id<TAB>name (RotatE and others)

Either order of the columns is read: the id is the column of whole numbers; where both are, it is the second, unless the
file's name ends in ``.dict``.
"""

from __future__ import annotations

from pathlib import Path

from kg.errors import FormatError
from kg.ingest.files import LONGEST_LINE, open_bytes

#: Names of the id files that OpenKE puts beside ``train2id.txt``.
ENTITIES, RELATIONS = "entity2id.txt", "relation2id.txt"


class Ids:
    """id → name, of one file."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self._kind = path, kind
        self._names = read_ids(path)

    def name(self, number: str, table: str, line: int) -> str:
        """Return the name of an id.

        Raises:
            FormatError: the file has no such id.
        """
        try:
            return self._names[number]
        except KeyError:
            reason = f"{self._kind} id '{number}' is not in {self.path}: is it the id file of this table?"
            raise FormatError(table, line, reason) from None


def beside(path: Path) -> tuple[Path, Path] | None:
    """Return OpenKE's id files for a table named ``…2id.txt``, when they lie beside it."""
    files = path.with_name(ENTITIES), path.with_name(RELATIONS)
    named = path.name.removesuffix(path.suffix) if path.suffix in (".gz", ".bz2", ".zst") else path.name
    is_table = Path(named).stem.endswith("2id") and path.name not in (ENTITIES, RELATIONS)
    return files if is_table and all(file.is_file() for file in files) else None


def read_ids(path: Path) -> dict[str, str]:
    """Return id → name.

    Raises:
        FormatError: a line without two columns, an id or a name that comes twice, a file that holds fewer than it says.
    """
    names: dict[str, str] = {}
    lines: dict[str, int] = {}
    id_column: int | None = None
    said = -1
    number = 0
    with open_bytes(path, LONGEST_LINE) as file:
        for number, raw in enumerate(file, 1):
            try:
                fields = raw.decode().rstrip("\r\n").split("\t")
            except UnicodeDecodeError:
                raise FormatError(str(path), number, "not UTF-8 text: convert it (iconv -t UTF-8)") from None
            if len(fields) == 1 and len(parts := fields[0].split()) == 2:
                fields = parts
            fields = [field.strip() for field in fields]
            if fields == [""]:
                continue
            if number == 1 and len(fields) == 1 and fields[0].isdecimal():
                said = int(fields[0])
                continue
            if len(fields) != 2 or not all(fields):
                raise FormatError(str(path), number, f"{len(fields)} columns instead of 2 (a name and its id)")
            if id_column is None:
                are_numbers = [field.isdecimal() for field in fields]
                if not any(are_numbers):
                    raise FormatError(str(path), number, "neither column is a whole number: which is the id?")
                id_column = int(are_numbers[1] and not (are_numbers[0] and path.suffix == ".dict"))
            id_, name = fields[id_column], fields[1 - id_column]
            if not id_.isdecimal():
                raise FormatError(str(path), number, f"the id '{id_[:60]}' is not a whole number")
            if id_ in names:
                raise FormatError(str(path), number, f"id {id_} is on line {lines[id_]} already: give each its own")
            names[id_], lines[id_] = name, number
    if said >= 0 and said != len(names):
        raise FormatError(
            str(path), number, f"the first line says {said} ids, and there are {len(names)}: is it cut off?"
        )
    return names

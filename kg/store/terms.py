"""Terms and their ids: every IRI, blank node and literal is stored once, found through a hash of its content.

IRIs and blank nodes have ids from 1 upwards, literals from -1 downwards. A term is stored as one text, its *content*:
an IRI as it is, a literal as ``datatype ␟ language ␟ unit ␟ value``. Terms of large loads are in blocks of the segment
that they came with, those of edits are rows of ``term``; what is found does not tell which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kg.errors import InputError, StoreError
from kg.names import fold
from kg.records import Literal, Tail
from kg.store.kinds import BLANK, IRI, LITERAL
from kg.store.light import ask
from kg.store.segments import view

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: A name is looked up folded; longer text is a description, and would only fill the index.
LONGEST_NAME = 120
#: How many values go into one ``IN (…)``; SQLite allows 32,766 parameters a statement.
CHUNK = 500

T = TypeVar("T")

#: (id, key, kind, value, datatype, language, unit): a row of ``term``.
TermRow = tuple[int, int, int, str, str | None, str | None, str | None]

_BY_IDS = "SELECT id, kind, value, datatype, language, unit FROM term WHERE id IN"
_BY_KEY = 'SELECT id, kind, value, datatype, language, unit FROM term WHERE "key" = :key'


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Cut an iterable into lists of at most ``size``."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


def content(tail: Tail) -> str:
    """Return the text that a term is stored as."""
    if isinstance(tail, str):
        return tail
    said: tuple[str, ...] = (tail.datatype or "", tail.language or "", tail.unit or "")
    if any("\x1f" in part or "\\" in part for part in said):
        said = tuple(part.replace("\\", r"\\").replace("\x1f", r"\s") for part in said)
    return f"{said[0]}\x1f{said[1]}\x1f{said[2]}\x1f{tail.value}"


def literal_of(text: str) -> Literal:
    """Return the literal that is stored as ``text``."""
    if text.startswith("\x1f\x1f\x1f"):
        return Literal(text[3:])
    datatype, language, unit, value = text.split("\x1f", 3)
    if "\\" in text[: len(text) - len(value)]:
        marks = re.compile(r"\\(.)")
        datatype, language, unit = (
            marks.sub(lambda found: "\x1f" if found[1] == "s" else found[1], part)
            for part in (datatype, language, unit)
        )
    return Literal(value, datatype or None, language or None, unit or None)


def digest(content: bytes | memoryview) -> bytes:
    """Return 12 bytes of BLAKE2b over a content: the first 8 are the key that finds it, the others a check on that.

    Two of n terms agree in both with probability n² / 2⁹⁷: 10⁻¹¹ for two billion.
    """
    return blake2b(content, digest_size=12).digest()


def content_key(tail: Tail) -> int:
    """Return the signed 64-bit key of a term. A literal's is the complement of what an IRI of that text has.

    Raises:
        InputError: the text holds half a surrogate pair, which no database stores.
    """
    return _key_and_check(tail)[0]


def _key_and_check(tail: Tail) -> tuple[int, int]:
    try:
        found = digest(content(tail).encode())
    except UnicodeEncodeError:
        raise InputError(f"the term {str(tail)[:60]!r} is not valid Unicode text") from None
    key = int.from_bytes(found[:8], "little", signed=True)
    return key if isinstance(tail, str) else ~key, int.from_bytes(found[8:], "little")


def term_row(number: int, key: int, tail: Tail) -> TermRow:
    """Return the row of ``term`` that stores ``tail``."""
    if isinstance(tail, str):
        return number, key, BLANK if tail.startswith("_:") else IRI, tail, None, None, None
    return number, key, LITERAL, tail.value, tail.datatype, tail.language, tail.unit


def folded_name(tail: Tail) -> str | None:
    """Return the text by which a literal is found as a name; None for what is too long, or no plain text."""
    if isinstance(tail, str) or tail.datatype is not None or tail.unit is not None or len(tail.value) > LONGEST_NAME:
        return None
    return fold(tail.value)


def read_term(kind: int, value: str, datatype: str | None, language: str | None, unit: str | None) -> Tail:
    """Return the IRI or literal that a row stores."""
    return Literal(value, datatype, language, unit) if kind == LITERAL else value


def check_fact(head: object, relation: object, tail: object) -> None:
    """Refuse what can't be a fact.

    Raises:
        InputError: a head or a relation that is not a non-empty text, or a tail that is neither that nor a Literal.
    """
    for place, end in (("head", head), ("relation", relation)):
        if not isinstance(end, str) or not end:
            raise InputError(f"the {place} of a fact must be an IRI, not {end!r}")
    if not isinstance(tail, Literal) and (not isinstance(tail, str) or not tail):
        raise InputError(f"the tail of a fact must be an IRI or a Literal, not {tail!r}")


# -- from terms to ids ----------------------------------------------------------------------------------------------


def find(connection: Connection, tail: Tail) -> int | None:
    """Return the id of a term, or None when the store has never seen it."""
    key, check = _key_and_check(tail)
    for known, *row in ask(connection, _BY_KEY, key=key):
        if content(read_term(*row)) != content(tail):
            raise _collision(tail)
        return int(known)
    number, other = view(connection).find_key(connection, key)
    if number and other != check:
        raise _collision(tail)
    return number or None


def _collision(tail: Tail) -> StoreError:
    return StoreError(f"two terms share a content key: {str(tail)[:60]!r} and another; spell one of them differently")


def find_or_add(connection: Connection, tail: Tail) -> int:
    """Return the id of a term, giving it one if it is new. Call inside a write."""
    known = find(connection, tail)
    if known is not None:
        return known
    from kg.store.schema import term

    number = next_id(connection) if isinstance(tail, str) else -next_literal(connection)
    connection.execute(term.insert(), dict(zip(term.c.keys(), term_row(number, content_key(tail), tail), strict=True)))
    return number


def next_id(connection: Connection) -> int:
    """Return the first unused id of an IRI."""
    return max(ask(connection, _MOST)[0][0] or 0, view(connection).last_iri(connection)) + 1


def next_literal(connection: Connection) -> int:
    """Return the first unused id of a literal, without its minus."""
    return max(-(ask(connection, _LEAST)[0][0] or 0), view(connection).last_literal(connection)) + 1


_MOST, _LEAST = "SELECT max(id) FROM term", "SELECT min(id) FROM term"


def add_name(connection: Connection, number: int, tail: Tail) -> None:
    """Let the literal be found as a name. Call inside a write, with literals that name something."""
    from sqlalchemy import select

    from kg.store.schema import name

    folded = folded_name(tail)
    if folded is not None:
        row = {"folded": folded, "literal": number}
        if not connection.execute(select(name.c.literal).filter_by(**row)).first():
            connection.execute(name.insert(), row)


#: So many terms are asked for one by one, which needs no SQLAlchemy.
_FEW = 4


def find_many(connection: Connection, iris: Iterable[str]) -> dict[str, int]:
    """Return the ids of the IRIs that the store knows."""
    wanted = list(dict.fromkeys(iris))
    if len(wanted) <= _FEW:
        return {iri: number for iri in wanted if (number := find(connection, iri)) is not None}
    from sqlalchemy import select

    from kg.store.schema import term

    found: dict[str, int] = {}
    known = view(connection)
    for part in chunks(wanted):
        keys = {content_key(iri): iri for iri in part}
        rows = connection.execute(select(term.c.value, term.c.id).where(term.c.key.in_(keys), term.c.kind != LITERAL))
        by_row = dict(rows.all())
        for key, iri in keys.items():
            if iri in by_row:
                found[iri] = by_row[iri]
            elif number := known.find_key(connection, key)[0]:
                found[iri] = number
    return found


# -- from ids to terms ----------------------------------------------------------------------------------------------


def read_many(connection: Connection, numbers: Sequence[int] | Iterable[int] | np.ndarray) -> dict[int, Tail]:
    """Return the terms of ids, as far as they exist."""
    wanted = np.sort(np.fromiter(numbers, dtype=np.int64) if not isinstance(numbers, np.ndarray) else numbers)
    wanted = wanted[np.append(True, wanted[1:] != wanted[:-1])[: len(wanted)]]  # np.unique would import numpy.ma
    found: dict[int, Tail] = {}
    for number, text in view(connection).read_contents(connection, wanted):
        found[number] = text if number > 0 else literal_of(text)
    if len(found) < len(wanted):
        found.update(_read_rows(connection, [number for number in wanted.tolist() if number not in found]))
    return found


def _read_rows(connection: Connection, numbers: list[int]) -> Iterator[tuple[int, Tail]]:
    for part in chunks(numbers):
        for number, *row in ask(connection, f"{_BY_IDS} ({','.join(map(str, map(int, part)))})"):
            yield number, read_term(*row)


def read_one(connection: Connection, number: int) -> Any:
    """Return the term of one id, which must exist."""
    return read_many(connection, [number])[number]

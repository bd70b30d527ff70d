"""Terms and their ids: every IRI, blank node and literal is stored once, found through a 64-bit key of its content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, bindparam, func, select

from kg.errors import InputError, StoreError
from kg.names import fold
from kg.records import Literal, Tail
from kg.store.schema import BLANK, IRI, LITERAL, term

#: A name is looked up in ``term.folded``; longer text is a description, and would only fill the index.
LONGEST_NAME = 120
#: How many values go into one ``IN (…)``; SQLite allows 32,766 parameters a statement.
CHUNK = 500

T = TypeVar("T")

#: (id, key, kind, value, datatype, language, unit, folded): a row of ``term``.
TermRow = tuple[int, int, int, str, str | None, str | None, str | None, str | None]

_BY_KEY = select(term.c.id, term.c.value).where(term.c.key == bindparam("key"))


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Cut an iterable into lists of at most ``size``."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


def content_key(tail: Tail) -> int:
    """Return the signed 64-bit key of a term's content (BLAKE2b).

    Two of n terms share a key with probability n² / 2⁶⁵: 10⁻⁷ for a million. The unique index then refuses the second.

    Raises:
        InputError: the text holds half a surrogate pair, which no database stores.
    """
    if isinstance(tail, str):
        text = f"\x1f\x1f\x1f\x1f{tail}"
    else:
        text = f"1\x1f{tail.datatype or ''}\x1f{tail.language or ''}\x1f{tail.unit or ''}\x1f{tail.value}"
    try:
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
    except UnicodeEncodeError:
        raise InputError(f"the term {str(tail)[:60]!r} is not valid Unicode text") from None


def term_row(number: int, key: int, tail: Tail) -> TermRow:
    """Return the row of ``term`` that stores ``tail``."""
    if isinstance(tail, str):
        return number, key, BLANK if tail.startswith("_:") else IRI, tail, None, None, None, None
    is_name = tail.datatype is None and tail.unit is None and len(tail.value) <= LONGEST_NAME
    folded = fold(tail.value) if is_name else None
    return number, key, LITERAL, tail.value, tail.datatype, tail.language, tail.unit, folded


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


def find(connection: Connection, tail: Tail) -> int | None:
    """Return the id of a term, or None when the store has never seen it."""
    row = connection.execute(_BY_KEY, {"key": content_key(tail)}).first()
    if row is None:
        return None
    if row.value != (tail if isinstance(tail, str) else tail.value):
        raise StoreError(f"two terms share a content key: {str(tail)[:60]!r} and {row.value[:60]!r}")
    return int(row.id)


def find_or_add(connection: Connection, tail: Tail) -> int:
    """Return the id of a term, giving it one if it is new. Call inside a write."""
    known = find(connection, tail)
    if known is not None:
        return known
    number = next_id(connection)
    connection.execute(term.insert(), dict(zip(term.c.keys(), term_row(number, content_key(tail), tail), strict=True)))
    return number


def next_id(connection: Connection) -> int:
    """Return the first unused term id."""
    return (connection.execute(select(func.max(term.c.id))).scalar() or 0) + 1


def find_many(connection: Connection, iris: Iterable[str]) -> dict[str, int]:
    """Return the ids of the IRIs that the store knows."""
    found: dict[str, int] = {}
    for part in chunks(dict.fromkeys(iris)):
        keys = [content_key(iri) for iri in part]
        rows = connection.execute(select(term.c.value, term.c.id).where(term.c.key.in_(keys), term.c.kind != LITERAL))
        found.update((value, number) for value, number in rows)
    return found


def read_many(connection: Connection, numbers: Sequence[int] | Iterable[int]) -> dict[int, Tail]:
    """Return the terms of ids, as far as they exist."""
    found: dict[int, Tail] = {}
    for part in chunks(int(number) for number in numbers):
        rows = connection.execute(
            select(term.c.id, term.c.kind, term.c.value, term.c.datatype, term.c.language, term.c.unit).where(
                term.c.id.in_(part)
            )
        )
        found.update((row[0], read_term(*row[1:])) for row in rows)
    return found

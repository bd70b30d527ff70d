"""What a store is told by: its tables and its schema's number; and the kinds of its terms."""

from __future__ import annotations

from kg.errors import StoreError

SCHEMA = 2

IRI, LITERAL, BLANK = 0, 1, 2

#: The tables of a store (`kg.store.schema`).
TABLES = frozenset(
    ("meta", "version", "source", "term", "name", "segment", "block", "loading", "triple", "qualifier", "picture")
)


def refuse_others(address: str, tables: set[str]) -> None:
    """Refuse a database that lacks a store's tables.

    Raises:
        StoreError: it does.
    """
    if missing := sorted(TABLES - tables):
        raise StoreError(
            f"{address} is a database but not a kemm store (no table '{missing[0]}'): choose another address"
        )


def uuid_of(address: str, facts: dict[str, str]) -> str:
    """Return the store's uuid, from what its table ``meta`` says.

    Raises:
        StoreError: that table is of something else, or the store of another schema.
    """
    if "uuid" not in facts or "schema" not in facts:
        raise StoreError(f"{address} is a database but not a kemm store: choose another address")
    if facts["schema"] != str(SCHEMA):
        raise StoreError(f"{address} has schema {facts['schema']}, this kemm reads schema {SCHEMA}: ingest it anew")
    return facts["uuid"]

"""The tables of a store, and how a store is told from something else.

A statement lives in one of two places. A large load writes *segments*: its statements as sorted columns of ids in
compressed blocks, with the terms that were new in it (`kg.store.blocks`). Edits and small loads are rows of ``triple``;
so is a statement of a segment once it is retracted: the row then hides the segment's copy.

Every statement knows its source and the versions in which it was added and retracted, so that any past version can be
read: it is active at version v when ``added ≤ v`` and (``retracted`` is null or ``retracted > v``). Terms are never
deleted and their ids never reused, so an index may refer to an entity by its term id for ever. IRIs and blank nodes
have positive ids, literals negative ones.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    inspect,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from kg.errors import StoreError
from kg.store.kinds import SCHEMA, TABLES, refuse_others, uuid_of

metadata = MetaData()


class _UtcNow(FunctionElement[datetime]):
    """The database's clock in UTC, wherever its server stands."""

    type = DateTime()
    inherit_cache = True


@compiles(_UtcNow)
def _in_utc(element: _UtcNow, compiler: Any, **options: Any) -> str:
    return "CURRENT_TIMESTAMP"  # SQLite's is in UTC


@compiles(_UtcNow, "postgresql")
def _in_utc_on_postgresql(element: _UtcNow, compiler: Any, **options: Any) -> str:
    return "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"


#: SQLite gives ids by itself only to a column declared INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
#: Byte order, so that a prefix is a range; SQLite compares so already.
_Folded = Text().with_variant(Text(collation="C"), "postgresql")

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

version = Table(
    "version",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("time", DateTime, nullable=False, server_default=_UtcNow()),
    Column("author", Text, nullable=False, default=""),
    Column("action", Text, nullable=False),
    Column("source", Text, nullable=False, default=""),
    Column("note", Text, nullable=False, default=""),
)

source = Table(
    "source", metadata, Column("id", _Id, primary_key=True), Column("name", Text, nullable=False, unique=True)
)

term = Table(
    "term",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("key", BigInteger, nullable=False),  # content key, see kg.store.terms
    Column("kind", SmallInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("datatype", Text),
    Column("language", Text),
    Column("unit", Text),
    Index("term_key", "key", unique=True),
)

#: Names, folded, of the literals that edits and small loads call something by.
name = Table(
    "name",
    metadata,
    Column("folded", _Folded, primary_key=True),
    Column("literal", _Id, primary_key=True, autoincrement=False),
)

segment = Table(
    "segment",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("tag", Text, nullable=False),  # random: no other segment ever is taken for this one
    Column("source", _Id, nullable=False),
    Column("added", _Id, nullable=False),  # the version; of a load under way, the one that it will be
    Column("is_staged", SmallInteger, nullable=False),  # 1 until the load is complete
    Column("triples", _Id, nullable=False),
    Column("literals", _Id, nullable=False),
    Column("relations", Text, nullable=False),  # JSON: relation id → number of statements
)

block = Table(
    "block",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("segment", _Id, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("first", BigInteger, nullable=False),  # what it begins with, to find it by
    Column("second", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("block_place", "segment", "kind", "id"),
)

#: A load that commits portion by portion: what it reads, and how far it has come.
loading = Table("loading", metadata, Column("token", Text, primary_key=True), Column("state", Text, nullable=False))


def _ids(*names: str) -> list[Column[int]]:
    """Ids of terms and a source. No foreign keys: checking five a row makes a load three times as long."""
    return [Column(each, _Id, nullable=False) for each in names]


def _lifetime() -> list[Column[int]]:
    """The versions in which something came, and went."""
    return [Column("added", _Id, nullable=False), Column("retracted", _Id)]


triple = Table(
    "triple",
    metadata,
    Column("id", _Id, primary_key=True),
    *_ids("head", "relation", "tail", "source"),
    *_lifetime(),
    Column("segment", _Id, nullable=False, server_default="0"),  # whose copy it hides; 0: none
)
_once = Index("triple_once", triple.c.head, triple.c.relation, triple.c.tail, triple.c.source, unique=True)
Index("triple_relation", triple.c.relation)
Index("triple_tail", triple.c.tail)
Index("triple_head", triple.c.head)
Index("triple_added", triple.c.added)
_gone = Index("triple_gone", triple.c.retracted)

#: What else is said of a statement: with whom, since when. Pairs of a key and a value, in the order they came.
qualifier = Table(
    "qualifier",
    metadata,
    Column("id", _Id, primary_key=True),
    *_ids("head", "relation", "tail", "source", "key", "value"),
    *_lifetime(),
    Index("qualifier_of", "head", "relation", "tail", "source"),
)

picture = Table(
    "picture",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("entity", _Id, nullable=False, index=True),  # no foreign key: the term may be in a segment
    Column("path", Text, nullable=False),
    Column("root", Text, nullable=False, default=""),
    Column("sha256", Text, nullable=False, default=""),
    Column("split", Text, nullable=False, default=""),
    Column("source", _Id, ForeignKey("source.id"), nullable=False),
    Column("added", _Id, ForeignKey("version.id"), nullable=False),
    Column("retracted", _Id, ForeignKey("version.id")),
)


assert set(metadata.tables) == TABLES


def is_absent(connection: Connection) -> bool:
    """Tell whether none of the store's tables is there."""
    return not TABLES & set(inspect(connection).get_table_names())


def create(connection: Connection) -> None:
    """Make the tables of an empty store."""
    # Said here and not where the tables are: naming a dialect loads it, and opening a store has no need of both.
    live = triple.c.retracted.is_(None)
    for index, where in ((_once, live), (_gone, ~live)):
        index.dialect_options[connection.dialect.name]["where"] = where
    metadata.create_all(connection)
    rows = [{"key": "schema", "value": str(SCHEMA)}, {"key": "uuid", "value": str(uuid.uuid4())}]
    connection.execute(meta.insert(), rows)


def check(connection: Connection, address: str) -> str:
    """Return the store's uuid.

    Raises:
        StoreError: these are not the tables of a kemm store, or of another schema.
    """
    refuse_others(address, set(inspect(connection).get_table_names()))
    columns = {c["name"] for c in inspect(connection).get_columns("meta")}
    facts = dict(connection.execute(select(meta.c.key, meta.c.value)).all()) if columns == {"key", "value"} else {}
    return uuid_of(address, facts)


def refuse_while_loading(connection: Connection, address: str) -> None:
    """Refuse to write while a load in parts is unfinished: it counts on the ids that it has seen.

    Raises:
        StoreError: there is such a load; the text says how to finish it, and how to drop it.
    """
    state = connection.execute(select(loading.c.state)).scalar()
    if state is not None:
        raise StoreError(
            f"{address} is being loaded in parts from '{json.loads(state)['source']}': wait for it, or, if it was "
            "interrupted, finish it with `kemm ingest … --resume` or drop it with `kemm kg drop-load`"
        )

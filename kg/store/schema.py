"""The tables of a store, and how a store is told from something else.

Every triple knows its source and the versions in which it was added and retracted, so that any past version can be
read: a triple is active at version v when ``added ≤ v`` and (``retracted`` is null or ``retracted > v``). Terms are
never deleted and their ids never reused, so an index may refer to an entity by its term id for ever.
"""

from __future__ import annotations

import uuid

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    inspect,
    select,
    text,
)

from kg.errors import StoreError

SCHEMA = 1

IRI, LITERAL, BLANK = 0, 1, 2

metadata = MetaData()

#: SQLite gives ids by itself only to a column declared INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
#: Byte order, so that a prefix is a range; SQLite compares so already.
_Folded = Text().with_variant(Text(collation="C"), "postgresql")

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

version = Table(
    "version",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("time", DateTime, nullable=False, server_default=func.current_timestamp()),
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
    Column("folded", _Folded),  # short plain text without case and accents, to find names by
    Index("term_key", "key", unique=True),
)
Index(
    "term_folded", term.c.folded, sqlite_where=term.c.folded.is_not(None), postgresql_where=term.c.folded.is_not(None)
)

triple = Table(
    "triple",
    metadata,
    Column("id", _Id, primary_key=True),
    # Ids of terms, a source and versions. No foreign keys: checking five a row makes a load three times as long.
    Column("head", _Id, nullable=False),
    Column("relation", _Id, nullable=False),
    Column("tail", _Id, nullable=False),
    Column("source", _Id, nullable=False),
    Column("added", _Id, nullable=False),
    Column("retracted", _Id),
)
_live = triple.c.retracted.is_(None)
Index(
    "triple_once",
    triple.c.head,
    triple.c.relation,
    triple.c.tail,
    triple.c.source,
    unique=True,
    sqlite_where=_live,
    postgresql_where=_live,
)
#: What a large load drops and makes again: building an index once is cheaper than a million insertions into it.
TRIPLE_ORDERS = (
    Index("triple_head", triple.c.head, triple.c.relation),
    Index("triple_relation", triple.c.relation, triple.c.id),
    Index("triple_tail", triple.c.tail, triple.c.relation),
)
Index("triple_gone", triple.c.retracted, sqlite_where=~_live, postgresql_where=~_live)

picture = Table(
    "picture",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("entity", _Id, ForeignKey("term.id"), nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("root", Text, nullable=False, default=""),
    Column("sha256", Text, nullable=False, default=""),
    Column("split", Text, nullable=False, default=""),
    Column("source", _Id, ForeignKey("source.id"), nullable=False),
    Column("added", _Id, ForeignKey("version.id"), nullable=False),
    Column("retracted", _Id, ForeignKey("version.id")),
)


def is_absent(connection: Connection) -> bool:
    """Tell whether none of the store's tables is there."""
    return not set(metadata.tables) & set(inspect(connection).get_table_names())


def create(connection: Connection) -> None:
    """Make the tables of an empty store."""
    metadata.create_all(connection)
    rows = [{"key": "schema", "value": str(SCHEMA)}, {"key": "uuid", "value": str(uuid.uuid4())}]
    connection.execute(meta.insert(), rows)


def check(connection: Connection, address: str) -> str:
    """Return the store's uuid.

    Raises:
        StoreError: these are not the tables of a kemm store, or of another schema.
    """
    tables = inspect(connection).get_table_names()
    if missing := sorted(set(metadata.tables) - set(tables)):
        raise StoreError(
            f"{address} is a database but not a kemm store (no table '{missing[0]}'): choose another address"
        )
    columns = {c["name"] for c in inspect(connection).get_columns("meta")}
    facts = dict(connection.execute(select(meta.c.key, meta.c.value)).all()) if columns == {"key", "value"} else {}
    if "uuid" not in facts or "schema" not in facts:
        raise StoreError(f"{address} is a database but not a kemm store: choose another address")
    if facts["schema"] != str(SCHEMA):
        raise StoreError(f"{address} has schema {facts['schema']}, this kemm reads schema {SCHEMA}: ingest it anew")
    return facts["uuid"]


#: The distinct relations, one index look-up each; ``SELECT DISTINCT`` would read the whole index.
RELATION_IDS = text(
    "WITH RECURSIVE step(relation) AS (SELECT min(relation) FROM triple UNION ALL "
    "SELECT (SELECT min(relation) FROM triple WHERE relation > step.relation) FROM step "
    "WHERE step.relation IS NOT NULL) "
    "SELECT relation FROM step WHERE relation IS NOT NULL"
)

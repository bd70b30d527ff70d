"""Reading from SQLite without SQLAlchemy, which takes longer to import than most questions take to answer.

What opening a store and looking around in it need is asked as text, by ``ask``; it runs on the driver's own connection
as on one of SQLAlchemy's. All else makes a ``Light`` connection a whole one, over the same transaction.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from kg.store.connection import Database


class Light:
    """A reading transaction on SQLite's own connection, with everything that SQLAlchemy's has."""

    def __init__(self, home: Database, driver: sqlite3.Connection) -> None:
        self.home, self.driver = home, driver
        self._whole: Any = None
        driver.execute("BEGIN")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole(), name)

    def whole(self) -> Connection:
        """Return SQLAlchemy's connection over this one."""
        if self._whole is None:
            from sqlalchemy import create_engine
            from sqlalchemy.pool import NullPool

            # An engine tries out its first connection, and rolls back what goes on there.
            drivers = [sqlite3.connect(":memory:"), self.driver]
            options = {"kemm_home": self.home}
            engine = create_engine(
                "sqlite://", creator=lambda: drivers.pop(0), poolclass=NullPool, execution_options=options
            )
            engine.connect().close()
            self._whole = engine.connect()
            self.home.wants_more()
        return self._whole  # type: ignore[no-any-return]

    def close(self) -> bool:
        """End the transaction; return whether the driver's connection is still there."""
        if self._whole is not None:
            self._whole.close()
            return False
        if self.driver.in_transaction:
            self.driver.rollback()
        return True


def ask(connection: Connection, sql: str, **values: Any) -> list[Any]:
    """Return the rows of a query, given as text with ``:names``."""
    if isinstance(connection, Light):
        return connection.driver.execute(sql, values).fetchall()
    if connection.dialect.name == "sqlite" and connection.in_transaction():  # begun, so the driver alone will do
        driver: Any = connection.connection.driver_connection
        return driver.execute(sql, values).fetchall()  # type: ignore[no-any-return]
    return list(connection.execute(_text(sql), values))


def home_of(connection: Connection) -> Any:
    """Return whose connection this is: what is known of a store is kept by that."""
    if isinstance(connection, Light):
        return connection.home
    return connection.get_execution_options().get("kemm_home") or connection.engine


def option(connection: Connection, name: str) -> Any:
    """Return one of a connection's options, None where it has none."""
    return None if isinstance(connection, Light) else connection.get_execution_options().get(name)


@lru_cache(64)
def _text(sql: str) -> Any:
    from sqlalchemy import text

    return text(sql)

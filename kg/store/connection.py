"""A store's address, its connections, and the two kinds of transaction: many readers, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from kg.errors import InputError, StoreError, StoreMissing
from kg.store import schema

_SQLITE_HEADER = b"SQLite format 3\0"
#: Seconds to wait for another process's write.
_PATIENCE = 30.0


def parse(address: str | Path) -> URL:
    """Return the database URL of ``sqlite:///x.db``, ``sqlite://`` (memory), ``postgresql+psycopg://…`` or ``x.db``."""
    address = str(address)
    if "://" not in address:
        if not address.endswith((".db", ".sqlite", ".sqlite3")):
            raise InputError(f"'{address}' is not the address of a store: write sqlite:///PATH or a path ending in .db")
        return URL.create("sqlite", database=address)
    try:
        url = make_url(address)
    except ArgumentError:
        raise InputError(
            f"'{address}' is not the address of a store: write sqlite:///PATH or postgresql+psycopg://…"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(f"a store is SQLite or PostgreSQL, not {url.get_backend_name()} ('{address}')")
    return url


class Database:
    """One store's engine. Use ``read()`` and ``write()``; both give a connection inside a transaction.

    SQLite runs in WAL mode, so readers and the writer don't wait for each other. A store in memory has one connection,
    lent to one thread at a time.
    """

    def __init__(self, address: str | Path, create: bool) -> None:
        self.url = parse(address)
        self.name = self.url.render_as_string(hide_password=True)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and self.url.database in (None, "", ":memory:")
        self._lock = threading.RLock()
        self._writer: Connection | None = None
        self._writer_thread: int | None = None
        self._process = os.getpid()
        self._is_ready = False
        if self.is_sqlite and not self.in_memory:
            self._check_file(create)
        try:
            self.engine = create_engine(self.url, **self._engine_options())
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise StoreError(f"{self.name} needs a driver: pip install 'kemm[postgres]' ({error})") from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", self._prepare_sqlite)
            event.listen(self.engine, "begin", self._begin_sqlite)
        self.uuid = self._open(create)
        self._is_ready = True

    def _engine_options(self) -> dict[str, Any]:
        if not self.is_sqlite:
            return {"pool_pre_ping": True}
        connect = {"timeout": _PATIENCE, "check_same_thread": False}
        return {"connect_args": connect, "poolclass": StaticPool} if self.in_memory else {"connect_args": connect}

    def _check_file(self, create: bool) -> None:
        """Look at the file's first bytes before any connection could write to it."""
        path = Path(str(self.url.database))
        if path.is_dir():
            raise StoreError(f"{path} is a folder, not a store: name a file in it")
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                header = file.read(len(_SQLITE_HEADER))
            if header != _SQLITE_HEADER:
                raise StoreError(f"{path} is not a kemm store: choose another address")
            # A look without a write, since opening switches a database to WAL.
            with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE) as probe:
                try:
                    tables = {name for (name,) in probe.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                except sqlite3.DatabaseError as error:
                    raise StoreError(f"{path} can't be read as a store: {error}") from None
            probe.close()
            if missing := sorted(set(schema.metadata.tables) - tables):
                raise StoreError(
                    f"{path} is a database but not a kemm store (no table '{missing[0]}'): choose another address"
                )
        elif not create:
            raise StoreMissing(f"no store at {self.name}: run `kemm ingest FILE --store {self.name}` first")
        elif not path.absolute().parent.is_dir():
            raise StoreError(f"can't make a store at {path}: the folder {path.parent} does not exist")

    def _prepare_sqlite(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver would begin only at the first write
        cursor = connection.cursor()
        if not self.in_memory:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA cache_size = -16384")  # 16 MiB: decoded blocks are kept, not pages
        cursor.close()

    @staticmethod
    def _begin_sqlite(connection: Connection) -> None:
        writes = connection.get_execution_options().get("kemm_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def _open(self, create: bool) -> str:
        try:
            with self.read() as connection:
                absent = schema.is_absent(connection)
            if absent and not create and not self.in_memory:
                raise StoreMissing(f"no store at {self.name}: run `kemm ingest FILE --store {self.name}` first")
            if absent:
                with self.write() as connection:
                    if schema.is_absent(connection):  # another process may have been faster
                        schema.create(connection)
            with self.read() as connection:
                return schema.check(connection, self.name)
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent state of the store.

        Raises:
            StoreError: the database refused or could not be reached.
        """
        if os.getpid() != self._process:  # a forked worker must not use its parent's connections
            self.engine.dispose(close=False)
            self._process = os.getpid()
        if not self.in_memory:
            with self._clear_errors(), self.engine.connect() as connection:
                yield connection
            return
        with self._lock, self._clear_errors():
            if self._writer is not None:  # one connection only: look through the edit under way
                yield self._writer
            else:
                with self.engine.connect() as connection:
                    yield connection

    @contextmanager
    def write(self, in_parts: bool = False) -> Iterator[Connection]:
        """Give the one writing connection; commit at the end, roll back on any exception.

        Args:
            in_parts: this is a part of a load that commits part by part, which all others have to leave alone.

        Raises:
            StoreError: the database refused, this thread is already inside an edit, or a load in parts is unfinished.
        """
        if self._writer_thread == threading.get_ident():
            raise StoreError("an edit is under way in this thread: use the object that `with graph.edit()` gave")
        with self._lock, self._clear_errors(), self.engine.connect() as plain:
            connection = plain.execution_options(kemm_write=True, kemm_view={}, kemm_staged=in_parts)
            self._writer, self._writer_thread = connection, threading.get_ident()
            try:
                with connection.begin():
                    if self._is_ready and not self.is_sqlite:
                        connection.exec_driver_sql("LOCK TABLE version IN SHARE ROW EXCLUSIVE MODE")
                    if self._is_ready and not in_parts:
                        schema.refuse_while_loading(connection, self.name)
                    yield connection
            finally:
                self._writer = self._writer_thread = None

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            reason = getattr(error, "orig", None) or error
            text = (str(reason).strip() or type(reason).__name__).splitlines()[0]
            raise StoreError(f"the store {self.name}: {text}") from error

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

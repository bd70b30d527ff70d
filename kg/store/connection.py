"""A store's address, its connections, and the two kinds of transaction: many readers, one writer at a time."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kg.errors import InputError, StoreError, StoreMissing
from kg.store.kinds import TABLES, uuid_of
from kg.store.light import Light, ask

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

_SQLITE_HEADER = b"SQLite format 3\0"
#: Seconds to wait for another process's write.
_PATIENCE = 30.0
#: Addresses of files that mean the same to everybody, so that they can be read without SQLAlchemy.
_PLAIN = re.compile(r"(?:sqlite:///)?([\w./-]+\.\w+)", re.ASCII)


def parse(address: str | Path) -> URL:
    """Return the database URL of ``sqlite:///x.db``, ``sqlite://`` (memory), ``postgresql+psycopg://…`` or ``x.db``."""
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

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
    lent to one thread at a time. Until more is asked of a SQLite file, it is read without SQLAlchemy.
    """

    def __init__(self, address: str | Path, create: bool) -> None:
        plain = _PLAIN.fullmatch(str(address))
        if plain and ("://" in str(address) or plain[1].endswith((".db", ".sqlite", ".sqlite3"))):
            self.path: str | None = plain[1]
            self.address = self.name = f"sqlite:///{plain[1]}"
            self.is_sqlite, self.in_memory = True, False
        else:
            url = parse(address)
            self.address, self.name = url.render_as_string(hide_password=False), url.render_as_string()
            self.is_sqlite = url.get_backend_name() == "sqlite"
            self.in_memory = self.is_sqlite and url.database in (None, "", ":memory:")
            self.path = url.database if self.is_sqlite and not self.in_memory else None
        self._lock = threading.RLock()
        self._writer: Connection | None = None
        self._writer_thread: int | None = None
        self._process = os.getpid()
        self._is_ready = False
        self._is_light = self.path is not None
        self._idle: list[sqlite3.Connection] = []
        found = self._check_file(Path(self.path), create) if self.path is not None else None
        self.uuid = found or self._open(create)
        self._is_ready = True

    @cached_property
    def engine(self) -> Engine:
        """SQLAlchemy's engine, made when it is first needed."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import NoSuchModuleError

        try:
            engine = create_engine(parse(self.address), **self._engine_options())
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise StoreError(f"{self.name} needs a driver: pip install 'kemm[postgres]' ({error})") from None
        if self.is_sqlite:
            event.listen(engine, "connect", self._prepare_sqlite)
            event.listen(engine, "begin", self._begin_sqlite)
        self._is_light = False
        return engine

    def wants_more(self) -> None:
        """From now on, read through the engine."""
        self._is_light = False

    def _engine_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"execution_options": {"kemm_home": self}}
        if not self.is_sqlite:
            return {"pool_pre_ping": True, **options}
        options["connect_args"] = {"timeout": _PATIENCE, "check_same_thread": False}
        if self.in_memory:
            from sqlalchemy.pool import StaticPool

            options["poolclass"] = StaticPool
        return options

    def _check_file(self, path: Path, create: bool) -> str | None:
        """Look at the file before any connection could write to it; return the uuid of a store that is there."""
        if path.is_dir():
            raise StoreError(f"{path} is a folder, not a store: name a file in it")
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                header = file.read(len(_SQLITE_HEADER))
            if header != _SQLITE_HEADER:
                raise StoreError(f"{path} is not a kemm store: choose another address")
            # A look without a write, since opening switches a database to WAL.
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)) as probe:
                try:
                    tables = {name for (name,) in probe.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                    columns = {row[1] for row in probe.execute("PRAGMA table_info(meta)")}
                    is_ours = not TABLES - tables and columns == {"key", "value"}
                    facts = dict(probe.execute('SELECT "key", value FROM meta').fetchall()) if is_ours else {}
                except sqlite3.DatabaseError as error:
                    raise StoreError(f"{path} can't be read as a store: {error}") from None
            if missing := sorted(TABLES - tables):
                raise StoreError(
                    f"{path} is a database but not a kemm store (no table '{missing[0]}'): choose another address"
                )
            return uuid_of(self.name, facts)
        elif not create:
            raise StoreMissing(f"no store at {self.name}: run `kemm ingest FILE --store {self.name}` first")
        elif not path.absolute().parent.is_dir():
            raise StoreError(f"can't make a store at {path}: the folder {path.parent} does not exist")
        return None

    def _prepare_sqlite(self, connection: sqlite3.Connection, _record: object = None) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver would begin only at the first write
        cursor = connection.cursor()
        if not self.in_memory:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA cache_size = -2048")  # 2 MiB: decoded blocks are kept, not pages
        cursor.close()

    @staticmethod
    def _begin_sqlite(connection: Connection) -> None:
        writes = connection.get_execution_options().get("kemm_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def _open(self, create: bool) -> str:
        from kg.store import schema

        try:
            self._is_light = False
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
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent state of the store.

        Raises:
            StoreError: the database refused or could not be reached.
        """
        self._leave_parents()
        if self._is_light:
            with self._clear_errors(), self._light() as light:
                yield cast("Connection", light)
            return
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

    def _leave_parents(self) -> None:
        """Forget the connections of a parent: a forked worker must not use them."""
        if os.getpid() != self._process:
            if "engine" in self.__dict__:
                self.engine.dispose(close=False)
            self._idle = []
            self._process = os.getpid()

    def look(self, sql: str) -> Any:
        """Return the only value that a query gives; of a SQLite file, by the driver alone, in a tenth of the time.

        Raises:
            StoreError: the database refused or could not be reached.
        """
        if self.path is None:
            with self.read() as connection:
                return ask(connection, sql)[0][0]
        self._leave_parents()
        with self._clear_errors():
            driver = self._take()
            try:
                return driver.execute(sql).fetchone()[0]
            finally:
                self._give_back(driver)

    @contextmanager
    def glance(self) -> Iterator[Connection]:
        """Give what ``read`` gives; of a SQLite file without SQLAlchemy, for reads that need no more than ``ask``."""
        if self.path is None:
            with self.read() as connection:
                yield connection
        else:
            self._leave_parents()
            with self._clear_errors(), self._light() as light:
                yield cast("Connection", light)

    def _take(self) -> sqlite3.Connection:
        """Return a connection of the driver, of which one idle one is kept."""
        try:
            return self._idle.pop()
        except IndexError:
            driver = sqlite3.connect(str(self.path), timeout=_PATIENCE, check_same_thread=False)
            self._prepare_sqlite(driver)
            return driver

    def _give_back(self, driver: sqlite3.Connection) -> None:
        if self._idle:
            driver.close()
        else:
            self._idle.append(driver)

    @contextmanager
    def _light(self) -> Iterator[Light]:
        """Give a reading transaction on a connection of the driver."""
        driver, light = self._take(), None
        try:
            light = Light(self, driver)
            yield light
        finally:
            if light is None or light.close():
                self._give_back(driver)

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
        from kg.store import schema

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
        except Exception as error:
            if not isinstance(error, sqlite3.Error) and not _is_of_a_database(error):
                raise
            reason = getattr(error, "orig", None) or error
            text = (str(reason).strip() or type(reason).__name__).splitlines()[0]
            raise StoreError(f"the store {self.name}: {text}") from error

    def close(self) -> None:
        """Give all connections back."""
        while self._idle:
            self._idle.pop().close()
        if "engine" in self.__dict__:
            self.engine.dispose()


def _is_of_a_database(error: Exception) -> bool:
    loaded: Any = sys.modules.get("sqlalchemy.exc")
    return loaded is not None and isinstance(error, loaded.DBAPIError)

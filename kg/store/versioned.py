"""``VersionedStore``: a store opened, edited, and asked what versions changed; ``KnowledgeGraph`` says what holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kg.errors import InputError
from kg.records import Picture, Statement, Tail
from kg.store import history, reading
from kg.store.connection import Database

if TYPE_CHECKING:
    from kg.store.editing import Edit


class VersionedStore:
    """Facts that come and go in versions, each with a source; nothing is ever overwritten."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url
        self.uuid = database.uuid

    # -- opening and closing ------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, url: str | Path, create: bool = True) -> Self:
        """Open the store at ``sqlite:///PATH``, ``sqlite://`` (memory), ``postgresql+psycopg://…`` or ``PATH.db``.

        Raises:
            InputError: ``url`` is no such address.
            StoreMissing: there is no store and ``create`` is False.
            StoreError: what is there is not a kemm store (it is left untouched), or can't be reached.
        """
        database = Database(url, create)
        return cls(database, database.address)

    def close(self) -> None:
        """Give the connections back. A store in memory is gone."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.database.name!r}, version {self.version})"

    # -- versions and edits -------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The number of the last version, read from the store each time; 0 when it is empty."""
        return int(self.database.look(reading.LAST_VERSION) or 0)

    @contextmanager
    def edit(self, source: str = "", note: str = "", author: str = "", action: str = "edit") -> Iterator[Edit]:
        """Give an object whose ``add`` and ``retract`` become one version; nothing if the block raises."""
        from kg.store.editing import Edit

        with self.database.write() as connection:
            yield Edit(connection, action, author, source, note)

    def add(self, head: str, relation: str, tail: Tail, *, source: str, author: str = "", note: str = "") -> int:
        """Add a fact and return the new version; the current one when this source says so already.

        Raises:
            InputError: this can't be a fact.
        """
        with self.edit(source, note, author, "add") as edit:
            edit.add(head, relation, tail)
            return edit.version

    def retract(
        self, head: str, relation: str, tail: Tail | None = None, *, source: str = "", author: str = "", note: str = ""
    ) -> int:
        """Retract all active facts of that head, relation and, where given, tail and source; return the new version.

        Raises:
            UnknownEntity: the store has never seen the head.
            StoreError: nothing to retract; the text says what is known of the head.
        """
        with self.edit(source, note, author, "retract") as edit:
            edit.retract(head, relation, tail, source=source)
            return edit.version

    def merge(self, keep: str, drop: str, *, source: str = "", author: str = "", note: str = "") -> int:
        """Make one entity of two: say of ``keep`` all that is said of ``drop``; return the new version.

        Every statement keeps its own source; ``source`` says who says that the two are one.

        Raises:
            UnknownEntity: the store has never seen one of them.
            InputError, StoreError: they are the same; nothing is said of ``drop``.
        """
        with self.edit(source, note or f"<{drop}> is <{keep}>", author, "merge") as edit:
            edit.merge(keep, drop)
            return edit.version

    def undo(self, version: int | None = None, *, source: str = "", author: str = "", note: str = "") -> int:
        """Reverse what a version did (default: the last one), as a new version, which is returned.

        What it added and is still stated is retracted; what it retracted is stated again by its source.

        Raises:
            InputError: the store has no such version.
            StoreError: nothing of what it did holds any more.
        """
        undone = self.version if version is None else version
        with self.edit(source, note or f"version {undone} undone", author, "undo") as edit:
            edit.undo(undone)
            return edit.version

    def add_pictures(self, pictures: Iterable[Picture], source: str = "") -> int:
        """Add pictures of known entities as one version; return the version (the current one if all were known).

        Raises:
            UnknownEntity: a picture of an entity that the store does not know.
        """
        with self.edit(source, action="pictures") as edit:
            edit.add_pictures(pictures)
            return edit.version

    def drop_load(self) -> bool:
        """Drop a load in parts that was interrupted (``kg.ingest.load(resume=True)``); return whether there was one."""
        from kg.store.parts import drop

        return drop(self)

    # -- what versions changed ----------------------------------------------------------------------------------------

    def diff(self, old: int, new: int | None = None) -> tuple[list[Statement], list[Statement]]:
        """Return what holds at version ``new`` (default: now) and not at ``old``: added; and the reverse: retracted.

        What its source stated again in between is no difference.

        Raises:
            InputError: the store has no such version.
        """
        first, last = self._at(old), self._at(new)
        with self.database.read() as connection:
            return history.diff(connection, first, last)

    def blame(self, head: str, relation: str, tail: Tail) -> list[Statement]:
        """Return every time that a fact was stated: by whom, and in which versions it was added and retracted."""
        return self.history(head, relation, tail)

    def history(self, head: str, relation: str | None = None, tail: Tail | None = None) -> list[Statement]:
        """Return all that was ever stated of an entity, also what was retracted since, in the order it came."""
        with self.database.read() as connection:
            return history.history(connection, head, relation, tail)

    def log(self) -> list[dict[str, Any]]:
        """Return the versions, oldest first: id, time (UTC), author, action, source, note."""
        with self.database.read() as connection:
            return history.log(connection)

    def changes(self, since: int) -> list[Statement]:
        """Return the statements added or retracted after version ``since``."""
        with self.database.read() as connection:
            return history.changes(connection, since)

    def _at(self, version: int | None) -> int:
        last = self.version
        if version is not None and not 0 <= version <= last:
            raise InputError(f"the store is at version {last}: it has no version {version}")
        return last if version is None else version

"""Edits: facts added and retracted, many at once as one version, all or nothing."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, Table, and_, select, update

from kg.errors import StoreError, UnknownEntity
from kg.records import Picture, Tail
from kg.store import naming, terms
from kg.store.reading import current_version
from kg.store.schema import picture, source, term, triple, version


def find_or_add_source(connection: Connection, name: str) -> int:
    """Return the id of a source, giving it one if it is new."""
    known = connection.execute(select(source.c.id).where(source.c.name == name)).scalar()
    if known is not None:
        return int(known)
    connection.execute(source.insert().values(name=name))
    return int(connection.execute(select(source.c.id).where(source.c.name == name)).scalar_one())


def new_version(connection: Connection, action: str, author: str = "", source: str = "", note: str = "") -> int:
    """Write the next version and return its number. The database's clock says when."""
    number = current_version(connection) + 1
    row = {"id": number, "action": action, "author": author, "source": source, "note": note}
    connection.execute(version.insert(), row)
    return number


class Edit:
    """The facts of one edit. They become one version when the ``with`` ends, and none if it ends in an exception."""

    def __init__(self, connection: Connection, action: str, author: str, source: str, note: str) -> None:
        self._connection = connection
        self._story = {"action": action, "author": author, "source": source, "note": note}
        self._version: int | None = None

    @property
    def version(self) -> int:
        """The version of this edit; the store's current one as long as nothing was changed."""
        return self._version if self._version is not None else current_version(self._connection)

    def _open_version(self) -> int:
        if self._version is None:
            self._version = new_version(self._connection, **self._story)
        return self._version

    def add(self, head: str, relation: str, tail: Tail, *, source: str | None = None) -> bool:
        """Add a fact; return False when this source says so already.

        Raises:
            InputError: this can't be a fact.
        """
        terms.check_fact(head, relation, tail)
        connection, name = self._connection, self._story["source"] if source is None else source
        row = {
            "head": terms.find_or_add(connection, head),
            "relation": terms.find_or_add(connection, relation),
            "tail": terms.find_or_add(connection, tail),
            "source": find_or_add_source(connection, name),
        }
        same = and_(*(triple.c[column] == number for column, number in row.items()), triple.c.retracted.is_(None))
        if connection.execute(select(triple.c.id).where(same)).first():
            return False
        connection.execute(triple.insert().values(added=self._open_version(), **row))
        return True

    def retract(self, head: str, relation: str, tail: Tail | None = None, *, source: str | None = None) -> int:
        """Retract the facts of ``head`` and ``relation``, of one tail or source only where given; return how many.

        Raises:
            UnknownEntity: the store has never seen the head.
            StoreError: nothing to retract; the text says what is known of the head.
        """
        terms.check_fact(head, relation, "-" if tail is None else tail)
        connection = self._connection
        numbers = [terms.find(connection, end) for end in (head, relation, tail) if end is not None]
        if numbers[0] is None:
            raise naming.unknown(connection, head)
        where: list[ColumnElement[bool]] = [triple.c.retracted.is_(None)]
        where += [triple.c[name] == n for name, n in zip(("head", "relation", "tail"), numbers, strict=False)]
        if source:
            where.append(triple.c.source.in_(select(_source.c.id).where(_source.c.name == source)))
        ids = [] if None in numbers else connection.execute(select(triple.c.id).where(*where)).scalars().all()
        if not ids:
            raise StoreError(self._nothing_to_retract(numbers[0], head, relation, tail, source))
        gone = self._open_version()
        for part in terms.chunks(ids):
            connection.execute(update(triple).where(triple.c.id.in_(part)).values(retracted=gone))
        return len(ids)

    def _nothing_to_retract(self, number: int, head: str, relation: str, tail: Tail | None, source: str | None) -> str:
        what = f"<{relation}>" + ("" if tail is None else f" '{tail}'") + (f" from source '{source}'" if source else "")
        said = term.alias("r")
        ask = (
            select(said.c.value, term.c.value, _source.c.name)
            .select_from(
                triple.join(said, said.c.id == triple.c.relation)
                .join(term, term.c.id == triple.c.tail)
                .join(_source, _source.c.id == triple.c.source)
            )
            .where(triple.c.head == number, triple.c.retracted.is_(None))
            .order_by(triple.c.id)
        )
        facts = self._connection.execute(ask.limit(200)).all()
        same = [f"'{value}' (source '{name}')" for iri, value, name in facts if iri == relation]
        if same:
            return f"<{head}> has no active fact {what}; it has {', '.join(same[:5])}"
        relations = list(dict.fromkeys(f"<{iri}>" for iri, _, _ in facts))
        known = f"it has {', '.join(relations[:8])}" if relations else "nothing is said of it now"
        return f"<{head}> has no active fact {what}; {known}"

    def add_pictures(self, pictures: Iterable[Picture]) -> int:
        """Add pictures of known entities, leaving out those that this source has shown already; return how many.

        Raises:
            UnknownEntity: a picture of an entity that the store does not know.
        """
        connection, added = self._connection, 0
        shown = {tuple(row) for row in connection.execute(_SHOWN)}
        for part in terms.chunks(pictures):
            known = terms.find_many(connection, (shot.entity for shot in part))
            rows = []
            for shot in part:
                if shot.entity not in known:
                    raise UnknownEntity(f"{shot.path}: the store has no entity <{shot.entity}>: add its facts first")
                name = shot.source or self._story["source"]
                row = (known[shot.entity], shot.path, shot.root, shot.split, find_or_add_source(connection, name))
                if row not in shown:
                    shown.add(row)
                    rows.append(dict(zip(_SHOWN_COLUMNS, row, strict=True)) | {"sha256": shot.sha256})
            if rows:
                at = self._open_version()
                connection.execute(picture.insert(), [row | {"added": at} for row in rows])
                added += len(rows)
        return added


_source: Table = source
_SHOWN_COLUMNS = ("entity", "path", "root", "split", "source")
_SHOWN = select(*(picture.c[name] for name in _SHOWN_COLUMNS)).where(picture.c.retracted.is_(None))

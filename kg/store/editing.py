"""Edits: facts added and retracted, many at once as one version, all or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sqlalchemy import Connection, and_, select, update

from kg.errors import InputError, StoreError, UnknownEntity
from kg.records import Picture, Statement, Tail
from kg.store import facts, naming, reading, terms
from kg.store.facts import Facts
from kg.store.reading import current_version
from kg.store.schema import picture, qualifier, source, triple, version
from kg.store.segments import view


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

    def add(
        self,
        head: str,
        relation: str,
        tail: Tail,
        *,
        source: str | None = None,
        qualifiers: Sequence[tuple[str, Tail]] = (),
    ) -> bool:
        """Add a fact; return False when this source says so already.

        Args:
            qualifiers: (key, value) pairs that say more of it. Of a fact that is there already, only new ones count.

        Raises:
            InputError: this can't be a fact.
        """
        terms.check_fact(head, relation, tail)
        for key, value in qualifiers:
            terms.check_fact(head, key, value)
        connection, name = self._connection, self._story["source"] if source is None else source
        ids = (terms.find_or_add(connection, end) for end in (head, relation, tail))
        fact = next(ids), next(ids), next(ids)
        origin = find_or_add_source(connection, name)
        if naming.is_naming(relation):
            terms.add_name(connection, fact[2], tail)
        is_new = not self._ids(*fact, origin)
        if is_new:
            self._write(*fact, origin)
        return self._qualify(fact, origin, qualifiers) or is_new

    def _ids(self, head: int, relation: int, tail: int, origin: int) -> bool:
        """Tell whether a source states a fact now."""
        found = facts.match(self._connection, head=head, relation=relation, tail=tail)
        return bool((found.source == origin).any())

    def _write(self, head: int, relation: int, tail: int, origin: int) -> None:
        row = {"head": head, "relation": relation, "tail": tail, "source": origin, "added": self._open_version()}
        self._connection.execute(triple.insert(), row)

    def _qualify(self, fact: tuple[int, ...], origin: int, pairs: Sequence[tuple[str, Tail]]) -> bool:
        if not pairs:
            return False
        row = dict(zip(("head", "relation", "tail", "source"), (*fact, origin), strict=True))
        same = and_(*(qualifier.c[name] == number for name, number in row.items()), qualifier.c.retracted.is_(None))
        known = {
            tuple(said) for said in self._connection.execute(select(qualifier.c.key, qualifier.c.value).where(same))
        }
        added = False
        for key, value in pairs:
            ids = terms.find_or_add(self._connection, key), terms.find_or_add(self._connection, value)
            if ids not in known:
                known.add(ids)
                row |= {"key": ids[0], "value": ids[1], "added": self._open_version()}
                self._connection.execute(qualifier.insert(), row)
                added = True
        return added

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
        found = facts.concatenate([])
        if None not in numbers:
            found = facts.match(connection, None, *numbers)
        if source:
            origin = connection.execute(select(_source.c.id).where(_source.c.name == source)).scalar()
            found = found.take(found.source == (origin or -1))
        if not len(found):
            raise StoreError(self._nothing_to_retract(numbers[0], head, relation, tail, source))
        self.end(found)
        return len(found)

    def end(self, found: Facts) -> None:
        """Retract active statements, given by ids."""
        connection, gone = self._connection, self._open_version()
        for row in zip(*(getattr(found, name).tolist() for name in _FACT), strict=True):
            same = and_(*(triple.c[name] == number for name, number in zip(_FACT, row, strict=True)))
            done = connection.execute(
                update(triple).where(same, triple.c.retracted.is_(None)).values(retracted=gone)
            ).rowcount
            if not done:  # it lives in a segment: from now on, as a row
                holder = self._holder(row)
                values = dict(zip(_FACT, row, strict=True)) | {"retracted": gone, "segment": holder}
                connection.execute(triple.insert(), values)
            about = and_(*(qualifier.c[name] == number for name, number in zip(_FACT[:4], row, strict=False)))
            connection.execute(update(qualifier).where(about, qualifier.c.retracted.is_(None)).values(retracted=gone))

    def _holder(self, row: tuple[int, ...]) -> int:
        """Return the id of the segment that has a statement."""
        head, relation, tail, origin, added = row
        for one in view(self._connection).segments:
            if (one.source, one.added) == (origin, added):
                for _ in facts.in_segment(self._connection, one, head, relation, tail):
                    return one.id
        raise AssertionError("a statement that is neither in a row nor in a segment")

    def merge(self, keep: str, drop: str) -> int:
        """Say of ``keep`` all that is said of ``drop``, and of ``drop`` nothing; return how many statements moved.

        Each keeps its source and its qualifiers. What ``keep`` has already is only retracted from ``drop``.

        Raises:
            UnknownEntity: the store has never seen one of them.
            InputError: they are the same.
        """
        if keep == drop:
            raise InputError(f"<{keep}> can't be merged into itself: name two entities")
        connection = self._connection
        numbers = [terms.find(connection, iri) for iri in (keep, drop)]
        for iri, number in zip((keep, drop), numbers, strict=True):
            if number is None:
                raise naming.unknown(connection, iri)
        stay, go = int(numbers[0] or 0), int(numbers[1] or 0)
        parts = [facts.match(connection, None, **{place: go}) for place in ("head", "relation", "tail")]
        found = facts.concatenate(parts)
        if not len(found):
            raise StoreError(f"nothing is said of <{drop}> now: there is nothing to merge")
        table = np.stack([getattr(found, name) for name in _FACT])
        found = found.take(np.sort(np.unique(table, axis=1, return_index=True)[1]))
        said = reading.statements(connection, found)
        self.end(found)
        for statement in said:
            head, relation, tail = (keep if end == drop else end for end in statement.fact)
            self.add(str(head), str(relation), tail, source=statement.source, qualifiers=statement.qualifiers)
        connection.execute(update(picture).where(picture.c.entity == go).values(entity=stay))
        return len(found)

    def undo(self, number: int) -> int:
        """Reverse what a version did, as far as it still holds; return how many statements came or went.

        Raises:
            InputError: the store has no such version.
            StoreError: nothing of what it did holds any more.
        """
        connection = self._connection
        last = current_version(connection)
        if not 1 <= number <= last:
            raise InputError(f"the store is at version {last}: it has no version {number} to undo")
        back, gone = self._of_version(number)
        now = self._restate(gone)
        if len(back):
            self.end(back)
        ended = connection.execute(
            update(picture).where(picture.c.added == number, picture.c.retracted.is_(None)).values(retracted=last + 1)
        ).rowcount
        if ended:
            self._open_version()
        if not len(back) + now + ended:
            raise StoreError(f"nothing that version {number} did holds any more: there is nothing to undo")
        return len(back) + now + ended

    def _of_version(self, number: int) -> tuple[Facts, list[Statement]]:
        """Return what a version added that is still active, and what it retracted."""
        connection = self._connection
        rows = facts.read_rows(connection, [(triple.c.added == number) | (triple.c.retracted == number)])
        came = rows.facts.take((rows.facts.added == number) & (rows.facts.retracted == 0))
        went = rows.facts.take((rows.facts.retracted == number) & (rows.facts.added != number))
        hidden = facts.hidden_by(facts.read_rows(connection, [triple.c.segment > 0, triple.c.added == number]))
        whole = [
            facts.of_segment(one, columns, hidden.get(one.id, set()))
            for one in view(connection).segments
            if one.added == number
            for columns in one.all(connection, range(len(one.directory(connection, 0).ids)))
        ]
        return facts.concatenate([came, *whole]), reading.statements(connection, went)

    def _restate(self, gone: Sequence[Statement]) -> int:
        return sum(
            self.add(said.head, said.relation, said.tail, source=said.source, qualifiers=said.qualifiers)
            for said in gone
        )

    def _nothing_to_retract(self, number: int, head: str, relation: str, tail: Tail | None, source: str | None) -> str:
        what = f"<{relation}>" + ("" if tail is None else f" '{tail}'") + (f" from source '{source}'" if source else "")
        said = reading.statements(self._connection, facts.match(self._connection, head=number, limit=200))
        same = [f"'{one.tail}' (source '{one.source}')" for one in said if one.relation == relation]
        if same:
            return f"<{head}> has no active fact {what}; it has {', '.join(same[:5])}"
        relations = list(dict.fromkeys(f"<{one.relation}>" for one in said))
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


_source = source
_FACT = ("head", "relation", "tail", "source", "added")
_SHOWN_COLUMNS = ("entity", "path", "root", "split", "source")
_SHOWN = select(*(picture.c[name] for name in _SHOWN_COLUMNS)).where(picture.c.retracted.is_(None))

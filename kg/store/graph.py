"""``KnowledgeGraph``: the versioned triple store as everything else sees it.

    with KnowledgeGraph.open("sqlite:///world.db") as graph:
        graph.add("Italy", "capital", "Rome", source="atlas")       # → 1, the new version
        graph.retract("Italy", "capital")                           # → 2
        list(graph.triples(head="Italy", version=1))                # what was true at version 1

Every fact has a source and the versions in which it came and went; nothing is ever overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kg.names import local_name
from kg.records import Entity, Picture, Statement, Subgraph, Tail
from kg.store import facts, finding, naming, reading, terms
from kg.store.connection import Database
from kg.store.naming import Naming
from kg.store.versioned import VersionedStore

if TYPE_CHECKING:
    import numpy as np

    from kg.store.edges import Edges
    from kg.store.snapshot import Snapshot
    from kg.walks.named import Walks


class KnowledgeGraph(VersionedStore):
    """A store of facts with sources and versions, in SQLite or PostgreSQL. Make one with ``open``.

    Safe to share between threads; edits of other processes count at once, since nothing about facts is cached.
    """

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database, url)
        self._naming: tuple[int, naming.Naming] | None = None
        self._snapshot: Snapshot | None = None
        self._past: Snapshot | None = None

    # -- facts --------------------------------------------------------------------------------------------------------

    def triples(
        self,
        head: str | None = None,
        relation: str | None = None,
        tail: Tail | None = None,
        *,
        version: int | None = None,
    ) -> Iterator[Statement]:
        """Yield the statements that match, as they stood at ``version`` (default: now), in the order they came.

        Raises:
            InputError: the store has no such version.
        """
        return reading.scan(self.database, self._at(version), head=head, relation=relation, tail=tail)

    def edges(self, version: int | None = None) -> Edges:
        """Return the distinct statements between entities at ``version`` (default: now) as columns of term ids.

        Raises:
            InputError: the store has no such version.
        """
        from kg.store.edges import read_edges

        at = self._at(version)
        with self.database.read() as connection:
            return read_edges(connection, at)

    def neighbours(self, entity: str, *, limit: int = 256, version: int | None = None) -> list[Statement]:
        """Return the statements out of an entity, and up to ``limit`` of those into it; none if it is unknown."""
        return self.neighbours_of([entity], limit=limit, version=version)[entity]

    def neighbours_of(
        self, entities: Iterable[str], *, limit: int = 256, version: int | None = None
    ) -> dict[str, list[Statement]]:
        """Return what ``neighbours`` does for each of many entities, read together."""
        at = None if version is None else self._at(version)
        with self.database.read() as connection:
            wanted = list(dict.fromkeys(entities))
            ids = terms.find_many(connection, wanted)
            found = reading.neighbours(connection, ids.values(), limit, at)
            return {iri: found[ids[iri]] if iri in ids else [] for iri in wanted}

    def subgraph(
        self, entities: Iterable[str], hops: int = 1, limit: int = 64, *, version: int | None = None
    ) -> Subgraph:
        """Return the statements within ``hops`` of the entities, and how far each entity is.

        Args:
            entities: IRIs; unknown ones are left out.
            hops: 1 for the statements that touch the entities, 2 for those that touch their neighbours, …
            limit: at most so many statements out of, and so many into, each entity.
            version: as they stood then (default: now).
        """
        at = None if version is None else self._at(version)
        with self.database.read() as connection:
            starts = terms.find_many(connection, entities).values()
            return reading.subgraph(connection, starts, hops, limit, at)

    def relations(self, *, ever: bool = False) -> dict[str, int]:
        """Return relation IRI → number of active triples, the most frequent first.

        Args:
            ever: also relations that are left without any.
        """
        with self.database.read() as connection:
            return reading.count_relations(connection, ever)

    def sources(self) -> list[str]:
        """Return the names of all sources there have been."""
        with self.database.read() as connection:
            return list(reading.source_names(connection).values())

    def count_facts(self, version: int | None = None) -> int:
        """Return the number of different facts at a version (default: now); one that two sources state counts once."""
        at = None if version is None else self._at(version)
        with self.database.read() as connection:
            return reading.count_facts(connection, at)

    def stats(self) -> dict[str, Any]:
        """Return counts: triples, literals, entities, relations, sources {name: triples}, pictures, version."""
        with self.database.read() as connection:
            return reading.count(connection) | {"entities": len(naming.entity_ids(connection))}

    def snapshot(self, version: int | None = None) -> Snapshot:
        """Return the entity-to-entity edges of a version (default: now) as arrays.

        The first call reads them, or maps the file kept beside a SQLite store; later ones lay new edits over them. Of
        past versions the last one asked for is kept.

        Raises:
            InputError: the store has no such version.
        """
        from kg.store.snapshot import Snapshot, current

        if version is not None and self._at(version) != self.version:
            if self._past is None or self._past.version != version:
                self._past = Snapshot.take(self, version)
            return self._past
        self._snapshot = current(self, self._snapshot)
        return self._snapshot

    @property
    def walks(self) -> Walks:
        """Neighbourhoods, paths, PageRank, random walks and Steiner trees by IRI; ``walks.at(3)`` for version 3."""
        from kg.walks.named import Walks

        return Walks(self)

    # -- entities -----------------------------------------------------------------------------------------------------

    def naming(self) -> naming.Naming:
        """Return which relations name and describe; read again when the version has moved."""
        with self.database.read() as connection:
            at = reading.current_version(connection)
            if self._naming is None or self._naming[0] != at:
                self._naming = (at, naming.naming(connection))
            return self._naming[1]

    def describe(self, iri: str, *, version: int | None = None, languages: Iterable[str] = ()) -> Entity:
        """Return an entity's label, description, aliases, types, pictures and id, as they stood then (default: now).

        Args:
            languages: names of these and of no language only; "" for the label where it has none of them.

        Raises:
            UnknownEntity: the store has never seen this IRI; the text gives near names.
            InputError: the store has no such version.
        """
        known, at = self._naming_in(languages), None if version is None else self._at(version)
        with self.database.read() as connection:
            return naming.describe(connection, iri, known, at)

    def entities(self, with_description: bool = True, languages: Iterable[str] = ()) -> Iterator[Entity]:
        """Yield every entity in id order; without descriptions it is faster.

        An entity is a head or a non-literal tail; relations of which only names are said, and RDF's own words, are not.
        ``languages`` as for ``describe``.
        """
        return naming.entities(self.database, self._naming_in(languages), with_description)

    def _naming_in(self, languages: Iterable[str]) -> Naming:
        return replace(self.naming(), languages=tuple(tag.lower() for tag in languages))

    def entity_ids(self, version: int | None = None) -> np.ndarray:
        """Return the term ids of all entities of a version, (E,) int64, ascending; what one is says ``entities``."""
        at = None if version is None else self._at(version)
        with self.database.read() as connection:
            return naming.entity_ids(connection, at)

    def degrees(self) -> dict[int, int]:
        """Return term id → number of active triples around it, literals included: how much is said of an entity."""
        with self.database.read() as connection:
            return naming.degrees(connection)

    def labels(self, iris: Iterable[str], *, version: int | None = None) -> dict[str, str]:
        """Return IRI → label, as it stood then (default: now); a readable local name where there is none."""
        known, at = self.naming(), None if version is None else self._at(version)
        if not known.labels:
            return {iri: local_name(iri) for iri in iris}
        with self.database.read() as connection:
            return naming.labels(connection, iris, known, at)

    def fan_out(
        self, entities: Iterable[int], hops: int = 2, limit: int = 16
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return the edges that go out of entities, hop by hop, as term ids: (heads, relations, tails) of each hop.

        Args:
            entities: term ids; see ``ids``.
            hops: how far to follow; an entity is gone out of once.
            limit: the first so many edges out of each entity.
        """
        with self.database.read() as connection:
            return reading.fan_out(connection, entities, hops, limit)

    def ids(self, iris: Iterable[str]) -> dict[str, int]:
        """Return IRI → term id, for those that the store knows."""
        with self.database.read() as connection:
            return terms.find_many(connection, iris)

    def iris(self, ids: Iterable[int]) -> dict[int, str]:
        """Return term id → IRI, for those that are IRIs or blank nodes."""
        with self.database.read() as connection:
            return {n: iri for n, iri in terms.read_many(connection, ids).items() if isinstance(iri, str)}

    def terms(self, ids: Iterable[int]) -> dict[int, Tail]:
        """Return term id → IRI, blank node or literal."""
        with self.database.glance() as connection:
            return terms.read_many(connection, ids)

    def statements_of(self, rows: Iterable[tuple[int, int, int, int, int]]) -> list[Statement]:
        """Return the active statements of (head, relation, tail, source, version in which it was added), by ids."""
        with self.database.read() as connection:
            return reading.statements(connection, facts.of_rows([(*row, 0) for row in rows]))

    def resolve(self, text: str) -> str:
        """Return the IRI that a user means by an IRI, a label or an alias (case and accents ignored).

        Raises:
            UnknownEntity: none or several; the text gives up to five candidates.
        """
        known = self.naming()
        with self.database.read() as connection:
            return finding.resolve(connection, text, known)

    def search(self, text: str, limit: int = 10) -> list[Entity]:
        """Return entities one of whose names is, begins with, or contains ``text``."""
        known = self.naming()
        with self.database.read() as connection:
            return finding.search(connection, text, limit, known)

    # -- pictures -----------------------------------------------------------------------------------------------------

    def pictures(
        self, entity: str | None = None, split: str | None = None, *, version: int | None = None
    ) -> list[Picture]:
        """Return the pictures, of one entity or one split where given, as they stood then (default: now)."""
        at = None if version is None else self._at(version)
        with self.database.read() as connection:
            numbers = None if entity is None else [terms.find(connection, entity) or -1]
            return naming.read_pictures(connection, numbers, split, at=at)

"""The entity-to-entity edges of one version as arrays: what training, sampling and walks read.

Entities and relations are numbered densely from 0, in the order of their term ids. ``save`` writes one file, ``open``
maps it into memory without reading it, so that many processes share one copy; ``at`` lays later edits over it.

    M edges of E entities take 16 M + 16 E bytes: out (4 + 2), into (4 + 2), by relation 4; offsets 8, term ids 8
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, select

from kg.errors import StoreError
from kg.store import schema, snapshot_file, terms
from kg.store.csr import Array, Csr, group, unpatched, width

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

#: From so many edges on, the snapshot of a SQLite file is kept beside it; below, taking it anew is as fast.
WORTH_KEEPING = 50_000

#: What is kept of each side; changed rows never are.
_COLUMNS = ("indptr", "indices", "relation")


@dataclass(frozen=True)
class Snapshot:
    """E entities, R relations and M edges at one version of one store.

    Attributes:
        out: edges by head; into: edges by tail.
        entity_ids: dense number → term id, (E,) int64, ascending; every entity of the store, with edges or without.
        relation_ids: dense number → term id, (R,) int64, ascending. After edits, one of them may have no edge left.
        relation_indptr: (R + 1,) int64; from r to r + 1 in ``relation_order`` stand the base's edges of relation r.
        relation_order: places in ``out.indices``, (M,), ascending for each relation. See ``with_relation``.
        version, store: the store's version and uuid.
        last_term: the highest term id there was; mark: of the version's row, which a restored backup may differ in.
    """

    out: Csr
    into: Csr
    entity_ids: Array
    relation_ids: Array
    relation_indptr: Array
    relation_order: Array
    version: int = 0
    store: str = ""
    last_term: int = 0
    mark: str = ""

    @property
    def num_entities(self) -> int:
        return len(self.entity_ids)

    @property
    def num_relations(self) -> int:
        return len(self.relation_ids)

    @functools.cached_property
    def num_edges(self) -> int:
        covered = self.out.patched[self.out.patched < len(self.out.indptr) - 1]
        hidden = int((self.out.indptr[covered + 1] - self.out.indptr[covered]).sum())
        return len(self.out.indices) - hidden + len(self.out.patch_indices)

    @property
    def is_overlaid(self) -> bool:
        """Whether edits lie over the base arrays."""
        return bool(len(self.out.patched)) or len(self.entity_ids) > len(self.out.indptr) - 1

    @property
    def heads(self) -> Array:
        """The heads of all edges, (M,) int64, made on request; edges are sorted by head, relation and tail."""
        return self.out.flat()[0]

    @property
    def tails(self) -> Array:
        """The tails of all edges, (M,) int64, made on request."""
        return self.out.flat()[1]

    @property
    def relations(self) -> Array:
        """The relations of all edges, (M,) int64, made on request."""
        return self.out.flat()[2]

    def with_relation(self, relation: int) -> tuple[Array, Array]:
        """Return (heads, tails) of one relation's edges, (K,) int64 each, sorted by head and tail."""
        heads = tails = np.zeros(0, dtype=np.int64)
        if relation < len(self.relation_indptr) - 1:
            part = slice(int(self.relation_indptr[relation]), int(self.relation_indptr[relation + 1]))
            places = self.relation_order[part].astype(np.int64)
            heads = np.searchsorted(self.out.indptr, places, side="right") - 1
            tails = self.out.indices[places].astype(np.int64)
        if not len(self.out.patched):
            return heads, tails
        kept = ~np.isin(heads, self.out.patched)
        patch_heads = np.repeat(self.out.patched.astype(np.int64), np.diff(self.out.patch_indptr))
        mine = self.out.patch_relation == relation
        heads = np.concatenate([heads[kept], patch_heads[mine]])
        tails = np.concatenate([tails[kept], self.out.patch_indices[mine].astype(np.int64)])
        order = np.lexsort((tails, heads))
        return heads[order], tails[order]

    def index_of(self, ids: Any) -> Array:
        """Return the dense number of term ids, -1 for those that are no entity of this version. (K,) → (K,)."""
        return dense(self.entity_ids, np.asarray(ids, dtype=np.int64))

    # -- making one ---------------------------------------------------------------------------------------------------

    @classmethod
    def take(cls, graph: KnowledgeGraph, version: int | None = None) -> Snapshot:
        """Read a store's edges, at its current version or at a past one.

        Raises:
            InputError: the store has no such version.
        """
        while True:
            now = graph.version
            at = now if version is None else version
            edges = graph.edges(at)
            entity_ids = graph.entity_ids(at)
            with graph.database.read() as connection:
                last_term, mark = terms.next_id(connection) - 1, version_mark(connection, at)
            if graph.version == now:  # nobody edited between these reads
                break
        heads, tails = dense(entity_ids, edges.heads), dense(entity_ids, edges.tails)
        kept = (heads >= 0) & (tails >= 0)
        used, relations = np.unique(edges.relations[kept], return_inverse=True)
        return cls.of(heads[kept], relations, tails[kept], entity_ids, used, at, graph.uuid, last_term, mark)

    @classmethod
    def of(
        cls,
        heads: Array,
        relations: Array,
        tails: Array,
        entity_ids: Array,
        relation_ids: Array,
        version: int = 0,
        store: str = "",
        last_term: int = 0,
        mark: str = "",
    ) -> Snapshot:
        """Group edges, given in dense numbers in any order, both ways and by relation; equal ones become one."""
        num_entities, num_relations = len(entity_ids), len(relation_ids)
        out = group(heads, tails, relations, num_entities, num_relations)
        into = group(tails, heads, relations, num_entities, num_relations)
        order = np.argsort(out.relation, kind="stable").astype(width(len(out.indices)))
        indptr = np.zeros(num_relations + 1, dtype=np.int64)
        np.cumsum(np.bincount(out.relation, minlength=num_relations), out=indptr[1:])
        for array in (entity_ids, relation_ids, indptr, order):
            array.flags.writeable = False
        return cls(out, into, entity_ids, relation_ids, indptr, order, version, store, last_term, mark)

    # -- the store's later versions -----------------------------------------------------------------------------------

    def at(self, graph: KnowledgeGraph) -> Snapshot:
        """Return this snapshot if the store is still at its version, or one with the edits since then laid over it.

        Edits cost what they touch. A load since then, edits of a tenth of the edges, and the few kinds of edit that
        number entities anew (one loses its last fact, a relation becomes an entity) take a new snapshot instead.

        Raises:
            StoreError: the store is another one than this snapshot's.
        """
        if graph.uuid != self.store:
            raise StoreError(f"the snapshot is of the store {self.store}, not of {graph.database.name}: take a new one")
        if graph.version == self.version:
            return self
        from kg.store.overlay import overlay

        return overlay(self, graph) or Snapshot.take(graph)

    # -- the file -----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write one file, replacing a snapshot that is there only when all is written; return its path.

        Raises:
            StoreError: there is something else than a snapshot, or the file can't be written.
        """
        whole = self
        if self.is_overlaid:
            heads, tails, relations = self.out.flat()
            ids = self.entity_ids, self.relation_ids
            about = self.version, self.store, self.last_term, self.mark
            whole = Snapshot.of(heads, relations, tails, *ids, *about)
        arrays = {"entity_ids": whole.entity_ids, "relation_ids": whole.relation_ids}
        arrays |= {"relation_indptr": whole.relation_indptr, "relation_order": whole.relation_order}
        for way, side in (("out", whole.out), ("into", whole.into)):
            arrays |= {f"{way}_{name}": getattr(side, name) for name in _COLUMNS}
        names = ("version", "store", "last_term", "mark")
        return snapshot_file.write(Path(path), arrays, {name: getattr(self, name) for name in names})

    @classmethod
    def open(cls, path: str | Path) -> Snapshot:
        """Map a saved snapshot into memory, read-only and shared, without reading it.

        Raises:
            StoreError: there is no snapshot, or it is damaged.
        """
        try:
            arrays, about = snapshot_file.map_arrays(Path(path))
            parts = [[arrays.pop(f"{way}_{name}") for name in _COLUMNS] for way in ("out", "into")]
            named: dict[str, Any] = {**arrays, **about}
            return cls(unpatched(*parts[0]), unpatched(*parts[1]), **named)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"no snapshot can be read at {path}: {error}") from None


def current(graph: KnowledgeGraph, held: Snapshot | None) -> Snapshot:
    """Return a store's edges now, by the cheapest way: what is held, the file beside a SQLite store, or a new one.

    A new one of ``WORTH_KEEPING`` edges is written beside the store (``world.db.snapshot``) for the next process; a
    folder that can't be written to only means that each process takes its own.
    """
    path = _beside(graph)
    if held is None and path is not None and path.is_file():
        held = _kept(graph, path)
    now = Snapshot.take(graph) if held is None else held.at(graph)
    is_new = held is None or now.out.indices is not held.out.indices
    if is_new and path is not None and now.num_edges >= WORTH_KEEPING:
        try:
            now.save(path)
        except (StoreError, OSError):
            return now
    return now


def _beside(graph: KnowledgeGraph) -> Path | None:
    if not graph.database.is_sqlite or graph.database.in_memory:
        return None
    return Path(f"{graph.database.path}.snapshot")


def _kept(graph: KnowledgeGraph, path: Path) -> Snapshot | None:
    """Return the snapshot at ``path`` if it is of this store and of this history of it."""
    try:
        found = Snapshot.open(path)
    except StoreError:
        return None
    with graph.database.read() as connection:
        is_ours = found.store == graph.uuid and found.mark == version_mark(connection, found.version)
    return found if is_ours else None


def version_mark(connection: Connection, at: int) -> str:
    """Return a digest of a version's row. A backup that was restored and edited has the number, not the digest."""
    row = connection.execute(select(schema.version).where(schema.version.c.id == at)).first()
    return hashlib.blake2b(repr(tuple(row or ())).encode(), digest_size=8).hexdigest()


def dense(ids: Array, wanted: Array) -> Array:
    """Return the place of each of ``wanted`` in the ascending ``ids``, -1 where it is not there."""
    if not len(ids):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.searchsorted(ids, wanted)
    place[place == len(ids)] = 0
    return np.where(ids[place] == wanted, place, -1)

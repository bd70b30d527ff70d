"""The entity-to-entity edges of one version as arrays: what training, sampling and walks read.

Entities and relations are numbered densely from 0, in the order of their term ids. ``save`` writes one ``.npy`` a
column, ``open`` maps them into memory, so that many processes share one copy.
"""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.errors import StoreError

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Array = np.ndarray[Any, np.dtype[np.int64]]

_COLUMNS = ("heads", "relations", "tails", "entity_ids", "relation_ids")


@dataclass(frozen=True, slots=True)
class Csr:
    """Edges grouped by one end: those of entity i are ``indices[indptr[i]:indptr[i + 1]]``, with their relations.

    Shapes: ``indptr`` (E + 1,), ``indices`` and ``relation`` (M,), int64.
    """

    indptr: Array
    indices: Array
    relation: Array

    def of(self, entity: int) -> tuple[Array, Array]:
        """Return the other ends and the relations of one entity's edges."""
        part = slice(int(self.indptr[entity]), int(self.indptr[entity + 1]))
        return self.indices[part], self.relation[part]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """E entities, R relations and M edges at one version of one store.

    Attributes:
        heads, relations, tails: the edges in dense indices, each (M,) int64, sorted by head.
        entity_ids: dense index → term id, (E,) int64, ascending; every entity of the store, with edges or without.
        relation_ids: dense index → term id, (R,) int64, ascending.
        out: edges by head; into: edges by tail.
        version, store: the store's version and uuid.
    """

    heads: Array
    relations: Array
    tails: Array
    entity_ids: Array
    relation_ids: Array
    out: Csr
    into: Csr
    version: int
    store: str

    @property
    def num_entities(self) -> int:
        return len(self.entity_ids)

    @property
    def num_relations(self) -> int:
        return len(self.relation_ids)

    @property
    def num_edges(self) -> int:
        return len(self.heads)

    def index_of(self, ids: Any) -> Array:
        """Return the dense index of term ids, -1 for those that are no entity of this version. (K,) → (K,)."""
        return _dense(self.entity_ids, np.asarray(ids, dtype=np.int64))

    @classmethod
    def take(cls, graph: KnowledgeGraph) -> Snapshot:
        """Read the current version of a store."""
        found, entity_ids = graph.edges(), graph.entity_ids()
        relation_ids = np.unique(found.relations)
        heads, tails = _dense(entity_ids, found.heads), _dense(entity_ids, found.tails)
        kept = (heads >= 0) & (tails >= 0)
        unique = np.stack([heads, _dense(relation_ids, found.relations), tails], axis=1)[kept]  # (M, 3)
        used = np.unique(unique[:, 1])
        heads, relations, tails = unique[:, 0].copy(), np.searchsorted(used, unique[:, 1]), unique[:, 2].copy()
        return cls.of(heads, relations, tails, entity_ids, relation_ids[used], found.version, graph.uuid)

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
    ) -> Snapshot:
        """Group edges, given in dense indices and sorted by head, both ways."""
        out = _group(heads, tails, relations, len(entity_ids))
        into = _group(tails, heads, relations, len(entity_ids))
        return cls(heads, relations, tails, entity_ids, relation_ids, out, into, version, store)

    def save(self, folder: str | Path) -> Path:
        """Write the arrays below ``folder``, replacing what is there only when all is written."""
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        fresh.mkdir()
        try:
            for name, array in self._arrays().items():
                np.save(fresh / f"{name}.npy", array, allow_pickle=False)
            (fresh / "snapshot.json").write_text(json.dumps({"version": self.version, "store": self.store}))
            if folder.exists():
                if not (folder / "snapshot.json").is_file() and any(folder.iterdir()):
                    raise StoreError(f"{folder} holds something else than a snapshot: choose another folder")
                shutil.rmtree(folder)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return folder

    @classmethod
    def open(cls, folder: str | Path) -> Snapshot:
        """Map a saved snapshot into memory, read-only.

        Raises:
            StoreError: there is no snapshot, or a file of it is missing or damaged.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / "snapshot.json").read_text())
            names = [*_COLUMNS, *(f"{way}_{c.name}" for way in ("out", "into") for c in fields(Csr))]
            loaded = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]
            columns = dict(zip(_COLUMNS, loaded[:5], strict=True))
            out, into = Csr(*loaded[5:8]), Csr(*loaded[8:])
            return cls(**columns, out=out, into=into, version=about["version"], store=about["store"])
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"no snapshot can be read at {folder}: {error}") from None

    def _arrays(self) -> dict[str, Array]:
        arrays = {name: getattr(self, name) for name in _COLUMNS}
        for way in ("out", "into"):
            arrays |= {f"{way}_{column.name}": getattr(getattr(self, way), column.name) for column in fields(Csr)}
        return arrays


def _dense(ids: Array, wanted: Array) -> Array:
    """Return the place of each of ``wanted`` in the ascending ``ids``, -1 where it is not there."""
    if not len(ids):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.searchsorted(ids, wanted)
    place[place == len(ids)] = 0
    return np.where(ids[place] == wanted, place, -1)


def _group(ends: Array, others: Array, relations: Array, num_entities: int) -> Csr:
    order = np.argsort(ends, kind="stable")
    indptr = np.zeros(num_entities + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=num_entities), out=indptr[1:])
    return Csr(indptr, others[order], relations[order])

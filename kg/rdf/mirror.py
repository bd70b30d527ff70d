"""The relations that queries read, copied into pyoxigraph when first asked for, and kept at the store's version.

A copy lives in memory; of a store with more than ``IN_MEMORY`` facts, in a temporary folder. Edits are carried over
one by one; after a load the copy is begun anew.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyoxigraph

from kg.rdf.terms import oxigraph_of
from kg.records import Literal, Tail
from kg.store.graph import KnowledgeGraph

#: Facts of a store whose copy may lie in memory, about 300 bytes each.
IN_MEMORY = 4_000_000
#: Facts that are handed to pyoxigraph together.
BATCH = 50_000


class Mirror:
    """A part of a store in pyoxigraph.

    Attributes:
        store: pyoxigraph's store; its default graph holds the relations in ``loaded``.
        loaded: the relations that are there, whole.
        odd: those of them with a term that pyoxigraph would change (``terms.is_kept``): these stand for what they are,
            and can't be computed with.
        counts: relation → facts, of the store's present version.
    """

    def __init__(self, knowledge: KnowledgeGraph, version: int | None = None) -> None:
        self._knowledge = knowledge
        self._fixed = version
        self._lock = threading.RLock()
        self._folder: Path | None = None
        self._once: set[str] | None = None  # all relations of a past version, once they were asked for
        self._begin(knowledge.version if version is None else version)

    def _begin(self, version: int) -> None:
        self.close()
        self.version = version
        self.counts = self._knowledge.relations()
        self.loaded: set[str] = set()
        self.odd: set[str] = set()
        if sum(self.counts.values()) > IN_MEMORY:
            self._folder = Path(tempfile.mkdtemp(prefix="kemm-mirror-"))
            self.store = pyoxigraph.Store(str(self._folder))
        else:
            self.store = pyoxigraph.Store()

    def close(self) -> None:
        """Give the copy up."""
        self.store = pyoxigraph.Store()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def relations(self, named: set[str] | None) -> set[str]:
        """Return those of the ``named`` relations, of all for None, that may have facts at this version."""
        if self._fixed is None:
            return set(self.counts) if named is None else named & set(self.counts)
        if named is None and self._once is None:
            self._once = {statement.relation for statement in self._knowledge.triples(version=self._fixed)}
        return self._once or set() if named is None else named

    def load(self, relations: Iterable[str]) -> None:
        """Copy relations that are not here yet."""
        with self._lock:
            for relation in sorted(set(relations) - self.loaded):
                quads = self._quads(relation)
                while batch := list(islice(quads, BATCH)):
                    self.store.bulk_extend(batch)
                self.loaded.add(relation)

    def _quads(self, relation: str) -> Iterator[Any]:
        predicate, _ = oxigraph_of(relation)
        for statement in self._knowledge.triples(relation=relation, version=self.version):
            yield self._quad(statement.head, predicate, statement.tail, relation)

    def _quad(self, head: str, predicate: Any, tail: Any, relation: str) -> Any:
        subject, is_kept = oxigraph_of(head)
        end, is_kept_too = oxigraph_of(tail)
        if not (is_kept and is_kept_too):
            self.odd.add(relation)
        return pyoxigraph.Quad(subject, predicate, end)

    def catch_up(self) -> None:
        """Bring what is here to the store's present version."""
        with self._lock:
            now = self._knowledge.version if self._fixed is None else self._fixed
            if now == self.version:
                return
            if any(entry["id"] > self.version and entry["action"] == "load" for entry in self._knowledge.log()):
                self._begin(now)
                return
            for statement in self._knowledge.changes(self.version):
                if statement.relation not in self.loaded:
                    continue
                quad = self._quad(
                    statement.head, oxigraph_of(statement.relation)[0], statement.tail, statement.relation
                )
                if any(True for _ in self._knowledge.triples(*statement.fact, version=now)):  # another source's, say
                    self.store.add(quad)
                else:
                    self.store.remove(quad)
            self.version = now
            self.counts = self._knowledge.relations()

    def has(self, end: Tail) -> bool:
        """Tell whether a term is the head or the tail of a fact that is here."""
        term, _ = oxigraph_of(end)
        patterns = [(None, None, term)] if isinstance(end, Literal) else [(term, None, None), (None, None, term)]
        return any(next(self.store.quads_for_pattern(*pattern), None) is not None for pattern in patterns)

    def __enter__(self) -> Mirror:
        self._lock.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

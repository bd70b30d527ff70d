"""An ``rdflib.Graph`` over a store. What rdflib would do triple by triple, each a version, is one version here."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import rdflib

from kg.rdf.store import TripleStore
from kg.store.graph import KnowledgeGraph


class StoredGraph(rdflib.Graph):
    """A graph whose triples live in a ``KnowledgeGraph``. Make one with ``kg.rdf.open``."""

    def _triples(self) -> TripleStore:
        store = self.store
        assert isinstance(store, TripleStore)
        return store

    @property
    def knowledge(self) -> KnowledgeGraph:
        """The store, with the sources and versions that RDF has no place for."""
        return self._triples().knowledge

    def edit(self, author: str = "", note: str = "") -> AbstractContextManager[None]:
        """Make all that is added and removed in a ``with`` block one version; nothing if it raises."""
        return self._triples().edit(author, note)

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Read RDF as ``rdflib.Graph.parse`` does, as one version; nothing if it can't be read to its end."""
        with self.edit():
            return super().parse(*args, **kwargs)

    def set(self, triple: Any) -> Any:
        """Put one value in place of all there are, as one version."""
        with self.edit():
            return super().set(triple)

    def __isub__(self, other: Iterable[Any]) -> Any:  # type: ignore[misc]  # as rdflib has it
        with self.edit():
            return super().__isub__(other)

    def __enter__(self) -> StoredGraph:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return rdflib.Graph, (self.store, self.identifier)

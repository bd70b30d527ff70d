"""GraphML (http://graphml.graphdrawing.org), read node by node, so that memory stays bounded.

A node is an entity, its data are facts with a literal tail (``label`` becomes ``rdfs:label``). An edge's relation is
its data ``relation``, else ``label``; its other data are qualifiers. An undirected edge goes both ways. What
``kg.export`` writes in attributes of its own namespace (a literal's datatype, language and unit) is read back exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from kg.errors import FormatError
from kg.ingest import json_text
from kg.ingest.files import open_bytes
from kg.ingest.networkx_graphs import RELATED
from kg.ingest.rdf_names import from_iri
from kg.ingest.tables import read_qualifiers
from kg.ingest.xml_guard import GuardedXml
from kg.records import RDFS, XSD, Literal, Tail

#: The namespace of what is ours.
KEMM = "http://kemm.example/graphml"
_OWN = f"{{{KEMM}}}"
_LABEL = RDFS + "label"
_DATATYPES = {
    "boolean": XSD + "boolean",
    "int": XSD + "integer",
    "long": XSD + "integer",
    "float": XSD + "double",
    "double": XSD + "double",
}

Reject = Callable[[FormatError], None]


def read_graphml(path: Path, reject: Reject) -> Iterator[Any]:
    """Yield the facts of a GraphML file; an edge or a datum that makes no sense is rejected.

    Raises:
        FormatError: the file is not well-formed XML, or not GraphML.
    """
    with open_bytes(path) as file:
        guard = GuardedXml(str(path), file)
        reader = _Reader(path, reject, guard)
        try:
            for event, element in ElementTree.iterparse(guard, events=("start", "end")):  # type: ignore[arg-type]
                yield from reader.take(event, element)
        except ElementTree.ParseError as error:
            raise FormatError(str(path), error.position[0], str(error)) from None
        if not reader.is_graphml:
            raise FormatError(str(path), 0, "not a GraphML file (it has no <graph>)")


class _Reader:
    """The keys, and the elements that are open."""

    def __init__(self, path: Path, reject: Reject, guard: GuardedXml) -> None:
        self._path, self._reject, self._guard = path, reject, guard
        self._keys: dict[str, Any] = {}
        self._open: list[Any] = []
        self._directed: list[bool] = []
        self.is_graphml = False

    def take(self, event: str, element: Any) -> Iterator[Any]:
        name = element.tag.rsplit("}", 1)[-1]
        if event == "start":
            if not self._open and name != "graphml":
                raise FormatError(str(self._path), self._guard.line, f"not a GraphML file (it begins with <{name}>)")
            self._open.append(element)
            if name == "graph":
                self.is_graphml = True
                self._directed.append(element.get("edgedefault") != "undirected")
            return
        self._open.pop()
        try:
            if name == "key":
                self._keys[element.get("id", "")] = element
                return  # kept, with its default
            if name == "node":
                yield from self._node(element)
            elif name == "edge":
                yield from self._edge(element)
        except ValueError as error:
            self._reject(
                FormatError(str(self._path), self._guard.line, f"{error} (on this line or a little before it)")
            )
        if name == "graph":
            self._directed.pop()
        if name in ("node", "edge", "graph") and self._open:
            self._open[-1].remove(element)

    def _node(self, element: Any) -> Iterator[Any]:
        head = _required(element, "id")
        for key, data in self._data(element, "node"):
            value = _value(data)
            if value or key.get(_OWN + "relation") is not None:
                fact = (head, _relation(key), _literal(key, value))
                said = read_qualifiers(data.get(_OWN + "qualifiers") or "[]")
                yield (*fact, said) if said else fact

    def _edge(self, element: Any) -> Iterator[Any]:
        head, tail = _required(element, "source"), _required(element, "target")
        relation, label, said = "", element.get("label") or "", list[tuple[str, Tail]]()
        for key, data in self._data(element, "edge"):
            name, value = key.get("attr.name") or key.get("id"), _value(data)
            if name == "relation":
                relation = from_iri(value)
                said += read_qualifiers(data.get(_OWN + "qualifiers") or "[]")
            elif name == "label":
                label = value
            elif name not in ("source", "id") and value:
                said.append((name, _literal(key, value)))
        more: tuple[Any, ...] = (tuple(said),) if said else ()
        relation = relation or label or RELATED
        yield (head, relation, tail, *more)
        directed = element.get("directed", str(self._directed[-1] if self._directed else True)).lower() == "true"
        if not directed and head != tail:
            yield (tail, relation, head, *more)

    def _data(self, element: Any, kind: str) -> Iterator[tuple[Any, Any]]:
        """Yield (key, data), with the defaults of keys that the element has no data for."""
        given = set()
        for data in element:
            if data.tag.rsplit("}", 1)[-1] == "data":
                key = self._keys.get(data.get("key", ""))
                if key is None:
                    raise ValueError(f"data with the key '{data.get('key')}', which no <key> declares")
                given.add(data.get("key"))
                yield key, data
        for number, key in self._keys.items():
            if number not in given and key.get("for", "all") in (kind, "all"):
                default = next((one for one in key if one.tag.rsplit("}", 1)[-1] == "default"), None)
                if default is not None:
                    yield key, default


def _required(element: Any, name: str) -> str:
    value = element.get(name)
    if not value:
        raise ValueError(f"an element without '{name}'")
    return from_iri(value)


def _value(data: Any) -> str:
    text = data.text or ""
    if data.get(_OWN + "escape") == "json":
        value = json_text.parse(text)
        if not isinstance(value, str):
            raise ValueError("an escaped value that is not a text")
        return value
    return text


def _relation(key: Any) -> str:
    name = key.get(_OWN + "relation") or key.get("attr.name") or key.get("id") or RELATED
    return _LABEL if name == "label" else from_iri(name)


def _literal(key: Any, value: str) -> Literal:
    if key.get(_OWN + "relation") is None:
        return Literal(value, _DATATYPES.get(key.get("attr.type", "string")))
    parts = (key.get(_OWN + name) for name in ("datatype", "language", "unit"))
    return Literal(value, *(part and from_iri(part) for part in parts))

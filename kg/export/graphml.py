"""Facts as GraphML: entities are nodes, facts between them edges, literals data of their nodes.

A key stands for one relation with one datatype, language and unit, which attributes of our own namespace name exactly;
its ``attr.name`` is what other tools show. XML has no place for most control characters: a value with one is written as
JSON, a name or a unit as an IRI of our own. Literals are held in memory, since a node is written
once, with all its data.
"""

from __future__ import annotations

import json
import re
from typing import IO, TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from kg.export.facts import facts
from kg.ingest.graphml import KEMM
from kg.ingest.rdf_names import NAME, as_iri
from kg.ingest.tables import write_qualifiers
from kg.records import RDFS, XSD, Tail

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

_HEADER = f"""<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:kemm="{KEMM}">
<key id="relation" for="edge" attr.name="relation" attr.type="string"/>
<key id="source" for="edge" attr.name="source" attr.type="string"/>
"""
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TYPES = {
    XSD + "integer": ("long", re.compile(r"[+-]?\d{1,18}")),
    XSD + "double": ("double", re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")),
    XSD + "decimal": ("double", re.compile(r"[+-]?\d+(\.\d*)?")),
    XSD + "boolean": ("boolean", re.compile("true|false")),
}

Qualifiers = tuple[tuple[str, Tail], ...]
Kind = tuple[str, str | None, str | None, str | None]  # relation, datatype, language, unit


def write_graphml(graph: KnowledgeGraph, file: IO[bytes], version: int) -> int:
    """Write GraphML and return the number of facts."""
    nodes: dict[str, list[tuple[int, str, Qualifiers]]] = {}
    keys: dict[Kind, int] = {}
    is_typed: list[bool] = []
    count = 0
    for fact in facts(graph, version):
        count += 1
        data, tail = nodes.setdefault(fact.head, []), fact.tail
        if isinstance(tail, str):
            nodes.setdefault(tail, [])
            continue
        kind = (fact.relation, tail.datatype, tail.language, tail.unit)
        number = keys.setdefault(kind, len(keys))
        if number == len(is_typed):
            is_typed.append(tail.datatype in _TYPES)
        if is_typed[number] and not _TYPES[str(tail.datatype)][1].fullmatch(tail.value):
            is_typed[number] = False
        data.append((number, tail.value, fact.qualifiers))

    def put(text: str) -> None:
        file.write(text.encode())

    put(_HEADER)
    for kind, number in keys.items():
        put(_key(kind, number, is_typed[number]))
    put('<graph edgedefault="directed">\n')
    for name, data in nodes.items():
        put(f"<node id={_id(name)}>" + "".join(_data(f"d{n}", value, said) for n, value, said in data) + "</node>\n")
    for fact in facts(graph, version):
        if isinstance(fact.tail, str):
            data_of = _data("relation", _name(fact.relation), fact.qualifiers) + _data("source", fact.source, ())
            put(f"<edge source={_id(fact.head)} target={_id(fact.tail)}>{data_of}</edge>\n")
    put("</graph>\n</graphml>\n")
    return count


def _key(kind: Kind, number: int, is_typed: bool) -> str:
    relation, datatype, language, unit = kind
    shown = "label" if relation == RDFS + "label" else relation
    shown += f"@{language}" if language and shown != "label" else ""
    shown += f" [{unit}]" if unit else ""
    type_ = _TYPES[str(datatype)][0] if is_typed else "string"
    own = {"relation": relation, "datatype": datatype, "language": language, "unit": unit}
    more = "".join(f" kemm:{name}={quoteattr(_name(value))}" for name, value in own.items() if value is not None)
    shown = _ILLEGAL.sub("\ufffd", shown)
    return f'<key id="d{number}" for="node" attr.name={quoteattr(shown)} attr.type="{type_}"{more}/>\n'


def _data(key: str, value: str, qualifiers: Qualifiers) -> str:
    more = ""
    if qualifiers:
        said = json.dumps(json.loads(write_qualifiers(qualifiers)))  # ASCII alone
        more = f" kemm:qualifiers={quoteattr(said)}"
    if _ILLEGAL.search(value):
        return f'<data key="{key}" kemm:escape="json"{more}>{escape(json.dumps(value))}</data>'
    return f'<data key="{key}"{more}>{escape(value, {chr(13): "&#13;"})}</data>'


def _name(name: str) -> str:
    return as_iri(name) if name.startswith(NAME) or _ILLEGAL.search(name) else name


def _id(name: str) -> str:
    return quoteattr(_name(name))

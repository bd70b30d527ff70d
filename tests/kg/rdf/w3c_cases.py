"""The W3C's test cases for RDF and SPARQL, as far as they concern one graph.

They are looked for in ``../shared/w3c/rdf-tests`` beside the repository, or in the folder that ``KEMM_W3C_TESTS``
names: a copy of the W3C's repository ``rdf-tests`` with its folders ``rdf/rdf11``, ``sparql/sparql10`` and
``sparql/sparql11``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import rdflib
from rdflib.collection import Collection
from rdflib.compare import isomorphic
from rdflib.namespace import Namespace
from rdflib.query import Result
from rdflib.term import BNode, Identifier, URIRef

MF = Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#")
QT = Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-query#")
UT = Namespace("http://www.w3.org/2009/sparql/tests/test-update#")
RDFT = Namespace("http://www.w3.org/ns/rdftest#")
RS = Namespace("http://www.w3.org/2001/sw/DataAccess/tests/result-set#")
RDF = rdflib.RDF

ROOT = Path(os.environ.get("KEMM_W3C_TESTS") or Path(__file__).parents[3] / "shared" / "w3c" / "rdf-tests")


@dataclass(frozen=True)
class Case:
    """One case: ``kind`` as the W3C calls it, the file to read or the query, its data, and what shall come out."""

    name: str
    kind: str
    action: Path
    data: Path | None = None
    result: Path | None = None


def cases(folder: str) -> list[Case]:
    """Return the cases of a folder below ``ROOT`` that need one graph only."""
    manifest = ROOT / folder / "manifest.ttl"
    graph = rdflib.Graph().parse(manifest, publicID=manifest.as_uri(), format="turtle")
    return list(_cases(graph, folder))


def _cases(graph: rdflib.Graph, folder: str) -> Iterator[Case]:
    for entries in graph.objects(None, MF.entries):
        for entry in Collection(graph, entries):
            kinds = [str(kind).rsplit("#", 1)[1] for kind in graph.objects(entry, RDF.type)]
            kind = next((kind for kind in kinds if "Test" in kind), "QueryEvaluationTest")
            action, result = graph.value(entry, MF.action), graph.value(entry, MF.result)
            name = f"{folder}: {graph.value(entry, MF.name) or entry}"
            if not isinstance(action, BNode):
                if action is not None:
                    yield Case(name, kind, _path(action), None, _path(result) if isinstance(result, URIRef) else None)
                continue
            if (
                graph.value(action, QT.graphData)
                or graph.value(action, UT.graphData)
                or graph.value(action, QT.serviceData)
            ):
                continue  # several graphs, or other servers
            query = graph.value(action, QT.query) or graph.value(action, UT.request)
            data = graph.value(action, QT.data) or graph.value(action, UT.data)
            if isinstance(result, BNode):
                if graph.value(result, UT.graphData):
                    continue
                result = graph.value(result, UT.data)
            if query is not None:
                yield Case(name, kind, _path(query), _path(data) if data else None, _path(result) if result else None)


def _path(iri: Identifier) -> Path:
    return Path(unquote(urlparse(str(iri)).path))


def is_answer(case: Case, answer: Result) -> bool:
    """Tell whether ``answer`` is what the case expects, blank nodes matched and, unless asked for, order ignored."""
    assert case.result is not None
    suffix = case.result.suffix
    if answer.type in ("CONSTRUCT", "DESCRIBE"):
        return isomorphic(answer.graph, rdflib.Graph().parse(case.result, publicID=case.action.as_uri()))
    formats = {".srx": "xml", ".srj": "json", ".csv": "csv", ".tsv": "tsv"}
    if suffix in formats:
        with case.result.open("rb") as file:
            wanted = Result.parse(file, format=formats[suffix])
    else:
        wanted = _result_graph(case.result, case.action)
    if answer.type == "ASK" or wanted.type == "ASK":
        return answer.type == wanted.type and answer.askAnswer == wanted.askAnswer
    if suffix == ".csv":  # which has no types
        given = Result.parse(_stream(answer.serialize(format="csv")), format="csv")
        return _rows(given) == _rows(wanted)
    if "reduced" in case.name:  # how often a row comes is left open
        return set(map(_shape, answer.bindings)) == set(map(_shape, wanted.bindings))
    return same_rows(answer, wanted)


def _stream(data: bytes | None) -> object:
    import io

    return io.BytesIO(data or b"")


def _result_graph(path: Path, base: Path) -> Result:
    graph = rdflib.Graph().parse(path, publicID=base.as_uri())
    found = graph.value(None, RDF.type, RS.ResultSet)
    if (boolean := graph.value(found, RS.boolean)) is not None:
        result = Result("ASK")
        result.askAnswer = bool(boolean.toPython())
        return result
    result = Result("SELECT")
    result.vars = [rdflib.Variable(str(name)) for name in graph.objects(found, RS.resultVariable)]
    result.bindings = [
        {
            rdflib.Variable(str(graph.value(binding, RS.variable))): graph.value(binding, RS.value)
            for binding in graph.objects(solution, RS.binding)
        }
        for solution in graph.objects(found, RS.solution)
    ]
    return result


def same_rows(one: Result, other: Result) -> bool:
    """Tell whether two results have the same rows: as graphs, so that blank nodes find each other."""
    return Counter(map(_shape, one.bindings)) == Counter(map(_shape, other.bindings)) and isomorphic(
        _as_graph(one), _as_graph(other)
    )


def _shape(row: object) -> object:
    return frozenset((str(name), "blank" if isinstance(end, BNode) else _value(end)) for name, end in row.items())  # type: ignore[attr-defined]


def _value(end: Identifier) -> Identifier:
    """A term, numbers by what they are worth: 1.0 and 1 of the same type are the same answer."""
    if isinstance(end, rdflib.Literal):
        if str(end.datatype).endswith("#string"):
            return rdflib.Literal(str(end))
        if str(end.datatype).endswith(("#decimal", "#double", "#float")) and end.value is not None:
            return rdflib.Literal(f"{float(end.value):.12g}", datatype=end.datatype)
    return end


def _as_graph(result: Result) -> rdflib.Graph:
    graph = rdflib.Graph()
    for row in result.bindings:
        solution = BNode()
        for name, end in row.items():
            graph.add((solution, URIRef(f"x:{name}"), _value(end)))
    return graph


def _rows(result: Result) -> Counter[object]:
    return Counter(tuple(str(row.get(name, "")) for name in result.vars or ()) for row in result.bindings)

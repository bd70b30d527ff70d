"""What a SPARQL query reads: its relations, its patterns, and the terms that it computes with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import rdflib
from rdflib import paths
from rdflib.plugins.sparql.algebra import translateQuery, translateUpdate
from rdflib.plugins.sparql.parser import parseQuery, parseUpdate
from rdflib.plugins.sparql.parserutils import CompValue
from rdflib.plugins.sparql.sparql import Query
from rdflib.term import BNode, URIRef, Variable

from kg.records import XSD

_ELSEWHERE = {"ServiceGraphPattern", "Graph", "DescribeQuery"}
_COMPUTED = {"expr", "condition"}


@dataclass
class Reads:
    """What a query reads.

    Attributes:
        relations: the IRIs of the relations, None for all there are.
        patterns: (head, relation, tail) as they stand in the query.
        computed: the variables that an expression looks into.
        literals: the literals that stand in patterns and VALUES.
        from_itself: the terms at the given ends of paths that may have length 0, and so lead to the term itself.
        only_rdflib: the query calls a function of the user's, or GROUP_CONCAT, in which the engines differ.
        elsewhere: the query leaves the graph, or describes things by whatever is said of them.
    """

    relations: set[str] | None = field(default_factory=set)
    patterns: list[tuple[Any, Any, Any]] = field(default_factory=list)
    computed: set[Variable] = field(default_factory=set)
    literals: list[rdflib.Literal] = field(default_factory=list)
    from_itself: list[Any] = field(default_factory=list)
    only_rdflib: bool = False
    elsewhere: bool = False


def reads_of(query: Query) -> Reads:
    """Return what a parsed query reads."""
    reads = Reads()
    _walk(query.algebra, reads, _aliases(query.algebra), computed=False)
    for head, relation, tail in reads.patterns:
        _add_relations(relation, (head, tail), reads)
    return reads


def fetches(text: str, update: bool = False) -> bool:
    """Tell whether a query or an update would have rdflib fetch something: by SERVICE, FROM, USING or LOAD.

    Raises:
        pyparsing.ParseException: it is not SPARQL.
    """
    if not update:
        return _has(translateQuery(parseQuery(text), initNs=dict(rdflib.Graph().namespaces())).algebra)
    return any(
        _has(part) for part in translateUpdate(parseUpdate(text), initNs=dict(rdflib.Graph().namespaces())).algebra
    )


def _has(part: Any) -> bool:
    if isinstance(part, CompValue):
        if part.name in ("ServiceGraphPattern", "Load") or part.datasetClause or part.using:
            return True
        return any(_has(value) for value in part.values())
    return isinstance(part, (list, tuple, set)) and any(map(_has, part))


def _walk(part: Any, reads: Reads, aliases: Mapping[Any, Any], computed: bool) -> None:
    if isinstance(part, CompValue):
        name = part.name
        if name in _ELSEWHERE or part.datasetClause:
            reads.elsewhere = True
        if name == "Aggregate_GroupConcat" or (name == "Function" and not str(part.iri).startswith(XSD)):
            reads.only_rdflib = True
        # Groups, counts, and the copies that rdflib makes of a group's variables leave a term as it is.
        if name == "Aggregate_Count" or (name == "Aggregate_Sample" and aliases.get(part.res) == part.vars):
            computed = not isinstance(part.vars, (Variable, str))
        elif name.startswith("Aggregate_"):
            computed = True
        for key, value in part.items():
            if key in ("_vars", "template", "PV"):
                continue
            if key == "triples":
                _add_patterns(value, reads)
            elif key == "expr" and name == "Group":
                plain = [each for each in value or () if not isinstance(each, Variable)]
                _walk(plain, reads, aliases, True)
            elif key == "expr" and name == "Extend" and isinstance(value, Variable) and value in aliases:
                continue
            else:
                _walk(value, reads, aliases, computed or key in _COMPUTED)
    elif isinstance(part, Mapping):
        for pair in part.items():
            _walk(pair, reads, aliases, computed)
    elif isinstance(part, (list, tuple, set, frozenset)):
        for each in part:
            _walk(each, reads, aliases, computed)
    elif isinstance(part, Variable) and computed:
        reads.computed.add(part)
    elif isinstance(part, rdflib.Literal) and not computed:
        reads.literals.append(part)


def _aliases(part: Any) -> dict[Any, Any]:
    """Return rdflib's own variables for aggregates → the variables that they are given to."""
    found: dict[Any, Any] = {}
    if isinstance(part, CompValue):
        if part.name == "Extend" and isinstance(part.expr, Variable) and part.expr.startswith("__agg_"):
            found[part.expr] = part.var
        for value in part.values():
            found |= _aliases(value)
    elif isinstance(part, (list, tuple)):
        for each in part:
            found |= _aliases(each)
    return found


def _add_patterns(value: Any, reads: Reads) -> None:
    terms = list(_flat(value))
    if len(terms) % 3:
        reads.elsewhere = True
        return
    for start in range(0, len(terms), 3):
        pattern = terms[start], terms[start + 1], terms[start + 2]
        reads.patterns.append(pattern)
        reads.literals += [end for end in pattern if isinstance(end, rdflib.Literal)]


def _flat(value: Any) -> Iterator[Any]:
    for each in value:
        if isinstance(each, (list, tuple)):
            yield from _flat(each)
        else:
            yield each


def _add_relations(relation: Any, ends: tuple[Any, Any], reads: Reads) -> None:
    if isinstance(relation, URIRef):
        if reads.relations is not None:
            reads.relations.add(str(relation))
    elif isinstance(relation, (paths.SequencePath, paths.AlternativePath)):
        for each in relation.args:
            inner = (None, None) if isinstance(relation, paths.SequencePath) else ends
            _add_relations(each, inner, reads)
    elif isinstance(relation, paths.InvPath):
        _add_relations(relation.arg, ends, reads)
    elif isinstance(relation, paths.MulPath):
        if relation.mod in ("*", "?"):
            given = [end for end in ends if is_given(end)]
            reads.from_itself += given
            if not given:
                reads.relations = None  # of length 0 such a path holds for everything there is
        _add_relations(relation.path, ends, reads)
    else:
        reads.relations = None  # a variable, or all but some


def is_given(end: Any) -> bool:
    """Tell whether an end of a pattern is a term, no variable."""
    return end is not None and not isinstance(end, (Variable, BNode))


def relations_in(relation: Any) -> set[str] | None:
    """Return the IRIs of the relations that a path goes along, None for all there are."""
    reads = Reads()
    _add_relations(relation, (None, None), reads)
    return reads.relations

"""Terms of rdflib, of ours and of pyoxigraph.

Names without a scheme, as in tables, are IRIs of just that name. RDF has no units: a value with one is a ``Quantity``.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

import pyoxigraph
import rdflib
from rdflib.term import BNode, Identifier, URIRef

from kg.errors import StoreError
from kg.records import XSD, Literal, Tail

#: RDF 1.1: plain text is text of this datatype. The store keeps neither.
STRING = XSD + "string"
_BCP47 = re.compile(r"[a-z]{1,8}(-[a-z0-9]{1,8})*")


class Quantity(rdflib.Literal):
    """A literal with a unit. It compares, sorts and counts as its number; ``unit`` is what the source gave.

    5 g and 5 kg are different terms; a pattern with a plain 5 finds both.
    """

    __slots__ = ("unit",)
    unit: str | None

    @classmethod
    def of(cls, value: str, datatype: str | None, unit: str) -> Quantity:
        """Return a value with its unit, the lexical form kept."""
        made = super().__new__(cls, value, datatype=URIRef(datatype) if datatype else None, normalize=False)
        made.unit = unit
        return made

    def __eq__(self, other: Any) -> bool:
        return bool(super().__eq__(other)) and self.unit == getattr(other, "unit", None)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.unit))

    def __reduce__(self) -> Any:
        return Quantity.of, (str(self), None if self.datatype is None else str(self.datatype), self.unit)


def tail_of(node: Any) -> Tail:
    """Return rdflib's term as ours.

    Raises:
        StoreError: it is a variable, a formula or another thing that only rdflib knows.
    """
    if isinstance(node, rdflib.Literal):
        datatype = None if node.datatype is None or str(node.datatype) == STRING else str(node.datatype)
        return Literal(str(node), datatype, node.language, getattr(node, "unit", None))
    if isinstance(node, BNode):
        return f"_:{node}"
    if isinstance(node, URIRef):
        return str(node)
    raise StoreError(f"a {type(node).__name__} can't be stored: only IRIs, blank nodes and literals")


def as_rdf(literal: Literal) -> tuple[str, str | None, str | None]:
    """Return what makes two literals the same for RDF: no unit, the language in lower case."""
    return literal.value, literal.datatype, literal.language.lower() if literal.language else None


def iri_of(node: Identifier | None) -> str | None:
    """Return rdflib's IRI or blank node as ours; None for a wildcard."""
    return None if node is None else str(tail_of(node))


@lru_cache(maxsize=65_536)
def identifier_of(tail: Tail) -> Identifier:
    """Return our term as rdflib's."""
    if isinstance(tail, Literal):
        if tail.unit:
            return Quantity.of(tail.value, tail.datatype, tail.unit)
        if tail.language:
            return rdflib.Literal(tail.value, lang=tail.language)
        return rdflib.Literal(tail.value, datatype=URIRef(tail.datatype) if tail.datatype else None, normalize=False)
    return BNode(tail[2:]) if tail.startswith("_:") else URIRef(tail)


# -- pyoxigraph ------------------------------------------------------------------------------------------------------

#: Before the names of blank nodes in pyoxigraph, which reads a name of hexadecimal digits as a number.
_BLANK = "n-"
#: Before what pyoxigraph would not give back as it was; the rest says what it was.
_KEPT = "urn:kemm:kept:"


def is_kept(tail: Tail) -> bool:
    """Tell whether a term comes out of pyoxigraph's store as it went in.

    There 5.0 becomes 5, an xsd:int an xsd:integer, en-GB en-gb; units, and IRIs without a scheme, have no place.
    """
    return _is_kept_literal(tail) if isinstance(tail, Literal) else _is_kept_name(tail)


def _is_kept_name(name: str) -> bool:
    try:
        _plain(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=65_536)
def _is_kept_literal(literal: Literal) -> bool:
    if literal.unit:
        return False
    if literal.language:
        return literal.language == literal.language.lower() and _BCP47.fullmatch(literal.language) is not None
    if literal.datatype is None:
        return True
    try:
        term = _plain(literal)
    except ValueError:
        return False
    store, end = pyoxigraph.Store(), pyoxigraph.NamedNode("x:x")
    store.add(pyoxigraph.Quad(end, end, term))
    return bool(next(iter(store)).object == term)


def _plain(tail: Tail) -> Any:
    """Return our term as pyoxigraph's; ValueError where it takes no such IRI, blank node or language."""
    if not isinstance(tail, Literal):
        if tail.startswith("_:"):
            return pyoxigraph.BlankNode(_BLANK + tail[2:])
        return pyoxigraph.NamedNode(tail)
    if tail.language:
        return pyoxigraph.Literal(tail.value, language=tail.language)
    return pyoxigraph.Literal(tail.value, datatype=pyoxigraph.NamedNode(tail.datatype) if tail.datatype else None)


def oxigraph_of(tail: Tail) -> tuple[Any, bool]:
    """Return our term as pyoxigraph's, and whether it is the very term (``is_kept``) or only stands for it.

    What stands for a literal has a datatype of its own: it can be matched, counted, and turned back, not computed with.
    """
    if isinstance(tail, Literal):
        if _is_kept_literal(tail):
            return _plain(tail), True
        what = json.dumps([tail.datatype, tail.language, tail.unit])
        return pyoxigraph.Literal(tail.value, datatype=pyoxigraph.NamedNode(_KEPT + quote(what, safe=""))), False
    try:
        return _plain(tail), True
    except ValueError:
        return pyoxigraph.NamedNode(_KEPT + quote(tail, safe="")), False


def identifier_of_oxigraph(term: Any) -> Identifier:
    """Return pyoxigraph's term as rdflib's."""
    if isinstance(term, pyoxigraph.NamedNode):
        if term.value.startswith(_KEPT):
            return identifier_of(unquote(term.value[len(_KEPT) :]))
        return URIRef(term.value)
    if isinstance(term, pyoxigraph.BlankNode):
        return BNode(term.value.removeprefix(_BLANK))
    if term.language:
        return rdflib.Literal(term.value, lang=term.language)
    datatype = term.datatype.value
    if datatype.startswith(_KEPT):
        return identifier_of(Literal(term.value, *json.loads(unquote(datatype[len(_KEPT) :]))))
    return rdflib.Literal(term.value, datatype=None if datatype == STRING else URIRef(datatype), normalize=False)

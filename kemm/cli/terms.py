"""Words of the user's → IRIs and literals: entities and relations by IRI or unique label, tails by their text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from kemm.cli import screen
from kg.errors import InputError, UnknownEntity
from kg.records import XSD, Literal, Statement

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Head = Annotated[str, typer.Argument(help="An IRI or a unique label", show_default=False)]
Relation = Annotated[str, typer.Argument(help="An IRI, a label or the last part of the IRI", show_default=False)]

IRI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:|_:)[^\s<>\"{}|\\^`]+")
NUMBERS = {
    XSD + "integer": re.compile(r"[-+]?\d+"),
    XSD + "decimal": re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)"),
    XSD + "double": re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?INF|NaN"),
    XSD + "boolean": re.compile(r"true|false|0|1"),
}


def entity(graph: KnowledgeGraph, text: str, what: str = "entity") -> str:
    """The entity called ``text``, or ``text`` itself if it is an IRI that the store doesn't know yet.

    Raises:
        UnknownEntity: no entity, or several, have that label.
    """
    text = _bare(text)
    try:
        return graph.resolve(text)
    except UnknownEntity as error:
        if IRI.fullmatch(text):
            return text
        raise UnknownEntity(f"{what}: {error}") from None


def relation(graph: KnowledgeGraph, text: str) -> str:
    """The relation that ``text`` names: its IRI, its label or the last part of its IRI.

    Raises:
        UnknownEntity: no relation, or several, are called that.
    """
    text = _bare(text)
    known = list(graph.relations(ever=True))
    if text in known:
        return text
    labels = graph.labels(known)
    called: dict[str, list[str]] = {}
    for iri in known:
        for name in {labels.get(iri, iri).casefold(), re.split(r"[#/]", iri)[-1].casefold()}:
            called.setdefault(name, []).append(iri)
    found = called.get(text.casefold(), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownEntity(f"relation: several are called '{text}': {', '.join(found)}; give the IRI")
    if IRI.fullmatch(text):
        return text
    near = difflib.get_close_matches(text.casefold(), called, n=5, cutoff=0.5)
    hint = f"did you mean {', '.join(repr(name) for name in near)}?" if near else "give an IRI to make a new one"
    raise UnknownEntity(f"relation: none is called '{text}'; {hint}")


def literal(text: str, datatype: str | None, language: str | None, unit: str | None) -> Literal:
    """A literal of the user's; a short datatype such as ``integer`` or ``xsd:integer`` is one of XML Schema's.

    Raises:
        InputError: datatype and language are both given, or ``text`` is no value of the datatype.
    """
    if datatype and language:
        raise InputError("a literal has --datatype or --language, not both")
    if datatype and ("://" not in datatype):
        datatype = XSD + datatype.removeprefix("xsd:")
    pattern = NUMBERS.get(datatype or "")
    if pattern is not None and not pattern.fullmatch(text):
        raise InputError(f"'{text}' is no {str(datatype).removeprefix(XSD)}")
    return Literal(text, datatype, language, unit)


def tails(graph: KnowledgeGraph, head: str, relation: str, text: str) -> list[Statement]:
    """The facts of ``head`` and ``relation`` whose tail is called ``text``: by IRI, by label or by a literal's value.

    Raises:
        UnknownEntity: there is none; the text names the tails there are.
    """
    return with_tail(graph, list(graph.triples(head=head, relation=relation)), text)


def with_tail(graph: KnowledgeGraph, there: list[Statement], text: str) -> list[Statement]:
    """Those of some statements whose tail is called ``text``; a value with a unit also by both, as ``5 g``.

    Raises:
        UnknownEntity: there is none; the text names the tails there are.
    """
    text = _bare(text)
    labels = graph.labels([statement.tail for statement in there if isinstance(statement.tail, str)])
    found = [s for s in there if text in (str(s.tail), screen.named(s.tail, labels))]
    if not found:
        found = [s for s in there if text.casefold() == screen.named(s.tail, labels).casefold()]
    if not found:
        names = sorted({screen.named(s.tail, labels) for s in there})
        known = (
            f"there {'is' if len(names) == 1 else 'are'} {', '.join(names[:8])}" if names else "there is no such fact"
        )
        raise UnknownEntity(f"tail: '{text}' isn't one for that head and relation; {known}")
    return found


def _bare(text: str) -> str:
    """``<iri>`` without its brackets."""
    text = text.strip()
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def options(pairs: Iterable[str]) -> dict[str, str]:
    """Return ``language=en`` as {"language": "en"}; a hyphen in an option's name is an underscore.

    Raises:
        InputError: a word without "=".
    """
    result = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"an option is written NAME=VALUE, not '{pair}'")
        result[name.strip().replace("-", "_")] = value
    return result

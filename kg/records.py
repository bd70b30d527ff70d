"""The records that flow through the whole system: literals, statements, entities, pictures and subgraphs.

A fact is ``(head, relation, tail)``. Heads and relations are IRIs (or blank nodes, ``_:name``) and plain ``str``;
a tail is an IRI or a ``Literal``. A ``Statement`` is a fact together with where it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

XSD = "http://www.w3.org/2001/XMLSchema#"
RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
SCHEMA = "https://schema.org/"

#: Relations that name an entity, best first; other relations of the same kind are read too.
LABEL_RELATIONS = (RDFS + "label", SKOS + "prefLabel", SCHEMA + "name", "http://xmlns.com/foaf/0.1/name")
ALIAS_RELATIONS = (SKOS + "altLabel", SCHEMA + "alternateName")
DESCRIPTION_RELATIONS = (
    SCHEMA + "description",
    RDFS + "comment",
    SKOS + "definition",
    "http://purl.org/dc/terms/description",
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value rather than a thing: text with its language, or a typed value with its unit.

    ``value`` is the lexical form exactly as it was read; ``datatype`` is an IRI (None for plain text);
    ``language`` a BCP 47 tag; ``unit`` whatever the source gave (``km²``, ``gram``, a unit's IRI).
    """

    value: str
    datatype: str | None = None
    language: str | None = None
    unit: str | None = None

    def __str__(self) -> str:
        return self.value


Tail = str | Literal


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact, where it comes from, and the versions in which it came and went (``retracted`` None: still true).

    ``qualifiers`` are (key, value) pairs that say more of it: with whom, since when, how sure.
    """

    head: str
    relation: str
    tail: Tail
    source: str = ""
    added: int = 0
    retracted: int | None = None
    qualifiers: tuple[tuple[str, Tail], ...] = ()

    @property
    def fact(self) -> tuple[str, str, Tail]:
        return self.head, self.relation, self.tail


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an entity. ``path`` is as the user gave it, ``root`` the folder it is relative to."""

    path: str
    entity: str
    split: str = ""
    root: str = ""
    sha256: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """What a store says of one entity: its names, its description, its types and its pictures."""

    iri: str
    label: str
    description: str = ""
    aliases: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    id: int = -1


@dataclass(frozen=True, slots=True)
class Subgraph:
    """Statements around some entities, with every entity's distance in hops from the nearest of them."""

    statements: tuple[Statement, ...]
    distance: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """A mention, or a picture, resolved to an entity.

    ``score`` is a probability in [0, 1]; ``start`` and ``end`` are character offsets of the mention in the text
    (both 0 for a picture). A mention for which nothing fits has no link: NIL.
    """

    entity: str
    score: float
    mention: str = ""
    start: int = 0
    end: int = 0


#: Relations that name, describe or classify an entity for machines: no question is asked about them, and no walk
#: follows them.
BOOKKEEPING_RELATIONS = frozenset(
    (
        *LABEL_RELATIONS,
        *ALIAS_RELATIONS,
        *DESCRIPTION_RELATIONS,
        RDF_TYPE,
        SCHEMA + "url",
        "http://xmlns.com/foaf/0.1/page",
        "http://xmlns.com/foaf/0.1/depiction",
    )
)

"""What entities are called: labels, aliases, descriptions and types, of one or of all."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, CursorResult, bindparam, func, select, union

from kg.errors import UnknownEntity
from kg.names import fold, local_name
from kg.records import (
    ALIAS_RELATIONS,
    DESCRIPTION_RELATIONS,
    LABEL_RELATIONS,
    RDF_TYPE,
    RDFS,
    Entity,
    Picture,
)
from kg.store import terms
from kg.store.connection import Database
from kg.store.schema import LITERAL, RELATION_IDS, picture, source, term, triple

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_OWL = "http://www.w3.org/2002/07/owl#"

#: Local names, folded, of relations that name or describe as the listed ones do, in vocabularies we don't list.
_LABEL_WORDS = ("label", "preflabel", "name", "title")
_ALIAS_WORDS = ("altlabel", "alternatename", "alias", "aliases", "synonym")
_DESCRIPTION_WORDS = ("description", "comment", "definition", "abstract", "gloss")

#: The vocabulary's own words are no entities.
_VOCABULARY = tuple(
    [_RDF + name for name in ("Property", "List", "Statement", "nil")]
    + [RDFS + name for name in ("Class", "Resource", "Literal", "Datatype")]
    + [
        _OWL + name
        for name in (
            *("Class", "Thing", "ObjectProperty", "DatatypeProperty", "AnnotationProperty", "FunctionalProperty"),
            *("TransitiveProperty", "SymmetricProperty", "NamedIndividual", "Ontology", "Restriction"),
        )
    ]
)

#: How many entities are read at a time when all are.
WINDOW = 5_000

_LIVE = triple.c.retracted.is_(None)


@dataclass(frozen=True, slots=True)
class Naming:
    """Relation ids that name and describe, each with its rank (0 best), and the id of ``rdf:type`` (-1: none)."""

    labels: dict[int, int]
    aliases: dict[int, int]
    descriptions: dict[int, int]
    type: int

    @property
    def all(self) -> tuple[int, ...]:
        return *self.labels, *self.aliases, *self.descriptions, self.type

    @property
    def names(self) -> tuple[int, ...]:
        return *self.labels, *self.aliases


def naming(connection: Connection) -> Naming:
    """Return which of the store's relations name and describe."""
    found: tuple[dict[int, int], dict[int, int], dict[int, int]] = ({}, {}, {})
    kinds = (
        (LABEL_RELATIONS, _LABEL_WORDS),
        (ALIAS_RELATIONS, _ALIAS_WORDS),
        (DESCRIPTION_RELATIONS, _DESCRIPTION_WORDS),
    )
    rdf_type = -1
    for number, iri in terms.read_many(connection, connection.execute(RELATION_IDS).scalars()).items():
        if iri == RDF_TYPE:
            rdf_type = number
        word = fold(local_name(str(iri))).replace(" ", "")
        for ranks, (listed, words) in zip(found, kinds, strict=True):
            if iri in listed:
                ranks[number] = listed.index(str(iri))
                break
            if word in words:
                ranks[number] = len(listed) + words.index(word)
                break
    return Naming(*found, rdf_type)


def _language_rank(language: str) -> int:
    """English first, as text of no language: the towers that ship read English."""
    return 0 if language.lower().startswith("en") else 1


_LABEL, _ALIAS, _DESCRIPTION, _TYPE = range(4)

#: (what it is, rank of its language, rank of its relation, id of the triple, text); sorted, the best comes first.
_Text = tuple[int, int, int, int, str]


def _entity(number: int, iri: str, said: Iterable[_Text], pictures: Sequence[Picture] = ()) -> Entity:
    label, description = "", ""
    aliases: dict[str, None] = {}
    types: list[str] = []
    for what, _, _, _, text in sorted(said):
        if what == _LABEL and not label:
            label = text
        elif what in (_LABEL, _ALIAS):
            if text != label:
                aliases[text] = None
        elif what == _TYPE:
            types.append(text)
        elif not description:
            description = text
    return Entity(iri, label or local_name(iri), description, tuple(aliases), tuple(types), tuple(pictures), number)


_NAMES = select(triple.c.id, triple.c.head, triple.c.relation, term.c.kind, term.c.value, term.c.language).join_from(
    triple, term, term.c.id == triple.c.tail
)


def _sort_out(result: CursorResult[Any], known: Naming) -> dict[Any, list[_Text]]:
    """Group the rows of a query like ``_NAMES`` by their head."""
    places = {known.type: (_TYPE, 0)}
    for what, ranks in ((_DESCRIPTION, known.descriptions), (_ALIAS, known.aliases), (_LABEL, known.labels)):
        places |= {relation: (what, rank) for relation, rank in ranks.items()}
    said: dict[Any, list[_Text]] = defaultdict(list)
    for number, head, relation, kind, value, language in result.cursor.fetchall():  # the driver's rows: plain tuples
        what, rank = places[relation]
        if (kind == LITERAL) == (what != _TYPE):
            said[head].append((what, 0 if language is None else _language_rank(language), rank, number, value))
    return said


def describe(connection: Connection, iri: str, known: Naming) -> Entity:
    """Return what the store says of an entity.

    Raises:
        UnknownEntity: the store has never seen this IRI; the text gives near ones.
    """
    number = terms.find(connection, iri)
    if number is None:
        raise unknown(connection, iri)
    rows = connection.execute(_NAMES.where(triple.c.head == number, triple.c.relation.in_(known.all), _LIVE))
    said = _sort_out(rows, known)[number]
    return _entity(number, iri, said, read_pictures(connection, [number]))


def entity_ids(connection: Connection) -> np.ndarray:
    """Return the term ids of all entities, ascending, int64: heads and non-literal tails of active triples.

    Left out are RDF's own words and relations of which nothing is said but their names (a relation that is itself
    related to something is an entity too).
    """
    heads = select(triple.c.head).where(_LIVE)
    tails = (
        select(triple.c.tail).join_from(triple, term, term.c.id == triple.c.tail).where(_LIVE, term.c.kind != LITERAL)
    )
    numbers = np.fromiter(connection.execute(union(heads, tails)).scalars(), dtype=np.int64)
    relations = list(connection.execute(RELATION_IDS).scalars())
    dropped = set(relations) | set(terms.find_many(connection, _VOCABULARY).values())
    for part in terms.chunks(relations):
        about = select(triple.c.head, triple.c.tail, term.c.kind, _relation.c.value).select_from(
            triple.join(term, term.c.id == triple.c.tail).join(_relation, _relation.c.id == triple.c.relation)
        )
        for head, tail, kind, iri in connection.execute(about.where(triple.c.head.in_(part), _LIVE)):
            if kind != LITERAL and not iri.startswith((_RDF, RDFS, _OWL)):
                dropped -= {head, tail}
        for head, tail, _kind, iri in connection.execute(about.where(triple.c.tail.in_(part), _LIVE)):
            if not iri.startswith((_RDF, RDFS, _OWL)):
                dropped -= {head, tail}
    numbers.sort()
    return numbers[~np.isin(numbers, np.fromiter(dropped, dtype=np.int64))]


_relation = term.alias("r")


def degrees(connection: Connection) -> dict[int, int]:
    """Return term id → number of active triples that it is head of, or tail of as an entity."""
    heads = select(triple.c.head, func.count()).where(_LIVE).group_by(triple.c.head)
    counts: dict[int, int] = dict(connection.execute(heads).all())
    tails = select(triple.c.tail, func.count()).join_from(triple, term, term.c.id == triple.c.tail)
    for number, n in connection.execute(tails.where(_LIVE, term.c.kind != LITERAL).group_by(triple.c.tail)):
        counts[number] = counts.get(number, 0) + n
    return counts


def entities(database: Database, known: Naming, with_description: bool = True) -> Iterator[Entity]:
    """Yield every entity, in id order, reading ``WINDOW`` at a time."""
    with database.read() as connection:
        numbers = entity_ids(connection)
        has_pictures = connection.execute(select(picture.c.id).limit(1)).first() is not None
    wanted = known.all if with_description else (*known.names, known.type)
    # The unary plus keeps SQLite from going through the relation's index: the window of heads is the narrow way.
    named = _NAMES.where(triple.c.head.between(bindparam("low"), bindparam("high")), _LIVE)
    named = named.where((triple.c.relation + 0).in_(wanted)).order_by(triple.c.head)
    iris = select(term.c.id, term.c.value).where(term.c.id.between(bindparam("low"), bindparam("high")))
    for start in range(0, len(numbers), WINDOW):
        window = numbers[start : start + WINDOW]
        bounds = {"low": int(window[0]), "high": int(window[-1])}
        with database.read() as connection:
            values = dict(connection.execute(iris.where(term.c.kind != LITERAL), bounds).all())
            said = _sort_out(connection.execute(named, bounds), known)
            pictures: dict[str, list[Picture]] = defaultdict(list)
            if has_pictures:
                for shown in read_pictures(connection, bounds=(bounds["low"], bounds["high"])):
                    pictures[shown.entity].append(shown)
        for number in window.tolist():
            iri = values[number]
            yield _entity(number, iri, said.get(number, ()), pictures.get(iri, ()))


def read_pictures(
    connection: Connection,
    numbers: Iterable[int] | None = None,
    split: str | None = None,
    bounds: tuple[int, int] | None = None,
) -> list[Picture]:
    """Return the pictures, of some entities or in a range of entity ids, or of one split, in the order they came."""
    ask = (
        select(picture.c.path, term.c.value, picture.c.split, picture.c.root, picture.c.sha256, source.c.name)
        .select_from(picture.join(term, term.c.id == picture.c.entity).join(source, source.c.id == picture.c.source))
        .where(picture.c.retracted.is_(None))
        .order_by(picture.c.id)
    )
    if numbers is not None:
        ask = ask.where(picture.c.entity.in_(list(numbers)))
    if bounds is not None:
        ask = ask.where(picture.c.entity.between(*bounds))
    if split is not None:
        ask = ask.where(picture.c.split == split)
    return [Picture(*row) for row in connection.execute(ask)]


def labels(connection: Connection, iris: Iterable[str], known: Naming) -> dict[str, str]:
    """Return IRI → label, one query for every 500; the local name where no label is known."""
    found: dict[str, str] = {}
    head = term.alias("h")
    columns = (triple.c.id, head.c.value, triple.c.relation, term.c.kind, term.c.value, term.c.language)
    joined = head.join(triple, triple.c.head == head.c.id).join(term, term.c.id == triple.c.tail)
    ask = select(*columns).select_from(joined).where((triple.c.relation + 0).in_(tuple(known.labels)), _LIVE)
    for part in terms.chunks(dict.fromkeys(iris)):
        rows = connection.execute(ask.where(head.c.key.in_([terms.content_key(iri) for iri in part])))
        said = _sort_out(rows, known)
        found |= {iri: _entity(0, iri, said.get(iri, ())).label for iri in part}
    return found


def unknown(connection: Connection, text: str) -> UnknownEntity:
    """Return the error for a name or an IRI that nothing has, with up to five near names."""
    name = local_name(text) if "://" in text else text
    head, stem = fold(name)[:2], text[: max(text.rfind("/"), text.rfind("#"), 1) + 1]
    near = select(term.c.folded, term.c.value).where(term.c.folded >= head, term.c.folded < head + "\U0010ffff")
    iris = select(term.c.value).where(term.c.kind != LITERAL, term.c.value.startswith(stem, autoescape=True))
    names = dict(connection.execute(near.limit(5_000)).all()) if head else {}
    for iri in connection.execute(iris.limit(5_000)).scalars() if text else ():
        names.setdefault(fold(local_name(iri)), iri)
    close = difflib.get_close_matches(fold(name), names, n=5, cutoff=0.6)
    hint = f"; did you mean {', '.join(repr(names[c]) for c in close)}?" if close else ""
    return UnknownEntity(f"no entity is called '{text}'{hint}")

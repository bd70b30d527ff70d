"""What entities are called: labels, aliases, descriptions and types, of one or of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from kg.errors import UnknownEntity
from kg.names import fold, local_name
from kg.records import (
    ALIAS_RELATIONS,
    DESCRIPTION_RELATIONS,
    LABEL_RELATIONS,
    RDF_TYPE,
    RDFS,
    Entity,
    Literal,
    Picture,
)
from kg.store import facts, reading, terms
from kg.store.facts import Facts
from kg.store.light import ask
from kg.store.segments import IRIS, view

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from kg.store.connection import Database

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


@dataclass(frozen=True, slots=True)
class Naming:
    """Relation ids that name and describe, each with its rank (0 best), and the id of ``rdf:type`` (-1: none).

    With ``languages``, names in others are left out ("en" has "en-GB" in it); those of no language stay.
    """

    labels: dict[int, int]
    aliases: dict[int, int]
    descriptions: dict[int, int]
    type: int
    languages: tuple[str, ...] = ()

    def is_read(self, language: str | None) -> bool:
        """Tell whether names of a language are wanted."""
        if not self.languages or language is None:
            return True
        tag = language.lower()
        return any(tag == wanted or tag.startswith(wanted + "-") for wanted in self.languages)

    @property
    def all(self) -> tuple[int, ...]:
        return *self.labels, *self.aliases, *self.descriptions, self.type

    @property
    def names(self) -> tuple[int, ...]:
        return *self.labels, *self.aliases


def is_naming(relation: str) -> bool:
    """Tell whether a relation gives labels or aliases."""
    listed = relation in LABEL_RELATIONS or relation in ALIAS_RELATIONS
    return listed or fold(local_name(relation)).replace(" ", "") in (*_LABEL_WORDS, *_ALIAS_WORDS)


def naming(connection: Connection) -> Naming:
    """Return which of the store's relations name and describe."""
    found: tuple[dict[int, int], dict[int, int], dict[int, int]] = ({}, {}, {})
    kinds = (
        (LABEL_RELATIONS, _LABEL_WORDS),
        (ALIAS_RELATIONS, _ALIAS_WORDS),
        (DESCRIPTION_RELATIONS, _DESCRIPTION_WORDS),
    )
    rdf_type = -1
    for number, iri in sorted(terms.read_many(connection, reading.relation_ids(connection)).items()):
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


_LABEL, _ALIAS, _DESCRIPTION, _TYPE, _UNREAD = range(5)

#: (what it is, rank of its language, rank of its relation, id of the triple, text); sorted, the best comes first.
_Text = tuple[int, int, int, int, str]


def _entity(number: int, iri: str, said: Iterable[_Text], pictures: Sequence[Picture] = ()) -> Entity:
    label, description, without = "", "", local_name(iri)
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
        elif what == _UNREAD:
            without = ""  # it has names, only not in these languages
        elif not description:
            description = text
    return Entity(iri, label or without, description, tuple(aliases), tuple(types), tuple(pictures), number)


def _sort_out(connection: Connection, found: Facts, known: Naming) -> dict[int, list[_Text]]:
    """Return what statements say of each head: names, descriptions and types."""
    places = {known.type: (_TYPE, 0)}
    for what, ranks in ((_DESCRIPTION, known.descriptions), (_ALIAS, known.aliases), (_LABEL, known.labels)):
        places |= {relation: (what, rank) for relation, rank in ranks.items()}
    found = found.take(np.lexsort((np.abs(found.tail), found.added)))  # what came first: ids rise with every new term
    ends = terms.read_many(connection, found.tail)
    said: dict[int, list[_Text]] = defaultdict(list)
    rows = zip(found.head.tolist(), found.relation.tolist(), found.tail.tolist(), strict=True)
    for number, (head, relation, tail) in enumerate(rows):
        what, rank = places[relation]
        if (tail < 0) == (what != _TYPE):
            end = ends[tail]
            language = end.language if isinstance(end, Literal) else None
            if what in (_LABEL, _ALIAS) and not known.is_read(language):
                what = _UNREAD
            said[head].append((what, 0 if language is None else _language_rank(language), rank, number, str(end)))
    return said


def _said_of(
    connection: Connection, heads: np.ndarray, relations: Iterable[int], known: Naming, at: int | None = None
) -> dict[int, list[_Text]]:
    wanted = np.array([number for number in relations if number > 0], dtype=np.int64)
    return _sort_out(connection, facts.heads_of(connection, heads, wanted, at), known)


def describe(connection: Connection, iri: str, known: Naming, at: int | None = None) -> Entity:
    """Return what the store says of an entity at a version (None: now).

    Raises:
        UnknownEntity: the store has never seen this IRI; the text gives near ones.
    """
    number = terms.find(connection, iri)
    if number is None:
        raise unknown(connection, iri)
    said = _said_of(connection, np.array([number]), known.all, known, at).get(number, ())
    return _entity(number, iri, said, read_pictures(connection, [number], at=at))


def entity_ids(connection: Connection, at: int | None = None) -> np.ndarray:
    """Return the term ids of all entities at a version, ascending, int64: heads and non-literal tails of its triples.

    Left out are RDF's own words and relations of which nothing is said but their names (a relation that is itself
    related to something is an entity too).
    """
    relations = reading.relation_ids(connection, at)
    dropped = set(relations) | set(terms.find_many(connection, _VOCABULARY).values())
    iris = terms.read_many(connection, relations)
    own = {number for number, iri in iris.items() if str(iri).startswith((_RDF, RDFS, _OWL))}
    for number in relations:
        out, into = facts.match(connection, at, head=number), facts.match(connection, at, tail=number)
        for found, only_entities in ((out, True), (into, False)):
            for head, relation, tail in zip(
                found.head.tolist(), found.relation.tolist(), found.tail.tolist(), strict=True
            ):
                if relation not in own and (tail > 0 or not only_entities):
                    dropped -= {head, tail}
    numbers = ids_in_use(connection, at)
    return numbers[~np.isin(numbers, np.fromiter(dropped, dtype=np.int64))]


def ids_in_use(connection: Connection, at: int | None = None) -> np.ndarray:
    """Return the ids of all heads and non-literal tails of statements active at a version, ascending, int64."""
    last = terms.next_id(connection)
    is_used = np.zeros(last, dtype=bool)
    for found in facts.windows(connection, at):
        is_used[found.head] = True
        is_used[found.tail[found.tail > 0]] = True
    return np.flatnonzero(is_used)


def degrees(connection: Connection) -> dict[int, int]:
    """Return term id → number of active triples that it is head of, or tail of as an entity."""
    counts = np.zeros(terms.next_id(connection), dtype=np.int64)
    for found in facts.windows(connection):
        for ends in (found.head, found.tail[found.tail > 0]):
            numbers, n = np.unique(ends, return_counts=True)
            counts[numbers] += n
    used = np.flatnonzero(counts)
    return dict(zip(used.tolist(), counts[used].tolist(), strict=True))


def entities(database: Database, known: Naming, with_description: bool = True) -> Iterator[Entity]:
    """Yield every entity, in id order, reading ``WINDOW`` at a time."""
    with database.read() as connection:
        numbers = entity_ids(connection)
        has_pictures = bool(ask(connection, "SELECT id FROM picture LIMIT 1"))
    wanted = known.all if with_description else (*known.names, known.type)
    for start in range(0, len(numbers), WINDOW):
        window = numbers[start : start + WINDOW]
        with database.read() as connection:
            values = terms.read_many(connection, window)
            said = _said_of(connection, window, wanted, known)
            pictures: dict[str, list[Picture]] = defaultdict(list)
            if has_pictures:
                for shown in read_pictures(connection, bounds=(int(window[0]), int(window[-1]))):
                    pictures[shown.entity].append(shown)
        for number in window.tolist():
            iri = str(values[number])
            yield _entity(number, iri, said.get(number, ()), pictures.get(iri, ()))


def read_pictures(
    connection: Connection,
    numbers: Iterable[int] | None = None,
    split: str | None = None,
    bounds: tuple[int, int] | None = None,
    at: int | None = None,
) -> list[Picture]:
    """Return the pictures at a version, of some entities or in a range of entity ids, or of one split, as they came."""
    if not ask(connection, "SELECT id FROM picture LIMIT 1"):
        return []
    from sqlalchemy import select

    from kg.store.schema import picture, source

    gone = picture.c.retracted
    is_there = gone.is_(None) if at is None else (picture.c.added <= at) & (gone.is_(None) | (gone > at))
    sought = (
        select(picture.c.path, picture.c.entity, picture.c.split, picture.c.root, picture.c.sha256, source.c.name)
        .select_from(picture.join(source, source.c.id == picture.c.source))
        .where(is_there)
        .order_by(picture.c.id)
    )
    if numbers is not None:
        sought = sought.where(picture.c.entity.in_(list(numbers)))
    if bounds is not None:
        sought = sought.where(picture.c.entity.between(*bounds))
    if split is not None:
        sought = sought.where(picture.c.split == split)
    rows = connection.execute(sought).all()
    iris = terms.read_many(connection, [row[1] for row in rows])
    return [Picture(path, str(iris[entity]), *rest) for path, entity, *rest in rows]


def labels(connection: Connection, iris: Iterable[str], known: Naming, at: int | None = None) -> dict[str, str]:
    """Return IRI → label at a version (None: now), 5,000 at a time; the local name where no label is known."""
    found: dict[str, str] = {}
    for part in terms.chunks(dict.fromkeys(iris), 5_000):
        ids = terms.find_many(connection, part)
        said = _said_of(connection, np.array(sorted(ids.values()), dtype=np.int64), known.labels, known, at)
        found |= {iri: _entity(0, iri, said.get(ids.get(iri, 0), ())).label for iri in part}
    return found


def unknown(connection: Connection, text: str) -> UnknownEntity:
    """Return the error for a name or an IRI that nothing has, with up to five near names."""
    from sqlalchemy import select

    from kg.store.finding import names_from
    from kg.store.schema import term

    name = local_name(text) if "://" in text else text
    head, stem = fold(name)[:2], text[: max(text.rfind("/"), text.rfind("#"), 1) + 1]
    names: dict[str, str] = {}
    if head:
        near = dict(islice(names_from(connection, head), 5_000))
        values = terms.read_many(connection, list(near))
        names = {folded: str(values[number]) for number, folded in near.items()}
    if text:
        rows = select(term.c.value).where(term.c.id > 0, term.c.value.startswith(stem, autoescape=True))
        stored = (iri for iri in islice(view(connection).contents(connection, IRIS), 200_000) if iri.startswith(stem))
        for iri in islice(chain(connection.execute(rows.limit(5_000)).scalars(), stored), 5_000):
            names.setdefault(fold(local_name(iri)), iri)
    import difflib

    close = difflib.get_close_matches(fold(name), names, n=5, cutoff=0.6)
    hint = f"; did you mean {', '.join(repr(names[c]) for c in close)}?" if close else ""
    return UnknownEntity(f"no entity is called '{text}'{hint}")

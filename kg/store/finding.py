"""From a name to the entities that have it: one, several, or a search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np

from kg.errors import UnknownEntity
from kg.names import fold
from kg.records import Entity
from kg.store import facts, naming, terms
from kg.store.naming import Naming
from kg.store.segments import NAMES, view

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: How many names that begin with, or contain, a text are looked at.
_MOST = 2_000


def prefix_number(folded: str) -> int:
    """Return the first seven bytes of a folded name as a number: the order of such numbers is that of the names."""
    return int.from_bytes(folded.encode()[:7].ljust(7, b"\0"), "big")


def names_from(connection: Connection, prefix: str, whole: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (literal id, folded name) of the names that begin with ``prefix``, or are just that."""
    from sqlalchemy import select

    from kg.store.schema import name

    condition = name.c.folded == prefix
    if not whole:
        condition = (name.c.folded >= prefix) & (name.c.folded < prefix + "\U0010ffff")
    for number, folded in connection.execute(select(name.c.literal, name.c.folded).where(condition)):
        yield number, folded
    low = prefix_number(prefix)
    high = low if whole else int.from_bytes(prefix.encode()[:7].ljust(7, b"\xff"), "big")
    for one in view(connection).segments:
        directory = one.directory(connection, NAMES)
        for place in directory.between((low, -1), (high, 1 << 62)):
            for number, folded in _names(connection, one, directory.ids[place], directory.counts[place]):
                if folded == prefix if whole else folded.startswith(prefix):
                    yield number, folded


def names_with(connection: Connection, part: str) -> Iterator[tuple[int, str]]:
    """Yield (literal id, folded name) of the names that contain ``part``, reading through all names."""
    from sqlalchemy import select

    from kg.store.schema import name

    inside = select(name.c.literal, name.c.folded).where(name.c.folded.contains(part, autoescape=True))
    for number, folded in connection.execute(inside):
        yield number, folded
    sought = part.encode()
    for one in view(connection).segments:
        directory = one.directory(connection, NAMES)
        for number, count in zip(directory.ids, directory.counts, strict=True):
            if sought in one.texts(connection, number, 2 * count)[0]:
                yield from (pair for pair in _names(connection, one, number, count) if part in pair[1])


def _names(connection: Connection, one: object, number: int, count: int) -> Iterator[tuple[int, str]]:
    """Yield the names of a block: folded texts, then as many ids written as text."""
    run, offsets = one.texts(connection, number, 2 * count)  # type: ignore[attr-defined]
    bounds = offsets.tolist()
    texts = [run[start:stop] for start, stop in pairwise(bounds)]
    for folded, literal in zip(texts[:count], texts[count:], strict=True):
        yield int(literal), folded.decode()


def _owners(connection: Connection, literals: Iterable[int], known: Naming) -> Iterator[tuple[int, int, bool]]:
    """Yield (literal, entity, is it its label) of the entities that are called by literals."""
    names = np.array(known.names, dtype=np.int64)
    for literal in literals:
        found = facts.match(connection, tail=literal)
        found = found.take(np.isin(found.relation, names))
        for head, relation in zip(found.head.tolist(), found.relation.tolist(), strict=True):
            yield literal, head, relation in known.labels


def called(connection: Connection, text: str, known: Naming) -> dict[str, bool]:
    """Return the IRIs of entities with that label (True) or alias (False), ignoring case and accents."""
    literals = dict.fromkeys(number for number, _ in names_from(connection, fold(text), whole=True))
    owners = list(_owners(connection, literals, known))
    iris = terms.read_many(connection, [head for _, head, _ in owners])
    found: dict[str, bool] = {}
    for _, head, is_label in sorted(owners, key=lambda owner: owner[1]):
        iri = str(iris[head])
        found[iri] = found.get(iri, False) or is_label
    return found


def resolve(connection: Connection, text: str, known: Naming) -> str:
    """Return the IRI that a user means: an exact IRI, or the only entity of that label, or else of that alias.

    Raises:
        UnknownEntity: none or several; the text gives up to five candidates.
    """
    if text and terms.find(connection, text) is not None:
        return text
    found = called(connection, text, known) if text.strip() else {}
    by_label = [iri for iri, is_label in found.items() if is_label]
    if len(by_label) == 1:
        return by_label[0]
    if len(found) == 1:
        return next(iter(found))
    if found:
        some = ", ".join(list(by_label or found)[:5])
        raise UnknownEntity(f"{len(by_label or found)} entities are called '{text}': give the IRI ({some})")
    raise naming.unknown(connection, text)


def search(connection: Connection, text: str, limit: int, known: Naming) -> list[Entity]:
    """Return entities one of whose names is, begins with, or contains ``text``, in this order; shorter names first."""
    folded = fold(text)
    if not folded:
        return []
    found: dict[int, None] = {}
    for names in (names_from(connection, folded), names_with(connection, folded)):
        first = sorted(dict(islice(names, _MOST)).items(), key=lambda pair: (len(pair[1]), pair[1]))
        for _, head, _ in _owners(connection, (number for number, _ in first), known):
            found[head] = None
            if len(found) >= limit:
                break
        if len(found) >= limit:
            break
    chosen = list(found)[:limit]
    iris = terms.read_many(connection, chosen)
    return [naming.describe(connection, str(iris[head]), known) for head in chosen]

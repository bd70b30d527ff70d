"""From a name to the entities that have it: one, several, or a search."""

from __future__ import annotations

from sqlalchemy import Connection, select

from kg.errors import UnknownEntity
from kg.names import fold
from kg.records import Entity
from kg.store import naming, terms
from kg.store.naming import Naming
from kg.store.schema import term, triple

_LIVE = triple.c.retracted.is_(None)


def called(connection: Connection, text: str, known: Naming) -> dict[str, bool]:
    """Return the IRIs of entities with that label (True) or alias (False), ignoring case and accents."""
    head = term.alias("h")
    ask = (
        select(head.c.value, triple.c.relation)
        .select_from(term.join(triple, triple.c.tail == term.c.id).join(head, head.c.id == triple.c.head))
        .where(term.c.folded == fold(text), _LIVE)
        .where((triple.c.relation + 0).in_(known.names))
        .order_by(triple.c.id)
    )
    found: dict[str, bool] = {}
    for iri, relation in connection.execute(ask):
        found[iri] = found.get(iri, False) or relation in known.labels
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
    head = term.alias("h")
    ask = (
        select(head.c.value, term.c.folded)
        .select_from(term.join(triple, triple.c.tail == term.c.id).join(head, head.c.id == triple.c.head))
        .where((triple.c.relation + 0).in_(known.names), _LIVE)
    )
    prefix = ask.where(term.c.folded >= folded, term.c.folded < folded + "\U0010ffff")
    inside = ask.where(term.c.folded.contains(folded, autoescape=True))
    found: dict[str, None] = {}
    for query in (prefix, inside):
        rows = connection.execute(query.limit(2_000)).all()
        found |= dict.fromkeys(row[0] for row in sorted(rows, key=lambda row: (len(row.folded), row.folded)))
        if len(found) >= limit:
            break
    return [naming.describe(connection, iri, known) for iri in list(found)[:limit]]

"""Wikidata's JSON dump (``latest-all.json.gz`` or ``.bz2``), streamed: names, claims, qualifiers, ranks, units.

The dump is an array with one entity a line. A file as ``Special:EntityData/Q42.json`` gives it is read, too. A claim
is ``(entity/Q42, prop/direct/P31, value)``: IRIs are those of Wikidata's RDF, and so a property's names are also
given to ``prop/direct/P31``. "Some value" and "no value" are no facts and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from typing import Literal as Choice

from kg.errors import FormatError
from kg.ingest import json_text
from kg.ingest.files import LONGEST_LINE, open_bytes
from kg.ingest.wikidata_values import ENTITY, WIKIBASE, WIKIDATA, entity_id, read_value
from kg.records import RDFS, SCHEMA, SKOS, Literal

RELATION = WIKIDATA + "prop/direct/"
QUALIFIER = WIKIDATA + "prop/qualifier/"
RANK = WIKIBASE + "rank"

Reject = Callable[[FormatError], None]
#: "best": the preferred claims of a property or, if there are none, the normal ones; "valid": all but the deprecated.
Ranks = Choice["best", "valid", "all"]

_NAMES = (("labels", RDFS + "label"), ("descriptions", SCHEMA + "description"), ("aliases", SKOS + "altLabel"))


def read_wikidata(
    path: Path,
    reject: Reject,
    *,
    language: tuple[str, ...] = (),
    ranks: Ranks = "best",
    properties: tuple[str, ...] = (),
    qualifiers: bool = True,
) -> Iterator[Any]:
    """Yield the facts of a dump; an entity that can't be read is rejected.

    Args:
        language: only labels, descriptions and aliases in these languages (``en,de``) and in none (``mul``).
        ranks: which claims of a property.
        properties: only claims of these (``P31,P18``); names are always read.
        qualifiers: keep what is said of a claim.
    """
    wanted = frozenset((*language, "mul")) if language else frozenset()
    with open_bytes(path, LONGEST_LINE) as file:
        is_whole, number = True, 0
        for number, raw in enumerate(file, 1):
            line = raw.strip().removesuffix(b",")
            if line.startswith(b"[") != line.endswith(b"]"):  # the array's first line, or its last
                is_whole = line.endswith(b"]")
                line = line.removeprefix(b"[") if not is_whole else line.removesuffix(b"]")
            if not line.strip():
                continue
            try:
                document = json_text.parse(line)
                for entity in _entities(document):
                    # All of an entity or nothing: what is wrong with it may be found at its end.
                    yield from list(_facts(entity, wanted, ranks, frozenset(properties), qualifiers))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                what = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
                reject(FormatError(str(path), number, f"not an entity of Wikidata's JSON ({what})"))
        if not is_whole:
            reject(FormatError(str(path), number, "the array does not end: is the file cut off?"))


def _entities(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise ValueError("not an object")
    if "entities" in document:
        return list(document["entities"].values())
    return [document]


def _facts(
    entity: dict[str, Any], languages: frozenset[str], ranks: Ranks, properties: frozenset[str], with_qualifiers: bool
) -> Iterator[Any]:
    if "id" not in entity and "missing" in entity:
        return
    number = entity_id({"id": entity["id"]})
    iri = ENTITY + number
    heads = (iri, RELATION + number) if number.startswith("P") else (iri,)
    for key, relation in _NAMES:
        for name in _names(entity.get(key) or {}, languages):
            for head in heads:
                yield head, relation, name
    claims = entity.get("claims") or entity.get("statements") or {}
    if not isinstance(claims, dict):
        raise ValueError("its claims are not an object")
    for property, group in claims.items():
        if properties and property not in properties:
            continue
        entity_id({"id": property})
        for claim in _ranked(group, ranks):
            yield from _claim(iri, property, claim, ranks, with_qualifiers)


def _names(given: Any, languages: frozenset[str]) -> Iterator[Literal]:
    """Yield labels, descriptions or aliases. An empty set of them is written as an array."""
    if not given:
        return
    for language, value in given.items():
        if not languages or language in languages:
            for one in value if isinstance(value, list) else (value,):
                if not isinstance(one["value"], str) or not isinstance(one["language"], str):
                    raise ValueError("a name is not a text")
                yield Literal(one["value"], language=one["language"])


def _ranked(claims: list[dict[str, Any]], ranks: Ranks) -> list[dict[str, Any]]:
    if ranks == "all":
        return claims
    if ranks == "best" and (preferred := [claim for claim in claims if claim["rank"] == "preferred"]):
        return preferred
    return [claim for claim in claims if claim["rank"] != "deprecated"]


def _claim(head: str, property: str, claim: dict[str, Any], ranks: Ranks, with_qualifiers: bool) -> Iterator[Any]:
    found = read_value(claim["mainsnak"])
    if found is None:
        return
    tail, more = found
    said = list(more)
    for key, snaks in (claim.get("qualifiers") or {}).items() if with_qualifiers else ():
        for snak in snaks:
            if value := read_value(snak):
                said.append((QUALIFIER + key, value[0]))
    if ranks != "best" and claim["rank"] != "normal":
        said.append((RANK, WIKIBASE + str(claim["rank"]).capitalize() + "Rank"))
    yield (head, RELATION + property, tail, tuple(said)) if said else (head, RELATION + property, tail)

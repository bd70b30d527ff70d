"""Wikidata's values as tails: entities, quantities with units, times, places, texts (Wikibase's JSON data model).

{"type": "quantity", "value": {"amount": "+2.5", "unit": "…/Q11573"}}   →  Literal("2.5", xsd:decimal, unit="…/Q11573")
{"type": "time", "value": {"time": "+1871-00-00T00:00:00Z", "precision": 9}}   →  Literal("1871", xsd:gYear)
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from kg.records import XSD, Literal, Tail

WIKIDATA = "http://www.wikidata.org/"
ENTITY = WIKIDATA + "entity/"
WIKIBASE = "http://wikiba.se/ontology#"
FILE_PATH = "http://commons.wikimedia.org/wiki/Special:FilePath/"
_WKT = "http://www.opengis.net/ont/geosparql#wktLiteral"
_EARTH, _GREGORIAN = ENTITY + "Q2", ENTITY + "Q1985727"
_TIME = re.compile(r"([+-])(\d{1,16})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z")
_ID = re.compile(r"[QPL][1-9][0-9]*(-[FS][1-9][0-9]*)?")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")

Qualifiers = list[tuple[str, Tail]]


def read_value(snak: dict[str, Any]) -> tuple[Tail, Qualifiers] | None:
    """Return the tail of a snak, with what of it no literal can hold as qualifiers; None for "some" and "no" value.

    Raises:
        ValueError, KeyError, TypeError: it is not as Wikibase writes it.
    """
    if snak["snaktype"] in ("somevalue", "novalue"):
        return None
    given = snak["datavalue"]
    kind, value = given["type"], given["value"]
    if kind == "wikibase-entityid":
        return ENTITY + entity_id(value), []
    if kind == "string":
        return _text(value, snak.get("datatype", "")), []
    if kind == "monolingualtext":
        return Literal(_string(value["text"]), language=_string(value["language"])), []
    if kind == "quantity":
        return _quantity(value)
    if kind == "time":
        return _time(value)
    if kind == "globecoordinate":
        globe = value.get("globe") or _EARTH
        place = f"Point({float(value['longitude']):.12g} {float(value['latitude']):.12g})"
        return Literal(place if globe.endswith("/Q2") else f"<{globe}> {place}", _WKT), []
    raise ValueError(f"a value of the unknown type '{kind}'")


def entity_id(value: dict[str, Any]) -> str:
    """Return the id of an entity value, "Q42"; old dumps give only its number."""
    found = value.get("id") or {"item": "Q", "property": "P"}[value["entity-type"]] + str(value["numeric-id"])
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise ValueError(f"'{str(found)[:40]}' is no id of Wikidata")
    return found


def _text(value: Any, datatype: str) -> Literal:
    text = _string(value)
    if datatype == "commonsMedia":
        return Literal(FILE_PATH + quote(text.replace(" ", "_"), safe=""), XSD + "anyURI")
    return Literal(text, XSD + "anyURI" if datatype == "url" else None)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is not a text")
    return value


def _quantity(value: dict[str, Any]) -> tuple[Literal, Qualifiers]:
    def number(text: Any) -> str:
        if not _NUMBER.fullmatch(_string(text)):
            raise ValueError(f"'{text[:40]}' is not a number")
        return str(text).removeprefix("+")

    unit = value.get("unit", "1")
    bounds: Qualifiers = [
        (WIKIBASE + "quantity" + name, Literal(number(value[key]), XSD + "decimal"))
        for key, name in (("upperBound", "UpperBound"), ("lowerBound", "LowerBound"))
        if value.get(key) is not None
    ]
    return Literal(number(value["amount"]), XSD + "decimal", unit=None if unit == "1" else _string(unit)), bounds


def _time(value: dict[str, Any]) -> tuple[Literal, Qualifiers]:
    """A day, a month, a year; of a coarser or finer time its precision is a qualifier, as is another calendar."""
    found = _TIME.fullmatch(_string(value["time"]))
    if not found:
        raise ValueError(f"'{value['time'][:40]}' is not a time of Wikidata")
    sign, year, month, day = found[1].replace("+", ""), found[2].lstrip("0").rjust(4, "0"), found[3], found[4]
    precision = int(value["precision"])
    if precision > 11:
        literal = Literal(f"{sign}{year}-{month}-{day}T{found[5]}:{found[6]}:{found[7]}Z", XSD + "dateTime")
    elif precision == 11:
        literal = Literal(f"{sign}{year}-{month}-{day}", XSD + "date")
    elif precision == 10:
        literal = Literal(f"{sign}{year}-{month}", XSD + "gYearMonth")
    else:
        literal = Literal(sign + year, XSD + "gYear")
    more: Qualifiers = []
    if not 9 <= precision <= 11:
        more.append((WIKIBASE + "timePrecision", Literal(str(precision), XSD + "integer")))
    calendar = value.get("calendarmodel") or _GREGORIAN
    if not calendar.endswith("/Q1985727"):
        more.append((WIKIBASE + "timeCalendarModel", _string(calendar)))
    return literal, more

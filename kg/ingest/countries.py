"""The countries of the world from the packages ``countryinfo`` (facts) and ``pycountry`` (ISO 639 and ISO 4217 names).

Countries, capitals, regions, languages and currencies are entities; borders and codes are resolved to them. What is
said of a country stands in its facts only: its definition is "Italy is a country.", which answers no question.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg.errors import FormatError, InputError
from kg.names import fold
from kg.records import RDF_TYPE, RDFS, SKOS, XSD, Literal, Picture, Tail

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Fact = tuple[str, str, Tail]
Reject = Callable[[FormatError], None]

BASE = "http://kemm.example/"
COUNTRY, PLACE, REGION = BASE + "country/", BASE + "place/", BASE + "region/"
LANGUAGE, CURRENCY = BASE + "language/", BASE + "currency/"
RELATION, TYPE = BASE + "relation/", BASE + "type/"

#: Relation → label.
RELATIONS = {
    "capital": "capital",
    "borders": "borders",
    "region": "region",
    "subregion": "subregion",
    "partOf": "part of",
    "language": "language",
    "currency": "currency",
    "area": "area",
    "population": "population",
    "callingCode": "calling code",
    "topLevelDomain": "top-level domain",
    "demonym": "demonym",
}

#: Short names that people write; all other names of two or three capitals are codes, and would be linked everywhere.
_SHORT_NAMES = ("UK", "USA", "UAE")

#: Codes that ISO 4217 has dropped since, and that the data still use.
_FORMER_CURRENCIES = {
    "BGN": "Bulgarian Lev",
    "BYR": "Belarusian Ruble",
    "CUC": "Convertible Peso",
    "HRK": "Croatian Kuna",
    "MRO": "Mauritanian Ouguiya",
    "SLL": "Sierra Leonean Leone",
    "STD": "São Tomé and Príncipe Dobra",
    "VEF": "Venezuelan Bolívar",
    "ZMK": "Zambian Kwacha",
}
#: Units of account, which nobody pays with.
_FUNDS = ("BOV", "CHE", "CHW", "CLF", "CSD", "USN", "USS", "UYI")

#: Serbia and Montenegro, one state until 2006.
_FORMER_COUNTRIES = ("CS",)

#: A country's code where its language's belongs.
_LANGUAGE_MISTAKES = {"rs": "sr"}

#: Where ISO 639-3 has another name than people use.
_LANGUAGE_NAMES = {"el": "Greek"}

#: Flags whose file has another name than the country has in countryinfo.
FLAG_NAMES = {
    "Eswatini": "SZ",
    "Georgia_(Country)": "GE",
    "North_Macedonia": "MK",
    "The_Central_African_Republic": "CF",
    "The_Comoros": "KM",
    "The_Czech_Republic": "CZ",
    "The_Democratic_Republic_Of_The_Congo": "CD",
    "The_Dominican_Republic": "DO",
    "The_Federated_States_Of_Micronesia": "FM",
    "The_Maldives": "MV",
    "The_Marshall_Islands": "MH",
    "The_Netherlands": "NL",
    "The_Philippines": "PH",
    "The_Republic_Of_The_Congo": "CG",
    "The_United_Arab_Emirates": "AE",
    "The_United_Kingdom": "GB",
    "The_United_States": "US",
    "Vatican_City": "VA",
}


def read_countries(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield all facts on countries; ``path`` is the word "countries", and read by nobody."""
    return countries()


def countries() -> Iterator[Fact]:
    """Yield the facts on every country that has a region and at least an area or a population.

    Raises:
        InputError: one of the packages is not installed.
    """
    records = _records()
    codes = {record["ISO"]["alpha3"]: code for code, record in records.items()} | {code: code for code in records}
    said: set[str] = set()  # entities that have been introduced

    def introduce(iri: str, kind: str, label: str, *aliases: str) -> Iterator[Fact]:
        if iri not in said:
            said.add(iri)
            yield iri, RDF_TYPE, TYPE + kind
            yield iri, RDFS + "label", Literal(label, language="en")
            yield iri, SKOS + "definition", Literal(f"{label} is a {kind.lower()}.", language="en")
            for alias in aliases:
                yield iri, SKOS + "altLabel", Literal(alias, language="en")

    for name, label in RELATIONS.items():
        yield RELATION + name, RDFS + "label", Literal(label, language="en")
    for name in ("Country", "City", "Region", "Language", "Currency"):
        yield TYPE + name, RDFS + "label", Literal(name.lower(), language="en")
    for code, record in records.items():
        country = COUNTRY + code
        yield from introduce(country, "Country", record["name"])
        yield from _aliases(country, record)
        if capital := _capital(record):
            city = f"{PLACE}{code}_{_slug(capital)}"
            yield from introduce(city, "City", capital)
            yield country, RELATION + "capital", city
        region, subregion = REGION + _slug(record["region"]), REGION + _slug(record["subregion"])
        yield from introduce(region, "Region", record["region"])
        yield country, RELATION + "region", region
        if record["subregion"]:
            yield from introduce(subregion, "Region", record["subregion"])
            yield country, RELATION + "subregion", subregion
            yield subregion, RELATION + "partOf", region
        for border in record.get("borders") or ():
            if border in codes:  # Kosovo's has no entry
                yield country, RELATION + "borders", COUNTRY + codes[border]
        for language, names in _languages(record):
            yield from introduce(LANGUAGE + language, "Language", *names)
            yield country, RELATION + "language", LANGUAGE + language
        for currency, label in _currencies(record):
            yield from introduce(CURRENCY + currency, "Currency", label)
            yield country, RELATION + "currency", CURRENCY + currency
        yield from _literals(country, record)


def _records() -> dict[str, dict[str, Any]]:
    """Return ISO code → record of the usable countries, names of others with the same code as further spellings."""
    spec = importlib.util.find_spec("countryinfo")
    folders = [Path(place) / "data" for place in spec.submodule_search_locations or ()] if spec else []
    files = [file for folder in folders for file in sorted(folder.glob("*.json"))]
    if not files:
        raise InputError("the facts on countries are not here: pip install countryinfo")
    records: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            code = record["ISO"]["alpha2"]
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(str(file), 0, f"not a record of countryinfo ({error!r})") from None
        if (
            not code
            or code in _FORMER_COUNTRIES
            or not record.get("region")
            or not (record.get("area") or record.get("population"))
        ):
            continue
        other = records.get(code)
        if other and ("(" in record["name"] or "," in record["name"]):
            record, other = other, record
        if other:
            record["altSpellings"] = [*record["altSpellings"], *other["altSpellings"], other["name"]]
        records[code] = record
    return dict(sorted(records.items()))


def _aliases(country: str, record: dict[str, Any]) -> Iterator[Fact]:
    names: list[tuple[str, str | None]] = [(name, None) for name in record.get("altSpellings") or ()]
    languages = record.get("languages") or [None]
    names.append((record.get("nativeName") or "", languages[0]))
    names += [(name, language) for language, name in (record.get("translations") or {}).items()]
    seen = {record["name"]}
    for name, language in names:
        is_code = len(name) <= 3 and name.isascii() and name.isupper() and name not in _SHORT_NAMES
        if name and name not in seen and not is_code:
            seen.add(name)
            yield country, SKOS + "altLabel", Literal(name, language=language)


def _capital(record: dict[str, Any]) -> str:
    capital = record.get("capital") or ""
    return str(capital[0] if isinstance(capital, list) else capital)


def _languages(record: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield ISO 639 code and names, best first; what is in brackets, such as "(macrolanguage)", is left out."""
    try:
        import pycountry
    except ImportError:
        raise InputError("the names of languages and currencies are not here: pip install pycountry") from None
    for given in record.get("languages") or ():
        code = _LANGUAGE_MISTAKES.get(given, given)
        found = pycountry.languages.get(**{"alpha_2" if len(code) == 2 else "alpha_3": code})
        if found is not None:
            name = re.sub(r" \(.*\)", "", found.name)
            yield code, list(dict.fromkeys([_LANGUAGE_NAMES.get(code, name), name]))


def _currencies(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    import pycountry

    for code in record.get("currencies") or ():
        found = pycountry.currencies.get(alpha_3=code)
        label = found.name if found is not None else _FORMER_CURRENCIES.get(code, "")
        if label and code not in _FUNDS:
            yield code, label


def _literals(country: str, record: dict[str, Any]) -> Iterator[Fact]:
    if record.get("area"):
        yield country, RELATION + "area", Literal(str(record["area"]), XSD + "decimal", unit="km²")
    if record.get("population"):
        yield country, RELATION + "population", Literal(str(record["population"]), XSD + "integer")
    for code in record.get("callingCodes") or ():
        if code:
            yield country, RELATION + "callingCode", Literal(f"+{code}")
    for domain in record.get("tld") or ():
        yield country, RELATION + "topLevelDomain", Literal(domain)
    if record.get("demonym"):
        yield country, RELATION + "demonym", Literal(record["demonym"], language="en")


def _slug(name: str) -> str:
    return re.sub(r"[^\w.'-]+", "_", name).strip("_")


def flag_pictures(graph: KnowledgeGraph, folder: str | Path, missing: list[str] | None = None) -> list[Picture]:
    """Write flagpy's flags as PNG files and return them as pictures of the store's countries.

    Args:
        graph: a store with the facts of ``countries``.
        folder: where the pictures go, named by ISO code: ``IT.png``.
        missing: gets the names of the flags whose country the store does not have; they are logged, too.

    Raises:
        InputError: the package is not installed.
        FormatError: one of its files is not a pickled array.
    """
    from PIL import Image

    from kg.ingest.flags import flag_files, read_flag

    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    known = [statement.head for statement in graph.triples(relation=RDF_TYPE, tail=TYPE + "Country")]
    by_name = {fold(label): iri for iri, label in graph.labels(known).items()}
    pictures, absent = [], []
    for name, file in flag_files().items():
        iri = COUNTRY + FLAG_NAMES[name] if name in FLAG_NAMES else by_name.get(fold(name.replace("_", " ")), "")
        if iri not in known:
            absent.append(name)
            continue
        data = io.BytesIO()
        Image.fromarray(read_flag(file)).save(data, "png")
        target = folder / f"{iri.removeprefix(COUNTRY)}.png"
        fresh = target.with_suffix(".part")
        fresh.write_bytes(data.getvalue())
        fresh.rename(target)
        digest = hashlib.sha256(data.getvalue()).hexdigest()
        pictures.append(Picture(target.name, iri, root=str(folder), sha256=digest, source="flagpy"))
    if absent:
        logging.getLogger(__name__).warning("%d flags have no country in the store: %s", len(absent), ", ".join(absent))
    if missing is not None:
        missing += absent
    return pictures

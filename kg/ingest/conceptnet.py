"""ConceptNet (Speer et al., 2017, arXiv:1612.03975): its assertions, and the triples made from it for KG completion.

    /a/[/r/IsA/,/c/en/cat/,/c/en/pet/]   /r/IsA   /c/en/cat   /c/en/pet   {"dataset": "/d/verbosity", "weight": 2.0}
    IsA   cat   animal

The first form (``conceptnet-assertions-5.7.0.csv.gz``, columns between tabs) gives IRIs below http://conceptnet.io with
their labels, and weight and dataset as qualifiers. The second (relation, head, tail and maybe a weight) keeps names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kg.errors import FormatError
from kg.ingest import json_text
from kg.ingest.files import LONGEST_LINE, open_bytes
from kg.records import RDFS, XSD, Literal, Tail

SITE = "http://conceptnet.io"
WEIGHT, DATASET = SITE + "/ontology/weight", SITE + "/ontology/dataset"

#: Labels given lately: a label is repeated rather than all of them remembered.
_REMEMBERED = 500_000

Reject = Callable[[FormatError], None]


def read_conceptnet(
    path: Path, reject: Reject, *, language: tuple[str, ...] = (), least_weight: float = 0.0, labels: bool = True
) -> Iterator[Any]:
    """Yield ConceptNet's facts; a wrong line is rejected.

    Args:
        language: only facts between concepts of these languages (``en,de``); all by default. The second form has none.
        least_weight: only facts of at least this weight.
        labels: also yield the words of each concept as its label, in its language.
    """
    told: set[str] = set()
    with open_bytes(path, LONGEST_LINE) as file:
        for number, raw in enumerate(file, 1):
            try:
                fields = raw.decode().rstrip("\r\n").split("\t")
                if fields == [""]:
                    continue
                if fields[0].startswith("/a/"):
                    yield from _assertion(fields, language, least_weight, told if labels else None)
                else:
                    yield from _triple(fields, least_weight)
            except UnicodeDecodeError:
                reject(FormatError(str(path), number, "not UTF-8 text: convert it (iconv -t UTF-8)"))
            except ValueError as error:
                reject(FormatError(str(path), number, str(error)))


def _assertion(fields: list[str], languages: tuple[str, ...], least: float, told: set[str] | None) -> Iterator[Any]:
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} columns instead of 5 (assertion, relation, start, end, JSON)")
    _, relation, start, end, about = fields
    for term, kind in ((relation, "/r/"), (start, "/"), (end, "/")):
        if not term.startswith((kind, "http://", "https://") if kind == "/" else kind):
            raise ValueError(f"'{term[:60]}' is no {'relation' if kind == '/r/' else 'concept'} of ConceptNet")
    if languages and not all(_language(term) in languages for term in (start, end)):
        return
    try:
        more = json_text.parse(about)
        weight, dataset = more["weight"], more.get("dataset")
        if not isinstance(weight, int | float) or isinstance(weight, bool):
            raise ValueError("its weight is not a number")
        if dataset is not None and not isinstance(dataset, str):
            raise ValueError("its dataset is not a text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the last column is not the JSON of an assertion ({error})") from None
    if weight < least:
        return
    qualifiers: list[tuple[str, Tail]] = [(WEIGHT, Literal(repr(weight), XSD + "double"))]
    if dataset:
        qualifiers.append((DATASET, SITE + dataset))
    yield _iri(start), SITE + relation, _iri(end), tuple(qualifiers)
    if told is None:
        return
    if len(told) > _REMEMBERED:
        told.clear()
    for term in (start, end, relation):
        if term not in told:
            told.add(term)
            parts = term.split("/")
            if term.startswith("/c/") and len(parts) > 3 and parts[3]:
                yield _iri(term), RDFS + "label", Literal(parts[3].replace("_", " "), language=parts[2] or None)


def _triple(fields: list[str], least: float) -> Iterator[Any]:
    if len(fields) not in (3, 4):
        raise ValueError(f"{len(fields)} columns instead of 3 (relation, head, tail) or 4 (and a weight)")
    relation, head, tail = (field.strip() for field in fields[:3])
    if not (relation and head and tail):
        raise ValueError("a column is empty")
    if len(fields) == 3:
        yield head, relation, tail
    elif (weight := float(fields[3])) >= least:
        yield head, relation, tail, ((WEIGHT, Literal(repr(weight), XSD + "double")),)


def _iri(term: str) -> str:
    return SITE + term if term.startswith("/") else term


def _language(term: str) -> str:
    return term.split("/")[2] if term.startswith("/c/") and term.count("/") > 2 else ""

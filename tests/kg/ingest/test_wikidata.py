from __future__ import annotations

import bz2
import json
from pathlib import Path
from typing import Any

import pytest

from kg.errors import FormatError
from kg.ingest.wikidata import QUALIFIER, RANK, RELATION, read_wikidata
from kg.ingest.wikidata_values import ENTITY, FILE_PATH, WIKIBASE
from kg.records import RDFS, SCHEMA, SKOS, XSD, Literal

WKT = "http://www.opengis.net/ont/geosparql#wktLiteral"


def snak(type: str, value: Any, property: str = "P1", datatype: str = "") -> dict[str, Any]:
    given = {"type": type, "value": value}
    return {"snaktype": "value", "property": property, "datavalue": given, "datatype": datatype}


def claim(main: dict[str, Any], rank: str = "normal", **qualifiers: Any) -> dict[str, Any]:
    return {"mainsnak": main, "type": "statement", "rank": rank, "qualifiers": qualifiers}


def item(number: str) -> dict[str, Any]:
    return snak("wikibase-entityid", {"entity-type": "item", "id": number})


def entity(id: str = "Q38", **more: Any) -> dict[str, Any]:
    return {"type": "property" if id.startswith("P") else "item", "id": id, **more}


def read(folder: Path, *entities: dict[str, Any], **options: Any) -> list[Any]:
    """The facts of a dump, written as Wikidata writes it."""
    path = folder / "dump.json.bz2"
    path.write_bytes(bz2.compress(("[\n" + ",\n".join(map(json.dumps, entities)) + "\n]\n").encode()))
    return list(read_wikidata(path, pytest.fail, **options))


def name(language: str, value: str) -> dict[str, str]:
    return {"language": language, "value": value}


ITALY = entity(
    labels={"en": name("en", "Italy"), "de": name("de", "Italien"), "mul": name("mul", "Italia")},
    descriptions={"en": name("en", "country in Europe")},
    aliases={"en": [name("en", "Italian Republic"), name("en", "IT")]},
    claims=[],
)


def test_names_are_read_in_the_languages_asked_for(tmp_path: Path) -> None:
    italy = ENTITY + "Q38"
    assert set(read(tmp_path, ITALY, language=("en",))) == {
        (italy, RDFS + "label", Literal("Italy", language="en")),
        (italy, RDFS + "label", Literal("Italia", language="mul")),
        (italy, SCHEMA + "description", Literal("country in Europe", language="en")),
        (italy, SKOS + "altLabel", Literal("Italian Republic", language="en")),
        (italy, SKOS + "altLabel", Literal("IT", language="en")),
    }
    assert len(read(tmp_path, ITALY)) == 6


def test_a_property_s_names_are_its_relation_s(tmp_path: Path) -> None:
    found = read(tmp_path, entity("P36", labels={"en": name("en", "capital")}))
    assert {head for head, _, _ in found} == {ENTITY + "P36", RELATION + "P36"}


@pytest.mark.parametrize(
    ("value", "tail", "more"),
    [
        (item("Q220"), ENTITY + "Q220", ()),
        (snak("wikibase-entityid", {"entity-type": "item", "numeric-id": 220}), ENTITY + "Q220", ()),
        (snak("wikibase-entityid", {"entity-type": "lexeme", "id": "L7-F2"}), ENTITY + "L7-F2", ()),
        (snak("string", "IT", datatype="external-id"), Literal("IT"), ()),
        (snak("string", "https://it", datatype="url"), Literal("https://it", XSD + "anyURI"), ()),
        (
            snak("string", "Flag of Italy (2003).svg", datatype="commonsMedia"),
            Literal(FILE_PATH + "Flag_of_Italy_%282003%29.svg", XSD + "anyURI"),
            (),
        ),
        (snak("monolingualtext", {"text": "Repubblica", "language": "it"}), Literal("Repubblica", language="it"), ()),
        (snak("quantity", {"amount": "+60", "unit": "1"}), Literal("60", XSD + "decimal"), ()),
        (
            snak("quantity", {"amount": "-2.50", "unit": ENTITY + "Q25267", "upperBound": "-2", "lowerBound": "-3"}),
            Literal("-2.50", XSD + "decimal", unit=ENTITY + "Q25267"),
            (
                (WIKIBASE + "quantityUpperBound", Literal("-2", XSD + "decimal")),
                (WIKIBASE + "quantityLowerBound", Literal("-3", XSD + "decimal")),
            ),
        ),
        (snak("time", {"time": "+1946-06-02T00:00:00Z", "precision": 11}), Literal("1946-06-02", XSD + "date"), ()),
        (snak("time", {"time": "+1946-06-00T00:00:00Z", "precision": 10}), Literal("1946-06", XSD + "gYearMonth"), ()),
        (snak("time", {"time": "-0753-00-00T00:00:00Z", "precision": 9}), Literal("-0753", XSD + "gYear"), ()),
        (
            snak("time", {"time": "+1500-00-00T00:00:00Z", "precision": 7, "calendarmodel": ENTITY + "Q1985786"}),
            Literal("1500", XSD + "gYear"),
            (
                (WIKIBASE + "timePrecision", Literal("7", XSD + "integer")),
                (WIKIBASE + "timeCalendarModel", ENTITY + "Q1985786"),
            ),
        ),
        (
            snak("globecoordinate", {"latitude": 42.5, "longitude": 12.5, "globe": ENTITY + "Q2"}),
            Literal("Point(12.5 42.5)", WKT),
            (),
        ),
        (
            snak("globecoordinate", {"latitude": 1, "longitude": 2, "globe": ENTITY + "Q405"}),
            Literal(f"<{ENTITY}Q405> Point(2 1)", WKT),
            (),
        ),
    ],
)
def test_every_kind_of_value_is_read(tmp_path: Path, value: Any, tail: Any, more: Any) -> None:
    expected = (ENTITY + "Q38", RELATION + "P1", tail)
    assert read(tmp_path, entity(claims={"P1": [claim(value)]})) == [(*expected, more) if more else expected]


def test_the_best_rank_is_read_unless_more_are_asked_for(tmp_path: Path) -> None:
    claims = [claim(item("Q1"), "preferred"), claim(item("Q2")), claim(item("Q3"), "deprecated")]
    one = entity(claims={"P1": claims, "P2": [claim(item("Q4")), claim(item("Q5"), "deprecated")]})
    tails = {
        ranks: [f[2].removeprefix(ENTITY) for f in read(tmp_path, one, ranks=ranks)] for ranks in ("best", "valid")
    }
    assert tails == {"best": ["Q1", "Q4"], "valid": ["Q1", "Q2", "Q4"]}
    ranks = {f[2].removeprefix(ENTITY): f[3][0][1] for f in read(tmp_path, one, ranks="all") if len(f) > 3}
    assert ranks == {
        tail: WIKIBASE + rank
        for tail, rank in (("Q1", "PreferredRank"), ("Q3", "DeprecatedRank"), ("Q5", "DeprecatedRank"))
    }
    assert read(tmp_path, one, ranks="all")[0][3][0][0] == RANK


def test_qualifiers_are_kept_and_unknown_values_left_out(tmp_path: Path) -> None:
    since = snak("time", {"time": "+2009-00-00T00:00:00Z", "precision": 9})
    nobody = {"snaktype": "novalue", "property": "P1"}
    one = entity(claims={"P1": [claim(item("Q1"), P580=[since], P582=[nobody]), claim(nobody)]})
    fact = (ENTITY + "Q38", RELATION + "P1", ENTITY + "Q1")
    assert read(tmp_path, one) == [(*fact, ((QUALIFIER + "P580", Literal("2009", XSD + "gYear")),))]
    assert read(tmp_path, one, qualifiers=False) == [fact]
    assert read(tmp_path, one, properties=("P2",)) == []


def test_one_entity_s_own_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "Q38.json").write_text(json.dumps({"entities": {"Q38": ITALY}}))
    assert len(list(read_wikidata(tmp_path / "Q38.json", pytest.fail))) == 6


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"type":"item","id":"Q1"', r"not an entity of Wikidata's JSON \(Expecting"),
        ('{"type":"item"}', r"\(it lacks 'id'\)"),
        ('{"id":"X1"}', r"'X1' is no id of Wikidata"),
        ('{"id":"Q1","labels":{"en":{"language":"en","value":5}}}', "a name is not a text"),
        ('{"id":"Q1","labels":{"en":{"language":"en","value":"\\ud800"}}}', "surrogates not allowed"),
        ('{"id":"Q1","claims":{"P1":[{"rank":"normal","mainsnak":{"snaktype":"value"}}]}}', "it lacks 'datavalue'"),
        ("5", "not an object"),
    ],
)
def test_a_wrong_entity_is_named_with_its_line_and_left_out_whole(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(
        f'[\n{{"id":"Q2","labels":{{"en":{{"language":"en","value":"x"}}}}}},\n{line}\n]\n'
    )
    rejected: list[FormatError] = []
    facts = list(read_wikidata(tmp_path / "a.json", rejected.append))
    assert [fact[2] for fact in facts] == [Literal("x", language="en")]
    with pytest.raises(FormatError, match=rf"a\.json:3: .*{reason}"):
        raise rejected[0]


def test_a_dump_that_is_cut_off_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[\n{"id":"Q2"},\n')
    rejected: list[FormatError] = []
    assert list(read_wikidata(tmp_path / "a.json", rejected.append)) == []
    assert str(rejected[0]) == f"{tmp_path}/a.json:2: the array does not end: is the file cut off?"

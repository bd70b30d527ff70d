from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError, InputError
from kg.ingest.countries import COUNTRY, CURRENCY, LANGUAGE, PLACE, REGION, RELATION, TYPE, countries, flag_pictures
from kg.ingest.flags import flag_files, read_flag
from kg.records import RDF_TYPE, RDFS, XSD

try:
    next(countries())
    flag_files()
except InputError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def world() -> Iterator[KnowledgeGraph]:
    with KnowledgeGraph.open("sqlite://") as graph:
        ingest.load("countries", into=graph)
        yield graph


def tails(graph: KnowledgeGraph, head: str, relation: str) -> list[object]:
    return [s.tail for s in graph.triples(head, RELATION + relation)]


def test_italy_is_as_in_the_atlas(world: KnowledgeGraph) -> None:
    italy = COUNTRY + "IT"
    assert tails(world, italy, "capital") == [PLACE + "IT_Rome"]
    assert set(tails(world, italy, "borders")) == {COUNTRY + code for code in ("AT", "FR", "SM", "SI", "CH", "VA")}
    assert tails(world, italy, "language") == [LANGUAGE + "it"]
    assert tails(world, italy, "currency") == [CURRENCY + "EUR"]
    assert tails(world, italy, "region") == [REGION + "Europe"]
    assert tails(world, italy, "subregion") == [REGION + "Southern_Europe"]
    assert tails(world, REGION + "Southern_Europe", "partOf") == [REGION + "Europe"]
    assert tails(world, italy, "area") == [Literal("301336", XSD + "decimal", unit="km²")]
    assert tails(world, italy, "population") == [Literal("60769102", XSD + "integer")]
    assert tails(world, italy, "callingCode") == [Literal("+39")]
    names = world.labels([PLACE + "IT_Rome", LANGUAGE + "it", CURRENCY + "EUR", REGION + "Southern_Europe"])
    assert list(names.values()) == ["Rome", "Italian", "Euro", "Southern Europe"]


def test_a_definition_answers_no_question(world: KnowledgeGraph) -> None:
    italy = world.describe(COUNTRY + "IT")
    assert italy.description == "Italy is a country." and italy.types == (TYPE + "Country",)
    for entity in world.entities():
        assert entity.description in (
            "",
            f"{entity.label} is a {entity.types[0].split('/')[-1].lower()}." if entity.types else "",
        )


def test_aliases_are_names_and_no_codes(world: KnowledgeGraph) -> None:
    assert {"Italian Republic", "Italia", "Italien", "イタリア"} <= set(world.describe(COUNTRY + "IT").aliases)
    codes = [a for e in world.entities() for a in e.aliases if len(a) <= 3 and a.isascii() and a.isupper()]
    assert sorted(codes) == ["UAE", "UK", "USA"]


def test_every_country_has_what_questions_need(world: KnowledgeGraph) -> None:
    all_countries = [s.head for s in world.triples(relation=RDF_TYPE, tail=TYPE + "Country")]
    assert len(all_countries) > 230 and len(set(all_countries)) == len(all_countries)
    known = set(all_countries)
    for statement in world.triples(relation=RELATION + "borders"):
        assert statement.head in known and statement.tail in known and statement.head != statement.tail
    assert sum(1 for c in all_countries if tails(world, c, "capital")) > 230
    assert COUNTRY + "CS" not in known  # Serbia and Montenegro is no more


def test_everything_has_a_label_and_every_relation_too(world: KnowledgeGraph) -> None:
    labelled = {s.head for s in world.triples(relation=RDFS + "label")}
    assert {e.iri for e in world.entities()} <= labelled
    assert {iri for iri in world.relations() if iri.startswith(RELATION)} <= labelled


def test_all_195_flags_find_their_country(world: KnowledgeGraph, tmp_path: Path) -> None:
    missing: list[str] = []
    pictures = flag_pictures(world, tmp_path, missing)
    assert len(pictures) == 195 and missing == []
    assert len({picture.entity for picture in pictures}) == 195
    dutch = next(picture for picture in pictures if picture.entity == COUNTRY + "NL")
    with Image.open(Path(dutch.root) / dutch.path) as image:
        red, white, blue = (image.getpixel((90, y)) for y in (10, 45, 80))
    assert red[0] > 120 > red[2] and min(white) > 200 and blue[2] > 100 > blue[0]


def test_a_flag_without_a_country_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        graph.add(COUNTRY + "IT", RDF_TYPE, TYPE + "Country", source="s")
        graph.add(COUNTRY + "IT", RDFS + "label", Literal("Italy"), source="s")
        missing: list[str] = []
        with caplog.at_level(logging.WARNING):
            pictures = flag_pictures(graph, tmp_path, missing)
    assert [picture.path for picture in pictures] == ["IT.png"]
    assert len(missing) == 194 and "194 flags have no country" in caplog.text


class _Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_malicious_pickle_is_refused_before_it_runs(tmp_path: Path) -> None:
    harmed = tmp_path / "harmed"
    (tmp_path / "flag.pkl").write_bytes(pickle.dumps(_Malicious(harmed)))
    with pytest.raises(FormatError, match=r"flag\.pkl: not a pickled flag: it names posix\.mkdir"):
        read_flag(tmp_path / "flag.pkl")
    assert not harmed.exists()
    pickle.loads((tmp_path / "flag.pkl").read_bytes())  # noqa: S301  the same file does harm an ordinary reader
    assert harmed.exists()


@pytest.mark.parametrize(
    "content", [pickle.dumps([1, 2]), pickle.dumps(np.zeros((2, 2), np.uint8)), b"", b"\x80\x04no"]
)
def test_a_pickle_of_anything_else_is_no_flag(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "flag.pkl").write_bytes(content)
    with pytest.raises(FormatError, match="not a pickled flag"):
        read_flag(tmp_path / "flag.pkl")


def test_a_flag_pickled_by_any_numpy_is_read(tmp_path: Path) -> None:
    pixels = np.arange(90 * 180 * 3, dtype=np.int64).reshape(90, 180, 3).astype(np.uint8)
    (tmp_path / "flag.pkl").write_bytes(pickle.dumps(pixels, protocol=3).replace(b"numpy._core", b"numpy.core"))
    assert np.array_equal(read_flag(tmp_path / "flag.pkl"), pixels)

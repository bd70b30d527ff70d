from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kg import KnowledgeGraph, ingest
from kg.errors import FormatError
from kg.ingest.conceptnet import DATASET, SITE, WEIGHT, read_conceptnet
from kg.records import RDFS, XSD, Literal

ABOUT = '{"dataset": "/d/verbosity", "license": "cc:by/4.0", "sources": [], "weight": 2.0}'


def assertion(start: str, relation: str, end: str, about: str = ABOUT) -> str:
    return f"/a/[{relation}/,{start}/,{end}/]\t{relation}\t{start}\t{end}\t{about}\n"


def write(folder: Path, *lines: str) -> Path:
    (folder / "a.csv.gz").write_bytes(gzip.compress("".join(lines).encode()))
    return folder / "a.csv.gz"


def test_assertions_have_weight_dataset_and_labels(tmp_path: Path) -> None:
    path = write(
        tmp_path, assertion("/c/en/hot_dog/n", "/r/IsA", "/c/en/food"), assertion("/c/en/food", "/r/X", "/c/fr/a")
    )
    said = ((WEIGHT, Literal("2.0", XSD + "double")), (DATASET, SITE + "/d/verbosity"))
    assert list(read_conceptnet(path, pytest.fail)) == [
        (SITE + "/c/en/hot_dog/n", SITE + "/r/IsA", SITE + "/c/en/food", said),
        (SITE + "/c/en/hot_dog/n", RDFS + "label", Literal("hot dog", language="en")),
        (SITE + "/c/en/food", RDFS + "label", Literal("food", language="en")),
        (SITE + "/c/en/food", SITE + "/r/X", SITE + "/c/fr/a", said),
        (SITE + "/c/fr/a", RDFS + "label", Literal("a", language="fr")),
    ]
    english = list(read_conceptnet(path, pytest.fail, language=("en",), labels=False))
    assert [fact[1] for fact in english] == [SITE + "/r/IsA"]
    assert list(read_conceptnet(path, pytest.fail, least_weight=2.5)) == []


def test_an_external_address_stays_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, assertion("/c/en/cat", "/r/ExternalURL", "http://dbpedia.org/resource/Cat"))
    assert next(read_conceptnet(path, pytest.fail))[2] == "http://dbpedia.org/resource/Cat"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("/a/x\t/r/IsA\t/c/en/a\t/c/en/b\n", r"4 columns instead of 5"),
        (assertion("/c/en/a", "IsA", "/c/en/b"), "'IsA' is no relation of ConceptNet"),
        (assertion("cat", "/r/IsA", "/c/en/b"), "'cat' is no concept of ConceptNet"),
        (assertion("/c/en/a", "/r/IsA", "/c/en/b", "{}"), r"not the JSON of an assertion \('weight'\)"),
        (assertion("/c/en/a", "/r/IsA", "/c/en/b", "{"), "not the JSON of an assertion"),
        ("IsA\tcat\n", r"2 columns instead of 3"),
        ("IsA\tcat\tpet\theavy\n", "could not convert string to float"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    rejected: list[FormatError] = []
    assert list(read_conceptnet(write(tmp_path, "IsA\tcat\tpet\n", line), rejected.append)) == [("cat", "IsA", "pet")]
    with pytest.raises(FormatError, match=rf"a\.csv\.gz:2: .*{reason}"):
        raise rejected[0]


def test_assertions_taken_for_a_table_are_recognised(tmp_path: Path) -> None:
    path = write(tmp_path, assertion("/c/en/a", "/r/IsA", "/c/en/b"))
    with KnowledgeGraph.open("sqlite://") as graph, pytest.raises(FormatError, match="use --format conceptnet"):
        ingest.load(path, into=graph, format="tsv")


def test_eighty_thousand_triples_with_the_relation_first_are_read(shared_data: Path) -> None:
    (path,) = (shared_data / "conceptnet-82k").glob("train*")
    with KnowledgeGraph.open("sqlite://") as graph:
        report = ingest.load(path, into=graph, format="conceptnet")
        assert report.num_rejected == 0 and 81_000 < report.triples <= 81_920
        assert list(graph.triples("wing", "AtLocation", "mansion"))
    with KnowledgeGraph.open("sqlite://") as graph:
        assert ingest.load(path, into=graph, format="tsv", columns="relation,head,tail").triples == report.triples

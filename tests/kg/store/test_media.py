from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from PIL import Image

from kg import KnowledgeGraph, ingest
from kg.errors import FormatError, InputError
from kg.store.media import add_pictures_from_table


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    return tmp_path


def write(folder: Path, *rows: str, name: str = "images.tsv") -> Path:
    path = folder / name
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_columns_may_come_in_any_order_and_others_are_ignored(europe: KnowledgeGraph, photos: Path) -> None:
    table = write(photos, "split\tmood\tentity\tpath", "train\tgay\tx:Rome\ta.jpg", "val\t\tx:Italy\tb.png")
    added = add_pictures_from_table(europe, table)
    assert added == {"pictures": 2, "entities": 2, "splits": {"train": 1, "val": 1}, "version": 2}
    (picture,) = europe.pictures("x:Rome")
    assert (picture.path, picture.split, picture.root, picture.source) == ("a.jpg", "train", str(photos), "images.tsv")
    assert picture.sha256 == hashlib.sha256((photos / "a.jpg").read_bytes()).hexdigest()


def test_a_csv_without_split_and_another_root(europe: KnowledgeGraph, photos: Path, tmp_path_factory) -> None:
    table = write(tmp_path_factory.mktemp("t"), "path,entity", '"a.jpg",x:Rome', name="images.csv")
    assert add_pictures_from_table(europe, table, root=photos, source="mine")["pictures"] == 1
    assert europe.pictures()[0].root == str(photos)


def test_every_fault_is_reported_and_nothing_added(europe: KnowledgeGraph, photos: Path) -> None:
    (photos / "text.jpg").write_text("I am no picture")
    (photos / "cut.png").write_bytes((photos / "b.png").read_bytes()[:40])
    table = write(
        photos,
        "path\tentity",
        "a.jpg\tx:Rome",
        "gone.jpg\tx:Rome",
        "a.jpg\tx:Atlantis",
        "text.jpg\tx:Rome",
        "cut.png\tx:Rome",
        "\tx:Rome",
        "../a.jpg\tx:Rome",
    )
    with pytest.raises(InputError) as caught:
        add_pictures_from_table(europe, table)
    lines = str(caught.value).splitlines()
    reasons = [
        "there is no file",
        "no entity <x:Atlantis>",
        "not a picture",
        "not a picture",
        "'path' is empty",
        "is not below",
    ]
    assert len(lines) == 6
    for line, number, reason in zip(lines, range(3, 9), reasons, strict=True):
        assert line.startswith(f"{table}:{number}: ") and reason in line
    assert europe.pictures() == [] and europe.version == 1


def test_of_many_faults_twenty_are_listed(europe: KnowledgeGraph, photos: Path) -> None:
    table = write(photos, "path\tentity", *(f"{n}.jpg\tx:Rome" for n in range(25)))
    with pytest.raises(InputError, match="… and 5 more") as caught:
        add_pictures_from_table(europe, table)
    assert len(str(caught.value).splitlines()) == 21


def test_a_table_without_the_header_is_refused(europe: KnowledgeGraph, photos: Path) -> None:
    with pytest.raises(FormatError, match=r"images\.tsv:1: the header must name the column 'path'"):
        add_pictures_from_table(europe, write(photos, "a.jpg\tx:Rome"))
    with pytest.raises(InputError, match="can't be read"):
        add_pictures_from_table(europe, photos / "none.tsv")
    (photos / "bad.tsv").write_bytes(b"path\tentity\n\xff\xfe\tx")
    with pytest.raises(FormatError, match=r"bad\.tsv:2: not UTF-8"):
        add_pictures_from_table(europe, photos / "bad.tsv")


def test_three_thousand_shop_photos_are_added_in_seconds(shared_data: Path) -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        ingest.load(shared_data / "grocery" / "products.ttl", into=graph)
        start = time.process_time()
        added = add_pictures_from_table(graph, shared_data / "grocery" / "images.tsv")
        assert time.process_time() - start < 10
        assert added["pictures"] == 3017 and added["entities"] == 81

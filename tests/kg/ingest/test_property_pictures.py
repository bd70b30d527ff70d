from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from kg import KnowledgeGraph, Literal
from kg.errors import InputError
from kg.ingest.property_pictures import add_pictures_from_property, file_names, property_iri
from kg.ingest.wikidata import RELATION
from kg.ingest.wikidata_values import FILE_PATH
from kg.records import XSD
from kg.store.media import add_pictures_from_table

P18 = RELATION + "P18"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    for name in ("Flag_of_Italy_(2003).png", "Rome at night.png", "more/7.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def test_files_are_found_by_what_a_property_s_tails_name(europe: KnowledgeGraph, photos: Path) -> None:
    europe.add("x:Italy", P18, Literal(FILE_PATH + "Flag_of_Italy_%282003%29.png", XSD + "anyURI"), source="w")
    europe.add("x:Rome", P18, FILE_PATH + "Rome%20at%20night.png", source="w")
    europe.add("x:Paris", P18, Literal("more/7.png"), source="w")
    added = add_pictures_from_property(europe, property_iri("P18"), photos)
    assert added == {"pictures": 3, "entities": 3, "rejected": 0, "version": 5}
    (picture,) = europe.pictures("x:Italy")
    assert (picture.path, picture.root, picture.source) == ("Flag_of_Italy_(2003).png", str(photos), "P18")
    assert [p.path for p in europe.pictures("x:Rome")] == ["Rome at night.png"]


def test_what_is_not_there_or_no_picture_is_told_or_counted(europe: KnowledgeGraph, photos: Path) -> None:
    europe.add("x:Italy", P18, Literal("gone.png"), source="w")
    europe.add("x:Rome", P18, Literal("text.png"), source="w")
    europe.add("x:Paris", P18, Literal("7.png"), source="w")
    europe.add("x:France", P18, Literal("more/7.png"), source="w")
    with pytest.raises(InputError) as caught:
        add_pictures_from_property(europe, P18, photos)
    said = str(caught.value).splitlines()
    assert f"x:Italy: no file for 'gone.png' below {photos} (tried: gone.png)" in said
    assert any("text.png is not a picture" in line for line in said) and europe.version == 5
    assert add_pictures_from_property(europe, P18, photos, on_error="skip")["rejected"] == 3
    with pytest.raises(InputError, match="the store has no fact with the relation <x:none>"):
        add_pictures_from_property(europe, "x:none", photos)


@pytest.mark.parametrize(
    "tail", ["../secret.png", "/etc/passwd", "http://x/../../a.png", "a/../../b.png", "", "http://x"]
)
def test_no_name_leaves_the_folder(tail: str) -> None:
    assert not [name for name in file_names(tail) if name.startswith(("/", "..")) or "/.." in name]


def test_a_link_out_of_the_folder_is_not_followed(europe: KnowledgeGraph, photos: Path, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    Image.new("RGB", (8, 8)).save(outside / "a.png")
    (photos / "link.png").symlink_to(outside / "a.png")
    europe.add("x:Italy", P18, Literal("link.png"), source="w")
    with pytest.raises(InputError, match=r"no file for 'link\.png'"):
        add_pictures_from_property(europe, P18, photos)


def test_a_parquet_table_lists_pictures_too(europe: KnowledgeGraph, photos: Path) -> None:
    table = pyarrow.table({"split": ["train"], "entity": ["x:Rome"], "path": ["Rome at night.png"], "mood": [1]})
    pyarrow.parquet.write_table(table, photos / "images.parquet")
    added = add_pictures_from_table(europe, photos / "images.parquet")
    assert added == {"pictures": 1, "entities": 1, "splits": {"train": 1}, "version": 2}
    pyarrow.parquet.write_table(table.drop_columns("path"), photos / "images.parquet")
    with pytest.raises(InputError, match="it must have the column 'path'"):
        add_pictures_from_table(europe, photos / "images.parquet")
    (photos / "images.parquet").write_text("no")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        add_pictures_from_table(europe, photos / "images.parquet")

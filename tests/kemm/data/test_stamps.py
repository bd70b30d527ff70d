"""Stamps: pictures, sounds and names from a folder, their meanings in WordNet, and the world that they make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from kemm.data.stamp_facts import (
    KIND,
    SHOWS,
    STAMP,
    Nouns,
    add_stamps,
    facts,
    knowledge_text,
    phrases,
    split_of,
    tag,
)
from kemm.data.stamps import Thing, read_names, read_stamps
from kg import KnowledgeGraph
from kg.errors import InputError
from kg.ingest.wordnet import SYNSET
from kg.records import RDFS, Literal

STAMPS = Path(os.environ.get("KEMM_STAMPS", "/usr/share/tuxpaint/stamps"))

# offset, lemmas, offset above, gloss: "seal" is first what closes a letter, then the animal
SYNSETS = (
    ("00000001", "entity", "", "that which is"),
    ("00021939", "artifact", "00000001", "a man-made object"),
    ("00015388", "animal", "00000001", "a living organism that moves"),
    ("00000004", "seal", "00021939", "a device that closes"),
    ("00000005", "seal", "00015388", 'a marine mammal; "seals bark"'),
    ("00000006", "grey_seal", "00000005", "a seal of the north"),
    ("00000007", "goose", "00015388", "a bird that honks"),
)


@pytest.fixture
def nouns(tmp_path: Path) -> Nouns:
    folder = tmp_path / "wordnet"
    folder.mkdir()
    lines, senses = [], {}
    for offset, lemma, above, gloss in SYNSETS:
        pointers = f"001 @ {above} n 0000" if above else "000"
        lines.append(f"{offset} 03 n 01 {lemma} 0 {pointers} | {gloss}  ")
        senses.setdefault(lemma, []).append(offset)
    (folder / "data.noun").write_text("\n".join(lines) + "\n")
    index = [f"{lemma} n {len(found)} 1 @ {len(found)} 0 {' '.join(found)}" for lemma, found in senses.items()]
    (folder / "index.noun").write_text("  1 a licence\n" + "\n".join(index) + "\n")
    (folder / "noun.exc").write_text("geese goose\n")
    return Nouns(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three things: a seal with all that there is, a letter's seal drawn in SVG, a picture without a name."""
    root = tmp_path / "stamps"
    sea, post = root / "animals" / "sea", root / "household"
    for place in (sea, post):
        place.mkdir(parents=True)
    for name in ("seal", "nameless"):
        Image.new("RGB", (4, 4), "grey").save(sea / f"{name}.png")
    (sea / "seal.txt").write_text("A grey seal.\nfr.utf8=Un phoque gris.\nsr@latin.utf8=Foka\nxx=no\nde.utf8=\n")
    for name in ("seal.ogg", "seal_desc.ogg", "seal_desc_pt_BR.wav", "seal_desc_fr.ogg", "seal.dat"):
        (sea / name).write_bytes(b"")
    (post / "stamp.svg").write_text("<svg/>")
    (post / "stamp.txt").write_text("A seal.\n")
    return root


def test_a_thing_has_its_picture_its_sounds_and_a_name_in_each_language(folder: Path) -> None:
    seal, stamp = read_stamps(folder)
    sea = folder / "animals" / "sea"
    assert seal.key == "animals/sea/seal" and seal.kinds == ("animals", "sea")
    assert seal.names == {"en": "A grey seal", "fr": "Un phoque gris", "sr@latin": "Foka"}
    assert seal.picture == sea / "seal.png" and seal.sound == sea / "seal.ogg"
    assert list(seal.spoken) == ["en", "fr", "pt_BR"]
    assert [path.name for path in seal.sounds] == [
        "seal.ogg",
        "seal_desc.ogg",
        "seal_desc_fr.ogg",
        "seal_desc_pt_BR.wav",
    ]
    assert stamp.picture is None and stamp.drawing == folder / "household" / "stamp.svg" and stamp.sounds == []


def test_names_that_are_no_utf8_or_empty_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(
        "\ufeffA crow.\r\nfr.utf8=Corbeau.\nde.utf8=Kr\xe4he\n".encode("utf-8").replace(b"\xc3\xa4", b"\xe4")
    )
    assert read_names(file) == {"en": "A crow", "fr": "Corbeau"}
    file.write_bytes(b"")
    assert read_names(file) == {}


def test_a_folder_that_is_absent_or_empty_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="apt install tuxpaint-stamps-default"):
            read_stamps(place)


def thing(name: str, *kinds: str) -> Thing:
    return Thing("/".join([*kinds, "x"]), {"en": name})


def test_the_folder_decides_which_meaning_a_name_has(nouns: Nouns) -> None:
    def offset(name: str, *kinds: str) -> str | None:
        found = nouns.meaning(thing(name, *kinds))
        return found.synset.iri.removeprefix(SYNSET) if found else None

    assert offset("A seal", "animals") == "00000005-n"
    assert offset("A seal", "household") == "00000004-n"
    assert offset("A grey seal", "animals", "sea") == "00000006-n"
    assert offset("A happy seal", "animals") == "00000005-n"
    assert offset("Two wild geese in flight", "animals") == "00000007-n"
    assert offset("A pair of seals", "animals") == "00000005-n"
    assert offset("A goose", "vehicles") is None
    assert offset("A xanthia", "animals") is None


def test_the_parts_of_a_name_come_head_first_without_articles() -> None:
    assert list(phrases("A head of red lettuce")) == ["head", "red lettuce"]
    assert list(phrases("The baby (a lamb)")) == ["baby", "lamb"]


def test_knowledge_is_what_a_thing_is_a_kind_of_and_its_definition(nouns: Nouns) -> None:
    found = nouns.meaning(thing("A grey seal", "animals"))
    assert knowledge_text(found) == "grey seal, a kind of seal, animal, entity: a seal of the north"
    assert knowledge_text(nouns.meaning(thing("A seal", "animals")), 1) == "seal, a kind of animal: a marine mammal"
    assert knowledge_text(None) == ""


def test_all_things_of_one_last_word_are_on_one_side(nouns: Nouns) -> None:
    animals = [thing(name, "animals") for name in ("A seal", "A grey seal", "Three happy seals")]
    assert len({split_of(one, nouns.meaning(one)) for one in animals}) == 1
    drawn = [split_of(thing(f"A thing{number}"), None) for number in range(2000)]
    assert 0.66 < drawn.count("train") / 2000 < 0.74 and 0.17 < drawn.count("test") / 2000 < 0.23


def test_facts_lead_from_a_thing_over_its_meaning_to_entity(nouns: Nouns, folder: Path) -> None:
    said = list(facts(read_stamps(folder), nouns))
    seal = STAMP + "animals/sea/seal"
    assert (seal, SHOWS, SYNSET + "00000006-n") in said and (seal, KIND, STAMP + "kind/animals/sea") in said
    assert (seal, RDFS + "label", Literal("Foka", language="sr-Latn")) in said
    above = {head: tail for head, relation, tail in said if relation.endswith("hypernym")}
    assert above[above[above[SYNSET + "00000006-n"]]] == SYNSET + "00000001-n"
    assert len(said) == len(set(said))
    assert not any(relation == SHOWS for _, relation, _ in facts(read_stamps(folder), None))
    assert [tag(name) for name in ("pt_BR", "ca@valencia")] == ["pt-BR", "ca-valencia"]


def test_a_store_of_stamps_has_their_pictures_by_split(folder: Path, tmp_path: Path) -> None:
    with KnowledgeGraph.open(f"sqlite:///{tmp_path / 'stamps.db'}") as graph:
        found = add_stamps(graph, folder, with_wordnet=False)
        assert found["things"] == 2 and found["pictures"] == found["drawings"] == 1 and found["sounds"] == 4
        (picture,) = graph.pictures()
        assert picture.entity == STAMP + "animals/sea/seal" and Path(picture.root, picture.path).is_file()
        assert graph.labels([STAMP + "animals/sea/seal"]) == {STAMP + "animals/sea/seal": "A grey seal"}


@pytest.mark.skipif(not STAMPS.is_dir(), reason="needs the package tuxpaint-stamps-default")
def test_the_real_stamps_have_hundreds_of_things_with_all_three() -> None:
    things = read_stamps(STAMPS)
    assert sum(bool(one.picture and one.sounds) for one in things) > 500
    crow = next(one for one in things if one.key == "animals/birds/crow")
    assert crow.name == "A crow" and crow.names["de"] == "Eine Krähe" and crow.sound and len(crow.spoken) > 5

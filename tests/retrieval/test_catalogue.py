"""The index on disk: what is in it, what may not be, when it is refused, and how it follows the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal, Picture
from kg.errors import IndexStale, InputError, UnreadableImage
from retrieval.catalogue import build_index, update_index
from retrieval.embed import EmbeddingCache
from retrieval.entity_index import FORMAT, EntityIndex
from tests.retrieval.small_world import DEFINITION, LABEL, NAMES, HashedWords, Thumbnail


def found(graph: KnowledgeGraph, hits: list) -> list[str]:
    ids = [hit.id for hit in hits]
    return [graph.iris(ids)[i] for i in ids]


def test_entities_are_found_by_vector_and_by_words(graph: KnowledgeGraph, text: HashedWords, tmp_path: Path) -> None:
    manifest = build_index(graph, tmp_path / "index", text)
    assert (manifest["entities"], manifest["pictures"], manifest["kg_version"]) == (9, 0, 1)
    index = EntityIndex.open(tmp_path / "index", graph)
    assert found(graph, index.search_text(text.embed(["Italy is a country"])[0], 1)) == ["c:it"]
    assert found(graph, index.search_words("tokyo", 5)) == ["p:tokyo"]
    ids = graph.ids(["c:it", "p:rome"])
    expected = text.embed(["Italy: Italy is a country.", "Rome"])
    np.testing.assert_allclose(index.text_vectors([ids["c:it"], 10**9, ids["p:rome"]])[[0, 2]], expected, atol=1e-6)
    assert not index.text_vectors([10**9]).any()


def test_a_held_out_picture_is_never_indexed(
    pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path
) -> None:
    manifest = build_index(pictured, tmp_path / "index", text, images)
    assert manifest["pictures"] == images.num_embedded == 3
    index = EntityIndex.open(tmp_path / "index", pictured)
    assert {row["path"] for row in index.pictures.values()} == {"it1.png", "it2.png", "jp.png"}
    ids = pictured.ids(["c:it", "c:fr", "c:jp"])
    hits = index.search_pictures(images.embed([tmp_path / "fr.png"])[0], 5)  # the very picture that is held out
    assert {entity for entity, _ in hits} == {ids["c:it"], ids["c:jp"]}
    assert not index.picture_vectors([ids["c:fr"]]).any()


def test_pictures_are_found_best_of_each_entity(
    pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path
) -> None:
    build_index(pictured, tmp_path / "index", text, images)
    index = EntityIndex.open(tmp_path / "index", pictured)
    ids = pictured.ids(["c:it", "c:jp"])
    lime, green = images.embed([tmp_path / "it2.png", tmp_path / "it1.png"])
    (first, similarity), (second, _) = index.search_pictures(lime, 5)
    assert (first, second) == (ids["c:it"], ids["c:jp"]) and similarity == pytest.approx(1, abs=1e-5)
    assert len(index.search_pictures(lime, 1)) == 1
    mean = (lime + green) / np.linalg.norm(lime + green)
    np.testing.assert_allclose(index.picture_vectors([ids["c:it"]])[0], mean, atol=1e-6)


def test_an_index_of_an_older_version_is_refused_with_the_remedy(
    graph: KnowledgeGraph, text: HashedWords, tmp_path: Path
) -> None:
    build_index(graph, tmp_path / "index", text)
    graph.add("c:jp", "r:borders", "c:fr", source="user")
    expected = "the index was built at KG version 1, the store is at 2: run `kemm index --update`"
    with pytest.raises(IndexStale) as stale:
        EntityIndex.open(tmp_path / "index", graph)
    assert str(stale.value) == expected
    assert EntityIndex.open(tmp_path / "index", graph, allow_stale=True).kg_version == 1


def test_another_stores_index_is_refused(graph: KnowledgeGraph, text: HashedWords, tmp_path: Path) -> None:
    build_index(graph, tmp_path / "index", text)
    with KnowledgeGraph.open("sqlite://") as other, pytest.raises(IndexStale, match="another store"):
        EntityIndex.open(tmp_path / "index", other, allow_stale=True)


def test_a_missing_index_and_a_file_in_its_place_are_refused(
    graph: KnowledgeGraph, text: HashedWords, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="run `kemm index"):
        EntityIndex.open(tmp_path / "nowhere", graph)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="name a folder"):
        build_index(graph, tmp_path / "file", text)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not a manifest"):
        EntityIndex.open(tmp_path, graph)


def test_an_update_with_other_embedders_is_refused(
    graph: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path
) -> None:
    build_index(graph, tmp_path / "index", text)
    with pytest.raises(InputError, match="built without pictures: run `kemm index` without --update"):
        update_index(graph, tmp_path / "index", text, images)
    text.name = "another"
    with pytest.raises(InputError, match="built with hashed-words-512, not another"):
        update_index(graph, tmp_path / "index", text)


def test_an_update_follows_every_change_and_embeds_only_that(
    pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path, paint: Callable[[str, str], Path]
) -> None:
    graph, out = pictured, tmp_path / "index"
    build_index(graph, out, text, images)
    graph.add("c:at", LABEL, Literal("Austria"), source="user")
    graph.add("c:at", "r:capital", "p:vienna", source="user")
    graph.retract("c:jp", "r:capital")  # Tokyo has a label yet, so it stays
    graph.retract("p:rome", LABEL)
    graph.add("p:rome", LABEL, Literal("Roma"), source="user")
    for relation in ("r:capital", LABEL, DEFINITION):
        graph.retract("c:ch", relation)
    graph.retract("c:it", "r:borders", "c:ch")  # Switzerland has no fact left
    paint("at.png", "blue")
    graph.add_pictures([Picture("at.png", "c:at", "train", str(tmp_path))], source="photos")
    old = EntityIndex.open(out, graph, allow_stale=True)
    text.num_embedded = images.num_embedded = 0
    manifest = update_index(graph, out, text, images)

    assert images.num_embedded == 1
    assert text.num_embedded == 7  # Austria, Vienna, Japan, Tokyo, Rome, Italy, Bern; and no path is new
    index = EntityIndex.open(out, graph)
    assert found(graph, index.search_words("roma", 9)) == ["p:rome"] and not index.search_words("rome", 9)
    assert not index.search_words("Switzerland", 9)
    assert index.search_pictures(images.embed([tmp_path / "at.png"])[0], 1)[0][0] == graph.ids(["c:at"])["c:at"]
    assert found(graph, old.search_words("rome", 9)) == ["p:rome"]  # a reader of the old one is not disturbed

    build_index(graph, tmp_path / "fresh", text, images)
    fresh = EntityIndex.open(tmp_path / "fresh", graph)
    ids = sorted(fresh.text.ids)
    assert sorted(index.text.ids) == ids and len(index.words) == len(fresh.words) == len(ids)
    np.testing.assert_allclose(index.text_vectors(ids), fresh.text_vectors(ids), atol=1e-6)
    np.testing.assert_allclose(index.picture_vectors(ids), fresh.picture_vectors(ids), atol=1e-6)
    same = ("kg_version", "entities", "pictures", "store", "text", "images")
    assert {key: manifest[key] for key in same} == {key: fresh.manifest[key] for key in same}


def test_a_failing_build_leaves_the_older_index_as_it_was(
    pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    build_index(pictured, out, text, images)
    before = sorted(str(path) for path in out.rglob("*"))
    (tmp_path / "jp.png").unlink()
    with pytest.raises(UnreadableImage, match=r"jp\.png"):
        build_index(pictured, out, text, images, cache=EmbeddingCache(tmp_path / "cache"))
    assert sorted(str(path) for path in out.rglob("*")) == before
    with pytest.raises(UnreadableImage):
        build_index(pictured, tmp_path / "new", text, images, cache=EmbeddingCache(tmp_path / "cache"))
    assert not (tmp_path / "new").exists()


def test_a_cache_spares_a_rebuild_all_embedding(graph: KnowledgeGraph, text: HashedWords, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    for _ in range(2):
        build_index(graph, tmp_path / "index", text, None, lambda *at: told.append(at), EmbeddingCache(tmp_path / "c"))
        assert told[0] == ("embed entities", 9, 9) and len(told) == 2  # the paths too; the second time nothing more
    assert len(list((tmp_path / "index").glob("generation-*"))) == 1  # the old one is gone


def test_the_manifest_says_what_was_indexed(graph: KnowledgeGraph, text: HashedWords, tmp_path: Path) -> None:
    build_index(graph, tmp_path / "index", text)
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert manifest["store"] == graph.uuid and manifest["format"] == FORMAT
    assert manifest["text"] == {"name": "hashed-words-512", "dimension": 512} and manifest["images"] is None
    texts, vectors = EntityIndex.open(tmp_path / "index", graph).path_vectors()
    assert {"capital", "is capital of"} <= set(texts) and vectors.shape == (len(texts), 512)
    assert NAMES["r:capital"] == "capital"


def test_an_index_of_labels_alone_stays_one(graph: KnowledgeGraph, text: HashedWords, tmp_path: Path) -> None:
    build_index(graph, tmp_path, text, labels_only=True)
    graph.add("c:es", LABEL, Literal("Spain"), source="atlas")
    graph.add("c:es", DEFINITION, Literal("A country of bulls."), source="atlas")
    update_index(graph, tmp_path, text)
    index, ids = EntityIndex.open(tmp_path, graph), graph.ids(["c:it", "c:es"])
    found = index.text_vectors([ids["c:it"], ids["c:es"]])
    assert np.allclose(found, text.embed(["Italy", "Spain"]), atol=1e-2)
    assert [hit.id for hit in index.search_words("bulls", 3)] == [ids["c:es"]]


def test_an_index_ahead_of_its_store_is_refused(graph: KnowledgeGraph, text: HashedWords, tmp_path: Path) -> None:
    build_index(graph, tmp_path, text)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"kg_version": 7}))  # as after a restored backup
    for allow_stale in (False, True):
        with pytest.raises(IndexStale, match="version 7, the store is at 1: run `kemm index` without --update"):
            EntityIndex.open(tmp_path, graph, allow_stale)
    with pytest.raises(IndexStale, match="without --update"):
        update_index(graph, tmp_path, text)


def test_two_writers_at_once_are_refused(graph: KnowledgeGraph, text: HashedWords, tmp_path: Path) -> None:
    seen: list[str] = []

    def meanwhile(stage: str, done: int, total: int) -> None:
        with pytest.raises(InputError, match="being written by another `kemm index`"):
            build_index(graph, tmp_path, text)
        seen.append(stage)

    build_index(graph, tmp_path, text, progress=meanwhile)
    assert seen
    build_index(graph, tmp_path, text)  # the lock is free again


def test_a_deleted_entitys_pictures_are_not_indexed(
    pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path
) -> None:
    build_index(pictured, tmp_path / "updated", text, images)
    pictured.retract("c:jp", "r:capital")
    pictured.retract("c:jp", LABEL)
    pictured.retract("c:jp", DEFINITION)
    japan = pictured.ids(["c:jp"])["c:jp"]
    update_index(pictured, tmp_path / "updated", text, images)
    build_index(pictured, tmp_path / "built", text, images)
    for name in ("updated", "built"):
        index = EntityIndex.open(tmp_path / name, pictured)
        assert {row["path"] for row in index.pictures.values()} == {"it1.png", "it2.png"}
        assert japan not in [key for key, _ in index.search_pictures(images.embed([tmp_path / "jp.png"])[0], 9)]
        assert not index.search_words("Japan", 9) and japan not in index.text.ids


def test_an_entity_that_becomes_a_relation_leaves_the_index(
    graph: KnowledgeGraph, text: HashedWords, tmp_path: Path
) -> None:
    graph.add("x:near", LABEL, Literal("nearby"), source="user")
    build_index(graph, tmp_path, text)
    assert found(graph, EntityIndex.open(tmp_path, graph).search_words("nearby", 1)) == ["x:near"]
    graph.add("c:it", "x:near", "c:ch", source="user")  # nothing is said of x:near itself
    update_index(graph, tmp_path, text)
    assert sorted(EntityIndex.open(tmp_path, graph).text.ids) == graph.entity_ids().tolist()


# -- edits since the index was built, seen at once --------------------------------------------------------------------


@pytest.fixture
def followed(pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path) -> EntityIndex:
    build_index(pictured, tmp_path / "index", text, images)
    index = EntityIndex.open(tmp_path / "index", pictured)
    index.follow(pictured, text)
    return index


def test_a_new_entity_is_found_at_once(pictured: KnowledgeGraph, text: HashedWords, followed: EntityIndex) -> None:
    pictured.add("c:at", LABEL, Literal("Austria"), source="user")
    austria = pictured.ids(["c:at"])["c:at"]
    assert followed.search_words("Where is Austria?", 3)[0].id == austria
    assert followed.search_text(text.embed(["Austria"])[0], 1)[0].id == austria
    np.testing.assert_allclose(followed.text_vectors([austria]), text.embed(["Austria"]), atol=1e-6)


def test_a_new_name_holds_at_once_and_the_old_one_no_longer(
    pictured: KnowledgeGraph, text: HashedWords, followed: EntityIndex
) -> None:
    pictured.retract("p:rome", LABEL)
    pictured.add("p:rome", LABEL, Literal("Roma"), source="user")
    assert found(pictured, followed.search_words("roma", 9)) == ["p:rome"] and not followed.search_words("rome", 9)
    (vector,) = text.embed(["Rome"])
    assert followed.search_text(vector, 1)[0].score < 0.5
    assert len(followed.search_text(vector, 9)) == 9  # all there are, none twice


def test_a_deleted_entity_is_gone_at_once_and_comes_back_when_it_is_added_again(
    pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, followed: EntityIndex, tmp_path: Path
) -> None:
    japan = pictured.ids(["c:jp"])["c:jp"]
    picture = images.embed([tmp_path / "jp.png"])[0]

    def searches() -> list[bool]:
        found_in = [followed.search_words("Japan", 9), followed.search_text(text.embed(["Japan"])[0], 9)]
        shown = followed.search_pictures(picture, 9)
        return [*(japan in [hit.id for hit in hits] for hits in found_in), japan in [key for key, _ in shown]]

    assert searches() == [True] * 3
    for relation in ("r:capital", LABEL, DEFINITION):
        pictured.retract("c:jp", relation)
    assert searches() == [False] * 3 and not followed.text_vectors([japan]).any()
    pictured.add("c:jp", LABEL, Literal("Japan"), source="user")
    assert searches() == [True] * 3


def test_after_very_many_changes_only_deletions_are_followed(
    pictured: KnowledgeGraph, followed: EntityIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.overlay.MOST", 3)
    with pictured.edit(source="user") as edit:
        for n in range(5):
            edit.add(f"c:{n}", LABEL, Literal("Atlantis"))
        for relation in ("r:capital", LABEL, DEFINITION):
            edit.retract("c:jp", relation)
    assert followed.search_words("Atlantis", 9) == [] and followed.search_words("Japan", 9) == []
    assert found(pictured, followed.search_words("Rome", 1)) == ["p:rome"]

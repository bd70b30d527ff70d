"""Pictures → entities: chances climb is-a, entities without a class get one made up, and none is named when unsure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kg import KnowledgeGraph
from kg.records import RDFS
from retrieval.pictures import Candidates
from retrieval.pictures.classifier import AmongEntities, EntityClassifier, tree_kernel
from retrieval.pictures.confidence import Confidence, expected_calibration_error, fit
from retrieval.pictures.is_a import IsA
from retrieval.pictures.linker import PictureLinker, windows
from retrieval.pictures.nearest import NearestPictures, among

X = "http://x/"
AGARIC, BOLETE, BADGER, FOX = (X + name for name in ("agaric", "bolete", "badger", "fox"))
MUSHROOM, FUNGUS, PREDATOR, ANIMAL, LIVING = (X + n for n in ("mushroom", "fungus", "predator", "animal", "living"))
CLASSES = [AGARIC, BOLETE, BADGER, FOX]


@pytest.fixture
def graph() -> Iterator[KnowledgeGraph]:
    """Two mushrooms and two animals; the badger is an animal in two ways."""
    up = RDFS + "subClassOf"
    facts = [
        (AGARIC, MUSHROOM), (BOLETE, MUSHROOM), (MUSHROOM, FUNGUS), (FUNGUS, LIVING),
        (BADGER, PREDATOR), (BADGER, ANIMAL), (PREDATOR, ANIMAL), (FOX, ANIMAL), (ANIMAL, LIVING),
    ]  # fmt: skip
    with KnowledgeGraph.open("sqlite://") as store:
        with store.edit(source="test") as edit:
            for lower, upper in facts:
                edit.add(lower, up, upper)
            edit.add(AGARIC, X + "likes", BADGER)  # no is-a
        yield store


def chance_of(one: Candidates, entity: str) -> float:
    return float(one.chances[one.entities.index(entity)])


# ── is-a ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_ancestor_has_the_chances_of_its_descendants_each_counted_once(graph: KnowledgeGraph) -> None:
    is_a = IsA(graph, CLASSES)
    chances = dict(zip(is_a.entities, is_a.climb(np.array([[0.4, 0.3, 0.2, 0.1]]))[0], strict=True))
    assert chances[MUSHROOM] == chances[FUNGUS] == pytest.approx(0.7)
    assert chances[ANIMAL] == pytest.approx(0.3)  # not 0.5, though predators are animals too
    assert chances[PREDATOR] == pytest.approx(0.2) and chances[LIVING] == pytest.approx(1.0)
    assert set(is_a.entities) == {*CLASSES, MUSHROOM, FUNGUS, PREDATOR, ANIMAL, LIVING}


def test_naming_one_class_says_all_and_naming_what_everything_is_says_nothing(graph: KnowledgeGraph) -> None:
    says = dict(zip(*(lambda is_a: (is_a.entities, is_a.information))(IsA(graph, CLASSES)), strict=True))
    assert says[AGARIC] == says[PREDATOR] == 1.0 and says[LIVING] == 0.0
    assert says[MUSHROOM] == pytest.approx(0.5)  # half of four classes


def test_classes_that_the_graph_has_not_keep_their_chance_to_themselves(graph: KnowledgeGraph) -> None:
    is_a = IsA(graph, [AGARIC, "", X + "unheard of", FOX])
    climbed = dict(zip(is_a.entities, is_a.climb(np.array([[0.1, 0.5, 0.3, 0.1]]))[0], strict=True))
    assert climbed[LIVING] == pytest.approx(0.2)


def test_a_circle_of_classes_ends(graph: KnowledgeGraph) -> None:
    with graph.edit(source="test") as edit:
        edit.add(LIVING, RDFS + "subClassOf", AGARIC)
    assert IsA(graph, CLASSES).under.all(0)[IsA(graph, CLASSES).entities.index(AGARIC)]


# ── the classifier ────────────────────────────────────────────────────────────────────────────────────────────────


def classifier(graph: KnowledgeGraph) -> EntityClassifier:
    """Logit c is feature c."""
    return EntityClassifier(np.eye(4), np.zeros(4), IsA(graph, CLASSES))


def test_a_sure_class_is_named_and_of_two_likely_ones_what_both_are(graph: KnowledgeGraph) -> None:
    sure, torn = classifier(graph).candidates(np.log([[0.94, 0.02, 0.02, 0.02], [0.49, 0.49, 0.01, 0.01]]))
    assert sure.entities[0] == AGARIC and chance_of(sure, AGARIC) == pytest.approx(0.94)
    assert torn.entities[0] == MUSHROOM and chance_of(torn, MUSHROOM) == pytest.approx(0.98)  # 0.98² ½ > 0.49²
    assert chance_of(torn, AGARIC) == pytest.approx(0.49)
    assert LIVING not in torn.entities  # says nothing


def test_a_graph_without_any_of_the_classes_gets_no_candidates() -> None:
    with KnowledgeGraph.open("sqlite://") as empty:
        (found,) = EntityClassifier(np.eye(4), np.zeros(4), IsA(empty, CLASSES)).candidates(np.ones((1, 4)))
    assert found.entities == ()


def test_the_chance_of_strange_classes_goes_to_entities_that_are_said_to_be_alike(graph: KnowledgeGraph) -> None:
    with graph.edit(source="test") as edit:
        edit.add(X + "chanterelle", RDFS + "subClassOf", MUSHROOM)
        edit.add(X + "wolf", RDFS + "subClassOf", ANIMAL)
    entities = [X + "chanterelle", X + "wolf", FOX]  # two without a class
    both = IsA(graph, [*CLASSES, *entities])
    members = both.under[:4][:, [both.entities.index(entity) for entity in entities]]
    kernels = tuple(tree_kernel(rows, both.under[:4], both.information) for rows in (both.under[:4], both.under[4:]))
    scorer = AmongEntities(classifier(graph), entities, members, (kernels[0], kernels[1]))
    bolete, fox = scorer.chances(np.array([[0.0, 9.0, 0.0, 0.0], [0.0, 0.0, 0.0, 9.0]]))
    assert bolete[0] > 0.9 and bolete.sum() == pytest.approx(1)
    assert fox[2] > 0.99
    alone = AmongEntities(classifier(graph), entities, members).chances(np.array([[0.0, 9.0, 0.0, 0.0]]))
    assert alone.sum() < 0.01  # nobody's, without what is said of them


# ── the pictures of entities ──────────────────────────────────────────────────────────────────────────────────────


def test_an_entity_counts_by_its_nearest_picture() -> None:
    held = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    (found,) = NearestPictures(among([FOX, FOX, BADGER], held)).candidates(np.array([[0.0, 5.0]]))
    assert found.entities == (FOX, BADGER) and found.strength == pytest.approx(1.0)
    assert found.chances[0] == pytest.approx(1 / (1 + np.exp((0.8 - 1.0) / 0.05)))


# ── confidence ────────────────────────────────────────────────────────────────────────────────────────────────────


def said(chance: float, strength: float = 0.0) -> Candidates:
    return Candidates((FOX,), np.array([chance]), strength)


def test_fitted_confidence_is_how_often_the_first_link_was_right() -> None:
    found = [said(0.9)] * 10 + [said(0.6)] * 10
    right = [True] * 6 + [False] * 4 + [True] * 2 + [False] * 8
    confidence = fit(found, right, [True] * 20)
    high, low = confidence([said(0.9), said(0.6)])
    assert high == pytest.approx(0.6, abs=0.01) and low == pytest.approx(0.2, abs=0.01)
    assert confidence.threshold == 0.0  # every picture was of something known


def test_the_threshold_parts_pictures_of_entities_from_others() -> None:
    found = [said(p) for p in (0.99, 0.95, 0.9, 0.5, 0.4, 0.3)]
    confidence = fit(found, [True, True, True, False, False, False], [True, True, True, False, False, False])
    linker = PictureLinker(Fixed([said(0.91), said(0.45)]), confidence)
    assert [len(links) for links in linker.links(np.zeros((2, 1)), 3)] == [1, 0]


def test_the_calibration_error_of_four_pictures_by_hand() -> None:
    sure = np.array([0.95, 0.95, 0.55, 0.55])
    assert expected_calibration_error(sure, np.array([1, 1, 1, 0])) == pytest.approx((0.05 + 0.05) / 2)


# ── regions ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Fixed:
    """A scorer that answers what it was given."""

    def __init__(self, found: list[Candidates]) -> None:
        self.found = found

    def candidates(self, features: np.ndarray) -> list[Candidates]:
        return self.found


def test_a_windows_features_are_the_mean_of_its_cells() -> None:
    features = np.random.default_rng(0).normal(size=(3, 4, 6))
    boxes, vectors = windows(features)
    assert [0, 0, 6, 4] in boxes.tolist()
    for (x0, y0, x1, y1), vector in zip(boxes, vectors, strict=True):
        assert np.allclose(vector, features[:, y0:y1, x0:x1].mean((1, 2)), atol=1e-5)


def test_two_things_side_by_side_are_two_regions(graph: KnowledgeGraph) -> None:
    features = np.zeros((4, 6, 12))
    features[0, :, :6] = features[3, :, 6:] = 12.0  # an agaric on the left, a fox on the right
    linker = PictureLinker(classifier(graph), Confidence(threshold=0.9))
    regions = linker.regions(features, 3)
    where = {region.links[0].entity: region.box for region in regions}
    assert where[AGARIC] == pytest.approx((0.0, 0.0, 0.5, 1.0), abs=0.1)  # to a cell
    assert where[FOX] == pytest.approx((0.5, 0.0, 1.0, 1.0), abs=0.1)
    assert len(regions) == 2 and all(region.score > 0.99 for region in regions)
    assert linker.regions(np.zeros((4, 6, 12)), 3) == []  # of nothing, nothing

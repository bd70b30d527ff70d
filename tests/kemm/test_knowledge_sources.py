"""Sources of knowledge: facts told in words and found in them again, walks that end where the graph says."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from kemm.data.around import Around
from kemm.data.sources.linked import LinkedDescriptions
from kemm.data.sources.told import ToldFacts
from kemm.data.ties import ANCHOR, TAIL
from kemm.data.training_data import TrainingData
from tests.kemm.conftest import Trained
from tests.kemm.tiny_world import BASED_IN, MADE_BY, maker_of, town_of


@pytest.fixture
def data(tiny_run: Trained) -> TrainingData:
    made = copy.copy(tiny_run.data)
    made.around = Around(made.world, made._facts())
    return made


def test_held_out_entities_are_told_of_by_no_training_row(data: TrainingData) -> None:
    around = data.around
    assert around is not None and around.train and not set(around.train) & set(around.dev)
    for head in around.train:
        assert not data.world.holdout.entity(head)
        assert all(data.world.holdout.fact(head, relation) == "train" for relation, _ in around.facts[head])


def test_a_mention_is_where_its_name_stands(data: TrainingData) -> None:
    source = ToldFacts(data)
    samples = source.sample(np.random.default_rng(0), 8)
    mentions, facts = samples.mentions, samples.facts
    assert mentions is not None and facts is not None and len(mentions.row)
    ids = samples.parts["language"].raw
    assert ids is not None
    matrix, bank = data.world.bank.matrix, data.world.bank
    for row, first, last, node, kind in zip(*(values.tolist() for values in vars(mentions).values()), strict=True):
        if kind not in (ANCHOR, TAIL):
            continue
        words = ids[row, first : last + 1].tolist()
        known = [text for text in bank._rows if bank.ids([text])[0][1:-1] == words]
        assert any(np.allclose(matrix[bank._rows[text]], facts.node_vectors[node]) for text in known)
    anchors = mentions.node[mentions.kind == ANCHOR]
    assert (facts.node_marks[anchors, 0] == 1).all() and facts.node_marks[:, 0].sum() == len(samples)
    assert samples.has("vision", "language", "knowledge").any()


def test_paths_end_where_the_graph_says(data: TrainingData) -> None:
    around = data.around
    assert around is not None
    told = [toy for toy in around.train if toy.startswith("toy:") and MADE_BY in dict(around.facts[toy])]
    toy = told[0]
    assert around.ends(toy, [(MADE_BY, True)]) == {f"maker:{maker_of(toy)}"}
    maker = f"maker:{maker_of(toy)}"
    if BASED_IN in dict(around.facts.get(maker, [])):
        assert around.ends(toy, [(MADE_BY, True), (BASED_IN, True)]) == {f"town:{town_of(toy)}"}
    same = around.ends(toy, [(MADE_BY, True), (MADE_BY, False)])
    assert toy in same and {maker_of(each) for each in same} == {maker_of(toy)}


def test_two_things_share_what_is_said_of_both_and_what_joins_them(data: TrainingData) -> None:
    around = data.around
    assert around is not None
    toys = [toy for toy in around.facts if toy.startswith("toy:") and MADE_BY in dict(around.facts[toy])]
    same = next(other for other in toys[1:] if maker_of(other) == maker_of(toys[0]))
    other = next(other for other in toys[1:] if maker_of(other) != maker_of(toys[0]))
    shared = around.shared([toys[0], same, other, f"maker:{maker_of(toys[0])}"])[..., around.relations.index(MADE_BY)]
    assert shared[0].tolist() == [True, True, False, True] and shared[2].tolist() == [False, False, True, False]
    assert (shared == shared.T).all()


def test_the_tail_of_a_link_is_among_its_right_ends(data: TrainingData) -> None:
    samples = LinkedDescriptions(data).sample(np.random.default_rng(1), 12)
    links = samples.links
    assert links is not None and len(links.head)
    assert links.right[torch.arange(len(links.tail)), links.tail].all()
    assert ((links.length == 1) | (links.length == 2)).all() and (links.head != links.tail).all()
    relations = len(links.relations) // 2
    assert (links.steps[:, 0] < relations).all() and links.steps.max() < 2 * relations


def test_the_same_step_draws_the_same(data: TrainingData) -> None:
    source = ToldFacts(data)
    one, two = (source.sample(np.random.default_rng(3), 6) for _ in range(2))
    assert one.facts is not None and two.facts is not None
    assert torch.equal(one.facts.far, two.facts.far) and torch.equal(one.entity, two.entity)

"""Objectives of knowledge: what is hidden of facts, what counts as right, and losses that can be checked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from kemm.data.batch import Batch
from kemm.data.facts import join_facts
from kemm.data.lexicon import Lexicon
from kemm.data.samples import join
from kemm.data.ties import ANCHOR, RELATION, TAIL, Mentions
from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import FactHiding, HiddenFacts, Plan, WordHiding
from kemm.objectives.linked_texts import DescriptionTransE, EntityTyping, PathCompletion, PictureRelation
from kemm.objectives.masked_relation import MaskedRelation
from kemm.objectives.mentions import DenoisingAlignment, EntityLinking
from kemm.objectives.subgraph_links import SubgraphLinks
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import task_of as task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def told() -> Batch:
    return tiny_batch.batch(is_told=True)


def hidden(relations: tuple[int, ...] = (), edges: tuple[int, ...] = (), nodes: tuple[int, ...] = ()) -> HiddenFacts:
    """These of the tiny batch's 15 facts and 19 nodes."""
    of_facts, of_nodes = torch.arange(15), torch.arange(19)
    return HiddenFacts(
        torch.isin(of_nodes, torch.tensor(nodes, dtype=torch.long)),
        of_nodes,
        torch.isin(of_facts, torch.tensor(relations, dtype=torch.long)),
        torch.isin(of_facts, torch.tensor(edges, dtype=torch.long)),
    )


def encoded_with(made: object, batch: Batch, choice: HiddenFacts) -> Encoded:
    encoded = made.encode(batch, generator())  # type: ignore[attr-defined]
    encoded.__dict__["hidden_facts"] = choice
    return encoded


def test_a_fact_loses_one_thing_at_most_and_anchors_and_first_facts_stay() -> None:
    facts = tiny_batch.facts()
    for seed in range(30):
        drawn = FactHiding(0.3, 0.2, 0.4, 0.4).draw(facts, generator(seed))
        is_swapped = drawn.given != torch.arange(19)
        lost = (drawn.nodes | is_swapped)[facts.far].int() + drawn.relations.int() + drawn.edges.int()
        assert lost.max() <= 1
        assert not (drawn.nodes | is_swapped)[facts.node_marks[:, 0] > 0].any()
        assert drawn.shown(facts).mask.any(1).all() and not drawn.edges[[0, 3, 8, 12]].any()


def test_an_edge_that_is_taken_out_and_a_hidden_relation_tell_nothing() -> None:
    made, batch = task(masked_relation={}).eval(), told()
    assert batch.samples is not None and batch.samples.facts is not None
    facts, choice = batch.samples.facts, hidden(relations=(1, 5), edges=(2, 13))
    changed = {name: getattr(facts, name).clone() for name in ("relation_vectors", "path_vectors")}
    for values in changed.values():
        values[[1, 2, 5, 13]] *= -1.0
    other = replace(batch, samples=replace(batch.samples, facts=replace(facts, **changed)))
    a, b = (encoded_with(made, each, choice).masked()["knowledge"] for each in (batch, other))
    assert torch.equal(a, b)


def test_facts_of_two_sources_stand_as_they_stood() -> None:
    first, second = tiny_batch.facts(tiny_batch.tables()[:1]), tiny_batch.facts(tiny_batch.tables()[1:3])
    joined = join_facts([first, None, second], [1, 2, 2])
    assert joined is not None
    assert joined.mask.sum(1).tolist() == [3, 0, 0, 5, 4]
    assert joined.row.tolist() == [0] * 3 + [3] * 5 + [4] * 4
    assert torch.equal(joined.node_vectors[joined.far[3:]], second.node_vectors[second.far])
    assert torch.equal(joined.lay_out(joined.log_score)[3:], second.lay_out(second.log_score))


def test_mentions_and_links_move_with_their_rows() -> None:
    samples = told().samples
    assert samples is not None and samples.mentions is not None and samples.links is not None
    before = tiny_batch.batch().samples
    assert before is not None
    joined = join([before, samples])
    assert joined is not None and joined.mentions is not None and joined.links is not None and joined.facts is not None
    assert joined.mentions.row.tolist() == [4, 5, 5, 7] and joined.links.rows.tolist() == [4, 5, 6, 7]
    assert torch.equal(joined.mentions.node, samples.mentions.node)
    assert joined.has("knowledge").tolist() == [False] * 4 + [True] * 4


def test_relations_of_one_name_are_one_choice() -> None:
    made, batch = task(masked_relation={"temperature": 1.0}), told()
    part = made.objectives["masked_relation"]
    assert isinstance(part, MaskedRelation)
    with torch.no_grad():
        part.head.weight.zero_()
        part.head.bias.fill_(1.0)
    found = part.compared(encoded_with(made, batch, hidden(relations=(0, 3, 4))))
    assert found is not None
    _, choices, right = found
    assert len(choices) == 5  # rows 40 … 44 of the bank, whatever the fact
    assert right.sum(1).tolist() == [1, 1, 1] and torch.equal(right[0], right[1])


def test_dragons_loss_is_that_of_its_scores() -> None:
    made = task(subgraph_links={"negatives": 6})
    part = made.objectives["subgraph_links"]
    assert isinstance(part, SubgraphLinks)
    encoded = encoded_with(made, told(), hidden(edges=(1, 6, 14)))
    found = part.scored(encoded)
    assert found is not None
    true, drawn, wrong = found
    assert true.shape == (3,) and drawn.shape == (3, 6)
    expected = 0.0
    for row in range(3):
        terms = [F.logsigmoid(-drawn[row, i]) for i in range(6) if wrong[row, i]]
        expected += (-F.logsigmoid(true[row]) - sum(terms) / len(terms)).item() / 3  # type: ignore[operator]
    again = part(encoded_with(made, told(), hidden(edges=(1, 6, 14)))).item()
    assert again == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["masked_relation", "subgraph_links", "mem"])
def test_nothing_hidden_costs_nothing(name: str) -> None:
    made = task(**{name: {"of": "samples"} if name == "mem" else {}})
    loss = made.objectives[name](encoded_with(made, told(), hidden()))
    assert loss.item() == 0.0
    loss.backward()


def test_transe_moves_a_description_by_its_relation() -> None:
    made, batch = task(description_transe={"margin": 0.0}), told()
    part = made.objectives["description_transe"]
    assert isinstance(part, DescriptionTransE)
    with torch.no_grad():
        part.relation.weight.zero_()
        part.relation.bias.zero_()
    distance, links, single = part.distances(made.encode(batch, generator()))
    assert single.tolist() == [True, True, False, True, False]
    assert distance[torch.arange(5), links.head].abs().max() < 1e-5  # h + 0 − h
    expected = 0.0
    for link, others in ((0, (2, 3)), (1, (1, 3)), (3, (0, 1))):  # neither the head nor a true tail
        wrong = sum(F.logsigmoid(distance[link, other]) for other in others) / len(others)
        expected += (-F.logsigmoid(-distance[link, links.tail[link]]) - wrong).item() / 3
    assert part(made.encode(batch, generator())).item() == pytest.approx(expected, rel=1e-5)


def test_a_path_is_the_product_of_its_relations() -> None:
    made, batch = task(path_completion={}), told()
    part = made.objectives["path_completion"]
    assert isinstance(part, PathCompletion) and batch.samples is not None and batch.samples.links is not None
    encoded = made.encode(batch, generator())
    links = part.links(encoded)
    e, r = part.entities(encoded, links), part.relations(links)
    reached, ends, right = part.reached(encoded)
    assert torch.allclose(reached[2], e[1] * r[0] * r[1]) and torch.allclose(reached[3], e[2] * r[2])
    expected = -(reached @ ends.T).log_softmax(1)[right].mean()
    torch.testing.assert_close(part(encoded), expected)


def test_of_an_untyped_thing_nothing_is_learned() -> None:
    made, batch = task(entity_typing={}), told()
    part = made.objectives["entity_typing"]
    assert isinstance(part, EntityTyping)
    logits, types, is_there = part.logits(made.encode(batch, generator()))
    assert is_there.tolist() == [True, True, True, False]
    expected = F.binary_cross_entropy_with_logits(logits[:3], types[:3].float())
    torch.testing.assert_close(part(made.encode(batch, generator())), expected)


def test_all_pairs_of_pictures_are_asked_for_all_that_they_share() -> None:
    made, batch = task(picture_relation={}), told()
    part = made.objectives["picture_relation"]
    assert isinstance(part, PictureRelation) and batch.samples is not None
    encoded = made.encode(batch, generator())
    logits, right = part.compared(encoded)
    pairs = {
        (0, 1): [1, 0, 0],
        (0, 2): [0, 0, 0],
        (0, 3): [1, 0, 1],
        (1, 2): [0, 1, 0],
        (1, 3): [0] * 3,
        (2, 3): [0, 1, 0],
    }
    assert right.int().tolist() == list(pairs.values())
    expected = F.binary_cross_entropy_with_logits(logits, right.float())
    torch.testing.assert_close(part(encoded), expected)
    chance = part.metrics(encoded)["chance"]  # of three relations 2, 2 and 1 pairs of six
    assert chance == pytest.approx((4 / 6 + 4 / 6 + 5 / 6) / 3)


def test_a_picture_without_another_shares_nothing() -> None:
    made, batch = task(picture_relation={}), told()
    assert batch.samples is not None
    seen = batch.samples.parts["vision"]
    one = replace(seen, present=torch.tensor([True, False, False, False]))
    alone = replace(batch, samples=replace(batch.samples, parts={**batch.samples.parts, "vision": one}))
    loss = made.objectives["picture_relation"](made.encode(alone, generator()))
    loss.backward()
    assert loss.item() == 0.0


def test_ernie_chooses_among_the_entities_of_the_same_text() -> None:
    made, batch = task(denoising_alignment={}), told()
    part = made.objectives["denoising_alignment"]
    assert isinstance(part, DenoisingAlignment)
    words, nodes, right, is_near = part.compared(encoded_with(made, batch, hidden(nodes=(8,))))
    assert right.tolist() == [0, 4, 8, 17] and is_near.sum(1).tolist() == [4, 6, 6, 4]
    logits = (words @ nodes.T).masked_fill(~is_near, -torch.inf)
    loss = part(encoded_with(made, batch, hidden(nodes=(8,))))
    assert loss.item() == pytest.approx(F.cross_entropy(logits, right).item(), rel=1e-5)


def test_a_literal_links_to_nothing_and_an_entity_to_itself() -> None:
    made, batch = task(entity_linking={"candidates": 3}), told()
    part = made.objectives["entity_linking"]
    assert isinstance(part, EntityLinking) and batch.samples is not None and batch.samples.facts is not None
    marks = batch.samples.facts.node_marks.clone()
    marks[8, 1] = 1.0  # the third mention names a number
    facts = replace(batch.samples.facts, node_marks=marks)
    scores, gold, is_candidate = part.scored(
        made.encode(replace(batch, samples=replace(batch.samples, facts=facts)), generator())
    )
    assert scores.shape == (4, 4) and gold.tolist() == [1, 1, 0, 1] and is_candidate.all()
    margin = task(entity_linking={"candidates": 3, "loss": "margin"})
    assert math.isfinite(margin.objectives["entity_linking"](margin.encode(batch, generator())).item())


def test_the_neighbourhood_that_is_contrasted_doesnt_say_whose_it_is() -> None:
    made, batch = task(graph_text={}).eval(), told()
    assert batch.samples is not None and batch.samples.facts is not None
    facts = batch.samples.facts
    vectors = torch.where(facts.node_marks[:, :1] > 0, -facts.node_vectors, facts.node_vectors)
    other = replace(batch, samples=replace(batch.samples, facts=replace(facts, node_vectors=vectors)))
    a, b = (made.encode(each, generator()).pooled("knowledge", torch.arange(4)) for each in (batch, other))
    assert torch.equal(a, b)


def test_facts_are_encoded_once_for_all_who_hide_alike() -> None:
    made = task(mlm={}, mem={"of": "samples"}, masked_relation={}, subgraph_links={})
    encoded = made.encode(told(), generator())
    for part in made.parts().values():
        part(encoded)
    assert encoded.calls["graph encoder"] == 1 and encoded.calls["fusion"] == 1


LEXICON = Lexicon(1, torch.arange(20) < 4, torch.arange(20) >= 15)
IDS = torch.tensor([[2, 5, 15, 6, 7, 8, 9, 10, 3]] * 60)  # eight words: "5 15" is one, three mentions below
MENTIONS = Mentions(
    row=torch.arange(60).repeat_interleave(3),
    first=torch.tensor([1, 4, 5] * 60),
    last=torch.tensor([2, 4, 6] * 60),
    node=torch.zeros(180, dtype=torch.long),
    kind=torch.tensor([ANCHOR, RELATION, TAIL] * 60),
)


def hide(units: str, rate: float, mentions: Mentions | None = MENTIONS) -> torch.Tensor:
    how = WordHiding(rate, units=units)  # type: ignore[arg-type]
    nobody = torch.zeros(60, dtype=torch.bool)
    return how.draw(IDS, torch.ones_like(IDS, dtype=torch.bool), nobody, LEXICON, generator(), mentions).targets >= 0


def test_scene_graph_words_alone_are_hidden_and_whole() -> None:
    found = hide("scene", 0.34)
    assert found.sum(1).min() >= 1 and not found[:, [0, 3, 7, 8]].any()
    assert torch.equal(found[:, 1], found[:, 2]) and torch.equal(found[:, 5], found[:, 6])
    assert ((found[:, 1].int() + found[:, 4].int() + found[:, 5].int()) == 1).all()  # one of three


def test_mentions_are_hidden_more_often_than_other_words() -> None:
    found = hide("entity", 0.2).float().mean(0)
    assert found[[1, 4, 5]].min() > 1.5 * found[[3, 7]].max()


def test_structure_hides_the_anchor_always_and_what_is_told_of_it_twice_as_often() -> None:
    found = hide("structure", 0.25).float().mean(0)
    assert found[1] == found[2] == 1.0
    assert 0.3 < found[4] < 0.7 and 0.3 < found[5] < 0.7 and found[[3, 7]].max() < 0.45


@pytest.mark.parametrize("units", ["entity", "scene", "structure"])
def test_without_mentions_words_are_words(units: str) -> None:
    found = hide(units, 0.2, None)
    assert ((found.sum(1) >= 1) & (found.sum(1) <= 2)).all() and not found[:, [0, 8]].any()


def test_the_plan_hides_the_larger_share_of_each() -> None:
    plan = task(mem={"of": "samples", "rate": 0.3}, masked_relation={"rate": 0.1}, denoising_alignment={}).plan
    assert plan == Plan(facts=FactHiding(nodes=0.3, replaced=0.05, relations=0.1))


ONE = ["masked_relation", "subgraph_links", "graph_text", "graph_image", "grounded_writing", "denoising_alignment"]


@pytest.mark.parametrize("name", [*ONE, "entity_linking"])
def test_one_thing_alone_is_finite(name: str) -> None:
    made, whole = task(**{name: {}}), told()
    assert whole.samples is not None and whole.samples.mentions is not None
    first = whole.samples.take(torch.tensor([0]))
    mentions = Mentions(*(values[:1] for values in vars(whole.samples.mentions).values()))
    alone = replace(first, facts=tiny_batch.facts(tiny_batch.tables()[:1]), mentions=mentions)
    encoded = made.encode(replace(whole, samples=alone), generator())
    chosen = hidden(relations=(1,), edges=(2,))
    encoded.__dict__["hidden_facts"] = HiddenFacts(
        chosen.nodes[:4], chosen.given[:4], chosen.relations[:3], chosen.edges[:3]
    )
    loss = made.objectives[name](encoded)
    loss.backward()
    assert torch.isfinite(loss)

"""Facts of several questions end to end: each lands in its own row and place, over its own nodes."""

from __future__ import annotations

import numpy as np
import torch

from kemm.data.batch import Batch, jitter
from kemm.data.fact_table import RELEVANCE
from kemm.data.facts import collate_facts
from kemm.data.text_bank import TextBank
from tests.kemm import tiny_batch
from tests.kemm.tiny_towers import TinyText


def test_every_fact_lands_in_the_row_of_its_question_and_the_place_it_had() -> None:
    facts = tiny_batch.facts()  # 3, 5, 4 and 3 facts, so K = 5
    assert facts.slot.tolist() == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17]
    assert facts.mask.sum(1).tolist() == [3, 5, 4, 3]
    numbered = facts.lay_out(torch.arange(15.0), fill=-1.0)
    assert numbered.tolist() == [[0, 1, 2, -1, -1], [3, 4, 5, 6, 7], [8, 9, 10, 11, -1], [12, 13, 14, -1, -1]]
    assert torch.equal(numbered >= 0, facts.mask)


def test_laying_out_keeps_further_dimensions_and_lets_gradients_through() -> None:
    facts = tiny_batch.facts()
    values = torch.arange(30.0).view(15, 2).requires_grad_()
    placed = facts.lay_out(values)
    assert placed.shape == (4, 5, 2) and placed[1, 0].tolist() == [6.0, 7.0]
    placed.sum().backward()
    assert values.grad is not None and torch.equal(values.grad, torch.ones(15, 2))


def test_nodes_of_different_questions_are_different_rows() -> None:
    facts = tiny_batch.facts()  # 4, 6, 5 and 4 nodes
    assert facts.node_vectors.shape == (19, tiny_batch.TEXT_WIDTH)
    assert facts.near.tolist() == [0, 0, 1, 4, 4, 4, 5, 6, 10, 10, 10, 10, 15, 15, 15]
    assert facts.far.tolist() == [1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18]
    np.testing.assert_array_equal(facts.node_vectors[4].numpy(), tiny_batch.bank()[10])
    np.testing.assert_array_equal(facts.relation_vectors[3].numpy(), tiny_batch.bank()[40])


def test_no_more_than_most_facts_are_taken_the_first_ones() -> None:
    facts = collate_facts(tiny_batch.tables(), tiny_batch.bank(), most=2)
    assert facts is not None
    assert facts.mask.tolist() == [[True, True]] * 4 and facts.slot.tolist() == list(range(8))
    assert facts.far.tolist() == [1, 2, 5, 6, 11, 12, 16, 17]


def test_a_question_without_facts_has_an_empty_row_and_none_at_all_is_none() -> None:
    first, *others = tiny_batch.tables()
    facts = collate_facts([first.keep([]), *others], tiny_batch.bank(), 5)
    assert facts is not None
    assert facts.mask.sum(1).tolist() == [0, 5, 4, 3] and facts.slot[0] == 5
    assert collate_facts([first.keep([]), first.keep([])], tiny_batch.bank(), 5) is None
    assert collate_facts([], tiny_batch.bank(), 5) is None


def test_a_batch_moves_whole_and_absent_kinds_stay_absent() -> None:
    moved = Batch(questions=tiny_batch.batch().questions).to("meta")
    assert moved.samples is None and moved.edges is None
    states = moved.questions.samples.parts["language"].states
    assert states.device.type == moved.questions.facts.node_vectors.device.type == "meta"


# ── the text bank ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_is_encoded_once() -> None:
    bank = TextBank(TinyText(), 12)
    first = bank.rows(["red", "green", "red"])
    assert first.tolist() == [0, 1, 0] and bank.tower.num_encoded == 2
    assert bank.rows(["green", "blue"]).tolist() == [1, 2] and bank.tower.num_encoded == 3


def test_rows_keep_their_vectors_when_the_matrix_grows() -> None:
    bank = TextBank(TinyText(), 12)
    before = bank.embed(["red", "green"])
    bank.rows([f"word {number}" for number in range(3000)])
    assert len(bank.matrix) >= 3002
    np.testing.assert_array_equal(bank.embed(["red", "green"]), before)
    np.testing.assert_allclose(np.linalg.norm(before, axis=1), 1.0, rtol=1e-5)
    assert bank.embed(["new text"] * 2).shape == (2, 16)  # taken after growing, not before


def test_states_are_padded_to_the_longest_and_do_not_depend_on_company() -> None:
    bank = TextBank(TinyText(), 12)
    states, mask = bank.states(["red", "a large green flag"])
    assert mask.sum(1).tolist() == [3, 6]  # start, words, end
    assert not states[0, 3:].any()
    alone = TextBank(TinyText(), 12).states(["red"])[0]
    torch.testing.assert_close(states[0, :3], alone[0])


def test_a_text_longer_than_the_model_reads_is_cut() -> None:
    states, mask = TextBank(TinyText(), 5).states(["one two three four five six"])
    assert states.shape == (1, 5, 16) and mask.all()


def test_jitter_changes_what_is_read_of_the_words_and_nothing_else() -> None:
    questions = tiny_batch.batch().questions
    assert questions is not None and questions.facts is not None
    noisy = jitter(questions, 0.3, seed=1)
    assert noisy.facts is not None
    before, after = (each.samples.parts["language"] for each in (questions, noisy))
    assert before.states is not None and after.states is not None and before.mask is not None
    assert not torch.equal(after.states, before.states)
    assert not torch.equal(noisy.text_vector, questions.text_vector)
    assert not after.states[~before.mask].any() and torch.equal(after.raw, before.raw)
    torch.testing.assert_close(noisy.text_vector.norm(dim=1), torch.ones(4))
    changed = [
        column for column in range(6) if not torch.equal(noisy.facts.marks[:, column], questions.facts.marks[:, column])
    ]
    assert changed == [RELEVANCE]
    assert noisy.facts.marks[:, RELEVANCE].min() >= 0 and noisy.facts.marks[:, RELEVANCE].max() <= 1
    assert torch.equal(noisy.pointer_targets, questions.pointer_targets)
    again = jitter(questions, 0.3, seed=1).samples.parts["language"]
    assert torch.equal(again.states, after.states)

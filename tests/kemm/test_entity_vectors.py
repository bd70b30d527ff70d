"""Vectors of an embedding run inside the fact encoder: what is added to a node, and when nothing is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kemm.data.entity_vectors import EntityVectors
from kemm.data.fact_table import tabulate
from kemm.data.facts import Facts
from kemm.data.text_bank import TextBank
from kemm.fuse.entity_table import EntityTable
from kemm.fuse.knowledge import FactEncoder
from kemm.pretrain.checkpoint import load_weights, save_state
from kg.errors import InputError
from kg.records import Link, Literal, Statement
from retrieval.evidence import Evidence, EvidenceFact
from tests.kemm import tiny_batch
from tests.kemm.tiny_towers import TinyText

NAMES = ("c:it", "p:rome")


def vectors(numbers: list[list[float]] | None = None, names: tuple[str, ...] = NAMES) -> EntityVectors:
    return EntityVectors(Path("runs/kg/some"), names, torch.tensor(numbers or [[3.0, 1.0], [0.0, 4.0]]))


def encoder(found: EntityVectors | None, is_tuned: bool = False) -> FactEncoder:
    torch.manual_seed(5)
    return FactEncoder(tiny_batch.TEXT_WIDTH, tiny_batch.WIDTH, "compgcn", 1, found, is_tuned).eval()


def known_facts() -> Facts:
    """The facts of the tiny batch, nodes 0 and 1 of each question being the two entities that have a vector."""
    facts = tiny_batch.facts([replace(t, node_entity=t.node_text % 10) for t in tiny_batch.tables()])
    return replace(facts, node_entity=facts.node_entity.where(facts.node_entity < 2, -1))


# ── nodes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_knows_its_row_and_literals_and_strangers_have_none() -> None:
    evidence = Evidence(
        (
            EvidenceFact(Statement("c:it", "r:capital", "p:rome"), score=0.4),
            EvidenceFact(Statement("c:it", "r:area", Literal("c:it")), score=0.2),  # a text that looks like a name
            EvidenceFact(Statement("c:it", "r:borders", "c:fr"), score=0.1),
        ),
        (Link("c:it", 0.8),),
        1,
        {},
    )
    bank = TextBank(TinyText(), 12)
    table = tabulate(evidence, bank, vectors())
    assert table.node_entity.tolist() == [0, 1, -1, -1]
    assert tabulate(evidence, bank).node_entity.tolist() == [-1, -1, -1, -1]
    assert table.with_answer([0], "Milan", 9).node_entity.tolist() == [0, 1, -1, -1, -1]
    assert table.with_answer([2], "Rome", 9, entity_row=1).node_entity.tolist() == [0, 1, -1, -1, 1]


def test_joined_evidence_keeps_each_nodes_row() -> None:
    rows = known_facts().node_entity.tolist()
    assert rows[:4] == [0, 1, -1, -1] and rows[4:10] == [0, 1, -1, -1, -1, -1]  # questions of 4 and 6 nodes


# ── the encoder ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_tuned", [False, True])
def test_the_start_is_bit_for_bit_the_model_without_vectors(is_tuned: bool) -> None:
    plain, given = encoder(None), encoder(vectors(), is_tuned)
    facts = known_facts()
    assert torch.equal(plain(facts), given(facts))
    assert torch.equal(plain(facts), plain(replace(facts, node_entity=torch.full_like(facts.node_entity, -1))))
    assert not [name for name in plain.state_dict() if name.startswith("entities")]
    for name, value in plain.state_dict().items():
        assert torch.equal(value, given.state_dict()[name])


def test_settings_without_vectors_build_a_task_without_a_table() -> None:
    assert tiny_batch.settings().model.entity_embeddings is None
    assert tiny_batch.task().model.knowledge.entities is None


def test_what_is_added_is_the_projection_of_the_normed_vector_and_zero_without_one() -> None:
    table = EntityTable(vectors(), width=3, is_tuned=False)
    with torch.no_grad():
        table.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
    added = table(
        torch.tensor([0, -1, 1])
    )  # (3, 1) and (0, 4) less their means over their deviations: (1, −1), (−1, 1)
    expected = torch.tensor([[1.0, -1.0, 2.0], [0.0, 0.0, 0.0], [-1.0, 1.0, -2.0]])
    torch.testing.assert_close(added, expected, atol=1e-4, rtol=0)


def test_a_hidden_nodes_vector_is_hidden_with_its_text() -> None:
    facts = known_facts()
    hidden = facts.node_entity == 1
    one, other = encoder(vectors()), encoder(vectors([[3.0, 1.0], [7.0, -2.0]]))  # another vector of entity 1
    for model in (one, other):
        assert model.entities is not None
        torch.nn.init.ones_(model.entities.weight)
        model.entities.weight.data[:, 1] = -2.0
    assert not torch.equal(one(facts), other(facts))
    assert torch.equal(one(facts, hidden), other(facts, hidden))


def test_tuned_vectors_learn_only_where_a_node_has_one() -> None:
    table = EntityTable(vectors([[3.0, 1.0, 0.0], [0.0, 4.0, 1.0]]), width=3, is_tuned=True)
    torch.nn.init.eye_(table.weight)
    (table(torch.tensor([-1, 1])) ** 3).sum().backward()
    assert table.table.grad is not None
    assert table.table.grad[0].tolist() == [0.0, 0.0, 0.0]
    assert table.table.grad[1].abs().sum() > 0
    frozen = EntityTable(vectors(), width=3, is_tuned=False)
    assert [name for name, _ in frozen.named_parameters()] == ["weight"]


# ── checkpoints ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_tuned_vectors_are_saved_and_frozen_ones_are_not(tmp_path: Path) -> None:
    tuned = encoder(vectors(), is_tuned=True)
    assert tuned.entities is not None
    with torch.no_grad():
        tuned.entities.table += 1.0
    save_state(tmp_path / "tuned", tuned, None, {})
    again = encoder(vectors([[9.0, 9.0], [9.0, 8.0]]), is_tuned=True)  # trained anew, the same entities in order
    load_weights(tmp_path / "tuned", again)
    assert again.entities is not None
    assert again.entities.table.tolist() == [[4.0, 2.0], [1.0, 5.0]]

    frozen = encoder(vectors())
    assert "entities.table" not in frozen.state_dict()
    save_state(tmp_path / "frozen", frozen, None, {})
    load_weights(tmp_path / "frozen", encoder(vectors()))


@pytest.mark.parametrize(
    ("is_tuned", "changed"),
    [
        (False, vectors([[3.0, 1.0], [0.0, 4.5]])),
        (False, vectors(names=NAMES[::-1])),
        (True, vectors(names=NAMES[::-1])),
    ],
)
def test_a_run_that_has_changed_since_is_one_clear_error(
    tmp_path: Path, is_tuned: bool, changed: EntityVectors
) -> None:
    save_state(tmp_path / "checkpoint", encoder(vectors(), is_tuned), None, {})
    with pytest.raises(InputError, match=r"runs/kg/some has changed .* put the old run back, or train anew"):
        load_weights(tmp_path / "checkpoint", encoder(changed, is_tuned))


def test_a_missing_run_is_named_with_the_setting_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.entity_embeddings\.run: .*no run .* or train it again"):
        EntityVectors.open(tmp_path / "nothing")

"""A tower that reads question and fact together: by hand, trained, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kemm.encoders.cross_encoder import CrossEncoder
from kg.errors import InputError
from tests.kemm.tiny_bert import TinyBert
from tests.kemm.tiny_towers import TinyText

FACTS = ["Abra, made by: Holzmann", "Bolo, weight: 107", "Cuno, made by: Castell, of Turin"]


@pytest.fixture(scope="module")
def tower() -> TinyBert:
    return TinyBert()


def test_the_logit_by_hand_whatever_is_read_beside_it(tower: TinyBert) -> None:
    judge = CrossEncoder(tower)
    found = judge.scores("Who makes Bolo", FACTS)
    asked, said = tower.tokenize(["Who makes Bolo", FACTS[2]], 32)
    ids = torch.tensor([asked + said[1:]])
    kinds = torch.tensor([[0] * len(asked) + [1] * (len(said) - 1)])
    with torch.no_grad():
        states = tower.body(input_ids=ids, token_type_ids=kinds).last_hidden_state[0]
    question, fact = states[: len(asked)].mean(0), states[len(asked) :].mean(0)
    by_hand = -np.log(3) + 10 * float(torch.cosine_similarity(question, fact, dim=0))  # third in the search's order
    assert found[2] == pytest.approx(by_hand, abs=1e-4)


def test_it_learns_to_believe_what_the_search_put_last(tower: TinyBert, tmp_path: Path) -> None:
    questions, right = ["Who makes Abra", "Who makes Cuno"] * 8, [FACTS[2], FACTS[0]] * 8
    found = [[FACTS[1], FACTS[0], FACTS[2]], [FACTS[1], FACTS[2], FACTS[0]]] * 8
    judge = CrossEncoder.train(tower, questions, right, found, rounds=100, seed=1)
    chances = []
    for one in (CrossEncoder(tower), judge):
        logits = [one.scores(questions[row], found[row]) for row in range(2)]  # the right one is the third
        chances.append(sum(float(some[2] - np.log(np.exp(some).sum())) for some in logits))
    assert chances[1] > chances[0] + 0.1
    frozen = "encoder.layer.0.attention.self.query.weight"
    assert torch.equal(judge.body.state_dict()[frozen], tower.body.state_dict()[frozen])
    judge.save(tmp_path / "cross.safetensors")
    opened = CrossEncoder.open(tmp_path / "cross.safetensors", tower)
    np.testing.assert_array_equal(opened.scores("Who", FACTS), judge.scores("Who", FACTS))
    with pytest.raises(InputError, match="made for a text tower of width 16, not 8; train it again"):
        CrossEncoder.open(tmp_path / "cross.safetensors", TinyBert(8))


def test_what_it_cannot_be_made_of_or_learn_from_is_refused(tower: TinyBert, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tiny-16 is no BERT"):
        CrossEncoder(TinyText())
    with pytest.raises(InputError, match="nothing to learn to re-rank from"):
        CrossEncoder.train(tower, ["Who?"], [FACTS[0]], [FACTS[1:]])
    (tmp_path / "cross.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"not a cross-encoder of tiny-16 \(.+\); train it again$"):
        CrossEncoder.open(tmp_path / "cross.safetensors", tower)

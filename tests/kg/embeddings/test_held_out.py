"""Splits drawn from training: nothing is lost or in two places, and nothing unseen is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from kg.embeddings.held_out import draw_validation, hold_out_entities
from kg.embeddings.triples import Triples
from kg.errors import InputError


def drawn(num: int = 400) -> Triples:
    random = np.random.default_rng(0)
    rows = np.unique(random.integers([30, 4, 30], size=(num, 3)).astype(np.int32), axis=0)
    rows = rows[rows[:, 0] != rows[:, 2]]
    names = [str(n) for n in range(30)]
    return Triples(names, ["r", "s", "t", "u"], {"train": rows, "valid": rows[:3], "test": rows[:2]})


def sets(triples: Triples) -> dict[str, set[tuple[int, ...]]]:
    return {split: {tuple(row) for row in rows.tolist()} for split, rows in triples.splits.items()}


def test_a_drawn_validation_split_is_a_share_of_training_and_no_longer_in_it() -> None:
    before, after = drawn(), draw_validation(drawn(), 0.1)
    old, new = sets(before), sets(after)
    assert new["train"] | new["valid"] == old["train"] and not new["train"] & new["valid"]
    assert len(new["valid"]) == round(0.1 * len(old["train"])) and new["test"] == old["test"]
    assert set(after["train"][:, [0, 2]].flat) == set(before["train"][:, [0, 2]].flat)
    assert after.report["valid"]["triples"] == len(new["valid"]) and after.fingerprint() == before.fingerprint()
    assert sets(draw_validation(drawn(), 0.1)) == new != sets(draw_validation(drawn(), 0.1, seed=1))


def test_held_out_entities_are_in_no_training_triple_and_half_of_theirs_are_asked_for() -> None:
    held = hold_out_entities(drawn(), 5, least=6)
    out, found = set(held.entities.tolist()), sets(held.triples)
    assert len(out) == 5
    assert not out & set(held.triples["train"][:, [0, 2]].flat)
    for split in ("given", "asked"):
        assert all(len({h, t} & out) == 1 for h, _, t in found[split])
    assert not found["given"] & found["asked"]
    whole = {row for row in sets(drawn())["train"] if len({row[0], row[2]} & out) == 1}
    assert found["given"] | found["asked"] == whole
    for entity in out:
        # of at least 6; those between two that are held out are left out
        given, asked = (sum(entity in (h, t) for h, _, t in found[split]) for split in ("given", "asked"))
        assert given - asked in (0, 1) and given + asked >= 2
    rest = set(range(30)) - out
    assert rest == set(held.triples["train"][:, [0, 2]].flat)  # neighbours keep a triple


def test_more_than_there_are_cannot_be_held_out() -> None:
    with pytest.raises(InputError, match=r"only 0 entities with 500 triples can be held out, not 3"):
        hold_out_entities(drawn(), 3, least=500)

"""Late fusion: the weighed sum, and weights that no other weights beat on the split they are fitted on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kg.embeddings.late import LateFusion
from kg.embeddings.ranking import rank
from kg.embeddings.triples import Triples
from kg.errors import InputError
from tests.kg.embeddings.fixed import FixedScores


def test_scores_are_the_weighed_sum() -> None:
    one, two = torch.arange(12.0).reshape(2, 3, 2), torch.ones(2, 3, 2)
    fused = LateFusion([FixedScores(one), FixedScores(two)], [2.0, 0.5])
    zero = torch.tensor([0])
    assert fused.score(zero, zero + 1, zero).item() == 2 * 2 + 0.5
    assert fused.score_tails(zero, zero + 1).tolist() == [[4.5, 6.5]]
    assert fused.score_heads(zero + 2, zero).tolist() == [[8.5, 20.5]]


def made(seed: int = 0) -> tuple[LateFusion, Triples]:
    """One model knows a little, one nothing, one the opposite of a little."""
    generator = torch.Generator().manual_seed(seed)
    E, R, N = 12, 2, 80
    rows = torch.stack([torch.randint(n, (N,), generator=generator) for n in (E, R, E)], 1)
    truth = torch.zeros(E, R, E)
    truth[tuple(rows.T)] = 1
    noise = [torch.randn(E, R, E, generator=generator) for _ in range(3)]
    tables = [truth + noise[0], noise[1], -0.5 * truth + noise[2]]
    triples = Triples([str(n) for n in range(E)], ["r", "s"], {"train": rows.numpy()[:1], "valid": rows.numpy()})
    return LateFusion([FixedScores(table) for table in tables]), triples


def test_fitted_weights_are_the_best_there_are_and_tell_what_helps() -> None:
    fused, triples = made()
    before = rank(fused, triples, "valid").realistic
    useful, useless, opposite = fused.fit(triples, limit=None)
    assert useful > 0.5 and abs(useless) < 0.25 and opposite < -0.2
    after = rank(fused, triples, "valid").realistic
    assert (1 / after).mean() > (1 / before).mean() + 0.1
    best = loss_at(fused, triples, fused.weights.tolist())
    for n in range(3):
        for change in (-0.05, 0.05):
            moved = fused.weights.clone()
            moved[n] += change
            assert loss_at(fused, triples, moved.tolist()) > best


def loss_at(fused: LateFusion, triples: Triples, weights: list[float]) -> float:
    """The filtered cross-entropy of both sides, written out triple by triple."""
    tables = [model.table for model in fused.models]
    table = sum(w * t for w, t in zip(weights, tables))  # type: ignore[operator, misc]
    assert isinstance(table, torch.Tensor)
    rows = [tuple(row) for row in np.unique(triples["valid"], axis=0).tolist()]
    known = {*rows}
    total, asked = 0.0, triples["valid"].tolist()
    for h, r, t in asked:
        tails = [e for e in range(12) if e == t or (h, r, e) not in known]
        heads = [e for e in range(12) if e == h or (e, r, t) not in known]
        total += float(torch.logsumexp(table[h, r, tails].double(), 0) - table[h, r, t].double())
        total += float(torch.logsumexp(table[heads, r, t].double(), 0) - table[h, r, t].double())
    return total / (2 * len(asked))


def test_models_of_different_vocabularies_are_refused() -> None:
    with pytest.raises(InputError, match=r"models of one vocabulary can be fused, these have \[\(2, 3\), \(3, 3\)\]"):
        LateFusion([FixedScores(torch.ones(2, 3, 2)), FixedScores(torch.ones(3, 3, 3))])

"""Facts as tokens: what counts, what does not, and literals in the place of entities."""

from __future__ import annotations

import torch

from kg.embeddings.bilinear import ComplEx
from kg.embeddings.facts import FactEncoder
from kg.records import Literal


def test_a_fact_is_one_token_and_says_which_end_is_which() -> None:
    model, encoder = ComplEx(5, 2, 3, initial=0.5), FactEncoder(6, 6, 16)
    heads, relations, tails = torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1]), torch.tensor([1, 0, 1])
    tokens = encoder.of(model, heads, relations, tails)
    assert tokens.shape == (3, 16)
    assert all(float((tokens[a] - tokens[b]).detach().norm()) > 0.5 for a, b in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(tokens, FactEncoder(6, 6, 16).of(model, heads, relations, tails))  # the seed decides


def test_a_literal_takes_the_place_of_the_tail_in_its_row_alone() -> None:
    encoder = FactEncoder(6, 4, 16)
    generator = torch.Generator().manual_seed(0)
    h, r, t = (torch.randn(3, width, generator=generator) for width in (6, 4, 6))
    plain, mixed = encoder(h, r, t), encoder(h, r, t, {1: Literal("12.5", unit="g")})
    other_tail = t.clone()
    other_tail[1] = 100.0
    torch.testing.assert_close(mixed[[0, 2]], plain[[0, 2]])
    assert torch.equal(mixed, encoder(h, r, other_tail, {1: Literal("12.5", unit="g")}))
    assert not torch.allclose(mixed[1], plain[1])
    assert not torch.allclose(mixed[1], encoder(h, r, t, {1: Literal("90", unit="g")})[1])
    torch.testing.assert_close(mixed[1], encoder(h, r, t, {1: Literal("0.0125", unit="kg")})[1])


def test_facts_of_literals_alone_need_no_entities() -> None:
    encoder = FactEncoder(6, 4, 16)
    h, r = torch.ones(2, 6), torch.ones(2, 4)
    tokens = encoder(h, r, literals={0: Literal("1"), 1: Literal("2001-05-31")})
    tokens.sum().backward()
    assert tokens.shape == (2, 16) and encoder.literals.number.grad is not None and encoder.tail.grad is None


def test_the_length_of_the_models_vectors_does_not_matter() -> None:
    encoder = FactEncoder(6, 4, 16)
    h, r, t = torch.ones(1, 6), torch.ones(1, 4), torch.ones(1, 6)
    torch.testing.assert_close(encoder(h, r, t), encoder(h * 1e-3, r * 7, t * 50))
    assert bool(encoder(h * 0, r, t).isfinite().all())

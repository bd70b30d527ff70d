"""Literals as vectors: units, nearness before training, dates on circles, strings by their letters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from kg.embeddings.literals import (
    LiteralEncoder,
    as_date,
    as_number,
    date_features,
    gram_numbers,
    number_features,
    unit_row,
)
from kg.records import XSD, Literal


def km(value: str) -> Literal:
    return Literal(value, XSD + "decimal", unit="km")


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm().detach())


def test_a_kilometre_is_a_thousand_metres_unless_units_are_to_be_told_apart() -> None:
    given = [km("1"), Literal("1000", unit="m"), Literal("1000", unit="kg"), Literal("1000")]
    same = LiteralEncoder(16)(given)
    assert torch.equal(same[0], same[1])
    assert min(distance(same[1], same[2]), distance(same[1], same[3]), distance(same[2], same[3])) > 0.1
    apart = LiteralEncoder(16, normalise=False)(given)
    assert all(distance(a, b) > 0.1 for a, b in itertools.combinations(apart, 2))


def test_a_unit_that_is_not_known_is_a_quantity_of_its_own() -> None:
    assert unit_row("km") == (unit_row("m")[0], 1000.0)
    rows = {unit: unit_row(unit)[0] for unit in ("m", "kg", "parsec", "smoot", None)}  # type: ignore[arg-type]
    assert len(set(rows.values())) == 5 and unit_row("parsec")[1] == 1.0


@pytest.mark.parametrize("width", [32, 128])
def test_near_numbers_are_nearer_than_far_ones_before_training(width: int) -> None:
    encoder = LiteralEncoder(width)
    ladder = [100, 101, 105, 120, 200, 1000, 10**5]
    found = encoder([Literal(str(value)) for value in ladder])
    away = [distance(found[0], other) for other in found[1:]]
    assert away == sorted(away) and away[0] > 0.01
    small, large = encoder([Literal("0.001")])[0], encoder([Literal("-100")])[0]
    assert distance(found[0], small) > distance(found[0], found[3]) and distance(found[0], large) > away[2]


def test_features_of_numbers_are_finite_and_tell_sign_zero_and_magnitude() -> None:
    values = [0.0, 1.0, -1.0, 1e300, -1e-300, 12.5]
    found = number_features(values)
    assert found.shape == (6, 28) and np.isfinite(found).all()
    assert found[:, 0].tolist() == [0, 1, -1, 1, -1, 1] and found[:, 1].tolist() == [1, 0, 0, 0, 0, 0]
    assert (found[0, 2:] == 0).all()
    np.testing.assert_allclose(found[3, 2], 30)
    np.testing.assert_array_equal(found[1, 1:], found[2, 1:])  # but for the sign they are the same


def test_december_is_next_to_january_and_years_run_on() -> None:
    dec, jan, jul, y1990, y1800 = date_features([(2000, 12, 0), (2000, 1, 0), (2000, 7, 0), (1990, 0, 0), (1800, 0, 0)])
    assert np.linalg.norm(dec - jan) < 0.53 < np.linalg.norm(jul - jan)
    assert dec[4:6].tolist() == pytest.approx([-0.5, 3**0.5 / 2]) and y1990[10] == 0 and jan[10] == 1
    assert y1990[1] == pytest.approx(-0.2) and y1800[1] == -4 and y1800[0] == pytest.approx(-0.2)
    monday, next_monday = date_features([(2024, 1, 1), (2024, 1, 8)])
    np.testing.assert_array_equal(monday[8:10], next_monday[8:10])
    assert monday[8:10].tolist() == [0, 1]


def test_strings_that_share_letters_are_nearer() -> None:
    oat, oats, tea = LiteralEncoder(64)([Literal("oat milk"), Literal("Oat  milks"), Literal("green tea")])
    assert distance(oat, oats) < 0.7 * distance(oat, tea)
    assert gram_numbers("ab") == gram_numbers(" AB ") and len(gram_numbers("ab")) == 3 + 2 + 1
    assert gram_numbers("ab")[0] == 4583  # the same on every machine


def test_texts_vectors_from_elsewhere_take_the_place_of_letters() -> None:
    encoder = LiteralEncoder(8, text_width=3)
    texts = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    word, number = encoder([Literal("oat milk"), Literal("7")], texts)
    assert encoder.text is not None
    assert torch.allclose(word, encoder.text[0] + encoder.kinds[2])
    assert torch.equal(number, encoder([Literal("7")])[0])


@pytest.mark.parametrize(
    ("literal", "number", "date"),
    [
        (Literal("12.5", unit="g"), 12.5, None),
        (Literal("2001", XSD + "integer"), 2001, None),
        (Literal("2001", XSD + "gYear"), None, (2001, 0, 0)),
        (Literal("2001-05-31"), None, (2001, 5, 31)),
        (Literal("2001-05-31T12:00:00Z", XSD + "dateTime"), None, (2001, 5, 31)),
        (Literal("2001-02-29", XSD + "date"), None, None),  # there was none
        (Literal("-0044-03-15", XSD + "date"), None, (-44, 3, 15)),
        (Literal("12.5", language="en"), None, None),
        (Literal("NaN", XSD + "double"), None, None),
        (Literal("INF", XSD + "double"), None, None),
        (Literal("12", XSD + "string"), None, None),
        (Literal("oat milk"), None, None),
    ],
)
def test_what_a_literal_is_taken_for(literal: Literal, number: float | None, date: tuple[int, int, int] | None) -> None:
    assert as_number(literal) == number and as_date(literal) == date


def test_kinds_may_be_mixed_and_order_does_not_matter() -> None:
    encoder = LiteralEncoder(8)
    given = [Literal("oat"), Literal("3"), Literal("2001-05-31"), Literal(""), km("2")]
    found = encoder(given)
    assert found.shape == (5, 8) and bool(found.isfinite().all())
    torch.testing.assert_close(found, encoder(given[::-1]).flip(0))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.parameters())

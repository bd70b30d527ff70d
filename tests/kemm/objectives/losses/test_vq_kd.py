"""The tokenizer's codes, slope and running mean, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.vq_kd import moved_codebook, nearest_codes, straight_through, tokenizer_loss

CODEBOOK = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def test_the_nearest_code_is_that_at_the_smallest_angle_whatever_the_length() -> None:
    assert nearest_codes(torch.tensor([[5.0, 1.0], [0.1, 0.2]]), CODEBOOK).tolist() == [0, 1]
    assert nearest_codes(torch.tensor([[5.0, 1.0]]), CODEBOOK * torch.tensor([[0.1], [9.0]])).tolist() == [0]


def test_the_value_is_the_codes_and_the_slope_that_of_the_unit_vector() -> None:
    vector = torch.tensor([[3.0, 4.0]], requires_grad=True)
    quantized = straight_through(vector, CODEBOOK, torch.tensor([1]))
    assert quantized[0].tolist() == pytest.approx([0.0, 1.0])
    quantized[0, 0].backward()
    # d(x/|x|)/dx of (3, 4), first value: (16, −12) / 125
    assert vector.grad is not None and vector.grad[0].tolist() == pytest.approx([16 / 125, -12 / 125])


def test_the_loss_is_one_minus_the_cosine_and_the_distance_to_the_code() -> None:
    decoded, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])  # cosine .6
    vectors = torch.tensor([[6.0, 8.0]])  # unit (.6, .8); to (0, 1): .36 + .04, over two values
    loss = tokenizer_loss(decoded, teacher, vectors, CODEBOOK, torch.tensor([1]), commitment=0.5)
    assert loss.item() == pytest.approx(0.4 + 0.5 * 0.2)
    assert tokenizer_loss(teacher, teacher * 3, CODEBOOK[:1], CODEBOOK, torch.tensor([0])).item() == pytest.approx(0)


def test_a_used_code_moves_to_the_mean_of_its_vectors_and_an_unused_one_stays() -> None:
    vectors = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # both given to code 0: their mean points to 45°
    moved = moved_codebook(CODEBOOK, vectors, torch.tensor([0, 0]), decay=0.5)
    assert moved[0].tolist() == pytest.approx([math.cos(math.pi / 8), math.sin(math.pi / 8)])  # halfway: 22.5°
    assert moved[1].tolist() == [0.0, 1.0]
    assert CODEBOOK[0].tolist() == [1.0, 0.0]  # untouched


def test_two_clusters_are_found_by_moving_the_codebook() -> None:
    generator = torch.Generator().manual_seed(0)
    angles = torch.cat([torch.full((50,), 0.3), torch.full((50,), 1.9)]) + 0.05 * torch.randn(100, generator=generator)
    vectors = torch.stack([angles.cos(), angles.sin()], 1)
    codebook = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
    for _ in range(300):
        codebook = moved_codebook(codebook, vectors, nearest_codes(vectors, codebook), decay=0.95)
    assert sorted(torch.atan2(codebook[:, 1], codebook[:, 0]).tolist()) == pytest.approx([0.3, 1.9], abs=0.02)

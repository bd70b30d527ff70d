"""Which patches are hidden: how many, in what shape, and which first."""

from __future__ import annotations

import pytest
import torch

from kemm.objectives.losses.picture_masks import as_tubes, hide_blocks, hide_random, hide_unattended


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_three_quarters_of_196_patches_are_147_and_all_places_alike() -> None:
    hidden = hide_random(2000, 196, 0.75, seeded())
    assert (hidden.sum(1) == 147).all()
    assert hidden.float().mean(0).sub(0.75).abs().max() < 0.05


def test_forty_per_cent_in_blocks_are_78_patches_with_more_neighbours_than_chance() -> None:
    hidden = hide_blocks(100, 14, 14, 0.4, seeded())
    assert hidden.shape == (100, 196) and (hidden.sum(1) == 78).all()
    assert len({tuple(row) for row in hidden.tolist()}) == 100

    def neighbours(mask: torch.Tensor) -> float:
        grid = mask.view(-1, 14, 14)
        return float((grid[:, 1:] & grid[:, :-1]).sum() + (grid[:, :, 1:] & grid[:, :, :-1]).sum()) / len(grid)

    assert neighbours(hidden) > 1.5 * neighbours(hide_random(100, 196, 0.4, seeded()))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_blocks_hide_exactly_the_share_of_small_and_narrow_grids_too(share: float) -> None:
    for height, width in ((7, 7), (1, 12), (5, 3)):
        assert (hide_blocks(5, height, width, share, seeded()).sum(1) == round(share * height * width)).all()


def test_a_tube_hides_the_same_patches_in_every_frame() -> None:
    hidden = as_tubes(torch.tensor([[True, False, False], [False, False, True]]), 2)
    assert hidden.int().tolist() == [[1, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1]]


def test_the_least_attended_are_hidden() -> None:
    attention = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.7, 0.1, 0.1, 0.1]])
    assert hide_unattended(attention, 0.5).int().tolist() == [[1, 0, 1, 0], [0, 1, 1, 0]]
    assert hide_unattended(1 - attention, 0.25).int().tolist()[0] == [0, 1, 0, 0]


def test_with_a_generator_what_is_kept_is_drawn_by_attention() -> None:
    attention = torch.tensor([[0.6, 0.3, 0.1, 0.0]]).expand(20_000, -1)
    hidden = hide_unattended(attention, 0.75, seeded())
    assert (hidden.sum(1) == 3).all()
    assert (~hidden).float().mean(0).tolist() == pytest.approx([0.6, 0.3, 0.1, 0.0], abs=0.015)

"""Video: wrong clips, the places of frames and subtitles, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.video import clip_negatives, frame_order, frame_places, subtitle_match, subtitle_span


def test_a_wrong_clip_is_of_another_video_or_of_the_same() -> None:
    videos, even = torch.tensor([0, 0, 1]), torch.zeros(3, 3)
    for _ in range(10):
        others = clip_negatives(even, videos)
        assert others[:2].tolist() == [2, 2] and others[2] in (0, 1)
        assert clip_negatives(even, videos, within=True).tolist() == [1, 0, -1]  # the third's video has no other


def test_an_order_and_places_cost_their_logarithm() -> None:
    assert frame_order(torch.zeros(2, 6), torch.tensor([3, 0])).item() == pytest.approx(math.log(6))
    places = torch.tensor([[1, 0, -100]])
    assert frame_places(torch.zeros(1, 3, 3), places).item() == pytest.approx(math.log(3))
    assert frame_places(torch.randn(1, 3, 3), torch.full((1, 3), -100)).item() == 0


def test_a_subtitle_is_somewhere_among_the_frames_that_are_there() -> None:
    even, span = torch.zeros(1, 4), torch.tensor([[0, 1]])
    assert subtitle_span(even, even, span).item() == pytest.approx(2 * math.log(4))
    mask = torch.tensor([[True, True, False, False]])
    assert subtitle_span(even, even, span, mask).item() == pytest.approx(2 * math.log(2))


def test_a_subtitle_is_nearer_to_its_own_video_than_to_another() -> None:
    frames = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, False], [True, False]])
    said = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    videos = torch.tensor([0, 1])
    assert subtitle_match(said, frames, videos, mask).item() == 0  # 1 against 0, more than the margin
    assert subtitle_match(said.flip(0), frames, videos, mask).item() == pytest.approx(2 * 1.1)
    assert subtitle_match(said.flip(0), frames, torch.tensor([5, 5]), mask).item() == 0  # no other video

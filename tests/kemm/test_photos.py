"""Photographs made of flat pictures: the same by the same seed, each different, and the flat one still in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kemm.data.photos import photograph, take_photographs


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Red above blue, three by two."""
    pixels = np.zeros((60, 90, 3), dtype=np.uint8)
    pixels[:30, :, 0] = pixels[30:, :, 2] = 230
    Image.fromarray(pixels).save(tmp_path / "flag.png")
    return tmp_path / "flag.png"


def test_a_photograph_shows_the_flat_picture_upright_on_a_background(flat: Path) -> None:
    sizes = set()
    for seed in range(5):
        photo = photograph(Image.open(flat), np.random.default_rng(seed))
        sizes.add((photo.mode, photo.size))
        pixels = np.asarray(photo, dtype=int)
        red = (pixels[..., 0] > 110) & (pixels[..., 2] < 90)
        blue = (pixels[..., 2] > 110) & (pixels[..., 0] < 90)
        for colour in (red, blue):
            assert 0.06 < colour.mean() < 0.5
        assert np.nonzero(red)[0].mean() < np.nonzero(blue)[0].mean()
        assert not (red | blue)[0].all() or not (red | blue)[-1].all()
    assert len(sizes) == 1 and sizes.pop()[0] == "RGB"


def test_the_same_seed_takes_the_same_photograph_and_another_another(flat: Path) -> None:
    image = Image.open(flat)
    once, again, other = (np.asarray(photograph(image, np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert np.array_equal(once, again) and not np.array_equal(once, other)


def test_every_split_gets_its_number_and_no_two_are_alike(flat: Path, tmp_path: Path) -> None:
    made = take_photographs([flat], tmp_path / "a", {"train": 3, "test": 2}, seed=0)
    assert [(path.relative_to(tmp_path / "a").as_posix(), split) for path, split in made[flat]] == [
        ("train/flag-0.jpg", "train"),
        ("train/flag-1.jpg", "train"),
        ("train/flag-2.jpg", "train"),
        ("test/flag-0.jpg", "test"),
        ("test/flag-1.jpg", "test"),
    ]
    content = [path.read_bytes() for path, _ in made[flat]]
    assert len(set(content)) == 5
    again = take_photographs([flat], tmp_path / "b", {"train": 3, "test": 2}, seed=0)
    assert [path.read_bytes() for path, _ in again[flat]] == content
    other = take_photographs([flat], tmp_path / "c", {"train": 1}, seed=1)
    assert other[flat][0][0].read_bytes() not in content


def test_asking_for_more_leaves_the_first_as_they_were(flat: Path, tmp_path: Path) -> None:
    few = take_photographs([flat], tmp_path / "few", {"train": 1})
    more = take_photographs([flat], tmp_path / "more", {"train": 2})
    assert few[flat][0][0].read_bytes() == more[flat][0][0].read_bytes()

"""Pictures: which may be trained on, and what is remembered of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kemm.data.pictures import FeatureBank, augment, by_split, locate
from kemm.encoders.vision import PictureEmbedder
from kemm.settings import DataSettings
from kg.errors import InputError, UnreadableImage
from kg.records import Picture
from tests.kemm.tiny_towers import TinyVision, paint

RED, BLUE = (200, 30, 30), (30, 30, 200)


class Counting(TinyVision):
    """The tower, which counts the pictures that it looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.num_seen = 0

    def forward(self, pixels):  # type: ignore[no-untyped-def]
        self.num_seen += len(pixels)
        return super().forward(pixels)


# ── splits ────────────────────────────────────────────────────────────────────────────────────────────────────────


def pictures(folder: Path, entity: str, split: str, count: int) -> list[Picture]:
    made = []
    for number in range(count):
        name = f"{entity}-{split or 'plain'}-{number}.png"
        (folder / name).touch()
        made.append(Picture(name, entity, split, str(folder)))
    return made


def test_no_picture_is_both_trained_on_and_kept_for_dev_or_test(tmp_path: Path) -> None:
    all_of = [
        picture
        for entity in ("a", "b", "c")
        for split, count in (("train", 30), ("", 2), ("iconic", 1), ("val", 5), ("test", 5), ("other", 3))
        for picture in pictures(tmp_path, entity, split, count)
    ]
    split = by_split(all_of, DataSettings(), seed=0)
    files = {name: {file for group in split[name].values() for file in group} for name in split}
    assert not files["train"] & files["dev"] | files["train"] & files["test"] | files["dev"] & files["test"]
    assert len(files["train"] | files["dev"]) == 3 * 33 and len(files["test"]) == 3 * 10  # "other" is in none
    assert 0 < len(files["dev"]) < 25  # one in twelve of 99 is 8
    assert all("-val-" in file or "-test-" in file for file in files["test"])


def test_of_three_pictures_or_fewer_none_is_kept_for_dev(tmp_path: Path) -> None:
    all_of = [picture for n in range(40) for picture in pictures(tmp_path, f"e{n}", "train", 3)]
    assert not by_split(all_of, DataSettings(), seed=0)["dev"]


def test_a_pictures_split_depends_on_the_seed_and_its_path_alone(tmp_path: Path) -> None:
    all_of = pictures(tmp_path, "a", "train", 50)
    once = by_split(all_of, DataSettings(), seed=0)
    again = by_split(all_of[::-1], DataSettings(), seed=0)
    assert sorted(once["dev"]["a"]) == sorted(again["dev"]["a"])
    assert by_split(all_of, DataSettings(), seed=1)["dev"] != once["dev"]


def test_missing_files_are_counted_and_the_remedy_is_named(tmp_path: Path) -> None:
    here, gone, also = pictures(tmp_path, "a", "train", 3)
    for picture in (gone, also):
        (tmp_path / picture.path).unlink()
    with pytest.raises(InputError) as caught:
        by_split([here, gone, also], DataSettings(), seed=0)
    assert str(caught.value) == (
        f"2 pictures are not there, such as {tmp_path / gone.path}; set data.root to their folder"
    )
    (tmp_path / "moved").mkdir()
    for picture in (here, gone, also):
        (tmp_path / "moved" / picture.path).touch()
    assert len(by_split([here, gone, also], DataSettings(root=tmp_path / "moved"), seed=0)["train"]["a"]) == 3


def test_a_picture_is_found_below_the_given_root_or_its_own() -> None:
    picture = Picture("a/b.png", "x", root="/photos")
    assert locate(picture, None) == "/photos/a/b.png" and locate(picture, Path("/other")) == "/other/a/b.png"


# ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48)])
def test_a_view_is_a_part_of_the_picture_whatever_its_shape(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, RED)
    for seed in range(10):
        view = augment(image, np.random.default_rng(seed))
        assert view.mode == "RGB" and 1 <= view.width <= size[0] and 1 <= view.height <= size[1]
    large = augment(Image.new("RGB", (100, 100), RED), np.random.default_rng(0))
    assert 0.4 <= large.width * large.height / 10_000 <= 1.0


# ── features, kept by content ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def red(tmp_path: Path) -> str:
    return paint(tmp_path / "red.png", RED)


@pytest.fixture
def blue(tmp_path: Path) -> str:
    return paint(tmp_path / "blue.png", BLUE)


def test_features_are_the_mean_colours_of_the_quarters(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4, 4:] = 255  # white above to the right
    Image.fromarray(pixels).save(tmp_path / "corner.png")
    features = FeatureBank(TinyVision(), None, 2).get(str(tmp_path / "corner.png"))
    assert features.shape == (4, 24) and features.dtype == np.float16
    assert features[:, :3].tolist() == [[0.0] * 3, [1.0] * 3, [0.0] * 3, [0.0] * 3]


def test_what_is_computed_once_is_found_again(tmp_path: Path, red: str, blue: str) -> None:
    tower = Counting()
    ticks: list[int] = []
    bank = FeatureBank(tower, tmp_path / "features", 2)
    bank.compute([red, blue], views=2, progress=ticks.append)
    assert tower.num_seen == 4 and sum(ticks) == 4
    bank.compute([red, blue], views=2)
    kept = {(file, view): bank.get(file, view) for file in (red, blue) for view in (0, 1)}
    assert tower.num_seen == 4

    opened = FeatureBank(tower, tmp_path / "features", 2)
    ticks.clear()
    opened.compute([red, blue], views=2, progress=ticks.append)
    assert all(np.array_equal(opened.get(*key), value) for key, value in kept.items())
    assert tower.num_seen == 4 and sum(ticks) == 4


def test_more_views_are_computed_beside_those_there_are(tmp_path: Path, red: str) -> None:
    tower = Counting()
    bank = FeatureBank(tower, tmp_path / "features", 2)
    bank.compute([red], views=1)
    bank.compute([red], views=3)
    assert tower.num_seen == 3
    views = [bank.get(red, view) for view in range(3)]
    assert not np.array_equal(views[0], views[1]) and not np.array_equal(views[1], views[2])


def test_a_changed_picture_is_noticed_and_an_equal_one_of_another_name_is_known(tmp_path: Path, red: str) -> None:
    tower = Counting()
    first = FeatureBank(tower, tmp_path / "features", 2)
    first.compute([red], views=1)
    before = first.get(red)
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(red).read_bytes())
    paint(Path(red), BLUE)
    opened = FeatureBank(tower, tmp_path / "features", 2)
    opened.compute([red, str(copy)], views=1)
    assert tower.num_seen == 2
    assert np.array_equal(opened.get(str(copy)), before) and not np.array_equal(opened.get(red), before)


def test_a_picture_overwritten_while_the_bank_is_open_is_noticed(red: str) -> None:
    bank = FeatureBank(TinyVision(), None, 2)
    before = bank.get(red)
    paint(Path(red), BLUE, side=20)
    assert not np.array_equal(bank.get(red), before)


def test_another_tower_or_raster_finds_nothing_of_this_one(tmp_path: Path, red: str) -> None:
    FeatureBank(TinyVision(), tmp_path / "features", 2).compute([red], views=1)
    other = TinyVision()
    other.name = "other-colours"
    assert not FeatureBank(other, tmp_path / "features", 2).rows
    assert not FeatureBank(TinyVision(), tmp_path / "features", 1).rows
    assert FeatureBank(TinyVision(), tmp_path / "features", 1).get(red).shape == (1, 24)


def test_two_banks_give_the_same_views(red: str, blue: str) -> None:
    one, other = FeatureBank(TinyVision(), None, 2), FeatureBank(TinyVision(), None, 2)
    one.compute([red, blue], views=3)
    other.compute([blue, red], views=2)  # in another order; view 2 only when asked for
    for file in (red, blue):
        for view in range(3):
            assert np.array_equal(one.get(file, view), other.get(file, view))


def test_an_interrupted_shard_does_not_count(tmp_path: Path, red: str, blue: str) -> None:
    folder = tmp_path / "features"
    bank = FeatureBank(TinyVision(), folder, 2)
    bank.compute([red], views=1)
    np.save(folder / "features-half.npy", np.zeros((1, 4, 24), dtype=np.float16))  # killed before its index stood
    assert len(FeatureBank(TinyVision(), folder, 2).rows) == 1
    assert sorted(json.loads(path.read_text())["grid"] for path in folder.glob("*.json")) == [2]


def test_features_of_pictures_that_were_read_otherwise_do_not_count(tmp_path: Path, red: str) -> None:
    FeatureBank(TinyVision(), tmp_path, 2).compute([red], views=1)
    (shard,) = tmp_path.glob("*.json")
    shard.write_text(shard.read_text().replace('"reading": 2', '"reading": 1'))
    assert not FeatureBank(TinyVision(), tmp_path, 2).rows


def test_a_picture_given_open_is_encoded_and_not_kept(red: str) -> None:
    bank = FeatureBank(TinyVision(), None, 2)
    features = bank.encode(Image.open(red))
    assert np.array_equal(features, bank.get(red)) and len(bank.rows) == 1


def test_one_bad_picture_stops_the_whole_with_its_name(tmp_path: Path, red: str) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bank = FeatureBank(TinyVision(), tmp_path / "features", 2)
    with pytest.raises(UnreadableImage, match=r"bad\.png"):
        bank.compute([red, str(tmp_path / "bad.png")], views=1)
    with pytest.raises(UnreadableImage, match=r"none\.png: no such picture"):
        bank.get(str(tmp_path / "none.png"))
    assert not list(tmp_path.glob("features/*"))  # nothing half-written


def test_an_embedded_picture_has_length_one(red: str, blue: str) -> None:
    vectors = PictureEmbedder(TinyVision(), batch=1).embed([red, Path(blue), Image.open(red)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert vectors[0] @ vectors[1] < 0.6

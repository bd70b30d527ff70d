"""Pictures: which may be trained on, what is remembered of them, and files that are none."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kemm.data.pictures import FeatureBank, augment, by_split, locate
from kemm.encoders.vision import PictureEmbedder, open_image, to_array
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


# ── files that are none, or unusual ───────────────────────────────────────────────────────────────────────────────


def encoded(form: str, **options: object) -> bytes:
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8)).save(file, form, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, begins its pixels, and ends there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(100)))


UNREADABLE = {
    "empty": b"",
    "text": b"<html>404</html>",
    "cut JPEG": encoded("JPEG")[:300],
    "cut PNG": encoded("PNG")[:700],
    "PNG with a wrong checksum": encoded("PNG").replace(b"IDAT", b"IDAX"),
    "cut GIF": encoded("GIF")[:100],
    "cut WebP": encoded("WEBP", lossless=True)[:200],
    "102 megapixels": png_header(10_200, 10_000),
    "a decompression bomb": png_header(65_000, 65_000),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_picture_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(UNREADABLE[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(UnreadableImage) as caught:
            open_image(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_folder_and_a_missing_file_are_no_pictures(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(UnreadableImage, match=r"not a readable picture|no such picture"):
            open_image(path)


@pytest.mark.parametrize(
    ("width", "height", "says"), [(10_200, 10_000, "10200×10000 pixels"), (20_000, 10_000, "over 178 megapixels")]
)
def test_a_huge_picture_is_refused_by_its_header(width: int, height: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(width, height))  # has no pixels: decoding would say that it is cut
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(UnreadableImage, match=f"{says} is too large; give at most 100 megapixels"):
            open_image(tmp_path / "huge.png")


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableImage, match="a folder or device, not a readable picture"):
        open_image(tmp_path / "pipe")


def test_a_picture_of_four_inks_has_the_colours_it_prints(tmp_path: Path) -> None:
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=95)
    r, g, b = np.asarray(open_image(tmp_path / "ink.jpg"))[10, 10].tolist()
    assert r > 240 and g < 15 and b < 15


def test_a_scan_of_sixteen_bits_in_any_mode_keeps_its_grey(tmp_path: Path) -> None:
    (tmp_path / "scan.pgm").write_bytes(b"P5 2 2 65535\n" + bytes([128, 0]) * 4)
    Image.new("I", (2, 2), 128).save(tmp_path / "eight.tiff")
    for name in ("scan.pgm", "eight.tiff"):
        assert np.asarray(open_image(tmp_path / name))[0, 0].tolist() == [128] * 3


def test_a_moving_png_and_webp_show_their_first_frame(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    for name in ("moving.png", "moving.webp"):
        first.save(tmp_path / name, save_all=True, append_images=[second] * 3, duration=50)
        r, _, b = np.asarray(open_image(tmp_path / name))[4, 4].tolist()
        assert r > 150 > b


def damaged(whole: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Cut short at some lengths, and with single bytes changed."""
    for length in rng.integers(1, len(whole), 12):
        yield whole[:length]
    for place in rng.integers(0, min(len(whole), 300), 12):
        yield whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_a_damaged_picture_is_a_picture_or_one_clear_line(form: str, tmp_path: Path) -> None:
    if form not in Image.SAVE and not (Image.init() and form in Image.SAVE):
        pytest.skip(f"this Pillow has no {form}")
    path = tmp_path / "picture"
    refused = 0
    for content in damaged(encoded(form), np.random.default_rng(0)):
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert to_array(open_image(path), 8).shape == (8, 8, 3)
        except UnreadableImage as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused


USUAL = {
    "CMYK": (Image.new("CMYK", (20, 20), (0, 200, 200, 20)), "JPEG"),
    "grey": (Image.new("L", (20, 20), 128), "PNG"),
    "grey with transparency": (Image.new("LA", (20, 20), (128, 10)), "PNG"),
    "palette": (Image.new("RGB", (20, 20), RED).quantize(4), "GIF"),
    "black and white": (Image.new("1", (20, 20), 1), "PNG"),
    "one pixel": (Image.new("RGB", (1, 1), RED), "PNG"),
    "one row": (Image.new("RGB", (400, 1), RED), "PNG"),
    "floating point": (Image.new("F", (20, 20), 0.5), "TIFF"),
    "16 bits": (Image.fromarray(np.full((20, 20), 32768, dtype=np.uint16)), "PNG"),
}


@pytest.mark.parametrize("kind", USUAL)
def test_an_unusual_picture_becomes_a_square_of_bytes(kind: str, tmp_path: Path) -> None:
    image, form = USUAL[kind]
    image.save(tmp_path / "picture", form)
    array = TinyVision().array(open_image(tmp_path / "picture"))
    assert array.shape == (8, 8, 3) and array.dtype == np.uint8
    assert FeatureBank(TinyVision(), None, 2).get(str(tmp_path / "picture")).shape == (4, 24)


def test_sixteen_bits_of_middle_grey_are_middle_grey(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(tmp_path / "scan.png")
    assert np.asarray(open_image(tmp_path / "scan.png"))[0, 0].tolist() == [128, 128, 128]


def test_of_a_moving_picture_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    r, _, b = np.asarray(open_image(tmp_path / "moving.gif"))[0, 0].tolist()
    assert r > 150 > b


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # orientation: turn a quarter clockwise to see it upright
    Image.new("RGB", (40, 20), RED).save(tmp_path / "phone.jpg", exif=exif)
    assert open_image(tmp_path / "phone.jpg").size == (20, 40)
    assert open_image(Image.open(tmp_path / "phone.jpg")).size == (20, 40)  # given open, it is the same picture


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_stands_before_white_not_before_what_is_hidden_there(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))  # black, but not to be seen
    image.putpixel((1, 0), (0, 0, 0, 255))
    if mode == "P":
        image.quantize(2).save(tmp_path / "stamp.png")
    else:
        image.convert(mode).save(tmp_path / "stamp.png")
    found = open_image(tmp_path / "stamp.png")
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 0)]


def test_a_picture_given_open_that_turns_out_to_be_cut_is_one_clear_line() -> None:
    cut = Image.open(io.BytesIO(encoded("PNG")[:700]))  # Pillow reads no pixels until they are needed
    with pytest.raises(UnreadableImage, match="not a readable picture"):
        open_image(cut)


def test_a_wide_picture_is_squeezed_and_a_squarish_one_cropped() -> None:
    ends = np.zeros((20, 40, 3), dtype=np.uint8)
    ends[:, :8] = ends[:, -8:] = 255
    assert to_array(Image.fromarray(ends), 10)[5, 0].min() > 200  # the ends of a flag are still there
    nearly = np.zeros((30, 40, 3), dtype=np.uint8)
    nearly[:, :4] = nearly[:, -4:] = 255
    assert to_array(Image.fromarray(nearly), 10)[5, 0].max() < 60

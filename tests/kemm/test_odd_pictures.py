"""Files that are no pictures, and unusual ones: one clear line, or what a person sees."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kemm.data.pictures import FeatureBank
from kemm.encoders.vision import open_image, to_array
from kg.errors import UnreadableImage
from tests.kemm.tiny_towers import TinyVision

RED, BLUE = (200, 30, 30), (30, 30, 200)


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

"""Texts and pictures that break programs, through three commands: an answer, or one line that says what is wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kemm.cli import main
from kemm.encoders import ENCODERS
from kg import KnowledgeGraph
from kg.records import RDFS, Literal
from tests.kemm.conftest import Trained
from tests.kemm.tiny_towers import TinyText, TinyVision

BYTES = b"caf\xe9 \xff\xfe".decode(errors="surrogateescape")  # what Python makes of an argument that is not UTF-8
Command = Callable[[str, Path | None], list[str]]


@pytest.fixture
def command(
    request: pytest.FixtureRequest, tiny_run: Trained, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """The words of one command that is asked with a text, a picture, or both, over the tiny world."""
    monkeypatch.setitem(ENCODERS, "minilm", f"{TinyText.__module__}:{TinyText.__name__}")
    monkeypatch.setitem(ENCODERS, "efficientnet-lite0", f"{TinyVision.__module__}:{TinyVision.__name__}")
    data = tiny_run.world.settings.data
    over = ["--store", data.store, "--index", str(data.index)]

    def words(text: str, image: Path | None = None) -> list[str]:
        shown = ["--image", str(image)] if image is not None else []
        if request.param == "link":
            return ["link", "--store", data.store, *(shown or [text]), *(over[2:] if shown else [])]
        if request.param == "retrieve":
            return ["retrieve", *over, "--question", text, *shown]
        return ["predict", "--run", str(tiny_run.folder), "--question", text, *shown]

    return words


every_command = pytest.mark.parametrize("command", ["retrieve", "link", "predict"], indirect=True)


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command ends at status 2."""
    assert main(words) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == "" and len(lines) == 1 and lines[0].startswith("error: "), printed.err
    return lines[0]


@every_command
@pytest.mark.parametrize(
    ("text", "why"),
    [("", "text|empty question"), (" \n\t ", "text|empty question"), (BYTES, "not valid Unicode")],
    ids=["empty", "blank", "binary"],
)
def test_a_text_that_says_nothing_is_refused(
    command: Command, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(command(text, None), capsys)
    assert any(part in said for part in why.split("|"))


@every_command
@pytest.mark.parametrize(
    "text",
    [
        "What is the weight of this? " * 3700,
        "x" * 100_000,
        "ما هو وزن هذه اللعبة؟",
        "\u202eabc\u202c \u200f123",
        "\x1b[31m\x07",
    ],
    ids=["100 kB", "one long word", "right to left", "overrides of direction", "control characters"],
)
def test_a_strange_text_is_taken_as_a_question(command: Command, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command(text, None), "--json"]) == 0, capsys.readouterr().err


def test_a_name_written_from_right_to_left_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with KnowledgeGraph.open(f"sqlite:///{tmp_path}/world.db") as graph:
        graph.add("ex:egypt", RDFS + "label", Literal("مصر", language="ar"), source="atlas")
    assert main(["link", "--store", f"sqlite:///{tmp_path}/world.db", "ما هي عاصمة مصر؟", "--json"]) == 0
    assert '"entity": "ex:egypt"' in capsys.readouterr().out


def header(path: Path, width: int, height: int) -> None:
    """A PNG that says it is so large, and has no pixels to speak of."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 64)),
        (b"IEND", b""),
    ]
    written = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))


def paint(kind: str, folder: Path) -> Path:
    """A picture of one kind, in a file."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    image, path = Image.fromarray(noise), folder / f"{kind.replace(' ', '-')}.png"
    if kind == "one pixel":
        image.crop((0, 0, 1, 1)).save(path)
    elif kind == "16 bits":
        Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(path)
    elif kind == "CMYK":
        image.convert("CMYK").save(path, format="JPEG")
    elif kind == "animated":
        image.save(path, format="GIF", save_all=True, append_images=[image.rotate(90), image.rotate(180)])
    elif kind == "truncated":
        image.resize((480, 320)).save(path, format="JPEG")
        path.write_bytes(path.read_bytes()[:4000])
    elif kind == "200 megapixels":
        header(path, 20_000, 10_000)
    elif kind == "110 megapixels":
        header(path, 11_000, 10_000)
    elif kind == "folder":
        path.mkdir()
    elif kind == "no picture":
        path.write_bytes(bytes(range(256)) * 16)
    elif kind == "empty":
        path.write_bytes(b"")
    return path  # "missing": nothing is there


@every_command
@pytest.mark.parametrize("kind", ["one pixel", "CMYK", "16 bits", "animated"])
def test_a_strange_picture_is_looked_at(
    command: Command, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command("What is the weight of this?", paint(kind, tmp_path)), "--json"]) == 0, (
        capsys.readouterr().err
    )


@every_command
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("truncated", "not a readable picture"),
        ("no picture", "not a readable picture"),
        ("empty", "not a readable picture"),
        ("folder", "a folder or device, not a readable picture; name a file"),
        ("missing", "no such picture"),
        ("200 megapixels", "at most 100 megapixels"),
        ("110 megapixels", "at most 100 megapixels"),
    ],
)
def test_a_broken_picture_is_refused(
    command: Command, kind: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = paint(kind, tmp_path)
    said = refusal(command("What is the weight of this?", picture), capsys)
    assert why in said and str(picture) in said

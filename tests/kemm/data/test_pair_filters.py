"""ALIGN's filters over lists of image–text pairs: what is dropped and why, counted by hand."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kemm.data import pair_filters
from kemm.data.pair_files import read_pairs
from kemm.data.pair_filters import Limits, filter_pairs
from kg.errors import InputError


def picture(path: Path, number: int, size: tuple[int, int] = (48, 32), quality: int = 90) -> Path:
    """A JPEG of coarse noise; another number gives another picture."""
    noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path, quality=quality)
    return path


SMALL = Limits(side=20)


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def listed(folder: Path, rows: list[tuple[str, str, str]], name: str = "pairs.jsonl") -> Path:
    path = folder / name
    lines = (json.dumps({"key": key, "image": image, "text": text}) for key, image, text in rows)
    path.write_text("\n".join(lines) + "\n")
    return path


def reasons(path: Path) -> dict[str, str]:
    return {row["key"]: row["reason"] for row in written(path)}


def test_each_pair_is_dropped_for_its_own_reason(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / f"{number}.jpg", number)
    picture(tmp_path / "small.jpg", 20, (48, 20))
    picture(tmp_path / "long.jpg", 21, (94, 31))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "0.jpg").read_bytes()[:400])
    picture(tmp_path / "test" / "seen.png", 3, (96, 64))
    rows = [
        ("good", "0.jpg", "a dog on the beach"),
        ("good", "1.jpg", "a cat in a tree"),
        ("small", "small.jpg", "a dog on the beach"),
        ("long", "long.jpg", "a dog on the beach"),
        ("cut", "cut.jpg", "a dog on the beach"),
        ("none", "none.jpg", "a dog on the beach"),
        ("folder", "test", "a dog on the beach"),
        ("seen", "3.jpg", "a bird in the sky"),
        ("short", "4.jpg", "two words"),
        ("empty", "4.jpg", "   "),
        ("wordy", "5.jpg", "word " * 21),
        ("just", "5.jpg", "word " * 20),
    ]
    out, dropped = tmp_path / "kept.jsonl", tmp_path / "dropped.jsonl"
    found = filter_pairs(listed(tmp_path, rows), out, SMALL, [tmp_path / "test"], dropped)
    assert [row["key"] for row in written(out)] == ["good", "just"]
    assert reasons(dropped) == {
        "good": "duplicate key",
        "small": "picture too small",
        "long": "picture too long",
        "cut": "unreadable picture",
        "none": "no such picture",
        "folder": "no such picture",
        "seen": "near a test picture",
        "short": "text too short",
        "empty": "empty text",
        "wordy": "text too long",
    }
    assert found["read"] == 12 and found["kept"] == 2 and sum(found["dropped"].values()) == 10
    assert sorted(path.name for path in tmp_path.glob("*.partial*")) == []


def test_a_side_of_two_hundred_pixels_is_too_small_by_default_and_three_times_as_wide_is_not_too_long(
    tmp_path: Path,
) -> None:
    picture(tmp_path / "200.jpg", 0, (400, 200))
    picture(tmp_path / "201.jpg", 1, (603, 201))
    picture(tmp_path / "604.jpg", 2, (604, 201))
    rows = [(name, f"{name}.jpg", "a dog on the beach") for name in ("200", "201", "604")]
    filter_pairs(listed(tmp_path, rows), tmp_path / "kept.jsonl", dropped=tmp_path / "no.jsonl")
    assert [row["key"] for row in written(tmp_path / "kept.jsonl")] == ["201"]
    assert reasons(tmp_path / "no.jsonl") == {"200": "picture too small", "604": "picture too long"}


def test_what_many_share_is_counted_by_different_pictures_and_texts(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.jpg", number)
    rows = [
        ("a", "0.jpg", "alt text of many"),
        ("b", "1.jpg", "Alt text of many"),
        ("c", "2.jpg", "alt  text of many"),  # the third picture with it
        ("d", "0.jpg", "only two pictures"),
        ("e", "1.jpg", "only two pictures"),
        ("f", "1.jpg", "only two pictures"),  # a pair again: still two pictures
        ("g", "1.jpg", "the fourth text here"),
        ("h", "1.jpg", "the fifth text here"),  # picture 1 has four texts
    ]
    path, out = listed(tmp_path, rows), tmp_path / "kept.jsonl"
    found = filter_pairs(path, out, Limits(side=20, pictures=2))
    assert found["dropped"] == {"text of too many pictures": 3}
    found = filter_pairs(path, out, Limits(side=20, texts=3))
    assert found["dropped"] == {"picture with too many texts": 5}
    assert [row["key"] for row in written(out)] == ["a", "c", "d"]


def test_a_text_with_a_word_or_pair_of_words_outside_the_vocabulary_is_dropped(tmp_path: Path) -> None:
    picture(tmp_path / "0.jpg", 0)
    rows = [
        (str(n), "0.jpg", text) for n, text in enumerate(["red big dog", "red big dog", "big red dog", "red big cat"])
    ]
    # counts: red 4, big 4, dog 3, "red big" 3, "big dog" 2, and 1 each: "big red", "red dog", "big cat", cat
    found = filter_pairs(listed(tmp_path, rows), tmp_path / "kept.jsonl", Limits(side=20, vocabulary=5))
    assert found["dropped"] == {"rare words": 2}
    assert [row["key"] for row in written(tmp_path / "kept.jsonl")] == ["0", "1"]


def test_an_interrupted_run_goes_on_and_gives_what_one_run_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        picture(tmp_path / f"{number}.jpg", number)
    rows = [(str(n), f"{n}.jpg", f"the {'same' if n % 2 else 'other'} text {n // 5}") for n in range(10)]
    path, out = listed(tmp_path, rows), tmp_path / "kept.jsonl"
    whole = filter_pairs(path, tmp_path / "whole.jsonl", Limits(side=20, pictures=2))
    monkeypatch.setattr(pair_filters, "_COMMIT_EVERY", 3)

    def stop(done: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filter_pairs(path, out, Limits(side=20, pictures=2), progress=stop)
    assert not out.exists()
    found = filter_pairs(path, out, Limits(side=20, pictures=2))
    assert found == whole | {"resumed_at": 6}
    assert out.read_text() == (tmp_path / "whole.jsonl").read_text()
    assert not list(tmp_path.glob("*.partial*"))


def test_work_of_other_limits_is_not_gone_on_with(tmp_path: Path) -> None:
    picture(tmp_path / "0.jpg", 0)
    path = listed(tmp_path, [("a", "0.jpg", "a dog on the beach")])

    def stop(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filter_pairs(path, tmp_path / "kept.jsonl", Limits(side=40), progress=stop)
    found = filter_pairs(path, tmp_path / "kept.jsonl", SMALL)
    assert found == {"read": 1, "kept": 1, "resumed_at": 0, "dropped": {}}


def test_tables_and_tar_shards_are_read_as_json_lines_are(tmp_path: Path) -> None:
    data = picture(tmp_path / "photos" / "0.jpg", 0).read_bytes()
    (tmp_path / "pairs.tsv").write_text("path\tcaption\nphotos/0.jpg\ta dog on the beach\n")
    (tmp_path / "pairs.csv").write_text('key,image,text\nx,photos/0.jpg,"a dog, on the beach"\n')
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        members = {"7.jpg": data, "7.txt": b"a cat in a tree\n", "8.json": b'{"caption": "a b c"}', "8.jpg": data}
        for name, content in {**members, "9.jpg": data, "10.jpg": data, "10.txt": b"\xff\xfe"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    lists = [tmp_path / "pairs.tsv", tmp_path / "pairs.csv", tmp_path / "shard.tar"]
    out = tmp_path / "out" / "kept.jsonl"
    found = filter_pairs(lists, out, SMALL)
    assert found["dropped"] == {"no text": 1, "not UTF-8": 1}
    assert written(out) == [
        {"key": "pairs.tsv:2", "image": "../photos/0.jpg", "text": "a dog on the beach"},
        {"key": "x", "image": "../photos/0.jpg", "text": "a dog, on the beach"},
        {"key": "7", "image": "../shard.tar::7.jpg", "text": "a cat in a tree"},
        {"key": "8", "image": "../shard.tar::8.jpg", "text": "a b c"},
    ]
    assert all(pair.data() == data for pair in read_pairs(out))


def test_lines_that_are_no_pairs_are_counted_and_lists_that_are_none_refused(tmp_path: Path) -> None:
    picture(tmp_path / "0.jpg", 0)
    good = b'{"image": "0.jpg", "text": "a dog on the beach"}\n'
    (tmp_path / "pairs.jsonl").write_bytes(
        good + b"\n[1]\n{\n" + b'{"image": "0.jpg"}\n{"image": "0.jpg", "text": "\xff"}\n'
    )
    found = filter_pairs(tmp_path / "pairs.jsonl", tmp_path / "kept.jsonl", SMALL)
    assert found["read"] == 5 and found["kept"] == 1
    assert found["dropped"] == {"no image": 1, "not JSON": 1, "no text": 1, "not UTF-8": 1}
    (tmp_path / "wrong.tsv").write_text("file\ttext\n0.jpg\ta dog\n")
    (tmp_path / "cut.tar").write_bytes(b"no tar")
    (tmp_path / "cut.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "some.txt").write_text("")
    for name, says in {
        "wrong.tsv": "must name the column 'image'",
        "cut.tar": "can't be read as tar",
        "cut.jsonl.gz": "can't be unpacked",
        "some.txt": "not a list of pairs",
        "none.jsonl": "there is no file",
    }.items():
        with pytest.raises(InputError, match=says):
            filter_pairs(tmp_path / name, tmp_path / "new.jsonl", SMALL)
        assert not (tmp_path / "new.jsonl").exists()
    with pytest.raises(InputError, match="is one of the lists"):
        filter_pairs(tmp_path / "pairs.jsonl", tmp_path / "pairs.jsonl", SMALL)

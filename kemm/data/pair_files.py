"""Lists of image–text pairs, streamed: JSON lines, TSV or CSV, and tar shards as WebDataset's.

    {"key": "7", "image": "photos/7.jpg", "text": "a dog on a beach"}      .jsonl, .json.gz …
    key<TAB>image<TAB>text                                                  .tsv, .csv, with a header
    shard.tar: 7.jpg, 7.txt (or 7.json with "text" or "caption")            .tar

Columns may also be called path, url_path, caption; a pair without a key gets its place in the list. A picture is named
by its path below the list's folder, or ``shard.tar::7.jpg``; nothing is fetched.
"""

from __future__ import annotations

import csv
import functools
import gzip
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kg.errors import InputError, UnreadableImage

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_IMAGE, _TEXT = ("image", "path", "image_path", "file_name"), ("text", "caption")


@dataclass(frozen=True, slots=True)
class Pair:
    """One image with its text.

    Attributes:
        key: what the list calls it, else ``file:line``.
        image: as the list names it; of a tar, ``shard.tar::member``. "" where the line could not be read.
        text: stripped, runs of white space as one blank.
        folder: that ``image`` is below.
        fault: why there is no pair here, as "not UTF-8"; "" where there is one.
    """

    key: str
    image: str
    text: str
    folder: Path
    fault: str = ""

    def data(self) -> bytes:
        """The picture's bytes.

        Raises:
            UnreadableImage: there is no such file.
        """
        shard, is_in_tar, member = self.image.partition("::")
        try:
            if not is_in_tar:
                return (self.folder / self.image).read_bytes()
            file = _members(self.folder / shard).extractfile(member)
            assert file is not None
            return file.read()
        except (OSError, KeyError, AssertionError, tarfile.TarError):
            raise UnreadableImage(f"{self.folder / self.image}: no such picture") from None


def read_pairs(paths: Path | Sequence[Path]) -> Iterator[Pair]:
    """Yield the pairs of some lists, in order; a line that can't be read comes as a pair with a ``fault``.

    Raises:
        InputError: there is no such list, it is of no kind known here, or its header lacks a column.
    """
    for path in [paths] if isinstance(paths, Path) else paths:
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        if suffix == ".tar":
            yield from _tar(path)
        elif suffix in (".jsonl", ".json", ".ndjson"):
            yield from _json_lines(path)
        elif suffix in (".tsv", ".csv"):
            yield from _table(path, "\t" if suffix == ".tsv" else ",")
        else:
            raise InputError(f"{path}: not a list of pairs; give .jsonl, .tsv, .csv (also .gz) or .tar")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from enumerate(file, 1)
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{path}: can't be unpacked ({error}); fetch it again") from None


def _json_lines(path: Path) -> Iterator[Pair]:
    for number, line in _lines(path):
        place = f"{path.name}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            yield Pair(place, "", "", path.parent, "not UTF-8")
            continue
        except ValueError:
            yield Pair(place, "", "", path.parent, "not JSON")
            continue
        found = row if isinstance(row, dict) else {}
        image, text = (
            next((found[n] for n in names if isinstance(found.get(n), str)), None) for names in (_IMAGE, _TEXT)
        )
        if image is None or text is None:
            yield Pair(place, "", "", path.parent, "no image" if image is None else "no text")
        else:
            yield Pair(str(found.get("key", place)), image, _plain(text), path.parent)


def _table(path: Path, separator: str) -> Iterator[Pair]:
    lines = _lines(path)
    header = [name.strip().lower() for name in next(lines, (1, b""))[1].decode("utf-8-sig", "replace").split(separator)]
    places = []
    for names in (_IMAGE, _TEXT):
        found = [header.index(name) for name in names if name in header]
        if not found:
            raise InputError(f"{path}:1: the header must name the column '{names[0]}' (it has: {', '.join(header)})")
        places.append(found[0])
    key = header.index("key") if "key" in header else None
    for number, line in lines:
        place = f"{path.name}:{number}"
        if not line.strip():
            continue
        try:
            said = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            yield Pair(place, "", "", path.parent, "not UTF-8")
            continue
        row = said.split("\t") if separator == "\t" else next(csv.reader([said]), [])
        if len(row) <= max(places):
            yield Pair(place, "", "", path.parent, "too few columns")
            continue
        image, text = (row[at] for at in places)
        yield Pair(row[key] if key is not None and key < len(row) else place, image, _plain(text), path.parent)


def _tar(path: Path) -> Iterator[Pair]:
    """Neighbouring members that share all up to the first dot of their name are one pair."""
    parts: dict[str, str] = {}
    texts: dict[str, bytes] = {}
    before = ""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key, suffix = f"{folder}/{stem}" if folder else stem, "." + suffix.lower()
                if key != before and (parts or texts):
                    yield _sample(path, before, parts, texts)
                    parts, texts = {}, {}
                before = key
                if suffix in IMAGES:
                    parts[suffix] = member.name
                elif suffix in (".txt", ".json"):
                    file = tar.extractfile(member)
                    texts[suffix] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{path}: can't be read as tar ({error}); fetch it again") from None
    if parts or texts:
        yield _sample(path, before, parts, texts)


def _sample(path: Path, key: str, parts: dict[str, str], texts: dict[str, bytes]) -> Pair:
    image = next(iter(parts.values()), None)
    if image is None or not texts:
        return Pair(key, "", "", path.parent, "no image" if image is None else "no text")
    try:
        if ".txt" in texts:
            text = texts[".txt"].decode("utf-8-sig")
        else:
            row = json.loads(texts[".json"].decode("utf-8-sig"))
            text = next((row[name] for name in _TEXT if isinstance(row, dict) and isinstance(row.get(name), str)), "")
    except UnicodeDecodeError:
        return Pair(key, "", "", path.parent, "not UTF-8")
    except ValueError:
        return Pair(key, "", "", path.parent, "not JSON")
    return Pair(key, f"{path.name}::{image}", _plain(text), path.parent)


def _plain(text: str) -> str:
    return " ".join(text.split())


@functools.lru_cache(maxsize=4)
def _members(path: Path) -> tarfile.TarFile:
    """A shard, kept open for the pictures in it; memory of 4 shards' lists of members."""
    return tarfile.open(path)

"""The filters that ALIGN (Jia et al., 2021, arXiv:2102.05918, section 3) put between web pages and its pairs.

Dropped are pictures whose shorter side is at most 200 pixels or one side more than 3 times the other, with more than
1,000 texts, or near to one of a test set; texts that more than 10 pictures share, with a token that is none of the 100
million most frequent words and pairs of words, shorter than 3 or longer than 20 words. ALIGN also drops pornography,
which needs a classifier and is not done here.

Two passes: one looks at every pair, one decides, since what is shared or rare is known only at the end. Between them
stands a SQLite file beside the output, so memory does not grow with the list, and an interrupted run goes on where it
stopped. Words are runs of letters and digits of the lower-cased text.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kemm.data.pair_files import IMAGES, Pair, read_pairs
from kg.errors import InputError, UnreadableImage
from kg.images import difference_hash

_WORD = re.compile(r"[^\W_]+")
_COMMIT_EVERY = 1_000  # pairs


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept; the defaults are ALIGN's but for ``distance``, which is ``kg.images``'.

    Attributes:
        side: pixels that the shorter side must exceed.
        aspect: longer side over shorter, at most.
        texts: different ones of one picture, at most; its pairs are all dropped where there are more.
        pictures: different ones with one text, at most.
        vocabulary: how many words and pairs of words are not rare.
        shortest, longest: words of a text.
        distance: bits of 256 in which near-duplicates of test pictures differ at most.
    """

    side: int = 200
    aspect: float = 3.0
    texts: int = 1000
    pictures: int = 10
    vocabulary: int = 100_000_000
    shortest: int = 3
    longest: int = 20
    distance: int = 26


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def terms(text: str) -> list[str]:
    """Words and pairs of neighbouring words."""
    found = words(text)
    return [*found, *(f"{a} {b}" for a, b in pairwise(found))]


def filter_pairs(
    pairs: Path | Sequence[Path],
    out: Path,
    limits: Limits | None = None,
    tests: Sequence[Path] = (),
    dropped: Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Write the pairs that pass as JSON lines (key, image, text), the pictures' paths relative to ``out``'s folder.

    Args:
        tests: pictures, or folders of them, that no near-duplicate of may be kept.
        dropped: JSON lines (key, reason) of the others.

    Returns:
        ``read``, ``kept``, ``resumed_at`` (pairs of an interrupted run) and ``dropped``: reason → count. A pair is
        counted once, under the first of its reasons in this order: what its line lacks, its key, its picture, its text.

    Raises:
        InputError: a list or a test picture can't be read; nothing is left at ``out`` that was not there.
    """
    lists = [pairs] if isinstance(pairs, Path) else list(pairs)
    limits = limits or Limits()
    for path in lists:
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        if out.exists() and path.samefile(out):
            raise InputError(f"{out} is one of the lists; write to another file")
    work = out.with_name(out.name + ".partial.db")
    out.parent.mkdir(parents=True, exist_ok=True)
    database = _open(work, _fingerprint(lists, limits, tests))
    try:
        resumed = _look(database, read_pairs(lists), limits, _hashes(tests), progress)
        counts = _decide(database, read_pairs(lists), limits, out, dropped)
    finally:
        database.close()
    work.unlink()
    kept = counts.pop("")
    order = sorted(counts.items(), key=lambda item: -item[1])
    return {"read": kept + counts.total(), "kept": kept, "resumed_at": resumed, "dropped": dict(order)}


def _open(work: Path, fingerprint: str) -> sqlite3.Connection:
    """The work of an interrupted run of the same lists and limits; else a new one."""
    database = sqlite3.connect(work)
    try:
        said = database.execute("SELECT value FROM state WHERE name = 'fingerprint'").fetchone()
        if said == (fingerprint,):
            return database
    except sqlite3.DatabaseError:
        pass
    database.close()
    work.unlink()
    database = sqlite3.connect(work)
    database.executescript(
        """
        CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
        CREATE TABLE pairs (number INTEGER PRIMARY KEY, key BLOB, image BLOB, text BLOB, reason TEXT);
        CREATE TABLE keys (key BLOB PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE links (image BLOB, text BLOB, PRIMARY KEY (image, text)) WITHOUT ROWID;
        CREATE TABLE terms (term TEXT PRIMARY KEY, count INTEGER) WITHOUT ROWID;
        """
    )
    database.execute("INSERT INTO state VALUES ('fingerprint', ?), ('read', 0)", (fingerprint,))
    database.commit()
    return database


def _fingerprint(lists: Sequence[Path], limits: Limits, tests: Sequence[Path]) -> str:
    files = [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in lists]
    return json.dumps([files, asdict(limits), [str(p.resolve()) for p in tests]])


def _hashes(tests: Sequence[Path]) -> np.ndarray:
    """The hashes of test pictures, (N, 4) uint64; those without contrast have none."""
    files: list[Path] = []
    for path in tests:
        if not path.exists():
            raise InputError(f"there is no test picture {path}")
        files += sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGES) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            found.append(difference_hash(file))
        except OSError as error:
            raise InputError(f"{file}: not a readable picture ({error}); mend it or leave it out") from None
    return np.array([row for row in found if row is not None], dtype=np.uint64).reshape(-1, 4)


def _look(
    database: sqlite3.Connection,
    pairs: Iterator[Pair],
    limits: Limits,
    tests: np.ndarray,
    progress: Callable[[int], object] | None,
) -> int:
    """First pass: what can be said of each pair alone, and counts. Returns how many an earlier run had looked at."""
    resumed = int(database.execute("SELECT value FROM state WHERE name = 'read'").fetchone()[0])
    rest = enumerate(pairs)
    for _ in islice(rest, resumed):
        pass
    if progress:
        progress(resumed)
    seen: Counter[str] = Counter()
    number = resumed
    while block := list(islice(rest, _COMMIT_EVERY)):
        seen.clear()
        for number, pair in block:
            _look_at(database, number, pair, limits, tests, seen)
        database.executemany(
            "INSERT INTO terms VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count", seen.items()
        )
        database.execute("UPDATE state SET value = ? WHERE name = 'read'", (number + 1,))
        database.commit()
        if progress:
            progress(number + 1)
    return resumed


def _look_at(
    database: sqlite3.Connection, number: int, pair: Pair, limits: Limits, tests: np.ndarray, seen: Counter[str]
) -> None:
    key, text = _digest(pair.key.encode()), _digest(pair.text.lower().encode())
    reason, image = pair.fault, b""
    if not reason and not database.execute("INSERT OR IGNORE INTO keys VALUES (?)", (key,)).rowcount:
        reason = "duplicate key"
    if not reason:
        try:
            data = pair.data()
            image, reason = _digest(data), _fault_of(data, limits, tests)
        except UnreadableImage:
            reason = "no such picture"
    if not pair.fault:
        seen.update(terms(pair.text))  # of all texts, as ALIGN counts in its raw data
    if image and pair.text:
        database.execute("INSERT OR IGNORE INTO links VALUES (?, ?)", (image, text))
    count = len(words(pair.text))
    if not reason and not pair.text:
        reason = "empty text"
    elif not reason and not limits.shortest <= count <= limits.longest:
        reason = "text too short" if count < limits.shortest else "text too long"
    database.execute("INSERT INTO pairs VALUES (?, ?, ?, ?, ?)", (number, key, image, text, reason))


def _fault_of(data: bytes, limits: Limits, tests: np.ndarray) -> str:
    """Why a picture is dropped; "" where it is not."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if min(width, height) <= limits.side:
                return "picture too small"
            if max(width, height) > limits.aspect * min(width, height):
                return "picture too long"
        found = difference_hash(io.BytesIO(data))  # decodes it, whatever there is to compare with
    except Exception:  # Pillow's decoders raise whatever they meet in damaged files
        return "unreadable picture"
    if found is not None and len(tests) and np.bitwise_count(tests ^ found).sum(1).min() <= limits.distance:
        return "near a test picture"
    return ""


def _decide(
    database: sqlite3.Connection, pairs: Iterator[Pair], limits: Limits, out: Path, dropped: Path | None
) -> Counter[str]:
    """Second pass: read the list again and write what passes; both files appear whole or not at all."""
    database.executescript(
        f"""
        CREATE TEMP TABLE shared AS SELECT text FROM links GROUP BY text HAVING count(*) > {limits.pictures};
        CREATE TEMP TABLE crowded AS SELECT image FROM links GROUP BY image HAVING count(*) > {limits.texts};
        """
    )
    shared = {row[0] for row in database.execute("SELECT text FROM shared")}
    crowded = {row[0] for row in database.execute("SELECT image FROM crowded")}
    least = database.execute(
        "SELECT count FROM terms ORDER BY count DESC LIMIT 1 OFFSET ?", (limits.vocabulary - 1,)
    ).fetchone()
    # of terms with the last count that fits, all are kept: which of them would be left to chance
    rare_below = int(least[0]) if least else 0
    counts: Counter[str] = Counter({"": 0})
    partial, refused = out.with_name(out.name + ".partial"), dropped and dropped.with_name(dropped.name + ".partial")
    base = out.parent.resolve()
    rows = database.execute("SELECT image, text, reason FROM pairs ORDER BY number")
    try:
        with (
            partial.open("w", encoding="utf-8") as kept,
            (refused or Path(os.devnull)).open("w", encoding="utf-8") as no,
        ):
            for (image, text, reason), pair in zip(rows, pairs, strict=True):
                if not reason and image in crowded:
                    reason = "picture with too many texts"
                elif not reason and text in shared:
                    reason = "text of too many pictures"
                elif not reason and rare_below > 1 and _is_rare(database, pair.text, rare_below):
                    reason = "rare words"
                counts[reason] += 1
                if reason:
                    no.write(json.dumps({"key": pair.key, "reason": reason}, ensure_ascii=False) + "\n")
                else:
                    named = os.path.relpath(pair.folder.resolve() / pair.image, base)
                    row = {"key": pair.key, "image": named, "text": pair.text}
                    kept.write(json.dumps(row, ensure_ascii=False) + "\n")
        if refused and dropped:
            os.replace(refused, dropped)
        os.replace(partial, out)
    finally:
        for file in (partial, refused):
            if file:
                file.unlink(missing_ok=True)
    return counts


def _is_rare(database: sqlite3.Connection, text: str, rare_below: int) -> bool:
    """Whether any word or pair of words of a text is none of the most frequent."""
    asked = "SELECT count FROM terms WHERE term = ?"
    return any(database.execute(asked, (term,)).fetchone()[0] < rare_below for term in terms(text))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()

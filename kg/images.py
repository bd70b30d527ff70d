"""Pictures that look alike, found by a perceptual hash: dHash, which survives scaling, compression and brightness.

    bit (y, x) = [ I(y, x + 1) > I(y, x) ]      I the grey picture, scaled to 17 × 16

256 bits, 16 a row (N. Krawetz, "Kind of like that", 2013, with 8 × 8; four times the bits keep photos of one kind of
thing apart). Two pictures are near-duplicates if their hashes differ in at most ``distance`` bits. Of 150 shop photos
scaled to two thirds, brightened by 15 % and saved at JPEG quality 60, the median copy differed in 10 bits, the farthest
in 25; the nearest two photos of different splits in 67. A cut of 3 % off each side makes 39. A picture with hardly any
contrast has no hash, or all white ones would be copies of each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

SIDE = 16
#: Grey levels that a picture's brightness must at least deviate by (standard deviation), of 255.
LEAST_CONTRAST = 4.0


def difference_hash(path: str | Path | IO[bytes]) -> np.ndarray | None:
    """Return a picture's dHash, (4,) uint64; None for one without contrast.

    Args:
        path: of a picture, or its open file.

    Raises:
        OSError: there is no such picture or it can't be decoded.
    """
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                image.draft("L", (4 * SIDE, 4 * SIDE))  # a JPEG needn't be decoded at full size
                upright = ImageOps.exif_transpose(image).convert("L")
                grey = np.asarray(upright.resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning, SyntaxError, ValueError) as error:
            raise OSError(f"it can't be decoded: {error}") from None
    if grey.std() < LEAST_CONTRAST:
        return None
    return np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)


def near_duplicates(table: str | Path, distance: int, most: int = 10) -> dict[str, Any]:
    """Compare the pictures of different splits that a table lists (columns path, entity, split).

    Returns:
        ``{"of": pictures with a hash, "splits": {split: n}, "pairs": n, "pictures": n in one, "between": {"a – b": n},
        "same_entity": pairs, "unreadable": n, "flat": n, "examples": [{"paths", "splits", "entities", "distance"}]}``.

    Raises:
        InputError: the table can't be read.
    """
    from kg.store.media import _rows

    table = Path(table)
    rows = [(path, entity, split) for _, entity, path, split in _rows(table)]
    hashes: list[np.ndarray] = []
    kept: list[tuple[str, str, str]] = []
    unreadable = flat = 0
    for row in rows:
        try:
            found = difference_hash(table.parent / row[0])
        except OSError:
            unreadable += 1
            continue
        if found is None:
            flat += 1
            continue
        hashes.append(found)
        kept.append(row)
    pairs = close_pairs(
        np.array(hashes, dtype=np.uint64).reshape(-1, SIDE * SIDE // 64), [row[2] for row in kept], distance
    )
    between: dict[str, int] = {}
    for one, two, _ in pairs:
        name = " – ".join(sorted((kept[one][2] or "no split", kept[two][2] or "no split")))
        between[name] = between.get(name, 0) + 1
    examples = [
        {
            "paths": [kept[one][0], kept[two][0]],
            "splits": [kept[one][2], kept[two][2]],
            "entities": [kept[one][1], kept[two][1]],
            "distance": bits,
        }
        for one, two, bits in sorted(pairs, key=lambda pair: (pair[2], pair[:2]))[:most]
    ]
    splits = [row[2] for row in kept]
    return {
        "of": len(kept),
        "splits": {split: splits.count(split) for split in dict.fromkeys(splits)},
        "pairs": len(pairs),
        "pictures": len({number for pair in pairs for number in pair[:2]}),
        "between": between,
        "same_entity": sum(kept[one][1] == kept[two][1] for one, two, _ in pairs),
        "unreadable": unreadable,
        "flat": flat,
        "examples": examples,
    }


def close_pairs(hashes: np.ndarray, groups: Sequence[str], distance: int) -> list[tuple[int, int, int]]:
    """Return (i, j, bits), i < j, of hashes of different groups that differ in at most ``distance`` bits.

    Args:
        hashes: (N, 4) uint64. All pairs are compared: 100,000 pictures take minutes.
    """
    _, group = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    found: list[tuple[int, int, int]] = []
    for start in range(0, len(hashes), 256):
        block = hashes[start : start + 256]
        bits = np.bitwise_count(block[:, None] ^ hashes[None, start:]).sum(axis=2, dtype=np.int64)  # (256, N − start)
        close = (bits <= distance) & (group[start : start + 256, None] != group[None, start:])
        one, two = np.nonzero(close)
        keep = one < two
        rows = zip((one[keep] + start).tolist(), (two[keep] + start).tolist(), bits[one[keep], two[keep]].tolist())
        found.extend(rows)
    return found

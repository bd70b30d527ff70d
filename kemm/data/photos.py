"""Photographs made from flat pictures: tilted, lit, blurred, before some ground, as a phone would take them.

The quick start's flags come as one flat picture each; these stand in for photographs of them. Deterministic by seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

WIDTH, HEIGHT = 288, 192


def photograph(flat: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One photograph, 288 × 192: the picture fills 75–95 % of the width, its corners moved by up to 6 % of its sides,
    before a plain, evenly shaded ground; light ±25 %, paler colours, blur, noise."""
    tone = rng.uniform(90, 200) + rng.uniform(-20, 20, size=3)
    shade = np.linspace(rng.uniform(0.75, 1.0), rng.uniform(0.75, 1.0), HEIGHT)[:, None, None]
    ground = np.broadcast_to(tone * shade, (HEIGHT, WIDTH, 3))
    canvas = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    width = WIDTH * rng.uniform(0.75, 0.95)
    height = min(width * flat.height / flat.width * rng.uniform(0.92, 1.08), HEIGHT * 0.95)
    left, top = rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height)
    corners = np.array([(left, top), (left + width, top), (left + width, top + height), (left, top + height)])
    corners = corners + rng.uniform(-0.06, 0.06, size=(4, 2)) * (width, height)
    source = np.array([(0, 0), (flat.width, 0), (flat.width, flat.height), (0, flat.height)], dtype=float)
    coefficients = _perspective(corners, source)
    mapped = flat.transform((WIDTH, HEIGHT), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    whole = Image.new("L", flat.size, 255)
    mask = whole.transform((WIDTH, HEIGHT), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    canvas.paste(mapped, (0, 0), mask)
    canvas = ImageEnhance.Brightness(canvas).enhance(rng.uniform(0.75, 1.25))
    canvas = ImageEnhance.Color(canvas).enhance(rng.uniform(0.75, 1.1))
    canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.2)))
    noisy = np.asarray(canvas, dtype=np.float32) + rng.normal(0, 6, size=(HEIGHT, WIDTH, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def take_photographs(
    flats: Sequence[Path], folder: Path, splits: dict[str, int], seed: int = 0
) -> dict[Path, list[tuple[Path, str]]]:
    """Write photographs of each flat picture; ``splits`` says how many of each split.

    Returns:
        flat picture → [(photograph, split), …].
    """
    made: dict[Path, list[tuple[Path, str]]] = {}
    for flat in flats:
        image = Image.open(flat).convert("RGB")
        made[flat] = []
        for split, count in splits.items():
            (folder / split).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                name = f"{flat.stem}-{number}"
                digest = hashlib.blake2b(f"{seed}/{split}/{name}".encode(), digest_size=8).digest()
                path = folder / split / f"{name}.jpg"
                photograph(image, np.random.default_rng(int.from_bytes(digest, "big"))).save(path, quality=88)
                made[flat].append((path, split))
    return made


def _perspective(seen: np.ndarray, source: np.ndarray) -> list[float]:
    """The eight coefficients that map points seen (4, 2) to points of the source (4, 2)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values)).tolist()

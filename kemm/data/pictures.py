"""Pictures of entities: which may be trained on, augmented views of them, and their features, computed once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter

from kemm.data.kept import Kept
from kemm.data.wordings import share
from kemm.encoders.vision import READING, VisionTower, open_image
from kemm.settings import DataSettings
from kg.errors import InputError
from kg.records import Picture

MOST_BYTES = 640 * 1024  # a picture's map before the first trained block; 10,000 of them are 6.5 GB


def locate(picture: Picture, root: Path | None) -> str:
    """The file of a picture: below ``root`` when given, else where it was when it was added."""
    return str((root or Path(picture.root)) / picture.path)


def by_split(pictures: Sequence[Picture], data: DataSettings, seed: int) -> dict[str, dict[str, list[str]]]:
    """Files by split and entity: ``{"train" | "dev" | "test": {entity: [file, …]}}``.

    ``dev``, for calibration, is one in twelve of the training pictures of entities that have at least four.

    Raises:
        InputError: a picture's file is not there; says how many and what to set.
    """
    split: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in ("train", "dev", "test")}
    missing = []
    counts: dict[str, int] = defaultdict(int)
    for picture in pictures:
        counts[picture.entity] += picture.split in data.train_splits
    for picture in pictures:
        file = locate(picture, data.root)
        if not Path(file).is_file():
            missing.append(file)
        elif picture.split in data.test_splits:
            split["test"][picture.entity].append(file)
        elif picture.split in data.train_splits:
            is_dev = counts[picture.entity] >= 4 and share(seed, "picture", picture.path) < 1 / 12
            split["dev" if is_dev else "train"][picture.entity].append(file)
    if missing:
        raise InputError(f"{len(missing)} pictures are not there, such as {missing[0]}; set data.root to their folder")
    return split


def augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A view as a camera might give it: random crop of 45–100 % of the area, mild light, colour and blur."""
    width, height = image.size
    area, aspect = rng.uniform(0.45, 1.0), np.exp(rng.uniform(-0.25, 0.25))
    w = max(1, min(width, round((width * height * area * aspect) ** 0.5)))
    h = max(1, min(height, round((width * height * area / aspect) ** 0.5)))
    x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    view = image.crop((x, y, x + w, y + h))
    view = ImageEnhance.Brightness(view).enhance(rng.uniform(0.75, 1.25))
    view = ImageEnhance.Color(view).enhance(rng.uniform(0.8, 1.2))
    return view.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 1.0)))


class PictureBank(Kept[tuple[str, int]]):
    """What a tower makes of pictures, kept by content.

    It is found by the hash of a picture's bytes, the tower, how the picture is read and the view's number, so a changed
    picture or tower is noticed. View 0 is the picture itself, views 1, 2, … are augmented.
    """

    tower: VisionTower

    def of(self, arrays: list[np.ndarray]) -> np.ndarray:
        """(N, …) of some pictures' arrays."""
        raise TypeError(f"{type(self).__name__} must define of")

    def key(self, file: str, view: int) -> str:
        try:
            return f"{self.content(file)}/{view}"
        except OSError:
            open_image(file)  # says in one line what is wrong
            raise

    def compute(
        self, files: Sequence[str], views: int, progress: Callable[[int], object] | None = None, batch: int = 32
    ) -> None:
        """Make sure that views 0 … ``views - 1`` of every file are there, on disk too."""
        self.keep({self.key(file, view): (file, view) for file in files for view in range(views)}, progress, batch)

    def get(self, file: str, view: int = 0) -> np.ndarray:
        """One picture's; computed now where ``compute`` has not been asked for it."""
        return self.found(self.key(file, view), (file, view))

    def encode(self, image: Image.Image | str | Path) -> np.ndarray:
        """The same of a picture that is not kept."""
        return self.of([self.tower.array(open_image(image))])[0]

    def make(self, items: Sequence[tuple[str, tuple[str, int]]]) -> np.ndarray:
        return self.of([self._view(*source, key) for key, source in items])

    def _view(self, file: str, view: int, key: str) -> np.ndarray:
        image = open_image(file)
        if view:
            seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
            image = augment(image, np.random.default_rng(seed))
        return self.tower.array(image)


class FeatureBank(PictureBank):
    """Patch features (P, D) float16 of pictures by a frozen tower.

    Args:
        tower: the frozen vision tower.
        folder: where to keep features; None keeps them in memory only.
        grid: vision tokens a side.
    """

    def __init__(self, tower: VisionTower, folder: Path | None, grid: int) -> None:
        self.tower, self.grid = tower, grid
        made_by = {"tower": tower.name, "grid": grid, "reading": READING}
        super().__init__(folder, "features", made_by, (grid * grid, tower.width), np.float16)

    def of(self, arrays: list[np.ndarray]) -> np.ndarray:
        return self.tower.patches(arrays, self.grid).numpy().astype(np.float16)


class LowerBank(PictureBank):
    """What enters the first trained block of a partly trained tower, float32, so that a step runs those blocks alone.

    Args:
        tower: the tower as it is trained; of the rest of its weights the digest is remembered.
        folder: as of ``FeatureBank``.
    """

    def __init__(self, tower: VisionTower, folder: Path | None) -> None:
        self.tower = tower
        made_by = {"tower": tower.name, "weights": tower.lower_digest(), "reading": READING}
        blank = torch.zeros(1, tower.size, tower.size, 3, dtype=torch.uint8)
        super().__init__(folder, "lower", made_by, tuple(tower.lower(blank).shape[1:]), np.float32)

    def of(self, arrays: list[np.ndarray]) -> np.ndarray:
        parts = torch.from_numpy(np.stack(arrays)).split(8)  # 22 ms each; 38 in one batch of 32
        return torch.cat([self.tower.lower(part) for part in parts]).numpy()


def lower_bank(towers: dict[str, Any], folder: Path | None) -> LowerBank | None:
    """Of a run's tuned picture tower; None where it is no chain of stages, trains whole, or its maps are too large."""
    tower = towers.get("vision")
    if tower is None or not tower.num_frozen:
        return None
    made = LowerBank(tower, folder)
    return made if np.prod(made.shape) * 4 <= MOST_BYTES else None

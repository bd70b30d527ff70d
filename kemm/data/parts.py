"""Files and texts as parts of samples, the way a run's model takes them: cached features, pixels, ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image

from kemm.data.pictures import FeatureBank, PictureBank, augment, lower_bank
from kemm.data.samples import Part
from kemm.data.sounds import SoundBank
from kemm.data.text_bank import TextBank
from kemm.encoders import tuned_towers
from kemm.encoders.vision import VisionTower, open_image, to_array
from kemm.settings import Settings
from kg.errors import InputError

Shown = dict[str, np.ndarray]


class PartMaker:
    """Make parts; pictures that were decoded are kept.

    Args:
        settings: of the run; what its towers are decides what is made.
        bank, features: the memos of the world's frozen towers.
    """

    def __init__(self, settings: Settings, bank: TextBank, features: FeatureBank) -> None:
        self.settings, self.bank, self.features = settings, bank, features
        chosen = settings.model.towers
        self.size = chosen.vision.size if chosen.vision.mode == "scratch" else features.tower.size
        self.has_pixels = chosen.vision.mode != "frozen"
        mim, teacher = settings.objectives.mim, settings.objectives.teacher
        is_told = (mim is not None and mim.is_told) or (teacher is not None and teacher.of == "vision")
        self.has_features = not self.has_pixels or is_told
        self.has_states = chosen.language.mode == "frozen"
        self.lower = None
        if chosen.vision.blocks and not settings.model.start and not (mim and mim.target in ("pixels", "hog")):
            self.lower = lower_bank(tuned_towers(settings.model), features.folder)
        audio = chosen.audio
        self.sound_bank = SoundBank(features.folder, audio.frames, audio.size) if audio is not None else None
        self._pixels: dict[tuple[str, int], np.ndarray] = {}

    def keep(self, pictures: Sequence[str], sounds: Sequence[str]) -> None:
        """Make now what frozen towers and spectrograms give of these files, on disk for the next run."""
        for bank in self.banks:
            bank.compute(pictures, 1)
        if self.sound_bank is not None:
            self.sound_bank.compute(sounds)

    def take_tower(self, tower: VisionTower) -> None:
        """Cut pictures' maps by this tower's frozen weights: those that a run was saved with, whatever came since."""
        if self.lower is not None and self.lower.tower is not tower:
            self.lower = lower_bank({"vision": tower}, self.features.folder)

    @property
    def banks(self) -> list[PictureBank]:
        """What the frozen tower, and the frozen part of a tuned one, give of pictures, where a batch has it."""
        return ([self.features] if self.has_features else []) + ([self.lower] if self.lower else [])

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────

    def picture(self, image: str | Path | Image.Image, view: int = 0) -> Shown:
        """What the model is given of one picture: ``states`` (P, D_v) float16, ``raw`` or both; see ``Part``."""
        found: Shown = {}
        if self.has_features:
            is_file = isinstance(image, str | Path)
            found["states"] = self.features.get(str(image), view) if is_file else self.features.encode(image)
        if self.has_pixels:
            found["raw"] = self._raw(image, view)
        return found

    def pictures(self, shown: Sequence[Shown | None]) -> Part:
        """Join what ``picture`` gave; None is an absent picture."""
        present = torch.tensor([each is not None for each in shown], dtype=torch.bool)
        shapes: dict[str, tuple[int, ...] | None] = {}
        shapes["states"] = self.features.shape if self.has_features else None
        shapes["raw"] = self.lower.shape if self.lower else (self.size, self.size, 3) if self.has_pixels else None
        made = {}
        for name, shape in shapes.items():
            if shape is not None:
                is_float = name == "states" or self.lower is not None
                blank = np.zeros(shape, dtype=np.float32 if is_float else np.uint8)
                rows = [blank if each is None else each[name].astype(blank.dtype) for each in shown]
                made[name] = torch.from_numpy(np.stack(rows))
        return Part(present, made.get("raw"), made.get("states"))

    def _raw(self, image: str | Path | Image.Image, view: int) -> np.ndarray:
        if isinstance(image, str | Path):
            return self._decoded(str(image), view) if self.lower is None else self.lower.get(str(image), view)
        return self._sized(image) if self.lower is None else self.lower.encode(image)

    def _decoded(self, file: str, view: int) -> np.ndarray:
        if (file, view) not in self._pixels:
            image = open_image(file)
            if view:
                seed = int.from_bytes(self.features.key(file, view).encode()[:8], "big")
                image = augment(image, np.random.default_rng(seed + view))
            self._pixels[file, view] = self._sized(image)
        return self._pixels[file, view]

    def _sized(self, image: Image.Image) -> np.ndarray:
        return to_array(image, self.size)

    # ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def texts(self, texts: Sequence[str | None]) -> Part:
        """Ids, and states of the frozen tower where there is one; None is an absent text."""
        present = torch.tensor([text is not None for text in texts], dtype=torch.bool)
        filled = [text or "" for text in texts]
        ids, mask = self.bank.tower.pad(self.bank.ids(filled))
        states = self.bank.states(filled)[0] if self.has_states else None
        return Part(present, ids, states, mask)

    # ── sounds and films ──────────────────────────────────────────────────────────────────────────────────────────

    def sounds(self, files: Sequence[str | None]) -> Part:
        """Log-mel spectrograms (B, F, M), cut or padded to the model's frames; None is an absent sound."""
        if self.sound_bank is None:
            raise InputError("there are sounds to train on, but the model takes none: set model.towers.audio")
        found = np.zeros((len(files), *self.sound_bank.shape), dtype=np.float32)
        for row, file in enumerate(files):
            if file is not None:
                found[row] = self.sound_bank.get(file)
        return Part(torch.tensor([file is not None for file in files]), torch.from_numpy(found))

    def films(self, files: Sequence[str | None]) -> Part:
        """Frames (B, F, S, S, 3), evenly taken from a folder of pictures by name, or an animated GIF, WebP or PNG.

        None is an absent film.

        Raises:
            InputError: the model takes no films, or there is no frame in one.
        """
        chosen = self.settings.model.towers.video
        if chosen is None:
            raise InputError("there are films to train on, but the model takes none: set model.towers.video")
        frames = torch.zeros(len(files), chosen.frames, chosen.size, chosen.size, 3, dtype=torch.uint8)
        mask = torch.zeros(len(files), chosen.frames, dtype=torch.bool)
        for row, file in enumerate(files):
            if file is not None:
                if (file, -1) not in self._pixels:
                    taken = frames_of(Path(file), chosen.frames)
                    self._pixels[file, -1] = np.stack([to_array(frame, chosen.size) for frame in taken])
                taken_pixels = torch.from_numpy(self._pixels[file, -1])
                frames[row, : len(taken_pixels)], mask[row, : len(taken_pixels)] = taken_pixels, True
        return Part(torch.tensor([file is not None for file in files]), frames, mask=mask)

    def regions(self, files: Sequence[str | None]) -> Part:
        """What a detector found (B, R, D_f + 4 + C), of NPZ files; None is an absent picture.

        ``features`` (R, D_f), ``boxes`` (R, 4) left, top, right and bottom as shares of the picture, and, where
        ``model.towers.regions.classes`` says so, ``classes`` (R, C), how likely each is. The first R are taken.

        Raises:
            InputError: the model takes no regions, or a file has not these arrays.
        """
        chosen = self.settings.model.towers.regions
        if chosen is None:
            raise InputError("there are regions to train on, but the model takes none: set model.towers.regions")
        widths = {"features": chosen.features, "boxes": 4, "classes": chosen.classes}
        found = torch.zeros(len(files), chosen.most, sum(widths.values()))
        mask = torch.zeros(len(files), chosen.most, dtype=torch.bool)
        for row, file in enumerate(files):
            if file is not None:
                try:
                    with np.load(file, allow_pickle=False) as saved:
                        arrays = [saved[name].astype(np.float32) for name, width in widths.items() if width]
                    rows = np.concatenate(arrays, axis=1)[: chosen.most]
                    found[row, : len(rows)], mask[row, : len(rows)] = torch.from_numpy(rows), True
                except (OSError, KeyError, ValueError, RuntimeError, BadZipFile) as error:
                    wanted = ", ".join(f"{name} (R, {width})" for name, width in widths.items() if width)
                    raise InputError(f"{file}: an NPZ with {wanted} is needed ({error})") from error
        return Part(torch.tensor([file is not None for file in files]), found, mask=mask)


def frames_of(path: Path, most: int) -> list[Image.Image]:
    """At most so many frames of a film, evenly taken, the first and the last among them.

    Raises:
        InputError: the folder is empty, or the file is no picture.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        if not files:
            raise InputError(f"{path}: there are no frames in this folder; give one of pictures, sorted by name")
        return [open_image(str(files[round(at)])) for at in np.linspace(0, len(files) - 1, min(most, len(files)))]
    try:
        with Image.open(path) as film:
            count = getattr(film, "n_frames", 1)
            found = []
            for at in np.linspace(0, count - 1, min(most, count)):
                film.seek(round(at))
                found.append(open_image(film.copy()))
            return found
    except OSError as error:
        raise InputError(f"{path}: this is neither a folder of frames nor an animated picture ({error})") from error

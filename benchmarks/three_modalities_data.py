"""What ``benchmarks.three_modalities`` learns from: Tux Paint's stamps as features, spectrograms and spelled names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kemm.data.pictures import FeatureBank
from kemm.data.spelling import spell
from kemm.data.stamp_facts import Nouns, knowledge_text, split_of
from kemm.data.stamps import Thing, read_stamps
from kemm.data.wordings import share
from kemm.encoders.sound import read_wave
from kemm.encoders.speech import SpeechConvolution
from kemm.encoders.text import MiniLM, TextEmbedder
from kemm.encoders.vision import EfficientNetLite0

FRAMES, MELS = 256, 48
RECORDINGS = 8  # most of one thing
SPOKEN_OFTEN = 40  # recordings of a language, at least, that its names are taken in


class Things(NamedTuple):
    """What is known of N things: features of pictures (N, 1280) and texts (N, 384), S spectrograms (S, T, M)."""

    keys: list[str]
    split: np.ndarray  # (N,) of str
    image: Tensor
    text: dict[bool, Tensor]  # with knowledge or without
    names: list[list[str]]  # of each thing, in the languages that are spoken
    sound: Tensor  # (S, T, M)
    said: list[str]  # (S,) the name that is spoken; "" for what the thing sounds like
    owner: np.ndarray  # (S,) the thing of each recording
    is_new: np.ndarray  # (S,) never heard in training


def prepare(stamps: Path, folder: Path) -> Things:
    """Read and encode, or take what an earlier run left in ``folder`` (remove it after a change of the stamps)."""
    kept = folder / "stamps.npz"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **_read(stamps, folder))
    saved = np.load(kept)
    text = {knows: torch.from_numpy(saved[f"text{int(knows)}"]) for knows in (False, True)}
    names = [[name for name in lines.split("\n") if name] for lines in saved["names"].tolist()]
    image, sound = torch.from_numpy(saved["image"]), torch.from_numpy(saved["sound"].astype(np.float32))
    keys, said = saved["keys"].tolist(), saved["said"].tolist()
    return Things(keys, saved["split"], image, text, names, sound, said, saved["owner"], saved["is_new"])


def _read(stamps: Path, folder: Path) -> dict[str, np.ndarray]:
    nouns = Nouns()
    found = []
    seen: set[str] = set()
    for thing in read_stamps(stamps):
        meaning = nouns.meaning(thing)
        usable = thing.picture and thing.sounds and meaning and thing.kinds[0] != "symbols"
        if usable and thing.name not in seen:  # of two things with one name, nobody could tell which is meant
            seen.add(thing.name)
            found.append((thing, meaning))
    things = [thing for thing, _ in found]
    chosen = [(owner, file) for owner, thing in enumerate(things) for file in recordings(thing)]
    languages = [language_of(things[owner], file) for owner, file in chosen]
    often = sorted(name for name in set(languages) if name and languages.count(name) >= SPOKEN_OFTEN)
    bank = FeatureBank(EfficientNetLite0(), folder / "pictures", 1)
    pictures = [str(thing.picture) for thing in things]
    bank.compute(pictures, 1)
    embedder = TextEmbedder(MiniLM(), max_tokens=64)
    known = [f"{thing.name}; {knowledge_text(meaning)}" for thing, meaning in found]
    return {
        "keys": np.array([thing.key for thing in things]),
        "split": np.array([split_of(thing, meaning) for thing, meaning in found]),
        "image": np.stack([bank.get(file)[0] for file in pictures]).astype(np.float32),
        "text0": embedder.embed([thing.name for thing in things]),
        "text1": embedder.embed(known),
        "names": np.array(["\n".join(dict.fromkeys(name_in(thing, each) for each in often)) for thing in things]),
        "sound": spectrograms([file for _, file in chosen]).numpy().astype(np.float16),
        "said": np.array([name_in(things[owner], said) for (owner, _), said in zip(chosen, languages, strict=True)]),
        "owner": np.array([owner for owner, _ in chosen]),
        "is_new": np.array([share(1, "new", str(file.relative_to(stamps))) < 1 / 6 for _, file in chosen]),
    }


def recordings(thing: Thing) -> list[Path]:
    """What it sounds like, and names drawn by their file's name, ``RECORDINGS`` at most."""
    return sorted(thing.sounds, key=lambda f: (f != thing.sound, share(0, "recording", f.name)))[:RECORDINGS]


def language_of(thing: Thing, file: Path) -> str:
    """The language in which a recording says the name; "" where it says none."""
    return next((language for language, spoken in thing.spoken.items() if spoken == file), "")


def name_in(thing: Thing, language: str) -> str:
    """The name as it is written in a language; "" where the graph has none with a letter."""
    name = thing.names.get(language) or thing.names.get(language.partition("_")[0], "")
    return name if spell(name) else ""


def spectrograms(files: list[Path]) -> Tensor:
    """Log-mel energies (S, T, M) of the start of each file, without the silence before and after."""
    tower = SpeechConvolution(FRAMES, MELS, width=8, layers=1)
    rows = []
    for file in files:
        wave = read_wave(file, longest=FRAMES / 100 + 1.5)
        loud = (wave.abs() > 0.02 * wave.abs().max()).nonzero()[:, 0] if len(wave) else []
        rows.append(tower.prepare([wave[int(loud[0]) : int(loud[-1]) + 1] if len(loud) else wave])[0].half())
    return torch.stack(rows).float()

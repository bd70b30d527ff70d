"""Spectrograms of sounds are made once a content, and anew where the sound or what is made of it has changed."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from kemm.data.parts import PartMaker
from kemm.data.pictures import FeatureBank
from kemm.data.sounds import SoundBank
from kemm.encoders import sound
from kemm.encoders.audio import DEVIATION, MEAN
from kemm.settings import Settings
from kg.errors import InputError
from tests.kemm.tiny_towers import TinyVision


def tone(path: Path, hertz: int) -> str:
    """A tenth of a second."""
    samples = 10_000 * np.sin(2 * np.pi * hertz * np.arange(1_600) / 16_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype(np.int16).tobytes())
    return str(path)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read as sounds, in order; reading goes on."""
    files: list[str] = []
    real = sound.read_wave
    monkeypatch.setattr(sound, "read_wave", lambda path: (files.append(str(path)), real(path))[1])
    return files


def test_it_is_the_normalised_log_mel_of_the_file_cut_or_padded(tmp_path: Path) -> None:
    file = tone(tmp_path / "a.wav", 440)
    energies = sound.log_mel(sound.read_wave(file), 8)  # 8 frames: (1,600 − 400) / 160 + 1, floored
    padded = torch.cat([energies, torch.zeros(2, 8)])
    wanted = (padded - MEAN) / (2 * DEVIATION)
    np.testing.assert_allclose(SoundBank(None, 10, 8).get(file), wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(SoundBank(None, 3, 8).get(file), wanted[:3].numpy(), atol=1e-6)


def test_a_second_run_reads_no_sound_again(tmp_path: Path, read: list[str]) -> None:
    files = [tone(tmp_path / f"{hertz}.wav", hertz) for hertz in (300, 400)]
    copied = tone(tmp_path / "copy.wav", 400)
    first = SoundBank(tmp_path / "kept", 10, 8)
    first.compute([*files, copied])
    assert read == [files[0], copied]  # one a content
    second = SoundBank(tmp_path / "kept", 10, 8)
    for file in (*files, copied):
        assert np.array_equal(second.get(file), first.get(file))
    assert len(read) == 2


def test_a_changed_sound_and_another_size_are_noticed(tmp_path: Path, read: list[str]) -> None:
    file = tone(tmp_path / "a.wav", 300)
    bank = SoundBank(tmp_path / "kept", 10, 8)
    bank.compute([file])
    before = bank.get(file)
    tone(tmp_path / "a.wav", 3_000)
    assert not np.array_equal(SoundBank(tmp_path / "kept", 10, 8).get(file), before)
    assert len(read) == 2
    assert SoundBank(tmp_path / "kept", 10, 16).get(file).shape == (10, 16)
    assert len(read) == 3


def test_a_sound_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.wav: no such sound"):
        SoundBank(None, 10, 8).get(str(tmp_path / "no.wav"))


def test_sounds_of_a_batch_are_read_in_the_first_epoch_alone_and_not_by_the_next_run(
    tmp_path: Path, read: list[str]
) -> None:
    audio = {"mode": "scratch", "size": 8, "frames": 10, "patch": 2}
    settings = Settings.model_validate({"model": {"towers": {"audio": audio}}, "objectives": {"itc": {}}})

    def run() -> PartMaker:
        return PartMaker(settings, None, FeatureBank(TinyVision(), tmp_path / "features", 2))  # type: ignore[arg-type]

    file, maker = tone(tmp_path / "a.wav", 300), run()
    maker.keep([], [file])
    epochs = [maker.sounds([file, None]), run().sounds([file, None])]
    assert read == [file]
    for part in epochs:
        assert part.present.tolist() == [True, False]
        assert part.raw is not None and torch.equal(part.raw[0], torch.from_numpy(maker.sound_bank.get(file).copy()))  # type: ignore[union-attr]

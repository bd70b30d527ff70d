"""A tiny world: 24 toys with pictures, their makers and where those are; a store, an index, a trained run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kemm.data.training_data import TrainingData
from kemm.data.world import World
from kemm.encoders import ENCODERS
from kemm.settings import Settings
from tests.kemm.tiny_towers import TinyText, TinyVision
from tests.kemm.tiny_world import build_store, settings_for


@pytest.fixture(scope="session")
def tiny_encoders() -> Iterator[None]:
    """The tiny towers in the table of encoders, as one more line would put them there."""
    with pytest.MonkeyPatch.context() as patch:
        for name, tower in (("tiny-text", TinyText), ("tiny-colours", TinyVision)):
            patch.setitem(ENCODERS, name, f"{tower.__module__}:{tower.__name__}")
        yield


@pytest.fixture(scope="session")
def tiny_settings(tiny_encoders: None, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a run over the tiny world, whose store and index are built."""
    from kemm.indexing import build
    from kemm.progress import silent

    folder = tmp_path_factory.mktemp("tiny")
    settings = settings_for(folder)
    build_store(settings.data.store, folder / "pictures")
    build(settings.data.store, settings.data.index, text="tiny-text", vision="tiny-colours", progress=silent)
    return settings


@dataclass(frozen=True)
class Trained:
    """A finished run and what it was trained on."""

    folder: Path
    pictures: Path
    world: World
    data: TrainingData


@pytest.fixture(scope="session")
def tiny_run(tiny_settings: Settings) -> Iterator[Trained]:
    """A run trained on the tiny world."""
    from kemm.pretrain import prepare, train
    from kemm.progress import silent

    world, data = prepare(tiny_settings, silent)
    train(world, data, False, silent)
    yield Trained(tiny_settings.run, tiny_settings.run.parent / "pictures", world, data)
    world.close()

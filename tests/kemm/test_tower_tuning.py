"""A picture tower tuned to a graph's pictures: it links more of them, opens again, and leaves the rest as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kemm.encoders import ENCODERS, build_encoder
from kemm.indexing import build, open_retriever
from kemm.progress import silent
from kemm.settings import Settings
from kemm.tower_tuning import apart, tune
from kg.errors import InputError
from retrieval.entity_index import tower_of
from tests.kemm.tiny_towers import Blocks


@pytest.fixture
def settings(tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setitem(ENCODERS, "blocks", f"{Blocks.__module__}:Blocks")
    made = tiny_settings.model_copy(deep=True)
    made.model.vision, made.run = "blocks", tmp_path / "run"
    yield made


def test_a_tuned_tower_links_more_pictures_and_opens_as_it_was_kept(settings: Settings, tmp_path: Path) -> None:
    found = tune(settings, tmp_path / "tower", blocks=1, epochs=8, views=1, batch=8, rate=3e-2, progress=silent)
    assert found["apart"] > 0 and found["after"] == max(*found["by_epoch"], *found["by_share"].values()) > 0.5
    kept = found["by_share"][str(found["share"])] if 0 < found["share"] < 1 else found["by_epoch"][found["epoch"]]
    assert kept == found["after"] and 0 <= found["dev_after"] <= 1
    tower, base = build_encoder(f"tuned:{tmp_path / 'tower'}"), build_encoder("blocks")
    assert tower.name.startswith("blocks~") and tower.name == build_encoder(f"tuned:{tmp_path / 'tower'}").name
    assert torch.equal(tower.stem.weight, base.stem.weight)  # below the trained block nothing has changed
    assert torch.equal(tower.blocks[0].weight, base.blocks[0].weight)
    assert torch.equal(tower.head.weight, base.head.weight) == (found["epoch"] == 0)


def test_a_group_of_each_entitys_pictures_that_is_unlike_its_others_is_kept_apart() -> None:
    random = np.random.default_rng(0)
    days = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 2, 2, 0, 0, 0])
    entity = np.array([0] * 8 + [1] * 5 + [2] * 3)  # the third has too few
    pooled = np.eye(4)[days] * 3 + np.eye(4)[3] + 0.02 * random.normal(size=(16, 4))
    assert np.flatnonzero(apart(pooled, entity)).tolist() == [5, 6, 8, 9]


def test_an_index_remembers_the_tower_that_it_was_made_with(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(settings, tmp_path / "tower", blocks=1, epochs=1, views=0, progress=silent)
    monkeypatch.chdir(tmp_path)
    build(settings.data.store, tmp_path / "index", text="tiny-text", vision="tuned:tower", progress=silent)
    monkeypatch.chdir("/")
    retriever = open_retriever(settings.data.store, tmp_path / "index", text="tiny-text")
    tower = build_encoder(f"tuned:{tmp_path / 'tower'}")
    assert retriever.images is not None and retriever.images.name == f"{tower.name}/mean"
    build(settings.data.store, tmp_path / "index", update=True, text="tiny-text", progress=silent)
    assert tower_of(tmp_path / "index") == f"tuned:{tmp_path / 'tower'}" and tower_of(tmp_path) is None


def test_entities_that_are_held_out_are_not_learned_from(settings: Settings, tmp_path: Path) -> None:
    whole = tune(settings, tmp_path / "a", blocks=1, epochs=1, views=0, progress=silent)
    settings.questions.held_out_entities = 0.6
    part = tune(settings, tmp_path / "b", blocks=1, epochs=1, views=0, progress=silent)
    assert part["entities"] < whole["entities"] and part["pictures"] < whole["pictures"]


def test_a_tower_that_is_no_chain_and_a_folder_without_one_are_refused(settings: Settings, tmp_path: Path) -> None:
    settings.model.vision = "tiny-colours"
    with pytest.raises(InputError, match=r"tiny-colours"):
        tune(settings, tmp_path / "tower", progress=silent)
    assert not (tmp_path / "tower").exists()
    with pytest.raises(InputError, match=r"there is no tuned tower; `kemm tune-tower"):
        build_encoder(f"tuned:{tmp_path}")
    with pytest.raises(InputError, match=r"needs a folder: 'tuned:FOLDER'"):
        build_encoder("tuned")
    (tmp_path / "tower.json").write_text(json.dumps([]))
    with pytest.raises(InputError, match=r"tower\.json is damaged"):
        build_encoder(f"tuned:{tmp_path}")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "words").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        tune(settings, tmp_path / "full", progress=silent)

"""Films: their frames' order, their labels, matching them with texts, and reading them from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.objectives import window
from kemm.data.parts import frames_of
from kemm.objectives.action import Action
from kemm.objectives.frame_order import STAYS, FrameOrder
from kemm.objectives.modality_masking import ModalityMasking
from kemm.pretrain.task import PretrainTask, kinds_of
from kg.errors import InputError
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import task_of as task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_share_of_the_frames_that_are_there_goes_round_and_says_where_it_stood() -> None:
    made = task(frame_order={"rate": 0.5})
    frame_order = made.objectives["frame_order"]
    assert isinstance(frame_order, FrameOrder)
    real = torch.arange(8) < torch.tensor([8, 4, 2, 1])[:, None]
    for seed in range(20):
        taken, places = frame_order.draw(real, generator(seed))
        moved = places != STAYS
        assert moved.sum(1).tolist() == [4, 2, 2, 0]
        assert taken.sort(1).values.tolist() == [list(range(8))] * 4  # each frame once
        assert torch.equal(moved, taken != torch.arange(8)) and torch.equal(taken[moved], places[moved])
        assert not (moved & ~real).any()


def test_the_order_is_told_of_what_is_shown_and_not_of_the_frames_places() -> None:
    made, batch = task(frame_order={"rate": 1.0}).eval(), tiny_batch.batch(is_told=True)
    frame_order, samples = made.objectives["frame_order"], batch.samples
    assert isinstance(frame_order, FrameOrder) and samples is not None
    logits, places = frame_order.logits(made.encode(batch, generator()))
    film = samples.parts["video"]
    assert film.raw is not None
    order = frame_order.draw(film.mask, generator())  # type: ignore[arg-type]
    assert torch.equal(order.places, places)
    shuffled = film.raw[torch.arange(4)[:, None], order.taken]
    read = made.model.entrance("video")(shuffled)
    mask = made.model.entrance("video").mask(film)
    states = made.model.fuse({"video": read}, {"video": mask})["video"][:, 1:].view(4, 4, 4, 8)
    expected = frame_order.head(states.mean(2))
    real = film.mask
    torch.testing.assert_close(logits[real], expected[real])


def test_a_film_of_one_frame_costs_nothing_and_a_model_of_one_frame_is_refused() -> None:
    made, batch = task(frame_order={}), tiny_batch.batch(is_told=True)
    assert batch.samples is not None
    film = replace(batch.samples.parts["video"], mask=torch.arange(4) < torch.ones(4, 1))
    one = replace(batch, samples=replace(batch.samples, parts={**batch.samples.parts, "video": film}))
    loss = made.objectives["frame_order"](made.encode(one, generator()))
    loss.backward()
    assert loss.item() == 0.0
    with pytest.raises(InputError, match=r"two frames at least: set model\.towers\.video\.frames$"):
        PretrainTask(tiny_batch.settings(["frame_order"]), replace(tiny_batch.context(), frames=1))


def test_a_label_is_asked_of_rows_that_have_one() -> None:
    made, batch = task(action={"of": ["vision", "language"], "classes": 2}), tiny_batch.batch(is_told=True)
    action, samples = made.objectives["action"], batch.samples
    assert isinstance(action, Action) and samples is not None
    part = replace(batch, samples=replace(samples, label=torch.tensor([0, -1, 0, 1])))
    assert any({"vision", "language", "label"} <= kind for kind in kinds_of(part))
    encoded = made.encode(part, generator())
    logits, labels = action.logits(encoded)
    assert labels.tolist() == [0, 0, 1]
    torch.testing.assert_close(logits, action.head(encoded.fused("vision", "language")["language"][[0, 2, 3], 0]))
    beyond = replace(batch, samples=replace(samples, label=torch.tensor([0, 1, 2, 1])))
    with pytest.raises(InputError, match="classes is 2, and a row is of class number 2"):
        action(made.encode(beyond, generator()))


def test_films_are_matched_and_contrasted_with_texts_as_pictures_are() -> None:
    both = {"between": ["video", "language"]}
    made, batch = task(itm=both, itc=both), tiny_batch.batch(is_told=True)
    encoded = made.encode(batch, generator())
    for name in ("itm", "itc"):
        loss = made.objectives[name](encoded)
        assert torch.isfinite(loss) and loss > 0
        found = made.parts()[name].metrics(encoded)
        assert 0 <= found["accuracy"] <= 1 and 0 < found["chance"] < 1


@pytest.mark.parametrize("between", [["vision", "language"], ["vision", "language", "audio"]])
def test_each_modality_is_hidden_in_turn_and_told_from_all_the_others(between: list[str]) -> None:
    made, batch = task(modality_masking={"between": between}).eval(), tiny_batch.batch(is_told=True)
    masking = made.objectives["modality_masking"]
    assert isinstance(masking, ModalityMasking) and batch.samples is not None
    calls = tiny_batch.count_fusions(made.model)
    loss = masking(made.encode(batch, generator()))
    assert torch.isfinite(loss)
    of_pairs = [set(call["tokens"]) for call in calls if len(call["tokens"]) > 1]
    assert of_pairs == ([] if len(between) == 2 else [set(between) - {name} for name in between])
    pixels = batch.samples.parts["vision"]
    assert pixels.states is not None
    parts = {**batch.samples.parts, "vision": replace(pixels, states=-pixels.states)}
    changed = replace(batch, samples=replace(batch.samples, parts=parts))
    rows = torch.arange(4)
    told = [masking.rest(made.encode(each, generator()), "vision", rows) for each in (batch, changed)]
    assert torch.equal(told[0], told[1])  # what is hidden is not read
    told = [masking.rest(made.encode(each, generator()), "language", rows) for each in (batch, changed)]
    assert not torch.allclose(told[0], told[1])


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def shades(count: int) -> list[Image.Image]:
    return [Image.fromarray(np.full((6, 6, 3), 20 * number, np.uint8)) for number in range(count)]


@pytest.mark.parametrize("kind", ["folder", "gif", "webp"])
def test_frames_are_taken_evenly_from_a_folder_and_from_an_animated_picture(kind: str, tmp_path: Path) -> None:
    pictures, path = shades(7), tmp_path / f"film.{kind}"
    if kind == "folder":
        path.mkdir()
        for number, picture in enumerate(pictures):
            picture.save(path / f"{number:03}.png")
    else:
        options = {"lossless": True} if kind == "webp" else {}
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, **options)
    assert [frame.getpixel((2, 2))[0] for frame in frames_of(path, 4)] == [0, 40, 80, 120]  # type: ignore[index]
    assert len(frames_of(path, 20)) == 7


def test_what_is_no_film_is_named(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("no film")
    (tmp_path / "empty").mkdir()
    for name, says in (("words.txt", "neither a folder"), ("empty", "no frames in this folder"), ("none", "neither")):
        with pytest.raises(InputError, match=says) as caught:
            frames_of(tmp_path / name, 4)
        assert name in str(caught.value)


def test_the_benchmarks_window_moves_to_the_edge_that_it_is_named_for() -> None:
    assert window("left", 0.0) == pytest.approx((25.6, 12.8, 64.0, 51.2))
    assert window("left", 1.0) == pytest.approx((0.0, 12.8, 38.4, 51.2))
    assert window("down", 1.0) == pytest.approx((12.8, 25.6, 51.2, 64.0))
    assert window("in", 0.0) == window("out", 1.0) == pytest.approx((0.0, 0.0, 64.0, 64.0))
    assert window("in", 1.0) == window("out", 0.0) == pytest.approx((16.0, 16.0, 48.0, 48.0))

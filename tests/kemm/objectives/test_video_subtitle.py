"""Subtitles find their film and their place in it: by hand, learned from a few, and read from a table."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kemm.data.samples import UNKNOWN, Part
from kemm.data.sources.media import spans_of, spoken_share
from kemm.objectives.video_subtitle import Asked, VideoSubtitle, films
from kemm.pretrain.task import PretrainTask
from kg.errors import InputError
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import task_of as task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(**settings: float) -> tuple[PretrainTask, VideoSubtitle]:
    made = task(video_subtitle=settings)
    part = made.objectives["video_subtitle"]
    assert isinstance(part, VideoSubtitle)
    return made, part


def test_a_span_of_no_say_costs_the_logarithms_of_the_frames_that_are_there() -> None:
    made, part = objective(match_weight=0.0, span_weight=1.0)
    for parameter in part.ends.parameters():
        torch.nn.init.zeros_(parameter)
    loss = part(made.encode(tiny_batch.batch(is_told=True), generator()))
    lasting = torch.tensor([4.0, 4.0, 3.0, 4.0])
    assert loss.item() == pytest.approx(2 * lasting.log().mean().item())


def test_a_frame_that_is_not_there_is_neither_first_nor_last() -> None:
    _, part = objective()
    mask = torch.tensor([[True, True, False, False]])
    asked = Asked(torch.randn(1, 8), torch.randn(1, 4, 8), mask, torch.tensor([0]), torch.tensor([[0, 1]]))
    other = asked._replace(frames=torch.where(mask[..., None], asked.frames, torch.randn(1, 4, 8)))
    for one, two in zip(part.logits(asked), part.logits(other), strict=True):
        assert torch.equal(one, two)


def test_only_rows_with_a_span_are_asked_and_two_of_one_film_are_not_held_against_each_other() -> None:
    made, part = objective()
    batch = tiny_batch.batch(is_told=True)
    assert batch.samples is not None
    span = batch.samples.span.clone()
    span[1] = UNKNOWN
    film = batch.samples.parts["video"]
    assert film.raw is not None
    raw = film.raw.clone()
    raw[3] = raw[0]
    parts = {**batch.samples.parts, "video": replace(film, raw=raw)}
    asked = part.asked(made.encode(replace(batch, samples=replace(batch.samples, span=span, parts=parts)), generator()))
    assert asked.span.tolist() == [[0, 1], [2, 2], [0, 3]]
    assert asked.films[0] == asked.films[2] != asked.films[1]


def test_films_are_the_same_where_all_pixels_are() -> None:
    raw = torch.zeros(3, 2, 4, 4, 3, dtype=torch.uint8)
    raw[1, 1, 3, 3, 2] = 1
    numbers = films(Part(torch.ones(3, dtype=torch.bool), raw))
    assert numbers[0] == numbers[2] != numbers[1]


def test_it_learns_the_place_of_a_few_subtitles() -> None:
    torch.manual_seed(0)
    made, part = objective()
    batch = tiny_batch.batch(is_told=True)
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-2)
    before = part.metrics(made.encode(batch, generator()))
    for _ in range(60):
        part(made.encode(batch, generator())).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = part.metrics(made.encode(batch, generator()))
    assert after["film_accuracy"] == 1.0 and after["overlap"] > max(0.8, before["overlap"])


def test_a_model_of_one_frame_is_refused() -> None:
    with pytest.raises(InputError, match=r"two frames at least: set model\.towers\.video\.frames$"):
        PretrainTask(tiny_batch.settings(["video_subtitle"]), replace(tiny_batch.context(), frames=1))


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("spoken", "frames", "span"),
    [("0-0.5", 4, [0, 1]), ("0.5-1", 4, [2, 3]), ("0.3-0.31", 4, [1, 1]), ("0-1", 1, [0, 0]), ("", 4, [-1, -1])],
)
def test_shares_of_a_film_become_the_frames_that_they_touch(spoken: str, frames: int, span: list[int]) -> None:
    mask = torch.arange(4)[None] < frames
    film = Part(torch.ones(1, dtype=torch.bool), torch.zeros(1, 4, 2, 2, 3, dtype=torch.uint8), mask=mask)
    assert spans_of([{"spoken": spoken, "frames": "f", "text": "t"}], film).tolist() == [span]


@pytest.mark.parametrize("spoken", ["0.5", "0.5-0.2", "0-1.5", "a-b", "0.1.2-0.5"])
def test_a_span_that_is_none_is_named_with_its_line(spoken: str) -> None:
    with pytest.raises(InputError, match=r"^films\.tsv:3: spoken is .*; write two shares"):
        spoken_share({"spoken": spoken, "frames": "f", "text": "t"}, "films.tsv:3")


def test_a_span_without_its_film_or_its_text_is_refused() -> None:
    with pytest.raises(InputError, match=r"^films\.tsv:3: .*give frames and text"):
        spoken_share({"spoken": "0-1", "frames": "", "text": "t"}, "films.tsv:3")


def test_held_out_subtitles_are_measured() -> None:
    made, _ = objective()
    found = made.evaluate(tiny_batch.batch(is_told=True), generator())
    assert found["video_subtitle"].keys() >= {"loss", "accuracy", "film_accuracy"}

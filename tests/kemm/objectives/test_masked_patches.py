"""Masked patches of pictures, sounds and films: what is hidden, and what is to be said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kemm.objectives.hiding import PatchHiding
from kemm.objectives.losses.hog import hog
from kemm.objectives.masked_patches import MaskedPatches
from kemm.objectives.visual_tokenizer import IDLE, VisualTokenizer
from kemm.pretrain.task import PretrainTask
from kemm.settings import Settings
from kg.errors import InputError
from tests.kemm import tiny_batch
from tests.kemm.objectives.test_once import with_pixels
from tests.kemm.tiny_batch import task_of as task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def from_pixels(**mim: Any) -> PretrainTask:
    """``mim`` on pictures of 4 × 4 pixels in patches of 2, from scratch."""
    torch.manual_seed(0)
    chosen = {**tiny_batch.settings([]).model_dump(), "objectives": {"mim": mim}}
    chosen["model"]["towers"] |= {"vision": {"mode": "scratch", "size": 4, "patch": 2}}
    return PretrainTask(Settings.model_validate(chosen), replace(tiny_batch.context(), has_pixels=True))


def part_of(made: PretrainTask, name: str) -> MaskedPatches:
    found = made.objectives[name]
    assert isinstance(found, MaskedPatches)
    return found


@pytest.mark.parametrize(("name", "of"), [("masked_audio", "audio"), ("masked_video", "video")])
def test_a_hidden_patch_of_a_sound_or_film_tells_nothing_of_itself(name: str, of: str) -> None:
    made, batch = tiny_batch.task([name]).eval(), tiny_batch.batch(is_told=True)
    masked, samples = part_of(made, name), batch.samples
    assert samples is not None
    predicted, hidden = masked.predicted(made.encode(batch, generator()))
    part = samples.parts[of]
    assert part.raw is not None
    if of == "audio":  # (B, 8 frames, 8 bands), patches by band and then by time
        where = hidden.view(4, 2, 2).repeat_interleave(4, 1).repeat_interleave(4, 2).transpose(1, 2)
        other = torch.where(where, 3.0, part.raw)
    else:
        where = hidden.view(4, 4, 2, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        other = torch.where(where[..., None], 255 - part.raw, part.raw)
    changed = replace(samples, parts={**samples.parts, of: replace(part, raw=other)})
    again = masked.predicted(made.encode(replace(batch, samples=changed), generator()))
    assert hidden.any(1).all() and torch.equal(hidden, again[1]) and torch.equal(predicted, again[0])
    assert not torch.equal(masked.target(part)[hidden], masked.target(replace(part, raw=other))[hidden])


def test_of_a_film_the_same_patches_are_hidden_in_all_frames_that_are_there() -> None:
    made, batch = tiny_batch.task(["masked_video"]), tiny_batch.batch(is_told=True)
    hidden = part_of(made, "masked_video").predicted(made.encode(batch, generator()))[1].view(4, 4, 4)
    assert hidden.sum((1, 2)).tolist() == [12, 12, 9, 12]  # three of four patches, of four or three frames
    assert torch.equal(hidden[:2], hidden[:2, :1].expand(-1, 4, -1))


def test_words_patches_and_sounds_are_hidden_in_one_forward() -> None:
    made = tiny_batch.task(["mlm", "mim", "masked_audio", "masked_video"])
    assert [how.of for how in made.plan.patches] == ["vision", "audio", "video"]
    encoded = made.encode(tiny_batch.batch(is_told=True), generator())
    for name in made.objectives:
        made.objectives[name](encoded)
    assert encoded.calls["fusion"] == 1


def test_what_a_teacher_attends_to_is_kept_or_hidden() -> None:
    strong = torch.tensor([0.1, 3.0, 0.2, 4.0]).view(1, 4, 1).expand(300, 4, 6)
    kept = ~PatchHiding(0.5, "unattended").draw(300, (2, 2), generator(), states=strong)
    hidden = PatchHiding(0.5, "attended").draw(300, (2, 2), generator(), states=strong)
    for drawn in (kept, hidden):
        assert drawn.sum(1).tolist() == [2] * 300
        assert drawn[:, [1, 3]].float().mean() > 0.95  # squares: .01, 9, .04 and 16
    with pytest.raises(InputError, match="needs the frozen vision tower"):
        PatchHiding(0.5, "attended").draw(1, (2, 2), generator())


def test_by_umt_what_is_shown_says_the_features_and_the_rest_is_not_encoded() -> None:
    made = task(mim={"how": "unattended", "rate": 0.5, "drop": True, "said_of": "shown"})
    mim, batch = part_of(made, "mim"), tiny_batch.batch()
    encoded = made.encode(batch, generator())
    predicted, counts = mim.predicted(encoded)
    states = encoded.masked(patches=mim.hides)["vision"]  # type: ignore[arg-type]
    assert counts.sum(1).tolist() == [2] * 4 and not states[~counts].any() and states[counts].any()
    assert batch.samples is not None
    cosine = torch.cosine_similarity(predicted, mim.target(batch.samples.parts["vision"]), dim=-1)
    torch.testing.assert_close(mim(encoded), (1 - cosine[counts]).mean())
    mim(encoded).backward()
    assert not [name for name, one in mim.named_parameters() if one.grad is None or not one.grad.any()]


def test_gradients_of_a_hidden_patch_are_those_of_its_two_by_two_cells() -> None:
    made, batch = from_pixels(target="hog"), with_pixels(tiny_batch.batch())
    mim = part_of(made, "mim")
    assert batch.samples is not None
    part = batch.samples.parts["vision"]
    assert part.raw is not None
    wide = part.raw.permute(0, 3, 1, 2).float().div(255).repeat_interleave(8, 2).repeat_interleave(8, 3)
    torch.testing.assert_close(mim.target(part), hog(wide))  # each of 2 × 2 pixels is a cell of 8 × 8
    predicted, hidden = mim.predicted(made.encode(batch, generator()))
    loss = mim(made.encode(batch, generator()))
    torch.testing.assert_close(loss, (predicted - mim.target(part))[hidden].square().mean())
    assert predicted.shape == (4, 4, 108)


# ── a tokenizer that learns ───────────────────────────────────────────────────────────────────────────────────────


def test_codes_come_to_tell_four_kinds_of_patch_apart() -> None:
    torch.manual_seed(0)
    kinds = torch.nn.functional.layer_norm(torch.randn(4, 6, generator=generator(3)), (6,))
    drawn = torch.arange(40).view(4, 10) % 4
    tokenizer = VisualTokenizer(6, 8).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=1e-2)
    features, there = kinds[drawn], torch.ones(4, 10, dtype=torch.bool)
    first = tokenizer(features, there)[1].item()
    for _ in range(80):
        optimizer.zero_grad()
        codes, loss = tokenizer(features, there)
        loss.backward()
        optimizer.step()
        tokenizer.follow()
    assert loss.item() < 0.2 * first
    assert len({int(codes[drawn == kind].unique()) for kind in range(4)}) == 4


def test_a_code_that_nothing_takes_starts_anew_at_a_patch() -> None:
    tokenizer = VisualTokenizer(6, 8).train()
    tokenizer.idle.zero_()
    one = torch.ones(1, 3, 6)
    for step in range(IDLE + 1):
        before = tokenizer.codebook.clone()
        codes, _ = tokenizer(one, torch.ones(1, 3, dtype=torch.bool))
        vector = tokenizer.encode(one)[0, 0]
        tokenizer.follow()
        idle = [code for code in range(8) if code != int(codes[0, 0])]
        if step < IDLE:
            assert torch.equal(tokenizer.codebook[idle], before[idle])
    near = torch.cosine_similarity(tokenizer.codebook[idle], vector.expand(7, -1))
    torch.testing.assert_close(near, torch.ones(7))


def test_a_learned_tokenizer_trains_with_its_objective_and_without_gradients_from_it() -> None:
    made, batch = task(mim={"target": "codes", "tokenizer": "vq_kd", "codes": 16}), tiny_batch.batch()
    mim = part_of(made.train(), "mim")
    mim(made.encode(batch, generator())).backward()
    assert not [name for name, one in mim.named_parameters() if one.grad is None or not one.grad.any()]
    assert mim.tokenizer is not None
    before = mim.tokenizer.codebook.clone()
    made.after_step()
    assert not torch.equal(before, mim.tokenizer.codebook)
    metrics = mim.metrics(made.eval().encode(batch, generator()))
    assert 0 <= metrics["accuracy"] <= 1 and metrics["codes_used"] >= 1


@pytest.mark.parametrize(
    ("name", "chosen", "says"),
    [
        ("masked_audio", {"target": "features"}, "no frozen tower reads audio"),
        ("masked_video", {"drop": True}, "not dropped"),
        ("mim", {"target": "pixels", "said_of": "shown"}, "set target to features"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(name: str, chosen: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        task(**{name: chosen})


def test_a_modality_that_the_model_does_not_take_is_named() -> None:
    settings, context = tiny_batch.settings(["masked_audio"]), tiny_batch.context()
    with pytest.raises(InputError, match=r"^patches of audio .*set model\.towers\.audio$"):
        PretrainTask(settings, replace(context, grids={"vision": (2, 2)}))

"""Rows of several sources in one record, and a model from scratch that reads whatever a row has."""

from __future__ import annotations

import pytest
import torch

from kemm.data.batch import Batch
from kemm.data.samples import Part, Samples, join
from kemm.encoders.patch_transformer import PictureTransformer
from kemm.fuse.encoded import Encoded
from kemm.fuse.entrances import TowerPictures
from kemm.fuse.model import KEMM
from kemm.pretrain.optimizer import build_optimizer
from kemm.settings import ModelSettings, TrainSettings
from kg.errors import InputError
from tests.kemm import tiny_batch


def pictures(count: int, seed: int = 0) -> Part:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 8, 8, 3), dtype=torch.uint8, generator=generator)
    return Part(torch.ones(count, dtype=torch.bool), pixels)


def mixed() -> Samples:
    """Two pairs, one picture alone, two texts alone of four and five tokens."""
    generator = torch.Generator().manual_seed(1)
    words = tiny_batch.texts(generator, [3, 3])
    short = Part(words.present, words.raw[:, :3], None, words.mask[:, :3])  # type: ignore[index]
    texts = tiny_batch.texts(generator, [4, 5])
    found = join(
        [
            Samples({"vision": pictures(2), "language": short}, torch.tensor([4, 5])),
            Samples({"vision": pictures(1, 2)}, torch.tensor([6])),
            Samples({"language": Part(texts.present, texts.raw, None, texts.mask)}, torch.tensor([-1, -1])),
        ]
    )
    assert found is not None
    return found


def test_rows_of_several_sources_stand_one_after_another_padded_to_the_longest() -> None:
    samples = mixed()
    assert len(samples) == 5 and samples.entity.tolist() == [4, 5, 6, -1, -1]
    assert samples.has("vision").tolist() == [True, True, True, False, False]
    assert samples.has("vision", "language").tolist() == [True, True, False, False, False]
    assert samples.has("audio").sum() == 0
    words = samples.parts["language"]
    assert words.mask is not None and words.mask.sum(1).tolist() == [3, 3, 0, 4, 5]
    assert join([]) is None


def scratch() -> KEMM:
    towers = {"vision": {"mode": "scratch", "size": 8, "patch": 4}, "language": {"mode": "scratch"}}
    settings = ModelSettings.model_validate(
        {"width": 8, "layers": 2, "heads": 2, "gnn_layers": 1, "text_tokens": 5, "dropout": 0.0, "towers": towers}
    )
    torch.manual_seed(0)
    return KEMM(settings, 6, 10, num_words=20).eval()


def test_a_row_is_read_alike_alone_and_among_rows_of_other_kinds() -> None:
    model, samples = scratch(), mixed()
    among = Encoded(model, Batch(samples=samples)).masked()
    pair = Encoded(model, Batch(samples=samples.take(torch.tensor([0])))).masked()
    torch.testing.assert_close(among["vision"][0], pair["vision"][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(among["language"][0], pair["language"][0], atol=1e-5, rtol=0)
    words = samples.take(torch.tensor([4]))
    alone = Encoded(model, Batch(samples=words)).masked()
    assert "vision" not in alone
    torch.testing.assert_close(among["language"][4], alone["language"][0], atol=1e-5, rtol=0)
    assert not among["vision"][3:].any()  # nothing is computed for a picture that isn't there


def test_what_is_written_knows_nothing_of_what_follows() -> None:
    model, samples = scratch(), mixed()
    before = Encoded(model, Batch(samples=samples)).causal(("vision",))
    samples.parts["language"].raw[0, 2] = 9  # type: ignore[index]
    after = Encoded(model, Batch(samples=samples)).causal(("vision",))
    assert torch.equal(before[0, :2], after[0, :2]) and not torch.equal(before[0, 2], after[0, 2])


def test_a_modality_that_the_model_does_not_take_is_named() -> None:
    with pytest.raises(InputError, match=r"takes no audio .*model.towers"):
        scratch().entrance("audio")


def test_a_tuned_tower_learns_more_slowly_the_lower_its_block_and_a_held_one_is_no_part_of_the_model() -> None:
    tower = PictureTransformer(8, 4, 6, 2, 2)
    tuned, held = TowerPictures(6, 2, 8, tower, is_tuned=True), TowerPictures(6, 2, 8, tower, is_tuned=False)
    tuned(tuned.read(pictures(2))).sum().backward()
    assert all(parameter.grad is not None for parameter in tower.body.parameters())
    assert not [name for name, _ in held.named_parameters() if "tower" in name] and held.is_frozen
    assert not held.read(pictures(2)).requires_grad and not tuned.is_frozen
    settings = ModelSettings.model_validate({"towers": {"vision": {"mode": "tuned", "rate": 0.5, "decay": 0.8}}})
    task = torch.nn.Module()
    task.model = torch.nn.Module()
    task.model.settings, task.model.inputs = settings, torch.nn.ModuleDict({"vision": tuned})  # type: ignore
    optimizer = build_optimizer(task, TrainSettings())
    scales = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    assert len(scales) == len(list(task.parameters()))
    first, last = (next(iter(block.parameters())) for block in tower.body.blocks)
    assert scales[id(last)] / scales[id(first)] == pytest.approx(1 / 0.8)
    assert scales[id(tuned.position)] == 1.0 and max(scales[id(p)] for p in tower.parameters()) == 0.5

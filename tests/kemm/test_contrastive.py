"""Contrastive objectives, and entities from any of their sources, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from kemm.data.batch import PicturedEntities, Pictures
from kemm.fuse.encoded import Encoded
from kemm.fuse.knowledge import EntityEncoder
from kemm.objectives.contrastive import Temperature, positives
from kemm.objectives.entity_contrast import EntityImage
from kemm.objectives.losses.contrastive import info_nce, spread
from tests.kemm import tiny_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ── contrast ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_contrast_of_two_pairs_by_hand() -> None:
    similarity = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = math.log(1 + math.exp(-2)), math.log(1 + math.exp(-2))  # 2 against 0, 3 against 1
    columns = math.log(1 + math.exp(-1)), math.log(1 + math.exp(-3))  # 2 against 1, 3 against 0
    expected = 0.5 * (sum(rows) / 2 + sum(columns) / 2)
    assert info_nce(similarity, *(spread(positives(torch.tensor([0, 1]))),) * 2).item() == pytest.approx(
        expected, abs=1e-6
    )


def test_rows_of_one_entity_are_positives_of_each_other() -> None:
    similarity = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    # each target is ½ and ½: a row (a, b) costs log(eᵃ + eᵇ) − (a + b)/2
    rows = math.log(math.exp(2) + 1) - 1, math.log(math.exp(1) + math.exp(3)) - 2
    columns = math.log(math.exp(2) + math.exp(1)) - 1.5, math.log(1 + math.exp(3)) - 1.5
    expected = 0.5 * (sum(rows) / 2 + sum(columns) / 2)
    assert info_nce(similarity, *(spread(positives(torch.tensor([4, 4]))),) * 2).item() == pytest.approx(
        expected, abs=1e-6
    )


def test_a_temperature_starts_as_set_and_stays_above_a_hundredth() -> None:
    assert Temperature(0.07)().item() == pytest.approx(1 / 0.07, rel=1e-6)
    assert Temperature(0.001)().item() == 100.0


def test_an_entity_that_is_held_out_is_no_negative() -> None:
    task = tiny_batch.task(["entity_image"]).eval()
    entity_image, batch = task.objectives["entity_image"], tiny_batch.batch()
    assert isinstance(entity_image, EntityImage) and batch.entities is not None
    before = entity_image(Encoded(task.model, batch, generator()))
    other = batch.entities.text.clone()
    other[4] += 3.0  # the held-out one
    after = entity_image(Encoded(task.model, replace(batch, entities=replace(batch.entities, text=other)), generator()))
    assert torch.equal(before, after)


def test_a_picture_is_told_by_the_other_pictures_of_what_it_shows() -> None:
    task = tiny_batch.task(["entity_image"]).eval()
    entity_image, batch = task.objectives["entity_image"], tiny_batch.batch()
    assert batch.entities is not None and batch.pictures is not None
    bare = replace(batch.entities, text=torch.zeros(5, 10), neighbours=torch.zeros(5, 10))  # known by pictures alone

    def loss(entities: PicturedEntities, pictures: Pictures) -> torch.Tensor:
        return entity_image(Encoded(task.model, replace(batch, entities=entities, pictures=pictures), generator()))

    one = replace(
        batch.pictures, **{name: getattr(batch.pictures, name)[1:2] for name in ("pooled", "others", "entity")}
    )
    shown = task.model.entity(pictures=one.pooled)
    known = task.model.entity(pictures=torch.cat([bare.pictures[:1], one.others, bare.pictures[2:4]]))
    cosines = torch.nn.functional.cosine_similarity(shown, known)
    expected = -(cosines / 0.07).log_softmax(0)[1]
    torch.testing.assert_close(loss(bare, one), expected, atol=1e-5, rtol=1e-5)

    itself = bare.pictures.clone()
    itself[1] += 5.0  # the mean over all pictures of the entity, this one among them
    torch.testing.assert_close(loss(replace(bare, pictures=itself), one), expected, atol=1e-5, rtol=1e-5)


# ── entities from any of their sources ────────────────────────────────────────────────────────────────────────────


def test_a_missing_source_of_an_entity_has_no_weight() -> None:
    torch.manual_seed(0)
    encoder = EntityEncoder(text_width=4, vision_width=3, width=5)
    text, pictures = torch.randn(2, 4), torch.randn(2, 3)
    pictures[1] = 0.0
    both, alone = encoder(text=text, pictures=pictures), encoder(text=text)
    torch.testing.assert_close(both[1], alone[1])
    # gates start at zero, so two present sources count half each
    torch.testing.assert_close(both[0], (alone[0] + encoder(pictures=pictures)[0]) / 2)

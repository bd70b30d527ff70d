"""What itc compares and by which loss, against numbers worked out from its own vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kemm.data.batch import Batch
from kemm.data.samples import Part, Samples
from kemm.objectives.contrastive import Contrastive
from kemm.objectives.losses.contrastive import any_positive, hardest_negative_hinge, info_nce
from kemm.objectives.losses.sigmoid import sigmoid_contrast
from kemm.objectives.losses.token_wise import token_wise, token_wise_contrast
from kemm.pretrain.task import PretrainTask
from kemm.settings import Settings
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import task_of


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def itc(**settings: Any) -> PretrainTask:
    return task_of(itc=settings)


def vectors(made: PretrainTask, batch: Batch) -> tuple[Contrastive, Any, torch.Tensor, torch.Tensor]:
    """The objective, the encodings, and unit vectors of pictures and of texts."""
    part = made.objectives["itc"]
    assert isinstance(part, Contrastive)
    encoded = made.encode(batch, generator())
    rows = torch.arange(4)
    return part, encoded, *(part.embed(name, encoded.pooled(name, rows)) for name in ("vision", "language"))


def test_each_loss_is_that_of_its_paper_on_the_cosines() -> None:
    batch = tiny_batch.batch()  # of the entities 0, 1, 2, 2
    right = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]) > 0
    for loss in ("some", "sigmoid", "hinge"):
        part, encoded, shown, said = vectors(itc(loss=loss), batch)
        s = shown @ said.T
        if loss == "some":
            expected = 0.5 * (any_positive(s / 0.07, right) + any_positive(s.T / 0.07, right))
        elif loss == "sigmoid":
            expected = sigmoid_contrast(s, 1 / 0.07, -10.0, right)
        else:
            expected = hardest_negative_hinge(s, 0.2, torch.tensor([0, 1, 2, 2]))
        torch.testing.assert_close(part(encoded), expected, atol=1e-5, rtol=1e-5)


def test_positives_are_of_one_entity_or_of_one_class_or_the_pair_alone() -> None:
    batch = tiny_batch.batch()
    assert batch.samples is not None
    batch = replace(batch, samples=replace(batch.samples, label=torch.tensor([7, 7, 8, -1])))
    for positives, numbers in (("entity", [0, 1, 2, 2]), ("label", [7, 7, 8, 9]), ("pair", [0, 1, 2, 3])):
        part, encoded, shown, said = vectors(itc(positives=positives), batch)
        kinds = torch.tensor(numbers)
        same = (kinds[:, None] == kinds[None, :]).float()
        target = same / same.sum(1, keepdim=True)
        torch.testing.assert_close(part(encoded), info_nce(shown @ said.T / 0.07, target, target), atol=1e-5, rtol=1e-5)


def test_rows_of_one_class_are_positives_where_no_entity_is_known() -> None:
    batch = tiny_batch.batch()
    assert batch.samples is not None
    unknown = replace(batch.samples, entity=torch.full((4,), -1), label=torch.tensor([7, 7, 8, -1]))
    shown = unknown.shown
    assert shown[0] == shown[1] and len(set(shown.tolist())) == 3 and shown[3] == -1
    mixed = replace(unknown, entity=torch.tensor([7, -1, -1, -1])).shown
    assert mixed[0] != mixed[1]  # entity 7 is not class 7


def test_words_and_patches_are_compared_one_by_one_as_in_filip() -> None:
    made, batch = itc(token_wise=True, positives="pair"), tiny_batch.batch()
    part, encoded, _, _ = vectors(made, batch)
    assert batch.samples is not None
    words, patches = batch.samples.parts["language"], batch.samples.parts["vision"]
    assert patches.states is not None and words.states is not None
    sides = token_wise(part.embed("vision", patches.states), part.embed("language", words.states), None, words.mask)
    torch.testing.assert_close(part(encoded), token_wise_contrast(*sides, 1 / 0.07), atol=1e-5, rtol=1e-5)


def test_a_rewritten_text_is_one_more_wrong_one_and_a_retrieved_one_more_right_one() -> None:
    batch = tiny_batch.batch()
    part, encoded, shown, said = vectors(itc(positives="pair", rewritten=True, retrieved=True), batch)
    rows = torch.arange(4)
    retrieved, rewritten = (
        part.embed("language", encoded.further(role).pooled("language")[rows]) for role in ("retrieved", "rewritten")
    )
    s = shown @ torch.cat([said, retrieved, rewritten]).T / 0.07  # (4, 12)
    log_p = s.log_softmax(1)
    there = -0.5 * (log_p[rows, rows] + log_p[rows, rows + 4]).mean()
    back = -(said @ shown.T / 0.07).log_softmax(1)[rows, rows].mean()
    torch.testing.assert_close(part(encoded), 0.5 * (there + back), atol=1e-5, rtol=1e-5)


def test_three_modalities_are_compared_two_by_two() -> None:
    torch.manual_seed(0)
    chosen = tiny_batch.settings([]).model_dump()
    chosen["model"]["towers"]["audio"] = {"mode": "scratch", "size": 8, "patch": 4, "frames": 8}
    chosen["objectives"] = {"itc": {"between": ["vision", "language", "audio"]}}
    context = tiny_batch.context()
    context = replace(context, pooled={**context.pooled, "audio": 8}, grids={**context.grids, "audio": (2, 2)})
    made = PretrainTask(Settings.model_validate(chosen), context)
    samples = tiny_batch.batch().samples
    assert samples is not None
    heard = Part(torch.tensor([True, True, False, True]), torch.randn(4, 8, 8, generator=generator()))
    batch = Batch(Samples({**samples.parts, "audio": heard}, torch.arange(4)))
    part, encoded, shown, said = vectors(made, batch)
    rows = torch.tensor([0, 1, 3])
    sound = part.embed("audio", encoded.pooled("audio", rows))
    scale = 1 / 0.07
    expected = torch.stack(
        [
            info_nce(shown @ said.T * scale),
            info_nce(shown[rows] @ sound.T * scale),
            info_nce(said[rows] @ sound.T * scale),
        ]
    ).mean()
    torch.testing.assert_close(part(encoded), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.4, "loss": "sigmoid"},
        {"queue": 8, "token_wise": True},
        {"rewritten": True, "loss": "hinge"},
        {"retrieved": True, "between": ["vision", "audio"]},
        {"between": ["vision"]},
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        itc(**wrong)


def test_a_queue_larger_than_the_data_holds_what_there_is() -> None:
    made = itc(queue=1000, alpha=0.4).train()
    for step in range(2):
        made(tiny_batch.batch(step), generator(step))["total"].backward()
        made.after_step()
    part = made.objectives["itc"]
    assert isinstance(part, Contrastive) and len(part.queues["vision"]) == 8
    assert torch.isfinite(made(tiny_batch.batch(3), generator())["itc"])

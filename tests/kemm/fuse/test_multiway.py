"""The fusion encoder: modalities that are absent, padded or in another row of the batch change nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kemm.fuse.multiway import MultiwayTransformer
from kg.errors import InputError
from tests.kemm import tiny_batch

WIDTH = 8


def tokens(**lengths: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(2, length, WIDTH, generator=generator) for name, length in lengths.items()}


def all_real(x: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.ones(part.shape[:2], dtype=torch.bool) for name, part in x.items()}


@pytest.fixture
def fusion() -> MultiwayTransformer:
    torch.manual_seed(1)
    return MultiwayTransformer(WIDTH, layers=2, heads=2)


def test_without_knowledge_it_is_bit_for_bit_a_vision_language_model(fusion: MultiwayTransformer) -> None:
    two = MultiwayTransformer(WIDTH, layers=2, heads=2, modalities=("vision", "language"))
    weights = {
        name: value
        for name, value in fusion.state_dict().items()
        if "feed_forward.knowledge" not in name and "feed_forward_residual.knowledge" not in name
    }
    two.load_state_dict(weights)  # strict: nothing else is missing
    x = tokens(vision=3, language=4)
    ours, theirs = fusion(x, all_real(x)), two(x, all_real(x))
    assert ours.keys() == theirs.keys() == {"vision", "language"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", ["vision", "language", "knowledge"])
def test_a_modality_can_stand_alone(fusion: MultiwayTransformer, name: str) -> None:
    x = tokens(**{name: 3})
    out = fusion(x, all_real(x))
    assert list(out) == [name] and out[name].shape == (2, 3, WIDTH)


def test_an_unknown_modality_is_named_beside_those_that_there_are(fusion: MultiwayTransformer) -> None:
    with pytest.raises(InputError, match=r"no expert for 'sound' \(there are: vision, language, knowledge\)"):
        fusion(tokens(sound=3))


def test_padding_never_reaches_a_real_token(fusion: MultiwayTransformer) -> None:
    x = tokens(vision=3, language=4, knowledge=5)
    masks = all_real(x)
    masks["language"][:, 2:] = False
    masks["knowledge"][0, 1:] = False
    before = fusion(x, masks)
    noisy = {name: torch.where(masks[name][..., None], part, 1000.0) for name, part in x.items()}
    after = fusion(noisy, masks)
    for name in x:
        assert torch.equal(before[name][masks[name]], after[name][masks[name]])


def test_masked_tokens_are_as_good_as_absent_ones(fusion: MultiwayTransformer) -> None:
    x = tokens(vision=3, language=4, knowledge=5)
    masks = all_real(x)
    masks["knowledge"][:] = False
    without = {name: x[name] for name in ("vision", "language")}
    padded, absent = fusion(x, masks), fusion(without, all_real(without))
    for name in absent:
        torch.testing.assert_close(padded[name], absent[name], atol=1e-6, rtol=0)


def test_a_large_negative_bias_hides_a_key_and_a_constant_one_changes_nothing(
    fusion: MultiwayTransformer,
) -> None:
    x = tokens(language=4, knowledge=3)
    plain = fusion(x, all_real(x))
    same = fusion(x, all_real(x), {name: torch.full(part.shape[:2], -2.0) for name, part in x.items()})
    torch.testing.assert_close(same["language"], plain["language"], atol=1e-5, rtol=0)
    unlikely = fusion(x, all_real(x), {"knowledge": torch.full((2, 3), -1e4)})
    alone = fusion({"language": x["language"]}, {"language": all_real(x)["language"]})
    torch.testing.assert_close(unlikely["language"], alone["language"], atol=1e-6, rtol=0)


def test_gradients_reach_the_experts_that_were_used_and_no_other(fusion: MultiwayTransformer) -> None:
    x = tokens(vision=3, knowledge=2)
    sum(part.square().sum() for part in fusion(x, all_real(x)).values()).backward()
    for name, parameter in fusion.named_parameters():
        used = ".language." not in name
        assert (parameter.grad is not None) == used, name


# ── the whole model ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_fused_for_a_question_does_not_depend_on_the_rest_of_the_batch() -> None:
    model = tiny_batch.task(["answering"]).model.eval()
    asked, tables = tiny_batch.batch().questions, tiny_batch.tables()
    assert asked is not None
    together = model.fuse(asked.patches, asked.text, asked.text_mask, asked.facts, asked.has_image)
    for row, own in enumerate(tables):  # alone, K is the question's own number of facts
        part = slice(row, row + 1)
        facts = tiny_batch.facts([own])
        alone = model.fuse(asked.patches[part], asked.text[part], asked.text_mask[part], facts, asked.has_image[part])
        real = asked.text_mask[row].sum() + 1
        torch.testing.assert_close(together["language"][row, :real], alone["language"][0, :real], atol=1e-5, rtol=0)
        torch.testing.assert_close(together["knowledge"][row, : len(own)], alone["knowledge"][0], atol=1e-5, rtol=0)


def test_a_missing_picture_is_the_same_as_a_blank_or_any_other_one() -> None:
    model = tiny_batch.task(["answering"]).model.eval()
    asked = tiny_batch.batch().questions
    assert asked is not None
    none = model.fuse(None, asked.text, asked.text_mask, asked.facts)["language"][:, 0]
    hidden = torch.zeros(4, dtype=torch.bool)
    for patches in (torch.zeros_like(asked.patches), asked.patches):
        fused = model.fuse(patches, asked.text, asked.text_mask, asked.facts, hidden)["language"][:, 0]
        torch.testing.assert_close(fused, none, atol=1e-5, rtol=0)


def test_a_question_without_facts_is_read_alike_in_a_batch_with_and_without_others_that_have_some() -> None:
    model = tiny_batch.task(["answering"]).model.eval()
    asked, tables = tiny_batch.batch().questions, tiny_batch.tables()
    assert asked is not None
    facts = tiny_batch.facts([tables[0].keep([]), *tables[1:]])
    among = model.fuse(asked.patches, asked.text, asked.text_mask, facts, asked.has_image)["language"][0, 0]
    alone = model.fuse(asked.patches, asked.text, asked.text_mask, None, asked.has_image)["language"][0, 0]
    torch.testing.assert_close(among, alone, atol=1e-5, rtol=0)

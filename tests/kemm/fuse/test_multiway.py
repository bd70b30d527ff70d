"""The fusion encoder: modalities that are absent, padded or in another row of the batch change nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kemm.data.samples import Part, Samples
from kemm.fuse import masks as masks_of
from kemm.fuse.model import KEMM
from kemm.fuse.multiway import MultiwayTransformer
from kemm.fuse.positions import Rotary
from kemm.fuse.readings import Readings
from kemm.fuse.transformer import Transformer
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


# ── what every choice of experts and norms owes ───────────────────────────────────────────────────────────────────

KINDS = [
    pytest.param({"experts": experts, "order": order, "joint_layers": joint}, id=f"{experts}-{order}-{joint}")
    for experts in ("ffn", "all")
    for order in ("pre", "post", "sub")
    for joint in (0, 1)
]


def build(modalities: tuple[str, ...] = ("vision", "language", "knowledge"), **options: Any) -> MultiwayTransformer:
    torch.manual_seed(1)
    fusion = MultiwayTransformer(WIDTH, 2, 2, modalities, **options)
    with torch.no_grad():
        for weight in fusion.parameters():
            weight.add_(torch.randn(weight.shape) * 0.1)  # norms and biases, too, differ by modality
    return fusion


def uneven(x: dict[str, Tensor], **lengths: tuple[int, int]) -> dict[str, Tensor]:
    """Masks with so many real tokens in the first and in the second row."""
    return all_real(x) | {
        name: torch.arange(x[name].shape[1]) < torch.tensor(n)[:, None] for name, n in lengths.items()
    }


@pytest.mark.parametrize("options", KINDS)
def test_a_third_expert_leaves_what_two_computed_as_it_was_bit_for_bit(options: dict[str, Any]) -> None:
    fusion = build(("vision", "language"), **options)
    x = tokens(vision=3, language=4)
    masks = uneven(x, language=(4, 2))
    before = fusion(x, masks)
    fusion.add_expert("knowledge", like="language")
    after = fusion(x, masks)
    assert all(torch.equal(before[name], after[name]) for name in x)
    assert fusion(tokens(vision=3, language=4, knowledge=2))["knowledge"].shape == (2, 2, WIDTH)
    same = fusion({"knowledge": x["language"]})["knowledge"]
    assert torch.equal(same, fusion({"language": x["language"]})["language"])  # it starts as the other's equal
    names = {name for name, _ in fusion.named_parameters() if ".knowledge." in name}
    assert names == {n.replace(".language.", ".knowledge.") for n, _ in fusion.named_parameters() if ".language." in n}


@pytest.mark.parametrize("options", KINDS)
def test_with_one_modality_it_is_the_plain_transformer(options: dict[str, Any]) -> None:
    fusion = build(**options)
    plain = Transformer(WIDTH, 2, 2, order=options["order"])
    own = "language" if options["experts"] == "all" else "shared"
    weights = {
        name: fusion.state_dict()[
            name.replace("attention.", f"attention.{own}.")
            .replace("attention_residual.", f"attention_residual.{own}.")
            .replace("feed_forward.", "feed_forward.language.")
            .replace("feed_forward_residual.", "feed_forward_residual.language.")
            .replace("norm.", f"norm.{own}.", 1 if name.startswith("norm.") else 0)
        ]
        for name in plain.state_dict()
    }
    plain.load_state_dict(weights)
    x = tokens(language=4)
    masks = uneven(x, language=(4, 2))
    ours, theirs = fusion(x, masks)["language"], plain(x["language"], mask=masks["language"][:, None])
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_packed_reads_what_padded_reads_under_a_mask_biases_and_relative_positions() -> None:
    class Distance(torch.nn.Module):
        """Minus the distance in the fused sequence, the same for both heads."""

        def forward(self, lengths: dict[str, int]) -> Tensor:
            place = torch.arange(sum(lengths.values())).float()
            return -(place[:, None] - place[None]).abs().expand(2, -1, -1)

    fusion = build(experts="ffn", order="pre", relative=Distance())
    x = tokens(vision=3, language=4, knowledge=5)
    masks = uneven(x, language=(4, 1), knowledge=(0, 3))
    biases = {"knowledge": torch.randn(2, 5)}
    causal = torch.ones(12, 12).tril().bool()
    for mask in (None, causal, torch.stack([causal, torch.ones(12, 12).bool()])):
        padded, packed = (fusion(x, masks, biases, mask=mask, is_packed=is_packed) for is_packed in (False, True))
        for name in x:
            torch.testing.assert_close(packed[name][masks[name]], padded[name][masks[name]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", KINDS)
def test_packed_is_what_padded_is_gradients_too(options: dict[str, Any]) -> None:
    fusion = build(**options)
    x = tokens(vision=3, language=4, knowledge=5)
    masks = uneven(x, language=(4, 1), knowledge=(0, 3))
    results = []
    for is_packed in (False, True):
        fusion.zero_grad()
        out = fusion(x, masks, is_packed=is_packed)
        real = torch.cat([out[name][masks[name]] for name in x])
        (real * torch.linspace(-1, 1, WIDTH)).sum().backward()
        results.append((out, real, {n: p.grad for n, p in fusion.named_parameters() if p.grad is not None}))
    (_, padded, wanted), (out, packed, grads) = results
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=0)
    assert all((out[name][~masks[name]] == 0).all() for name in x)
    assert wanted.keys() == grads.keys()
    for name in wanted:
        torch.testing.assert_close(grads[name], wanted[name], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("is_packed", [False, True])
def test_more_padding_or_other_neighbours_change_nothing(options: dict[str, Any], is_packed: bool) -> None:
    fusion = build(**options)
    x = tokens(vision=3, language=4)
    masks = uneven(x, language=(4, 2))
    together = fusion(x, masks, is_packed=is_packed)
    alone = fusion({"vision": x["vision"][1:], "language": x["language"][1:, :2]})
    for name, length in (("vision", 3), ("language", 2)):
        torch.testing.assert_close(together[name][1:, :length], alone[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_modality_without_tokens_or_with_none_that_is_real_is_an_absent_one(is_packed: bool) -> None:
    fusion = build()
    x = tokens(vision=3, language=4)
    alone = fusion({"vision": x["vision"]})["vision"]
    hidden = fusion(x, {"language": torch.zeros(2, 4, dtype=torch.bool)}, is_packed=is_packed)
    empty = fusion({"vision": x["vision"], "language": x["language"][:, :0]}, is_packed=is_packed)
    torch.testing.assert_close(hidden["vision"], alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(empty["vision"], alone, atol=1e-6, rtol=0)
    assert empty["language"].shape == (2, 0, WIDTH)


@pytest.mark.parametrize("is_packed", [False, True])
def test_where_all_is_masked_numbers_and_gradients_are_finite(is_packed: bool) -> None:
    fusion = build(order="sub")
    x = {name: part.requires_grad_() for name, part in tokens(vision=3, language=4).items()}
    masks = {name: torch.zeros(part.shape[:2], dtype=torch.bool) for name, part in x.items()}
    out = fusion(x, masks, is_packed=is_packed)
    sum(part.sum() for part in out.values()).backward()
    assert all(part.isfinite().all() for part in out.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


def test_captions_from_a_cache_are_those_of_the_whole_sequence() -> None:
    fusion = build(rotary={"language": Rotary(WIDTH // 2)})
    x = tokens(vision=3, language=4)
    whole = fusion(x, mask=masks_of.prefix(7, 3))["language"]
    cache = fusion.new_cache()
    first = fusion({"vision": x["vision"], "language": x["language"][:, :2]}, mask=masks_of.prefix(5, 3), cache=cache)
    parts = [first["language"]]
    for place in (2, 3):
        parts.append(fusion({"language": x["language"][:, place : place + 1]}, cache=cache)["language"])
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)


def test_top_layers_joint_expert_reads_pairs_and_lets_single_modalities_be() -> None:
    fusion = build(joint_layers=1)
    x = tokens(vision=3, language=4)
    before = fusion(x)["vision"], fusion({"vision": x["vision"]})["vision"]
    with torch.no_grad():
        for parameter in fusion.blocks[1].feed_forward["joint"].parameters():
            parameter.add_(1.0)
    assert "joint" not in fusion.blocks[0].feed_forward
    assert not torch.allclose(fusion(x)["vision"], before[0])
    assert torch.equal(fusion({"vision": x["vision"]})["vision"], before[1])


def test_checkpointed_it_computes_and_learns_the_same() -> None:
    x, gradients = tokens(vision=3, language=4), []
    for is_checkpointed in (False, True):
        fusion = build(is_checkpointed=is_checkpointed, drop_path=0.5, dropout=0.1).train()
        torch.manual_seed(2)
        sum(part.square().sum() for part in fusion(x).values()).backward()
        gradients.append([p.grad for p in fusion.parameters() if p.grad is not None])
    assert len(gradients[0]) > 20
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


def test_under_autocast_with_all_hidden_numbers_are_finite() -> None:
    x = tokens(vision=3, language=4)
    with torch.autocast("cpu", torch.bfloat16):
        out = build()(x, {name: torch.zeros(part.shape[:2], dtype=torch.bool) for name, part in x.items()})
    assert all(part.isfinite().all() for part in out.values())


def test_the_whole_is_one_graph_for_the_compiler() -> None:
    fusion = build(experts="all", order="sub")
    x = tokens(vision=3, language=4)
    masks = uneven(x, language=(4, 2))
    compiled = torch.compile(fusion, backend="eager", fullgraph=True)(x, masks)
    assert all(torch.equal(compiled[name], part) for name, part in fusion(x, masks).items())


def test_shapes_that_do_not_agree_are_named() -> None:
    fusion, x = build(), tokens(vision=3, language=4)
    with pytest.raises(InputError, match=r"language tokens of shape \(1, 4, 8\) do not go with vision tokens"):
        fusion(x | {"language": x["language"][:1]})
    with pytest.raises(InputError, match=r"the mask of language, \(2, 3\), does not go with tokens"):
        fusion(x, {"language": torch.ones(2, 3, dtype=torch.bool)})
    with pytest.raises(InputError, match=r"a mask of shape \(6, 6\) does not go with 7 tokens"):
        fusion(x, mask=torch.ones(6, 6, dtype=torch.bool))
    with pytest.raises(InputError, match="no modality 'sound' to start from"):
        fusion.add_expert("depth", like="sound")
    with pytest.raises(InputError, match="'vision' cannot be a further modality"):
        fusion.add_expert("vision", like="language")


# ── the whole model ───────────────────────────────────────────────────────────────────────────────────────────────


def read(samples: Samples, model: KEMM, **changes: Any) -> dict[str, torch.Tensor]:
    return Readings(model, replace(samples, **changes), Counter()).fuse()


def asked_samples() -> Samples:
    questions = tiny_batch.batch().questions
    assert questions is not None
    return questions.samples


def test_what_is_fused_for_a_question_does_not_depend_on_the_rest_of_the_batch() -> None:
    model, asked, tables = tiny_batch.task(["answering"]).model.eval(), asked_samples(), tiny_batch.tables()
    together = read(asked, model)
    mask = asked.parts["language"].mask
    assert mask is not None
    for row, own in enumerate(tables):  # alone, K is the question's own number of facts
        alone = read(asked.take(torch.tensor([row])), model, facts=tiny_batch.facts([own]))
        real = mask[row].sum() + 1
        torch.testing.assert_close(together["language"][row, :real], alone["language"][0, :real], atol=1e-5, rtol=0)
        torch.testing.assert_close(together["knowledge"][row, : len(own)], alone["knowledge"][0], atol=1e-5, rtol=0)


def test_a_missing_picture_is_the_same_as_a_blank_or_any_other_one() -> None:
    model, asked = tiny_batch.task(["answering"]).model.eval(), asked_samples()
    none = read(asked, model, parts={"language": asked.parts["language"]})["language"][:, 0]
    shown = asked.parts["vision"].states
    assert shown is not None
    for states in (torch.zeros_like(shown), shown):
        hidden = Part(torch.tensor([False, False, False, True]), states=states)
        fused = read(asked, model, parts={**asked.parts, "vision": hidden})["language"][:3, 0]
        torch.testing.assert_close(fused, none[:3], atol=1e-5, rtol=0)


def test_a_question_without_facts_is_read_alike_in_a_batch_with_and_without_others_that_have_some() -> None:
    model, asked, tables = tiny_batch.task(["answering"]).model.eval(), asked_samples(), tiny_batch.tables()
    facts = tiny_batch.facts([tables[0].keep([]), *tables[1:]])
    among = read(asked, model, facts=facts)["language"][0, 0]
    alone = read(asked, model, facts=None)["language"][0, 0]
    torch.testing.assert_close(among, alone, atol=1e-5, rtol=0)

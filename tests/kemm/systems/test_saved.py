"""Systems on disk: published checkpoints taken over, saved, loaded again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kemm.cli import main
from kemm.compat import mend_torchvision
from kemm.systems import SYSTEMS, name_of, system_class
from kemm.systems.bert import BERT
from kemm.systems.clip import CLIP
from kemm.systems.saved import load
from kemm.systems.system import System
from kg.errors import InputError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TOKENS = torch.tensor([[2, 7, 3]])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny BERT as transformers publishes it."""
    mend_torchvision()
    from transformers import BertConfig, BertForPreTraining

    torch.manual_seed(0)
    BertForPreTraining(BertConfig(**SMALL, vocab_size=11, max_position_embeddings=5)).save_pretrained(tmp_path / "hf")
    return tmp_path / "hf"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on standard error of an import that must fail."""
    assert main(["import-weights", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1, printed
    return printed.err.removeprefix("error: ")


def test_an_imported_checkpoint_computes_what_the_published_one_does(checkpoint, tmp_path, capsys):
    from transformers import BertForPreTraining

    assert main(["import-weights", "bert", str(checkpoint), "--out", str(tmp_path / "ours"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours = System.from_pretrained(tmp_path / "ours")
    assert isinstance(ours, BERT) and not ours.training
    assert result["parameters"] == sum(p.numel() for p in ours.parameters())
    wanted = BertForPreTraining.from_pretrained(checkpoint).eval()(TOKENS).prediction_logits
    assert torch.allclose(ours(TOKENS)["words"], wanted, atol=1e-5)


def test_saving_and_loading_gives_every_weight_back_and_tied_ones_stay_tied(checkpoint, tmp_path):
    before = BERT.from_published(checkpoint)
    after = BERT.from_pretrained(before.save_pretrained(tmp_path / "saved"))
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())
    assert after.words.words is after.text.input.word
    assert "words.words.weight" not in load_file(tmp_path / "saved" / "model.safetensors")
    after.save_pretrained(tmp_path / "saved")  # replaced, nothing left beside it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf", "saved"]


def test_a_wrong_name_lists_the_systems(checkpoint, tmp_path, capsys):
    said = refused(capsys, "brt", checkpoint, "--out", tmp_path / "ours")
    assert "there is no system 'brt'; did you mean 'bert'? (there are: " in said
    assert all(name in said for name in SYSTEMS)


def test_another_system_is_named_with_what_differs(checkpoint, tmp_path, capsys):
    said = refused(capsys, "vit", checkpoint, "--out", tmp_path / "ours")
    assert "can't be built" in said or "has no" in said
    config = json.loads((checkpoint / "config.json").read_text()) | {"id2label": {"0": "a"}, "image_size": 8}
    (checkpoint / "config.json").write_text(json.dumps(config | {"patch_size": 4}))
    said = refused(capsys, "vit", checkpoint, "--out", tmp_path / "ours")
    assert "(bert): not a checkpoint of ViT: vit.embeddings.cls_token is missing" in said
    assert not (tmp_path / "ours").exists()


def test_a_pickle_and_a_truncated_file_are_one_line_and_nothing_is_written(checkpoint, tmp_path, capsys):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    said = refused(capsys, "bert", checkpoint, "--out", tmp_path / "ours")
    assert "model.safetensors: not a readable safetensors file" in said
    weights.rename(checkpoint / "pytorch_model.bin")
    assert "a pickle, which could run anything" in refused(capsys, "bert", checkpoint, "--out", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_a_folder_with_something_else_is_left_as_it_is(checkpoint, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    said = refused(capsys, "bert", checkpoint, "--out", tmp_path / "mine")
    assert "holds something else than a saved system" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_write_that_fails_leaves_what_was_there(checkpoint, tmp_path, monkeypatch):
    system = BERT.from_published(checkpoint)
    system.save_pretrained(tmp_path / "saved")
    before = (tmp_path / "saved" / "model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        system.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf", "saved"]


def test_a_saved_system_of_another_kind_or_with_other_weights_is_refused(checkpoint, tmp_path):
    folder = BERT.from_published(checkpoint).save_pretrained(tmp_path / "saved")
    with pytest.raises(InputError, match="it is a BERT, not a CLIP"):
        CLIP.from_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    save_file({**state, "pooler.project.bias": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"not the weights that system\.json describes: pooler\.project\.bias is"):
        load(folder)
    with pytest.raises(InputError, match="no saved system there"):
        load(tmp_path)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_found_by_its_name_and_its_class(name):
    assert name_of(system_class(name)) == name


def test_the_page_of_systems_names_every_one():
    page = (Path(__file__).parents[3] / "docs" / "systems.md").read_text()
    assert [name for name in SYSTEMS if f"`{name}`" not in page] == []

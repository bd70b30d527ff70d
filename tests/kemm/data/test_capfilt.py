"""CapFilt with tiny random models: what is kept follows from the filter's head, and an interrupted run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from kemm.data.capfilt import CapFilt, Writing, write_and_filter
from kemm.encoders.vision import open_image
from kemm.systems.blip import BLIPRetrieval
from kemm.systems.blip_writer import BLIPCaptioner
from kg.errors import InputError
from tests.kemm.data.test_pair_filters import listed, picture, written

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = {"vocab_size": 12, "max_position_embeddings": 9, "bos_token_id": 3, "sep_token_id": 2}
CONFIG = {"text_config": {**SMALL, **TEXT}, "vision_config": {**SMALL, "image_size": 16, "patch_size": 8}}
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[DEC]", "a", "dog", "cat", "tree", "on", "in", "the", "red"]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """A captioner, a filter and their tokenizer, random by a fixed seed."""
    torch.manual_seed(0)
    found = {name: tmp_path / name for name in ("captioner", "judge", "tokenizer.json")}
    BLIPCaptioner.from_config(CONFIG).save_pretrained(found["captioner"])
    BLIPRetrieval.from_config(CONFIG).save_pretrained(found["judge"])
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[PAD]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    words.add_special_tokens(WORDS[:4])
    words.save(str(found["tokenizer.json"]))
    return found


def made(folders: dict[str, Path], **writing: Any) -> CapFilt:
    return CapFilt(*folders.values(), Writing(**{"shortest": 2, "longest": 5, "batch": 2} | writing))


def pairs_of(folder: Path) -> Path:
    for number in range(5):
        picture(folder / f"{number}.jpg", number)
    (folder / "cut.jpg").write_bytes((folder / "0.jpg").read_bytes()[:300])
    rows = [(str(n), f"{n}.jpg", "a dog in the tree") for n in range(5)]
    extra = [
        ("cut", "cut.jpg", "a dog"),
        ("none", "none.jpg", "a dog"),
        ("0", "1.jpg", "a cat"),
        ("mute", "2.jpg", " "),
    ]
    return listed(folder, rows + extra)


def test_the_filter_keeps_texts_by_its_probability_of_a_match(tmp_path: Path, folders: dict[str, Path]) -> None:
    models = made(folders)
    pairs, out = pairs_of(tmp_path), tmp_path / "out" / "kept.jsonl"
    faults = {"unreadable picture": 1, "no such picture": 1, "duplicate key": 1}
    with torch.no_grad():
        models.judge.matches.weight.zero_()
        models.judge.matches.bias.copy_(torch.tensor([0.0, 1.0]))  # 1 / (1 + e⁻¹) = 0.7311 for every text
    found = write_and_filter(pairs, out, models)
    assert found["read"] == 9 and found["web"] == 5 and found["written"] == 6
    assert found["dropped"] == {**faults, "web text empty": 1}
    rows = written(out)
    assert {row["match"] for row in rows} == {0.7311}
    assert rows[0] == {"key": "0", "image": "../0.jpg", "text": "a dog in the tree", "origin": "web", "match": 0.7311}
    assert all(row["text"] and set(row["text"].split()) <= set(WORDS[4:]) for row in rows)
    strict = made(folders, threshold=0.74)
    strict.judge = models.judge
    found = write_and_filter(pairs, out, strict)
    assert found["web"] == found["written"] == 0 and out.read_text() == ""
    no_match = {"web text does not match": 5, "written text does not match": 6, "web text empty": 1}
    assert found["dropped"] == {**faults, **no_match}


def test_a_match_is_what_the_system_says_of_the_picture_and_the_text_alone(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    models = made(folders)
    images = [open_image(picture(tmp_path / f"{n}.jpg", n)) for n in range(2)]
    found = models(images, ["a dog", "the red cat in the tree on a dog in the tree"], seed=0)
    system = BLIPRetrieval.from_pretrained(folders["judge"])
    pixels = models._pixels(images[:1], system)
    with torch.no_grad():
        expected = system.match(torch.tensor([[1, 4, 5, 2]]), None, system.vision(pixels)).softmax(-1)[0, 1]
    assert abs(found[0][1] - float(expected)) < 1e-6
    assert found[1][1] > 0  # longer than the positions: cut, not refused
    assert models(images, ["", "a dog"], seed=0)[0][1] == 0


def test_an_interrupted_run_writes_what_one_run_writes(tmp_path: Path, folders: dict[str, Path]) -> None:
    models = made(folders, threshold=0.0)
    pairs, out = pairs_of(tmp_path), tmp_path / "kept.jsonl"
    whole = write_and_filter(pairs, tmp_path / "whole.jsonl", models)

    def stop(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_filter(pairs, out, models, stop)
    assert not out.exists()
    partial = tmp_path / "kept.jsonl.partial"
    partial.write_text(partial.read_text() + '{"key": "half a li')
    assert write_and_filter(pairs, out, models) == whole | {"resumed_at": 4}
    assert out.read_text() == (tmp_path / "whole.jsonl").read_text()
    assert not partial.exists()


def test_another_seed_writes_other_captions(tmp_path: Path, folders: dict[str, Path]) -> None:
    image = [open_image(picture(tmp_path / "0.jpg", 0))] * 8
    models = made(folders)
    assert models.write(image, 0) == models.write(image, 0) != models.write(image, 1)


def test_what_does_not_fit_together_is_said_before_anything_is_written(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    with pytest.raises(InputError, match="no tokenizer there"):
        CapFilt(folders["captioner"], folders["judge"], tmp_path / "none")
    with pytest.raises(InputError, match="it is a BLIPRetrieval, not a BLIPCaptioner"):
        CapFilt(folders["judge"], folders["judge"], folders["tokenizer.json"])
    tokenizer = json.loads(folders["tokenizer.json"].read_text())
    tokenizer["model"]["vocab"]["extra"] = 12
    (tmp_path / "large.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="it has 13 tokens, but a model has 12"):
        CapFilt(folders["captioner"], folders["judge"], tmp_path / "large.json")
    with pytest.raises(InputError, match="there is no file"):
        write_and_filter(tmp_path / "none.jsonl", tmp_path / "kept.jsonl", made(folders))
    assert not (tmp_path / "kept.jsonl").exists()

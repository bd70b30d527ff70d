"""BLIP as a writer: what the table of equal numbers does not show."""

from __future__ import annotations

import pytest
import torch

from benchmarks.parity_case import published, randomise
from kemm.compat import mend_torchvision
from kemm.generate.one_by_one import greedy
from kemm.systems.blip_writer import BLIPAnswerer, BLIPCaptioner
from kg.errors import InputError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
CONFIG = {
    "text_config": {**SMALL, "vocab_size": 11, "max_position_embeddings": 9},
    "vision_config": {**SMALL, "image_size": 16, "patch_size": 8},
}


def test_writing_with_the_cache_gives_the_words_that_reading_all_at_once_gives():
    torch.manual_seed(0)
    model = BLIPCaptioner.from_config(CONFIG).eval()
    pictures = torch.randn(2, 3, 16, 16)
    written = greedy(model, torch.full((2, 1), 3), model.start(pictures), end=10, longest=6).tokens[:, 0]
    tokens = torch.cat([torch.full((2, 1), 3), written], dim=1)
    likeliest = model(pictures, tokens[:, :-1])["words"].argmax(-1)
    for row, seen in zip(written.tolist(), likeliest.tolist(), strict=True):
        length = row.index(10) + 1 if 10 in row else len(row)
        assert row[:length] == seen[:length]


def test_the_captioner_writes_what_transformers_writes():
    mend_torchvision()
    from transformers import BlipConfig, BlipForConditionalGeneration

    torch.manual_seed(0)
    text = {**CONFIG["text_config"], "bos_token_id": 3, "sep_token_id": 10, "eos_token_id": 10, "pad_token_id": 0}
    theirs = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=CONFIG["vision_config"])).eval()
    randomise(theirs, 0)
    model = BLIPCaptioner.from_config({**CONFIG, "text_config": text}).eval()
    model.load_published(published(theirs))
    pictures = torch.randn(3, 3, 16, 16)
    wanted = theirs.generate(pictures, max_new_tokens=6, do_sample=False)[:, 1:]
    start = torch.full((3, 1), 3)
    found = greedy(model, start, model.start(pictures), end=10, longest=6, padding=0).tokens[:, 0]
    assert torch.equal(found[:, : wanted.shape[1]], wanted)


def test_pictures_of_another_width_than_the_answerers_text_are_refused():
    with pytest.raises(InputError, match="hidden_size is 8; BLIP's answerer is built with 16 alone"):
        BLIPAnswerer.from_config({**CONFIG, "vision_config": {**CONFIG["vision_config"], "hidden_size": 8}})

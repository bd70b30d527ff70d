"""Pictures and words: what the table of equal numbers does not show."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kemm.compat import mend_torchvision
from kemm.generate.one_by_one import greedy
from kemm.systems.clip import CLIP
from kemm.systems.flava import FLAVA
from kemm.systems.flava_codes import FLAVACodes
from kemm.systems.git import GIT
from kemm.systems.lxmert import LXMERT
from kemm.systems.siglip import SigLIP
from kemm.systems.system import System
from kemm.systems.vilt import ViLTRetrieval
from kemm.systems.visual_bert import VisualBERT
from kg.errors import InputError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = {**SMALL, "vocab_size": 11, "max_position_embeddings": 9}
VISION = {**SMALL, "image_size": 16, "patch_size": 8}
PAIR = {"text_config": TEXT, "vision_config": VISION, "projection_dim": 8}
GIT_CONFIG = {**TEXT, "vision_config": VISION}
PICTURES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
TOKENS = torch.tensor([[2, 7, 3, 0], [2, 5, 4, 3]])


def test_git_writes_with_the_cache_the_words_that_reading_all_at_once_gives():
    torch.manual_seed(0)
    model = GIT.from_config(GIT_CONFIG).eval()
    written = greedy(model, torch.full((2, 1), 3), model.start(PICTURES), end=10, longest=6).tokens[:, 0]
    tokens = torch.cat([torch.full((2, 1), 3), written], dim=1)
    likeliest = model(PICTURES, tokens[:, :-1])["words"].argmax(-1)
    for row, seen in zip(written.tolist(), likeliest.tolist(), strict=True):
        length = row.index(10) + 1 if 10 in row else len(row)
        assert row[:length] == seen[:length]


def test_git_writes_what_transformers_writes(tmp_path: Path):
    mend_torchvision()
    from transformers import GitConfig, GitForCausalLM

    torch.manual_seed(0)
    theirs = GitForCausalLM(GitConfig(**GIT_CONFIG, bos_token_id=2, eos_token_id=10)).eval()
    theirs.save_pretrained(tmp_path)
    ours = GIT.from_published(tmp_path).eval()
    first = torch.full((2, 1), 2)
    wanted = theirs.generate(pixel_values=PICTURES, input_ids=first, max_new_tokens=6, do_sample=False)[:, 1:]
    assert greedy(ours, first, ours.start(PICTURES), end=10, longest=6).tokens[:, 0].tolist() == [
        [token if 10 not in row[:place] else 0 for place, token in enumerate(row)] for row in wanted.tolist()
    ]


def test_a_video_of_more_pictures_than_places_is_refused():
    model = GIT.from_config({**GIT_CONFIG, "num_image_with_embedding": 2})
    assert model.encode_image(PICTURES[:, None].expand(-1, 2, -1, -1, -1)).shape == (2, 10, 16)
    with pytest.raises(InputError, match="a video has 3 pictures, the model has places for 2"):
        model.encode_image(PICTURES[:, None].expand(-1, 3, -1, -1, -1))


def test_a_text_and_pictures_of_other_numbers_give_logits_and_no_loss():
    found = CLIP.from_config(PAIR)(PICTURES, TOKENS[:1])
    assert found["logits"].shape == (1, 2) and "loss" not in found


def test_clips_text_vector_is_that_of_the_end_token_whatever_stands_after():
    model = CLIP.from_config({**PAIR, "text_config": {**TEXT, "eos_token_id": 3}}).eval()
    longer = torch.tensor([[2, 7, 3, 9], [2, 5, 4, 3]])
    assert torch.allclose(model.encode_text(TOKENS), model.encode_text(longer), atol=1e-6)


def test_siglips_loss_counts_every_pair_once():
    model = SigLIP.from_config(PAIR).eval()
    found = model(PICTURES, TOKENS)
    (a, b), (c, d) = found["logits"].tolist()
    by_hand = torch.tensor([a, -b, -c, d]).sigmoid().log().sum() / -2
    assert torch.allclose(found["loss"], by_hand, atol=1e-5)


def test_the_padding_of_a_picture_changes_nothing_in_vilt():
    config = {**TEXT, "image_size": 16, "patch_size": 8}
    model = ViLTRetrieval.from_config(config).eval()
    padded = torch.zeros(2, 3, 24, 32)
    padded[:, :, :16, :16] = PICTURES
    pixels = torch.zeros(2, 24, 32, dtype=torch.bool)
    pixels[:, :16, :16] = True
    alone, within = model(PICTURES, TOKENS), model(padded, TOKENS, None, pixels)
    assert torch.allclose(alone["score"], within["score"], atol=1e-6)
    with pytest.raises(InputError, match="patches of 8 pixels do not fill a picture of 20 × 16"):
        model(torch.zeros(2, 3, 20, 16), TOKENS)


def test_features_of_another_detector_are_refused():
    model = VisualBERT.from_config({**TEXT, "visual_embedding_dim": 6})
    with pytest.raises(InputError, match="a region has 5 features, the model wants 6"):
        model(torch.zeros(2, 3, 5), TOKENS)


def test_flavas_checkpoint_gives_its_tokenizer_and_its_codes_are_learned(tmp_path: Path):
    mend_torchvision()
    from transformers import FlavaConfig, FlavaForPreTraining

    parts = {f"{kind}_config": {**SMALL, "vocab_size": 11} for kind in ("image", "text", "multimodal")}
    parts["image_config"] |= {"image_size": 16, "patch_size": 8}
    codebook = {"hidden_size": 4, "vocab_size": 11}
    theirs = FlavaForPreTraining(FlavaConfig(**parts, hidden_size=16, image_codebook_config=codebook)).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer, model = FLAVACodes.from_published(tmp_path), FLAVA.from_published(tmp_path).eval()
    hidden = torch.tensor([[True, False, False, True], [False, True, False, False]])
    ours = model(PICTURES, hidden=hidden, codes=tokenizer.codes(PICTURES))["loss"]
    wanted = theirs(pixel_values=PICTURES, codebook_pixel_values=PICTURES, bool_masked_pos=hidden).loss
    assert torch.allclose(ours, wanted, atol=1e-5)
    with pytest.raises(InputError, match=r"pictures of shape \(2, 3, 12, 16\) can't be tokenized"):
        tokenizer.codes(torch.zeros(2, 3, 12, 16))


@pytest.mark.parametrize(
    ("system", "config", "said"),
    [
        (SigLIP, {"vision_config": {"vision_use_head": False}}, "vision_use_head is False; SigLIP is built with True"),
        (ViLTRetrieval, {"max_image_length": 9}, "max_image_length is 9; ViLT is built with -1 alone"),
        (VisualBERT, {"bypass_transformer": True}, "bypass_transformer is True; VisualBERT is built with False"),
        (LXMERT, {"task_qa": False}, "task_qa is False; LXMERT is built with True alone"),
        (FLAVA, {"itm_weight": 0.0}, "itm_weight is 0.0; FLAVA is built with weights above 0"),
        (FLAVA, {"text_config": {"hidden_size": 8}}, "hidden_size is 8; FLAVA is built with 768 alone"),
    ],
)
def test_what_is_not_built_is_refused(system: type[System], config: dict[str, object], said: str):
    with pytest.raises(InputError, match=said):
        system.from_config(config)

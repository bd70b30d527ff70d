"""CoCa: what the table of equal numbers does not show."""

from __future__ import annotations

import pytest
import torch

from benchmarks.parity_coca import CONFIG
from kemm.generate.one_by_one import greedy
from kemm.systems.coca import CoCa
from kg.errors import InputError


def test_writing_with_the_cache_gives_the_words_that_reading_all_at_once_gives():
    torch.manual_seed(0)
    coca, pictures = CoCa.from_config(CONFIG).eval(), torch.randn(2, 3, 24, 24)
    start = torch.full((2, 1), 3)
    written = greedy(coca, start, coca.start(pictures), end=-1, longest=4, padding=0).tokens[:, 0]
    tokens = torch.cat([start, written[:, :-1]], dim=1)
    picture = coca.encode_image(pictures)[1]
    words = coca.write(coca.encode_text(tokens)[1], picture)
    assert torch.equal(words.argmax(-1), written)


def test_open_clips_file_holds_the_configuration_one_level_down():
    assert len(CoCa.from_config({"model_cfg": CONFIG, "preprocess_cfg": {}}).fused) == 2


def test_a_vision_tower_without_attention_pooling_is_refused():
    vision = {name: value for name, value in CONFIG["vision_cfg"].items() if name != "attentional_pool"}
    with pytest.raises(InputError, match="attentional_pool is False; CoCa is built with True alone"):
        CoCa.from_config({**CONFIG, "vision_cfg": vision})


def test_a_writer_of_another_width_than_what_it_reads_is_refused():
    with pytest.raises(InputError, match="embed_dim 24, the text's width 16 and the writer's 16 must be one number"):
        CoCa.from_config({**CONFIG, "embed_dim": 24})

"""What a system is not given is asked for."""

from __future__ import annotations

import pytest
import torch

from benchmarks.parity_blip2 import T5 as TINY_T5
from benchmarks.parity_blip2 import VISION
from kemm.compat import mend_torchvision
from kemm.fuse.q_former import QFormer
from kemm.systems.beit import BEiT
from kemm.systems.blip2_writer import BLIP2
from kemm.systems.luke import LUKE
from kemm.systems.t5 import T5
from kg.errors import InputError

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
TOKENS, PICTURE = torch.tensor([[2, 3, 4]]), torch.zeros(1, 3, 24, 24)


def t5() -> None:
    T5.from_config({**TINY_T5})(TOKENS)


def beit() -> None:
    BEiT.from_config({**SMALL, "hidden_act": "gelu", "image_size": 24, "patch_size": 8})(PICTURE, labels=TOKENS)


def luke() -> None:
    config = {"vocab_size": 9, "entity_vocab_size": 5, "entity_emb_size": 16, "max_position_embeddings": 8}
    LUKE.from_config({**SMALL, **config})(TOKENS, entities=TOKENS)


def blip2() -> None:
    mend_torchvision()
    BLIP2.from_config({"vision_config": VISION, "qformer_config": SMALL, "text_config": TINY_T5})(PICTURE, TOKENS)


def q_former() -> None:
    QFormer(16, 1, 2, 8)()


def long_text() -> None:
    config = {"vocab_size": 9, "entity_vocab_size": 5, "entity_emb_size": 16, "max_position_embeddings": 4}
    LUKE.from_config({**SMALL, **config})(TOKENS)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (t5, "give labels, or what is written so far"),
        (beit, "give masked, where they count"),
        (luke, "give mentions"),
        (blip2, "give labels, or write with `start`"),
        (q_former, "give what its queries read, or words"),
        (long_text, "3 tokens do not fit into the model's 2 positions"),
    ],
)
def test_it_is_named_in_one_line(call, said):
    with pytest.raises(InputError, match=said):
        call()

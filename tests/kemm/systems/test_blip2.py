"""BLIP-2 before a language model: what the table of equal numbers does not show."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.parity_blip2 import IMAGE, OPT, QUERIES, T5, VISION, writer
from benchmarks.parity_case import published, randomise
from kemm.compat import mend_torchvision
from kemm.generate.beams import beam_search
from kemm.generate.one_by_one import greedy
from kemm.systems.blip2 import BLIP2Retrieval
from kemm.systems.blip2_writer import BLIP2
from kg.errors import InputError

Q_FORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def model(text: dict[str, Any]) -> BLIP2:
    mend_torchvision()
    torch.manual_seed(0)
    config = {"vision_config": VISION, "qformer_config": Q_FORMER, "text_config": text, "num_query_tokens": 3}
    return BLIP2.from_config(config).eval()


def test_the_language_model_learns_nothing_and_the_queries_learn_through_it():
    blip2 = model(OPT)
    tokens = torch.tensor([[2, 5, 7]])
    blip2(torch.randn(1, 3, 24, 24), tokens, labels=tokens)["loss"].backward()
    assert all(parameter.grad is None for parameter in blip2.language.parameters())
    assert blip2.q_former.queries.grad.abs().sum() > 0


@pytest.mark.parametrize("text", [OPT, T5], ids=["decoder", "encoder-decoder"])
def test_writing_after_a_picture_gives_the_words_that_reading_all_at_once_gives(text):
    blip2, pictures, prompt = model(text), torch.randn(2, 3, 24, 24), torch.tensor([[2, 5], [2, 7]])
    start = torch.zeros(2, 1, dtype=torch.long)
    tokens = greedy(blip2, start, blip2.start(pictures, prompt), end=-1, longest=4, padding=0).tokens[:, 0]
    if text is OPT:
        likeliest = blip2(pictures, torch.cat([prompt, start, tokens[:, :-1]], dim=1))["words"].argmax(-1)[:, -4:]
    else:  # the reference puts the start token before the labels itself
        likeliest = blip2(pictures, prompt, labels=tokens)["words"].argmax(-1)
    assert torch.equal(likeliest, tokens)


def test_beams_carry_the_language_models_cache_along():
    blip2, pictures = model(OPT), torch.randn(2, 3, 24, 24)
    start = torch.full((2, 1), 2)
    written = beam_search(blip2, start, blip2.start(pictures), end=1, longest=4, num_beams=3)
    alone = beam_search(blip2, start[1:], blip2.start(pictures[1:]), end=1, longest=4, num_beams=3)
    assert written.rows()[1] == alone.rows()[0]


def test_a_retrieval_checkpoint_without_text_in_its_q_former_is_refused():
    config = {"vision_config": VISION, "qformer_config": {**Q_FORMER, "use_qformer_text_input": False}}
    with pytest.raises(InputError, match="use_qformer_text_input is False"):
        BLIP2Retrieval.from_config(config)


@pytest.mark.parametrize("text", [OPT, T5], ids=["decoder", "encoder-decoder"])
def test_it_writes_what_transformers_writes(text):
    pair = writer({**text, "eos_token_id": 1, "bos_token_id": 2, "pad_token_id": 0})
    theirs, ours = pair.reference.eval(), pair.ours.eval()
    randomise(theirs, 0)
    ours.load_published(published(theirs))
    pictures, prompt = torch.randn(2, 3, 24, 24), torch.tensor([[2, 5], [2, 7]])
    placed = torch.cat([torch.full((2, QUERIES), IMAGE), prompt], dim=1)
    wanted = theirs.generate(pictures, placed, max_new_tokens=5, do_sample=False)
    if text is OPT:  # what was read comes back before what was written; the last word of the prompt goes into `step`
        wanted, start, prompt = wanted[:, -5:], prompt[:, -1:], prompt[:, :-1]
    else:
        wanted, start = wanted[:, 1:], torch.zeros(2, 1, dtype=torch.long)
    found = greedy(ours, start, ours.start(pictures, prompt), end=1, longest=5, padding=0).tokens[:, 0]
    assert torch.equal(found[:, : wanted.shape[1]], wanted)

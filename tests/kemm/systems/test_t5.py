"""T5: what the table of equal numbers does not show."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.parity_t5 import TINY
from kemm.compat import mend_torchvision
from kemm.generate.beams import beam_search
from kemm.generate.one_by_one import greedy
from kemm.systems.names import ForeignCheckpoint
from kemm.systems.t5 import T5
from kg.errors import InputError

CONFIG = {**TINY, "num_heads": 2, "num_decoder_layers": 2}  # the reference generates with as many as the encoder has
TOKENS = torch.tensor([[5, 7, 9, 1], [6, 1, 0, 0]])


def model(**options: object) -> T5:
    torch.manual_seed(0)
    return T5.from_config({**CONFIG, **options}).eval()


def reference() -> Any:
    mend_torchvision()
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(1)
    return T5ForConditionalGeneration(T5Config(**CONFIG, decoder_start_token_id=0, eos_token_id=1)).eval()


def test_greedy_and_beams_write_what_transformers_writes():
    t5, theirs = model(), reference()
    t5.load_published(theirs.state_dict())
    start, mask = torch.zeros(2, 1, dtype=torch.long), TOKENS > 0
    given = {"attention_mask": mask.long(), "max_new_tokens": 5, "do_sample": False}
    wanted = theirs.generate(TOKENS, **given)[:, 1:]
    found = greedy(t5, start, t5.start(TOKENS, mask), end=1, longest=5, padding=0).tokens[:, 0]
    assert torch.equal(found[:, : wanted.shape[1]], wanted)
    wanted = theirs.generate(TOKENS, **given, num_beams=3)[:, 1:]
    found = beam_search(t5, start, t5.start(TOKENS, mask), end=1, longest=5, num_beams=3, padding=0).tokens[:, 0]
    assert torch.equal(found[:, : wanted.shape[1]], wanted)


def test_words_in_and_out_are_one_matrix_unless_the_configuration_says_otherwise():
    tied, untied = model(), model(tie_word_embeddings=False)
    assert tied.head.weight is tied.words.weight
    assert untied.head.weight is not untied.words.weight


def test_a_checkpoint_with_two_matrices_is_not_read_as_one():
    state = {name: value.clone() for name, value in published(model(tie_word_embeddings=False)).items()}
    t5 = model()
    before = t5.words.weight.clone()
    with pytest.raises(
        ForeignCheckpoint, match=r"words\.weight and head\.weight are one matrix in T5, but differ here"
    ):
        t5.load_published(state)
    assert torch.equal(t5.words.weight, before)


def test_an_activation_that_is_not_built_is_named():
    with pytest.raises(InputError, match="feed_forward_proj is 'mish'"):
        model(feed_forward_proj="gated-mish")


def published(t5: T5) -> dict[str, torch.Tensor]:
    """The state of ours under T5's names."""
    return {
        **reference().state_dict(),
        "shared.weight": t5.words.weight.detach(),
        "lm_head.weight": t5.head.weight.detach(),
    }

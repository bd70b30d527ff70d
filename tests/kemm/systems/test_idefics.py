"""Idefics: what the table of equal numbers does not show."""

from __future__ import annotations

import torch

from benchmarks.parity_idefics import RESAMPLER, VISION
from kemm.fuse.perceiver_resampler import PerceiverResampler
from kemm.generate.one_by_one import greedy
from kemm.systems.idefics import Idefics

CONFIG = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vision_config": VISION,
    "perceiver_config": RESAMPLER,
    "use_resampler": True,
}
TOKENS = torch.tensor([[2, 7, 11, 3], [2, 8, 3, 6]])


def model() -> Idefics:
    torch.manual_seed(0)
    return Idefics.from_config(CONFIG).eval()


def test_a_fresh_one_writes_what_its_language_model_alone_would():
    idefics = model()
    one, other = (idefics(torch.randn(2, 1, 3, 16, 16), TOKENS)["words"] for _ in range(2))
    assert torch.equal(one, other)


def test_writing_with_the_cache_gives_the_words_that_reading_all_at_once_gives():
    idefics = model()
    with torch.no_grad():
        for gate in idefics.gates:
            gate.cross_gate.fill_(1.0)
    pictures = torch.randn(2, 2, 3, 16, 16)
    written = greedy(idefics, TOKENS, idefics.start(pictures), end=-1, longest=4, padding=0).tokens[:, 0]
    read = idefics(pictures, torch.cat([TOKENS, written[:, :-1]], dim=1))["words"]
    assert torch.equal(read.argmax(-1)[:, -4:], written)


def test_only_gates_resampler_and_head_learn_unless_the_configuration_says_otherwise():
    learning = {name.split(".")[0] for name, p in model().named_parameters() if p.requires_grad}
    assert learning == {"gates", "resampler", "head"}


def test_the_resampler_does_not_read_padding():
    torch.manual_seed(0)
    resampler = PerceiverResampler(16, 2, 2, latents=3)
    tokens, mask = torch.randn(2, 5, 16), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    torch.testing.assert_close(resampler(tokens, mask)[1:], resampler(tokens[1:, :3]))


def test_a_text_without_pictures_is_read_by_the_language_model_alone():
    idefics = model()
    with torch.no_grad():
        for gate in idefics.gates:
            gate.cross_gate.fill_(1.0)
    none = idefics(torch.randn(2, 0, 3, 16, 16), TOKENS)
    unseen = idefics(torch.randn(2, 1, 3, 16, 16), TOKENS, sees=torch.zeros(2, 4, 1))
    assert none["pictures"].shape == (2, 0, 3, 16)
    torch.testing.assert_close(none["words"], unseen["words"])

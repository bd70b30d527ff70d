"""Greedy writing, beams and sampling are transformers' own, token for token, on random GPT-2 and T5."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from kemm.generate import Filter, Generated
from kemm.generate.beams import beam_search
from kemm.generate.filters import (
    MinimumLength,
    NoRepeatedRuns,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
)
from kemm.generate.one_by_one import greedy, sample
from kemm.generate.trie import Trie
from tests.kemm.generate.references import END, GPT2, PADDING, T5, VOCABULARY, Uncached

LONGEST = 12
PROMPTS = torch.tensor([[2, 2, 7, 3], [5, 0, 9, 4], [2, 8, 8, 6], [11, 12, 13, 14]])
REAL = (PROMPTS != PADDING).long()
SEEDS = [0, 1, 2]


def begin(kind: str, seed: int, filtered: str = "plain") -> tuple[Any, Tensor, Any, dict[str, Tensor]]:
    """A model, its prompt and first cache, and the same for transformers' ``generate``.

    transformers takes padding for text where runs of tokens must not come again, so prompts have none there.
    """
    if kind == "gpt2":
        gpt2, keep = GPT2(seed), [1, 3] if filtered in ("runs", "all") else [0, 1, 2, 3]
        prompt, real = PROMPTS[keep], REAL[keep]
        return gpt2, prompt, gpt2.start(real), {"input_ids": prompt, "attention_mask": real}
    t5 = T5(seed)
    start = torch.full((len(PROMPTS), 1), PADDING)
    with torch.no_grad():
        return t5, start, t5.start(PROMPTS, REAL), {"input_ids": PROMPTS, "attention_mask": REAL}


def assert_same(ours: Generated, theirs: Any, start: int) -> None:
    """The same tokens (after the end ours and theirs may be padded to other lengths)."""
    num, length = ours.tokens.shape[1], ours.tokens.shape[2]
    expected = theirs.sequences[:, start:].unflatten(0, (-1, num))
    both = min(length, expected.shape[2])
    assert torch.equal(ours.tokens[..., :both], expected[..., :both])
    assert (ours.tokens[..., both:] == PADDING).all() and (expected[..., both:] == PADDING).all()


SETTINGS: dict[str, tuple[dict[str, Any], list[Filter]]] = {
    "plain": ({}, []),
    "repetition": ({"repetition_penalty": 1.7}, [RepetitionPenalty(1.7)]),
    "runs": ({"no_repeat_ngram_size": 2}, [NoRepeatedRuns(2)]),
    "minimum": ({"min_new_tokens": 8}, [MinimumLength(8, END)]),
    "all": (
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "min_new_tokens": 4},
        [RepetitionPenalty(1.3), NoRepeatedRuns(3), MinimumLength(4, END)],
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_greedy_is_transformers_token_for_token(kind: str, setting: str, seed: int) -> None:
    model, prompt, cache, given = begin(kind, seed, setting)
    options, filters = SETTINGS[setting]
    mask = given["attention_mask"] if kind == "gpt2" else None
    theirs = model.model.generate(
        **given, **options, do_sample=False, max_new_tokens=LONGEST, return_dict_in_generate=True, output_scores=True
    )
    ours = greedy(model, prompt, cache, end=END, longest=LONGEST, padding=PADDING, filters=filters, mask=mask)
    assert_same(ours, theirs, prompt.shape[1])
    steps = torch.stack([s.log_softmax(1) for s in theirs.scores], dim=1)  # (B, T, V)
    chosen = theirs.sequences[:, prompt.shape[1] :]
    written = steps.gather(2, chosen[..., None])[..., 0]
    real = torch.arange(written.shape[1]) < ours.lengths
    torch.testing.assert_close(ours.scores[:, 0], (written * real).nan_to_num().sum(1), atol=1e-5, rtol=0)


BEAMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two": {"num_beams": 2},
    "sums": {"length_penalty": 0.0},
    "long": {"length_penalty": 2.5},
    "short": {"length_penalty": -1.0},
    "early": {"early_stopping": True},
    "never": {"early_stopping": "never"},
    "never, sums": {"early_stopping": "never", "length_penalty": 0.0},
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("setting", BEAMS)
@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_beams_are_transformers_token_for_token_with_their_scores(kind: str, setting: str, seed: int) -> None:
    model, prompt, cache, given = begin(kind, seed)
    options = {"num_beams": 4} | BEAMS[setting]
    best = options["num_beams"]
    theirs = model.model.generate(
        **given,
        **options,
        do_sample=False,
        max_new_tokens=LONGEST,
        num_return_sequences=best,
        return_dict_in_generate=True,
        output_scores=True,
    )
    ours = beam_search(model, prompt, cache, end=END, longest=LONGEST, padding=PADDING, num_best=best, **options)
    assert_same(ours, theirs, prompt.shape[1])
    torch.testing.assert_close(ours.scores.flatten(), theirs.sequences_scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_beams_under_filters_are_transformers(kind: str, setting: str) -> None:
    model, prompt, cache, given = begin(kind, 5, setting)
    options, filters = SETTINGS[setting]
    mask = given["attention_mask"] if kind == "gpt2" else None
    theirs = model.model.generate(
        **given,
        **options,
        num_beams=3,
        do_sample=False,
        max_new_tokens=LONGEST,
        return_dict_in_generate=True,
        output_scores=True,
    )
    ours = beam_search(
        model, prompt, cache, end=END, longest=LONGEST, num_beams=3, padding=PADDING, filters=filters, mask=mask
    )
    assert_same(ours, theirs, prompt.shape[1])
    torch.testing.assert_close(ours.scores.flatten(), theirs.sequences_scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_a_trie_is_transformers_constraint_renormalised(kind: str, seed: int) -> None:
    model, prompt, cache, given = begin(kind, seed)
    generator = torch.Generator().manual_seed(seed)
    allowed = [torch.randint(3, VOCABULARY, (length,), generator=generator).tolist() for length in [1, 2, 2, 3, 4] * 4]
    trie, start = Trie(allowed, END), prompt.shape[1]
    theirs = model.model.generate(
        **given,
        num_beams=4,
        num_return_sequences=4,
        do_sample=False,
        max_new_tokens=LONGEST,
        renormalize_logits=True,
        prefix_allowed_tokens_fn=lambda row, so_far: trie.after(so_far[start:].tolist()).tolist() or [END],
        return_dict_in_generate=True,
        output_scores=True,
    )
    ours = beam_search(
        model, prompt, cache, end=END, longest=LONGEST, num_beams=4, num_best=4, padding=PADDING, filters=[trie]
    )
    assert_same(ours, theirs, start)
    torch.testing.assert_close(ours.scores.flatten(), theirs.sequences_scores, atol=1e-5, rtol=0)
    for row, length in zip(ours.tokens.flatten(0, 1), ours.lengths.flatten(), strict=True):
        assert row[: length - 1].tolist() in allowed


@pytest.mark.parametrize("temperature, k, p", [(0.7, 5, 1.0), (1.3, None, 0.8), (1.0, 6, 0.6), (2.0, None, 0.05)])
def test_what_is_sampled_from_is_what_transformers_leaves(temperature: float, k: int | None, p: float) -> None:
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = 3 * torch.randn(50, VOCABULARY, generator=torch.Generator().manual_seed(0))
    ids = torch.zeros(50, 1, dtype=torch.int64)
    ours, theirs = logits, TemperatureLogitsWarper(temperature)(ids, logits) if temperature != 1 else logits
    theirs = TopKLogitsWarper(k)(ids, theirs) if k else theirs
    theirs = TopPLogitsWarper(p)(ids, theirs) if p < 1 else theirs
    for narrow in [Temperature(temperature), *([TopK(k)] if k else []), TopP(p)]:
        ours = narrow(ours, ids, 0)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_with_a_cache_the_same_is_written_as_without(kind: str) -> None:
    for seed in range(6):
        model, prompt, cache, _ = begin(kind, seed)
        if kind == "gpt2":
            cache = None  # a prompt without padding
            prompt = PROMPTS[[1, 3]]
        common: dict[str, Any] = {"end": END, "longest": LONGEST}
        for way, options in (
            (greedy, {}),
            (beam_search, {"num_beams": 3, "num_best": 3}),
            (sample, {"num_samples": 2, "top_k": 9}),
        ):
            drawn = [
                way(
                    each,
                    prompt,
                    copy.deepcopy(cache),
                    **common,
                    **options,
                    **({"generator": torch.Generator().manual_seed(seed)} if way is sample else {}),
                )
                for each in (model, Uncached(model))
            ]
            assert torch.equal(drawn[0].tokens, drawn[1].tokens)
            torch.testing.assert_close(drawn[0].scores, drawn[1].scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_a_row_is_written_alike_alone_and_among_others(kind: str) -> None:
    from kemm.generate.cache import select_rows

    model, prompt, cache, _ = begin(kind, 2)
    for way, options in ((greedy, {}), (beam_search, {"num_beams": 3, "early_stopping": True})):
        together = way(model, prompt, copy.deepcopy(cache), end=END, longest=LONGEST, **options)
        for row in range(len(prompt)):
            alone = way(
                model,
                prompt[row : row + 1],
                select_rows(copy.deepcopy(cache), torch.tensor([row])),
                end=END,
                longest=LONGEST,
                **options,
            )
            assert alone.rows()[0] == together.rows()[row]
            torch.testing.assert_close(alone.scores[0], together.scores[row], atol=1e-5, rtol=0)

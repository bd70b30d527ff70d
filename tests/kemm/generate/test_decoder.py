"""Decoders on our own parts: what they write with a cache is what they would read in one go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kemm.fuse.multiway import MultiwayTransformer
from kemm.generate.beams import beam_search
from kemm.generate.decoder import PrefixDecoder, TextDecoder, TextEnds
from kemm.generate.one_by_one import greedy
from kg.errors import InputError
from tests.kemm.generate.references import Uncached

V, END, WIDTH = 19, 1, 16
TEXT = torch.tensor([[3, 7, 4, 9, 11], [5, 6, 2, 8, 2]])


def stretch(model: Any) -> Any:
    """Weights large enough that what is written depends on what was read."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(std=0.4)
    return model.eval()


def decoder(context_width: int | None = None) -> TextDecoder:
    torch.manual_seed(3)
    return stretch(TextDecoder(V, WIDTH, 2, 2, longest=24, context_width=context_width))


def prefix_decoder() -> PrefixDecoder:
    torch.manual_seed(3)
    return stretch(PrefixDecoder(TextEnds(V, WIDTH, 24), MultiwayTransformer(WIDTH, 2, 2)))


def prefix() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "knowledge": torch.randn(2, 4, WIDTH, generator=generator),
        "vision": torch.randn(2, 3, WIDTH, generator=generator),
    }


@pytest.mark.parametrize("has_context", [False, True])
def test_token_by_token_gives_the_logits_of_the_whole(has_context: bool) -> None:
    context = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1)) if has_context else None
    model = decoder(8 if has_context else None)
    whole = model(TEXT, context=context)
    cache = model.start(context=context, batch=2)
    for place in range(TEXT.shape[1]):
        logits, cache = model.step(TEXT[:, place : place + 1], cache)
        torch.testing.assert_close(logits, whole[:, place], atol=1e-5, rtol=0)


def test_nothing_reads_what_comes_later() -> None:
    model = decoder()
    other = TEXT.clone()
    other[:, 3:] = 0
    assert torch.equal(model(TEXT)[:, :3], model(other)[:, :3])


@pytest.mark.parametrize("way", [greedy, beam_search])
def test_padding_on_the_left_of_a_prompt_changes_nothing(way: Any) -> None:
    model = decoder()
    short = way(model, TEXT[:1, 2:], model.start(batch=1), end=END, longest=8)
    padded = torch.cat([torch.tensor([[0, 0, *TEXT[0, 2:].tolist()]]), TEXT[1:]])
    mask = torch.tensor([[False, False, True, True, True], [True] * 5])
    both = way(model, padded, model.start(mask), end=END, longest=8, mask=mask)
    assert both.rows()[0] == short.rows()[0]
    torch.testing.assert_close(both.scores[0], short.scores[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("way", [greedy, beam_search])
def test_padding_of_the_context_is_never_read(way: Any) -> None:
    model = decoder(8)
    context = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(6) < torch.tensor([[4], [6]])
    begin = torch.full((2, 1), END)
    found = [
        way(
            model,
            begin,
            model.start(context=torch.where(mask[..., None], context, noise), context_mask=mask),
            end=END,
            longest=8,
        )
        for noise in (0.0, 99.0)
    ]
    assert torch.equal(found[0].tokens, found[1].tokens) and torch.equal(found[0].scores, found[1].scores)


@pytest.mark.parametrize("way", [greedy, beam_search])
def test_reading_a_context_the_same_is_written_with_and_without_a_cache(way: Any) -> None:
    begin, context = torch.full((3, 1), END), torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1))
    mask, ended = torch.arange(6) < torch.tensor([[4], [6], [1]]), set()
    for seed in range(4):
        torch.manual_seed(seed)
        model = stretch(TextDecoder(V, WIDTH, 2, 2, longest=24, context_width=8))
        free = way(model, begin, model.start(context=context, context_mask=mask), end=V + 1, longest=9)
        end = int(free.tokens[0, 0, 2 + seed])  # then one row at least ends early
        found = [
            way(each, begin, model.start(context=context, context_mask=mask), end=end, longest=9)
            for each in (model, Uncached(model))
        ]
        assert torch.equal(found[0].tokens, found[1].tokens)
        torch.testing.assert_close(found[0].scores, found[1].scores, atol=1e-5, rtol=0)
        ended |= set(found[0].lengths.flatten().tolist())
    assert len(ended) > 2  # rows end at different times, so that contexts do move


@pytest.mark.parametrize("way", [greedy, beam_search])
def test_after_a_prefix_the_same_is_written_with_and_without_a_cache(way: Any) -> None:
    model = prefix_decoder()
    begin = torch.full((2, 1), END)
    masks = {"knowledge": torch.tensor([[True] * 4, [True, True, False, False]])}
    with torch.no_grad():
        found = [
            way(each, begin, model.start(prefix(), masks), end=END, longest=9) for each in (model, Uncached(model))
        ]
    assert torch.equal(found[0].tokens, found[1].tokens)
    torch.testing.assert_close(found[0].scores, found[1].scores, atol=1e-5, rtol=0)


def test_text_after_a_prefix_is_one_pass_under_a_prefix_mask() -> None:
    from kemm.fuse.masks import by_modality, causal

    model, given = prefix_decoder(), prefix()
    logits = model.read(TEXT, model.start(given))
    lengths = {"vision": 3, "language": 5, "knowledge": 4}  # the order in which the Transformer lays them out
    may = by_modality(lengths, {"vision": ["vision", "knowledge"], "knowledge": ["vision", "knowledge"]})
    may[3:8, 3:8] = causal(5)
    x = model.text.enter(TEXT, torch.ones_like(TEXT, dtype=torch.bool))
    fused = model.fusion(given | {"language": x}, mask=may)["language"]
    torch.testing.assert_close(logits, model.text.leave(fused), atol=1e-5, rtol=0)


def test_facts_that_are_padding_are_not_read_by_the_text() -> None:
    model, given = prefix_decoder(), prefix()
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    noisy = given | {"knowledge": torch.where(mask[..., None], given["knowledge"], 50.0)}
    one, two = (model.read(TEXT, model.start(tokens, {"knowledge": mask})) for tokens in (given, noisy))
    assert torch.equal(one, two)


def test_more_tokens_than_positions_are_refused() -> None:
    model = decoder()
    with pytest.raises(InputError, match="do not fit into the model's 24 positions"):
        model(torch.zeros(1, 25, dtype=torch.int64))
    with pytest.raises(InputError, match="do not fit"):
        greedy(model, TEXT, model.start(batch=2), end=V + 1, longest=30)

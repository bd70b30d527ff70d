"""Texts written after pictures and other texts: who reads whom, what is to be said, and captions written back."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from kemm.data.batch import Batch
from kemm.fuse.masks import writing
from kemm.generate.captions import CaptionWriter
from kemm.objectives.captioning import Captioning
from kemm.objectives.seq2seq import Seq2Seq
from kemm.pretrain.task import PretrainTask
from kemm.settings import Settings
from kg.errors import InputError
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import task_of as task
from tests.kemm.tiny_towers import END, MASK, START


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(mask: torch.Tensor) -> list[str]:
    return ["".join("x" if may else "." for may in row) for row in mask.tolist()]


def test_given_words_are_read_by_all_and_what_follows_by_what_comes_later() -> None:
    lengths = {"vision": 2, "language": 3}
    assert drawn(writing(lengths)) == ["xx...", "xx...", "xxx..", "xxxx.", "xxxxx"]
    assert drawn(writing(lengths, given=torch.tensor([2]))[0]) == ["xxxx.", "xxxx.", "xxxx.", "xxxx.", "xxxxx"]


def test_through_queries_words_read_nothing_else_of_the_picture() -> None:
    lengths = {"vision": 3, "language": 2}  # a query and two patches
    assert drawn(writing(lengths, through=1)) == ["xxx..", "xxx..", "xxx..", "x..x.", "x..xx"]
    behind = {"language": 2, "knowledge": 3}
    assert drawn(writing(behind, through=2))[:2] == ["x.xx.", "xxxx."]


def test_only_words_after_the_cut_are_said_and_one_of_each_text_at_least() -> None:
    made, batch = task(captioning={"given": True}), tiny_batch.batch()
    captioning = made.objectives["captioning"]
    assert isinstance(captioning, Captioning)
    cuts = set()
    for seed in range(20):
        encoded = made.encode(batch, generator(seed))
        _, ids, wanted = captioning.logits(encoded)
        given = captioning.cut(encoded, ids != 0)
        assert wanted.sum(1).tolist() == ((ids != 0).sum(1) - given).tolist() and wanted.any(1).all()
        assert (given >= 1).all()
        cuts |= set(given.tolist())
    assert cuts == {1, 2, 3, 4}


def test_queries_carry_what_is_said_of_a_picture() -> None:
    made, batch = task(captioning={"queries": 2}), tiny_batch.batch()
    assert batch.samples is not None
    captioning: Any = made.objectives["captioning"]
    captioning(made.encode(batch, generator())).backward()
    queries = captioning.queries
    assert queries.shape == (2, 8) and queries.grad is not None and queries.grad.any(1).all()
    logits = [captioning.logits(made.encode(each, generator()))[0] for each in (batch, other(batch))]
    assert not torch.allclose(logits[0], logits[1])  # through the queries


def other(batch: Batch) -> Batch:
    """The same with other pictures."""
    assert batch.samples is not None
    shown = batch.samples.parts["vision"]
    assert shown.states is not None
    parts = {**batch.samples.parts, "vision": replace(shown, states=-shown.states)}
    return replace(batch, samples=replace(batch.samples, parts=parts))


# ── read in part, or another ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("source", ["spans", "start"])
def test_what_is_read_and_what_is_written_make_up_the_text(source: str) -> None:
    made, batch = task(seq2seq={"source": source, "rate": 0.4, "span": 1}), tiny_batch.batch()
    seq2seq = made.objectives["seq2seq"]
    assert isinstance(seq2seq, Seq2Seq) and batch.samples is not None
    words = batch.samples.parts["language"]
    assert words.raw is not None and words.mask is not None
    encoded = made.encode(batch, generator())
    texts = seq2seq.draw(encoded, encoded.rows("language"))
    for row in range(4):
        read = texts.read[row][texts.read_mask[row]].tolist()
        written = texts.written[row][texts.written_mask[row]].tolist()
        whole = words.raw[row][words.mask[row]].tolist()
        if source == "start":
            assert written[0] == MASK and read + written[1:] == whole
            continue
        assert bool(written) == (row < 3)  # nothing is taken of a single word
        gaps = [place for place, word in enumerate(written) if word == MASK]
        pieces = iter(written[start + 1 : end] for start, end in pairwise(gaps))
        assert [word for token in read for word in (next(pieces) if token == MASK else [token])] == whole
        assert not list(pieces)


@pytest.mark.parametrize("source", ["spans", "start", "tags", "rewritten"])
def test_every_source_is_learned_by_all_of_the_head(source: str) -> None:
    made, batch = task(seq2seq={"source": source, "rate": 0.4}), tiny_batch.batch()
    loss = made.objectives["seq2seq"](made.encode(batch, generator()))
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    parts = dict(made.objectives["seq2seq"].named_parameters())
    assert not [name for name, part in parts.items() if part.grad is None or not part.grad.any()]


def test_a_text_without_words_costs_nothing() -> None:
    made, batch = task(seq2seq={}), tiny_batch.batch()
    assert batch.samples is not None
    words = batch.samples.parts["language"]
    assert words.raw is not None
    bare = replace(words, raw=torch.full_like(words.raw, START))
    none = replace(batch, samples=replace(batch.samples, parts={**batch.samples.parts, "language": bare}))
    assert made.objectives["seq2seq"](made.encode(none, generator())).item() == 0.0


# ── written ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("words", "how", "rate"), [("frozen", {}, 3e-2), ("scratch", {"queries": 3}, 1e-2)])
def test_a_run_that_has_learned_four_captions_writes_them_back(words: str, how: dict[str, Any], rate: float) -> None:
    chosen = tiny_batch.settings([]).model_dump()
    chosen["objectives"] = {"captioning": how}
    chosen["model"]["towers"] |= {"language": {"mode": words}}
    torch.manual_seed(0)
    context = tiny_batch.context()
    if words == "scratch":
        context = replace(context, word_width=tiny_batch.WIDTH)
    made = PretrainTask(Settings.model_validate(chosen), context)
    batch = tiny_batch.batch()
    assert batch.samples is not None
    captioning, samples = made.objectives["captioning"], batch.samples
    assert isinstance(captioning, Captioning)
    optimizer = torch.optim.Adam(made.parameters(), lr=rate)
    for _ in range(200):
        optimizer.zero_grad()
        loss = captioning(made.encode(batch, generator()))
        loss.backward()
        optimizer.step()
    writer = CaptionWriter(made.model, captioning)
    part = samples.parts["language"]
    assert part.raw is not None and part.mask is not None
    found = writer.write(samples, START, END, longest=5)
    assert found.rows() == [row[real][1:].tolist() for row, real in zip(part.raw, part.mask, strict=True)]
    beams = writer.write(samples, START, END, longest=5, way="beams", num_beams=2)
    assert beams.rows() == found.rows()
    whole = captioning.logits(made.eval().encode(batch, generator()))[0]
    cache = writer.start(samples)
    for place in range(3):  # the shortest text's words, one at a time
        said, cache = writer.decoder.step(part.raw[:, place : place + 1], cache)
        torch.testing.assert_close(said, whole[:, place], atol=1e-4, rtol=1e-4)


def test_after_facts_captions_are_refused_in_one_line() -> None:
    made = task(grounded_writing={})
    with pytest.raises(InputError, match=r"written after pictures.*objectives.captioning.prefix$"):
        CaptionWriter(made.model, made.objectives["grounded_writing"])  # type: ignore[arg-type]

"""One step's data made by hand: 4 pairs, 4 questions with 3 to 5 facts, 8 edges, 5 pictured entities; tasks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.data.batch import Batch, Edges, PicturedEntities, Pictures, Questions
from kemm.data.fact_table import FAR_IS_NAMED, FactTable
from kemm.data.facts import Facts, collate_facts
from kemm.data.samples import Part, Samples
from kemm.data.ties import Links, Mentions
from kemm.objectives import OBJECTIVES
from kemm.objectives.objective import Context
from kemm.pretrain.task import PretrainTask
from kemm.settings import Settings
from tests.kemm.tiny_towers import END, FIRST_WORD, START, TinyText

WIDTH, VISION_WIDTH, TEXT_WIDTH, PATCHES, TOKENS, NUM_WORDS = 8, 6, 10, 4, 5, 20
VOCABULARY = ("yes", "no", "not known", "red")


def settings(names: Iterable[str] = OBJECTIVES, dropout: float = 0.0, **train: Any) -> Settings:
    """A model of width 8 and two layers, with these objectives at their own defaults."""
    model: dict[str, Any] = {
        "width": WIDTH,
        "layers": 2,
        "heads": 2,
        "gnn_layers": 1,
        "grid": 2,
        "text_tokens": TOKENS,
        "facts": 5,
    }
    audio = {"mode": "scratch", "size": 8, "patch": 4, "frames": 8}
    video = {"mode": "scratch", "size": 4, "patch": 2, "frames": 4}
    model["towers"] = {"audio": audio, "video": video, "regions": {"features": 6, "classes": 5, "most": 3}}
    return Settings.model_validate(
        {"model": {**model, "dropout": dropout}, "objectives": {name: {} for name in names}, "train": train}
    )


def context() -> Context:
    """A text tower of twenty words; of pictures, features alone."""
    tower = TinyText(TEXT_WIDTH, NUM_WORDS)
    return Context(
        width=WIDTH,
        vision_width=VISION_WIDTH,
        text_width=TEXT_WIDTH,
        pooled={
            "vision": VISION_WIDTH,
            "language": TEXT_WIDTH,
            "knowledge": WIDTH,
            "audio": WIDTH,
            "video": WIDTH,
            "regions": WIDTH,
        },
        grids={"vision": (2, 2), "audio": (2, 2), "video": (2, 2), "regions": (3, 1)},
        regions=(6, 5),
        word_width=TEXT_WIDTH,
        lexicon=tower.lexicon(),
        vocabulary=VOCABULARY,
        frames=4,
        towers={"language": tower},
    )


def task(names: Iterable[str] = OBJECTIVES, dropout: float = 0.0, seed: int = 0) -> PretrainTask:
    torch.manual_seed(seed)
    return PretrainTask(settings(names, dropout), context())


def task_of(**objectives: Mapping[str, Any]) -> PretrainTask:
    """A task of these objectives with these settings."""
    torch.manual_seed(0)
    chosen = {**settings([]).model_dump(), "objectives": objectives}
    return PretrainTask(Settings.model_validate(chosen), context())


def rows(whole: Batch, chosen: Sequence[int]) -> Batch:
    """Some samples of a batch, and nothing else."""
    assert whole.samples is not None
    return Batch(whole.samples.take(torch.tensor(chosen)))


def table(near: Sequence[int], far: Sequence[int], parent: Sequence[int], first: int = 0) -> FactTable:
    """Facts over the nodes 0 (the anchor), 1, 2, …; their texts stand from row ``first`` of the bank on."""
    num_nodes, num_facts = 1 + max(*near, *far), len(near)
    hops = [1 if up < 0 else 2 for up in parent]
    marks = np.zeros((num_facts, 6), dtype=np.float32)
    marks[:, 0], marks[:, 1], marks[:, 2] = np.linspace(0.9, 0.3, num_facts), [hop > 1 for hop in hops], 1.0
    marks[1, FAR_IS_NAMED] = 1.0
    node_marks = np.zeros((num_nodes, 3), dtype=np.float32)
    node_marks[0] = 1.0, 0.0, 0.8
    return FactTable(
        node_text=np.arange(first, first + num_nodes),
        node_marks=node_marks,
        node_entity=np.full(num_nodes, -1),
        near=np.array(near),
        far=np.array(far),
        forward=np.arange(num_facts) % 2 == 0,
        relation=np.arange(num_facts) + 40,
        path=np.arange(num_facts) + first // 10 + 48,
        marks=marks,
        log_score=np.log(np.linspace(0.8, 0.4, num_facts)).astype(np.float32),
        parent=np.array(parent),
        answers=tuple(f"node {first + node}" for node in far),
        paths=tuple((f"r{row}",) if up < 0 else (f"r{up}", f"r{row}") for row, up in enumerate(parent)),
    )


def tables() -> list[FactTable]:
    """3, 5, 4 and 3 facts; the third of the first, and the last two of the second, are a hop away."""
    return [
        table([0, 0, 1], [1, 2, 3], [-1, -1, 0], first=0),
        table([0, 0, 0, 1, 2], [1, 2, 3, 4, 5], [-1, -1, -1, 0, 1], first=10),
        table([0, 0, 0, 0], [1, 2, 3, 4], [-1, -1, -1, -1], first=20),
        table([0, 0, 0], [1, 2, 3], [-1, -1, -1], first=30),
    ]


def bank(seed: int = 11) -> np.ndarray:
    """64 unit vectors in place of encoded texts."""
    vectors = np.random.default_rng(seed).normal(size=(64, TEXT_WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def facts(of: Sequence[FactTable] | None = None) -> Facts:
    found = collate_facts(tables() if of is None else of, bank(), 5)
    assert found is not None
    return found


def texts(generator: torch.Generator, lengths: Sequence[int]) -> Part:
    """Random words between a start and an end, as the tiny text tower reads them."""
    tower = TinyText(TEXT_WIDTH, NUM_WORDS)
    ids = torch.randint(FIRST_WORD, NUM_WORDS, (len(lengths), TOKENS), generator=generator)
    ids[:, 0] = START
    mask = torch.arange(TOKENS) < torch.tensor(lengths)[:, None]
    ids[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = END
    ids = ids.masked_fill(~mask, 0)
    return Part(torch.ones(len(lengths), dtype=torch.bool), ids, tower(ids, mask)[0], mask)


def pairs(generator: torch.Generator) -> Samples:
    """Four pictures of the entities 0, 1, 2 and 2, with captions of 5, 4, 5 and 3 tokens, the two ends among them."""
    shown = torch.randn(4, PATCHES, VISION_WIDTH, generator=generator)
    parts = {"vision": Part(torch.ones(4, dtype=torch.bool), states=shown), "language": texts(generator, [5, 4, 5, 3])}
    roles = ("tags", "rewritten", "retrieved", "next", "linked")
    further = {role: texts(generator, [4, 3, 5, 4]) for role in roles}
    return Samples(parts, torch.tensor([0, 1, 2, 2]), further=further)


def told(generator: torch.Generator) -> Samples:
    """The four pairs with 3, 5, 4 and 3 facts each, four mentions, and five links between them, two of two steps.

    Each has a sound, a film of four frames (the third of three), and three regions (the third picture two).
    """
    mentions = Mentions(*torch.tensor([[0, 1, 1, 3], [1, 1, 2, 1], [2, 1, 2, 1], [0, 4, 8, 17], [0, 0, 2, 2]]))
    shared = torch.zeros(4, 4, 3, dtype=torch.bool)
    for one, other, relation in ((0, 1, 0), (1, 2, 1), (2, 3, 1), (0, 3, 0), (0, 3, 2)):
        shared[[one, other], [other, one], relation] = True
    links = Links(
        rows=torch.arange(4),
        head=torch.tensor([0, 0, 1, 2, 3]),
        tail=torch.tensor([1, 2, 3, 3, 0]),
        steps=torch.tensor([[0, -1], [1, -1], [0, 1], [2, -1], [2, 0]]),
        relations=unit(6, TEXT_WIDTH, generator=generator),
        right=F.one_hot(torch.tensor([1, 2, 3, 3, 0]), 4).bool(),
        types=torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).bool(),
        classes=unit(3, TEXT_WIDTH, generator=generator),
        shared=shared,
    )
    known = pairs(generator)
    frames = torch.randint(0, 256, (4, 4, 4, 4, 3), generator=generator, dtype=torch.uint8)
    lasting = torch.arange(4) < torch.tensor([4, 4, 3, 4])[:, None]
    there = torch.ones(4, dtype=torch.bool)
    heard = Part(there, torch.randn(4, 8, 8, generator=generator))
    corners = torch.tensor([0.1, 0.2, 0.6, 0.7]).expand(4, 3, 4)
    judged = torch.randn(4, 3, 5, generator=generator).softmax(2)
    detected = torch.cat([torch.randn(4, 3, 6, generator=generator), corners, judged], dim=2)
    regions = Part(there, detected, mask=torch.arange(3) < torch.tensor([3, 3, 2, 3])[:, None])
    parts = {**known.parts, "audio": heard, "video": Part(there, frames, mask=lasting), "regions": regions}
    label, span = torch.tensor([0, 1, 0, 1]), torch.tensor([[0, 1], [1, 3], [2, 2], [0, 3]])
    return replace(known, parts=parts, label=label, span=span, facts=facts(), mentions=mentions, links=links)


def pictures(generator: torch.Generator) -> Pictures:
    """Three pictures of the entities 0, 1 and 1; the first entity has no other."""
    others = torch.randn(3, VISION_WIDTH, generator=generator)
    others[0] = 0.0
    return Pictures(torch.randn(3, VISION_WIDTH, generator=generator), others, torch.tensor([0, 1, 1]))


def questions(generator: torch.Generator) -> Questions:
    """One answered by a near fact, one by a fact two hops away, one by a word, one (without a picture) by two facts."""
    right = torch.zeros(4, 5, dtype=torch.bool)
    right[[0, 1, 3, 3], [1, 3, 0, 1]] = True
    has_image = torch.tensor([True, True, True, False])
    shown = Part(has_image, states=torch.randn(4, PATCHES, VISION_WIDTH, generator=generator))
    parts = {"vision": shown, "language": texts(generator, [5, 3, 4, 5])}
    return Questions(
        samples=Samples(parts, torch.tensor([0, 1, 2, -1]), facts=facts()),
        text_vector=unit(4, TEXT_WIDTH, generator=generator),
        pointer_targets=right,
        vocabulary_targets=torch.tensor([-1, -1, 0, -1]),
    )


def edges(generator: torch.Generator) -> Edges:
    """Eight edges, the last two with one tail, and three entities with their neighbours."""
    tail = unit(8, TEXT_WIDTH, generator=generator)
    tail[7] = tail[6]
    return Edges(
        head=unit(8, TEXT_WIDTH, generator=generator),
        relation=unit(8, TEXT_WIDTH, generator=generator),
        tail=tail,
        tail_id=torch.tensor([0, 1, 2, 3, 4, 5, 6, 6]),
        description=unit(3, TEXT_WIDTH, generator=generator),
        around=unit(3, TEXT_WIDTH, generator=generator),
    )


def entities(generator: torch.Generator) -> PicturedEntities:
    """Five; the fourth has no description, the fifth is held out."""
    text = unit(5, TEXT_WIDTH, generator=generator)
    text[3] = 0.0
    return PicturedEntities(
        text=text,
        pictures=torch.randn(5, VISION_WIDTH, generator=generator),
        neighbours=unit(5, TEXT_WIDTH, generator=generator),
        held_out=torch.tensor([False, False, False, False, True]),
    )


def batch(seed: int = 0, is_told: bool = False) -> Batch:
    """One step's data; with ``is_told`` the samples have facts, mentions and links."""
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        (told if is_told else pairs)(generator),
        questions=questions(generator),
        edges=edges(generator),
        entities=entities(generator),
        pictures=pictures(generator),
    )


def unit(*shape: int, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def count_fusions(model: Any) -> list[dict[str, Any]]:
    """Record what every later call of ``model.fuse`` is given; the call itself goes on."""
    calls: list[dict[str, Any]] = []
    fuse, names = model.fuse, ("tokens", "masks", "biases", "mask")

    def counted(*arguments: Any, **named: Any) -> Mapping[str, Tensor]:
        calls.append(dict(zip(names, arguments, strict=False)) | named)
        return fuse(*arguments, **named)

    model.fuse = counted
    return calls

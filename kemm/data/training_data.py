"""What a run trains on, prepared once: questions with facts, captions, features, edges; and the batch of any step.

A step's batch depends on the seed and the step's number alone, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kemm.data.batch import Batch, Edges, Pairs, PicturedEntities, Pictures, Questions, collate_facts, jitter
from kemm.data.captions import captions
from kemm.data.fact_table import FactTable, tabulate, texts_of
from kemm.data.graph_edges import GraphEdges
from kemm.data.questions import NOT_KNOWN, Question, QuestionMaker
from kemm.data.world import PATH_SCORER, World
from kg.records import BOOKKEEPING_RELATIONS, Link
from retrieval.anchors import without_mentions
from retrieval.evidence import Evidence
from retrieval.path_scorer import PathScorer
from retrieval.retriever import merged
from retrieval.verbalise import path_text

FIXED_VOCABULARY = ("yes", "no", NOT_KNOWN)


@dataclass(frozen=True)
class Example:
    """A question ready to be batched: its facts, and which of them answer."""

    question: Question
    table: FactTable
    targets: tuple[int, ...]  # rows of the table whose far end, reached by the asked path, is a right answer


def right_rows(table: FactTable, question: Question) -> tuple[int, ...]:
    """Rows of the facts that answer a question by its own path."""
    if question.type not in ("one-hop", "two-hop"):
        return ()
    answers = set(question.answers)
    return tuple(
        row for row in range(len(table)) if table.paths[row] == question.path and table.answers[row] in answers
    )


def muted(table: FactTable, question: Question) -> FactTable:
    """The facts without those by which the question could be answered: its path's first step and all beyond it."""
    return table.keep([row for row in range(len(table)) if table.paths[row][0] != question.path[0]])


def balanced(types: Sequence[str]) -> np.ndarray:
    """The chance of each question to be drawn: its type by the square root of how many there are, then evenly.

    Questions without an answer keep the share that they have: drawn oftener, they teach to say "not known" too soon.
    """
    counts = Counter(types)
    unknown = counts["unknown"] / max(1, len(types))
    roots = {type: count**0.5 for type, count in counts.items() if type != "unknown"}
    whole = sum(roots.values())
    share = {type: (1 - unknown) * root / whole for type, root in roots.items()} | {"unknown": unknown}
    return np.array([share[type] / counts[type] for type in types])


class TrainingData:
    """Prepare a world for training.

    Attributes:
        questions: all generated questions, every split.
        vocabulary: answers that can be given without a fact.
        entities: the pictured entities; ``names`` their IRIs in order.
    """

    def __init__(self, world: World, progress: Callable[[str, int], Callable[[int], object]]) -> None:
        self.world, self.settings = world, world.settings
        self.seed = world.settings.train.seed
        self.pictures = world.pictures()
        facts = self._facts()
        self.edges = GraphEdges(world, self.seed) if self._trains("link_prediction", "entity_text") else None

        maker = QuestionMaker(facts, world.label, self.pictures, world.settings.questions, self.seed)
        self.questions = maker.make()
        self.relations = {r: maker.wordings[r] for r in maker.relations}
        train = [q for q in self.questions if q.split == "train"]
        counts = Counter(answer for q in train for answer in q.answers)
        common = [a for a, n in counts.most_common(500) if n >= 3 and a not in FIXED_VOCABULARY]
        self.vocabulary = (*FIXED_VOCABULARY, *common)
        self._word = {answer: number for number, answer in enumerate(self.vocabulary)}

        self.names, self.entities = self._pictured(progress)
        self._number = {name: number for number, name in enumerate(self.names)}
        held_out = world.holdout.entity
        self.train_pictures = {e: f for e, f in self.pictures["train"].items() if not held_out(e)}
        self.captions = captions(facts, self.train_pictures, world.label, world.holdout, seed=self.seed)
        self.examples = self._examples(train, progress)
        self.chance = balanced([example.question.type for example in self.examples])
        self._encode(progress)

    # ── preparation ───────────────────────────────────────────────────────────────────────────────────────────────

    def _trains(self, *names: str) -> bool:
        return any(getattr(self.settings.objectives, name) is not None for name in names)

    def _facts(self) -> list[tuple]:
        relations = [r for r in self.world.graph.relations() if r not in BOOKKEEPING_RELATIONS]
        facts = [s.fact for relation in relations for s in self.world.graph.triples(relation=relation)]
        self.world.learn_labels(relations)
        self.world.learn_labels({end for h, _, t in facts for end in (h, t) if isinstance(end, str)})
        return list(dict.fromkeys(facts))

    def _pictured(self, progress: Callable) -> tuple[list[str], PicturedEntities | None]:
        train = self.pictures["train"]
        files = [file for entity in train for file in train[entity]]
        tick = progress("encode pictures", len(files) * (1 + self.settings.data.views))
        seen = [file for entity in train if not self.world.holdout.entity(entity) for file in train[entity]]
        self.world.features.compute(seen, 1 + self.settings.data.views, tick)
        rest = [files for split in ("dev", "test") for files in self.pictures[split].values()]
        self.world.features.compute([file for files in rest for file in files], 1, tick)
        if not train:
            return [], None
        return self.world.pictured_entities(train, training=True)

    def _examples(self, questions: Sequence[Question], progress: Callable) -> list[Example]:
        bank, retriever = self.world.bank, self.world.retriever
        bank.warm([q.question for q in questions])
        bank.rows([q.question for q in questions])
        retriever.look_ahead([(q.question, bool(q.image)) for q in questions], [q.head for q in questions if q.head])
        mentions = [retriever.link_text(q.question, bool(q.image)) for q in questions]
        asked = [without_mentions(q.question, links) for q, links in zip(questions, mentions, strict=True)]
        bank.warm(asked)
        self._train_path_scorer(questions, asked)
        tick = progress("retrieve facts", len(questions))
        rng = random.Random(self.seed + 1)
        others = [name for name in self.names if not self.world.holdout.entity(name)]
        found = []
        for question, links, text in zip(questions, mentions, asked, strict=True):
            found.append(self._evidence(question, links, text, rng, others))
            tick(1)
        bank.rows(list({text for evidence in found for text in texts_of(evidence)}))  # in large batches
        tables = [tabulate(evidence, bank) for evidence in found]
        return [Example(q, table, right_rows(table, q)) for q, table in zip(questions, tables, strict=True)]

    def _train_path_scorer(self, questions: Sequence[Question], texts: Sequence[str]) -> None:
        """Teach the retriever which relations the training wordings ask for."""
        paths = self.world.retriever.walk.paths
        asked = {q: text for q, text in zip(questions, texts, strict=True) if q.type != "unknown" and q.head}
        if not asked:
            return
        targets = paths.rows([path_text([(self.world.label(relation), True) for relation in q.path]) for q in asked])
        scorer = PathScorer.train(self.world.bank, list(asked.values()), targets.tolist(), paths, seed=self.seed)
        self.settings.run.mkdir(parents=True, exist_ok=True)
        scorer.save(self.settings.run / PATH_SCORER)
        self.world.retriever.path_scorer = scorer

    def _evidence(
        self, question: Question, mentioned: list[Link], asked: str, rng: random.Random, others: list[str]
    ) -> Evidence:
        """The facts for a training question: around the right entity and, for a picture, two wrong ones beside it."""
        retriever = self.world.retriever
        shown: list[Link] = []
        if question.image:
            sure = rng.uniform(0.6, 1.0) if rng.random() < 0.8 else rng.uniform(0.3, 0.6)
            wrong = [name for name in rng.sample(others, min(3, len(others))) if name != question.head][:2]
            split = rng.uniform(0.5, 0.9)
            shares = [(1 - sure) * split, (1 - sure) * (1 - split)]
            shown = [Link(question.head, sure), *(Link(w, s) for w, s in zip(wrong, shares, strict=False))]
        elif question.head and question.head not in {link.entity for link in mentioned}:
            mentioned = [Link(question.head, 0.5, self.world.label(question.head)), *mentioned][:4]
        return retriever.gather(merged(shown, mentioned), asked, self.settings.model.facts, question.question)

    def _encode(self, progress: Callable) -> None:
        texts = [text for texts in self.captions.values() for text in texts]
        tick = progress("encode captions", len(set(texts)))
        self.world.bank.warm(texts, tick)

    # ── batches ───────────────────────────────────────────────────────────────────────────────────────────────────

    def batch(self, step: int) -> Batch:
        """The data of one step."""
        rng = np.random.default_rng((self.seed, step))
        has_pictures = len(self.train_pictures) > 1
        wants_pairs = self._trains("itc", "itm", "mlm", "mim") and has_pictures
        wants_pictures = self._trains("entity_image") and has_pictures
        wants_questions = self._trains("answering", "mem") and self.examples
        return Batch(
            pairs=self._pairs(rng) if wants_pairs else None,
            pictures=self._pictures(rng) if wants_pictures else None,
            questions=self._questions(rng) if wants_questions else None,
            edges=self._edges(rng) if self.edges is not None else None,
            entities=self.entities if wants_pictures else None,
        )

    def _pairs(self, rng: np.random.Generator) -> Pairs:
        """Pictures of different entities as far as there are enough, each with one of its captions."""
        entities = sorted(self.train_pictures)
        size = self.settings.train.pairs
        chosen = rng.permutation(len(entities))[:size]
        names = [entities[i] for i in chosen]
        patches, texts = [], []
        for name in names:
            files = self.train_pictures[name]
            view = int(rng.integers(0, 1 + self.settings.data.views))
            patches.append(self.world.features.get(files[rng.integers(len(files))], view))
            texts.append(self.captions[name][rng.integers(len(self.captions[name]))])
        text, mask = self.world.bank.states(texts)
        masked, targets = self._mask(texts, mask, rng)
        return Pairs(
            patches=torch.from_numpy(np.stack(patches).astype(np.float32)),
            text=text,
            text_mask=mask,
            masked_text=masked,
            token_targets=targets,
            entity=torch.tensor([self._number[name] for name in names]),
        )

    def _pictures(self, rng: np.random.Generator) -> Pictures:
        """Views of different pictures, each with the mean of its entity's other pictures."""
        assert self.settings.objectives.entity_image is not None and self.entities is not None
        features, means = self.world.features, self.entities.pictures.numpy()
        shown = [(name, file) for name in sorted(self.train_pictures) for file in self.train_pictures[name]]
        chosen = [shown[i] for i in rng.permutation(len(shown))[: self.settings.objectives.entity_image.batch]]
        pooled = np.zeros((len(chosen), means.shape[1]), dtype=np.float32)
        others = np.zeros_like(pooled)
        for row, (name, file) in enumerate(chosen):
            view, count = int(rng.integers(0, 1 + self.settings.data.views)), len(self.train_pictures[name])
            pooled[row] = features.get(file, view).mean(0, dtype=np.float32)
            if count > 1:
                own = features.get(file).mean(0, dtype=np.float32)
                others[row] = (count * means[self._number[name]] - own) / (count - 1)
        entity = torch.tensor([self._number[name] for name, _ in chosen])
        return Pictures(torch.from_numpy(pooled), torch.from_numpy(others), entity)

    def _mask(
        self, texts: list[str], mask: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hide tokens of captions, at least one each, and run the tower on what is left."""
        tower = self.world.text
        ids, _ = tower.pad(self.world.bank.ids(texts))  # (B, T)
        targets = torch.full_like(ids, -100)
        if self.settings.objectives.mlm is None:
            return torch.zeros(*ids.shape, tower.width), targets
        words = mask.clone()
        words[:, 0] = False  # [CLS]
        words[torch.arange(len(ids)), mask.sum(1) - 1] = False  # [SEP]
        drawn = torch.from_numpy(rng.random(ids.shape)).masked_fill(~words, 2.0)
        hidden = (drawn < self.settings.objectives.mlm.rate) | (drawn == drawn.amin(1, keepdim=True)) & words
        targets[hidden] = ids[hidden]
        return tower(ids.masked_fill(hidden, tower.mask_id), mask)[0], targets

    def _questions(self, rng: np.random.Generator) -> Questions:
        answering = self.settings.objectives.answering
        chosen = [
            self.examples[i] for i in rng.choice(len(self.examples), self.settings.train.questions, p=self.chance)
        ]
        tables, targets, words = [], [], []
        for example in chosen:
            table, rows, answers = example.table, example.targets, example.question.answers
            draw = rng.random()
            if answering is not None and draw < answering.drop:
                table, rows = table.keep([]), ()
            elif answering is not None and rows and draw < answering.drop + answering.mute:
                table, rows, answers = muted(table, example.question), (), (NOT_KNOWN,)
            elif answering is not None and rows and draw < answering.drop + answering.mute + answering.swap:
                answer = self._other_answer(example, rng)
                table = table.with_answer(rows, answer, int(self.world.bank.rows([answer])[0]))
                answers = (answer,)
            if answering is not None and len(table) > 1 and rng.random() < answering.thin:
                share = rng.uniform(-0.5, 1) if rows else rng.random()  # a third of them: what answers, and no more
                kept = [row for row in range(len(table)) if row in rows or rng.random() < share]
                parents = {int(table.parent[row]) for row in kept}
                order = sorted(set(kept) | parents - {-1})
                table, rows = table.keep(order), tuple(order.index(row) for row in rows)
            tables.append(table)
            targets.append(rows)
            words.append(next((self._word[a] for a in answers if a in self._word), -1))
        questions = batch_questions(
            self.world,
            [example.question for example in chosen],
            tables,
            self._patches(chosen, rng),
            targets,
            words,
            [self._number.get(example.question.head, -1) for example in chosen],
        )
        if answering is None or not answering.noise:
            return questions
        return jitter(questions, answering.noise, int(rng.integers(2**31)))

    def _other_answer(self, example: Example, rng: np.random.Generator) -> str:
        """An answer that other questions of the same relation have."""
        if not hasattr(self, "_pools"):
            pools: dict[tuple[str, ...], set[str]] = {}
            for other in self.examples:
                pools.setdefault(other.question.path[-1:], set()).update(other.question.answers)
            self._pools = {path: sorted(pool) for path, pool in pools.items()}
        pool = self._pools[example.question.path[-1:]]
        return pool[rng.integers(len(pool))]

    def _patches(self, examples: Sequence[Example], rng: np.random.Generator) -> list[np.ndarray | None]:
        """A random view of a random training picture of the entity that a question shows."""
        found: list[np.ndarray | None] = []
        for example in examples:
            files = self.pictures["train"].get(example.question.head, ()) if example.question.image else ()
            view = int(rng.integers(0, 1 + self.settings.data.views))
            found.append(self.world.features.get(files[rng.integers(len(files))], view) if files else None)
        return found

    def _edges(self, rng: np.random.Generator) -> Edges:
        assert self.edges is not None
        objectives = self.settings.objectives
        edges = objectives.link_prediction.batch if objectives.link_prediction else 2
        entities = objectives.entity_text.batch if objectives.entity_text else 2
        return self.edges.sample(rng, edges, entities)


def batch_questions(
    world: World,
    questions: Sequence[Question],
    tables: Sequence[FactTable],
    patches: Sequence[np.ndarray | None],
    targets: Sequence[Sequence[int]] | None = None,
    words: Sequence[int] | None = None,
    entities: Sequence[int] | None = None,
) -> Questions:
    """Join questions into one batch; targets are needed for training only."""
    bank, size = world.bank, len(questions)
    texts = [question.question for question in questions]
    vectors = torch.from_numpy(bank.embed(texts))
    text, mask = bank.states(texts)
    facts = collate_facts(tables, bank.matrix, world.settings.model.facts)
    pointer = torch.zeros(size, facts.mask.shape[1] if facts is not None else 0, dtype=torch.bool)
    for number, rows in enumerate(targets or ()):
        pointer[number, [row for row in rows if row < pointer.shape[1]]] = True
    shape = world.features.shape
    blank = np.zeros(shape, dtype=np.float32)
    return Questions(
        patches=torch.from_numpy(np.stack([blank if p is None else p.astype(np.float32) for p in patches])),
        has_image=torch.tensor([p is not None for p in patches]),
        text=text,
        text_mask=mask,
        text_vector=vectors,
        facts=facts,
        pointer_targets=pointer,
        vocabulary_targets=torch.tensor(words if words is not None else [-1] * size),
        entity=torch.tensor(entities if entities is not None else [-1] * size),
    )

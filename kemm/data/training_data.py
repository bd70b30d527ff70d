"""What a run trains on, prepared once: questions with facts, captions, features, edges."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from kemm import processes
from kemm.data.around import Around
from kemm.data.batch import PicturedEntities
from kemm.data.captions import captions
from kemm.data.examples import Example, balanced, right_rows
from kemm.data.fact_table import tabulate, texts_of
from kemm.data.graph_edges import GraphEdges
from kemm.data.questions import NOT_KNOWN, Question, QuestionMaker
from kemm.data.step_batches import StepBatches
from kemm.data.world import PATH_SCORER, World
from kg.records import BOOKKEEPING_RELATIONS, Link
from retrieval.anchors import without_mentions
from retrieval.evidence import Evidence
from retrieval.path_scorer import PathScorer
from retrieval.retriever import merged
from retrieval.verbalise import path_text

HELD_OUT_QUESTIONS = 256  # most dev questions that held-out losses are computed on
FIXED_VOCABULARY = ("yes", "no", NOT_KNOWN)


class TrainingData:
    """Prepare a world for training.

    Attributes:
        questions: all generated questions, every split.
        vocabulary: answers that can be given without a fact.
        entities: the pictured entities; ``names`` their IRIs in order.
        around: what training may know around each entity; None where no source asks.
        batch: step → the data of that step.
    """

    def __init__(self, world: World, progress: Callable[[str, int], Callable[[int], object]]) -> None:
        self.world, self.settings = world, world.settings
        self.seed = world.settings.train.seed
        self.pictures = world.pictures()
        facts = self._facts()
        take, enriches = world.settings.train, world.settings.data.enriched_captions
        self.around = Around(world, facts) if take.knowledge or take.links or enriches else None
        self.edges = GraphEdges(world, self.seed) if self.trains("link_prediction", "entity_text") else None

        maker = QuestionMaker(facts, world.label, self.pictures, world.settings.questions, self.seed)
        self.questions = maker.make()
        self.relations = {r: maker.wordings[r] for r in maker.relations}
        train = [q for q in self.questions if q.split == "train"]
        counts = Counter(answer for q in train for answer in q.answers)
        common = [a for a, n in counts.most_common(500) if n >= 3 and a not in FIXED_VOCABULARY]
        self.vocabulary = (*FIXED_VOCABULARY, *common)

        self.names, self.entities = self._pictured(progress)
        held_out = world.holdout.entity
        self.train_pictures = {e: f for e, f in self.pictures["train"].items() if not held_out(e)}
        self.captions = captions(
            facts, self.train_pictures, world.label, world.holdout, seed=self.seed, known=self._known
        )
        if self.asks:
            self._train_path_scorer(train)
        self.examples = self._examples(train, progress) if self.asks else []
        dev = [q for q in self.questions if q.split == "dev"][:HELD_OUT_QUESTIONS]
        wants_dev = self.asks and self.settings.train.held_out_every > 0
        self.held_out_examples = self._examples(dev, progress) if wants_dev else []
        self.chance = balanced([example.question.type for example in self.examples])
        self._encode(progress)
        self.batch = StepBatches(self)

    @property
    def asks(self) -> bool:
        """Whether an objective learns from questions."""
        mem = self.settings.objectives.mem
        is_named = mem is not None and mem.of == "questions"
        return is_named or self.trains("answering", "reader_distillation", "joint_retrieval", "graph_matching")

    @property
    def roles(self) -> frozenset[str]:
        """The further texts that objectives read; see ``Samples.further``."""
        objectives, roles = self.settings.objectives, set()
        for chosen in (objectives, *((objectives.adversarial.of,) if objectives.adversarial else ())):
            roles |= {"tags"} if chosen.tag_matching else set()
            roles |= {role for role in ("retrieved", "rewritten") if chosen.itc and getattr(chosen.itc, role)}
            roles |= {chosen.seq2seq.source} & {"tags", "rewritten"} if chosen.seq2seq else set()
            if chosen.next_sentence:
                roles |= {"next", "linked"} if chosen.next_sentence.links else {"next"}
        return frozenset(roles)

    @property
    def _known(self) -> Callable[[str], tuple[list[str], str]] | None:
        """What captions say of an entity besides its facts, where they do."""
        return self.around.known if self.around is not None and self.settings.data.enriched_captions else None

    def trains(self, *names: str) -> bool:
        """Whether one of these objectives is set."""
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
        views, lower = 1 + self.settings.data.views, self.world.parts.lower
        banks = [self.world.features, *([lower] if lower is not None else [])]
        tick = progress("encode pictures", len(files) * views * len(banks))
        seen = [file for entity in train if not self.world.holdout.entity(entity) for file in train[entity]]
        rest = [file for split in ("dev", "test") for files in self.pictures[split].values() for file in files]
        for bank in banks:
            bank.compute(seen, views, tick)
            bank.compute(rest, 1, tick)
        if not train:
            return [], None
        return self.world.pictured_entities(train, training=True)

    def _examples(self, questions: Sequence[Question], progress: Callable) -> list[Example]:
        bank, (mentions, asked) = self.world.bank, self._read(questions)
        tick = progress("retrieve facts", len(questions))
        rng = random.Random(self.seed + 1)
        others = [name for name in self.names if not self.world.holdout.entity(name)]
        found = []
        for question, links, text in zip(questions, mentions, asked, strict=True):
            found.append(self._evidence(question, links, text, rng, others))
            tick(1)
        bank.rows(list({text for evidence in found for text in texts_of(evidence)}))  # in large batches
        tables = [tabulate(evidence, bank, self.world.entity_vectors) for evidence in found]
        return [Example(q, table, right_rows(table, q)) for q, table in zip(questions, tables, strict=True)]

    def _read(self, questions: Sequence[Question]) -> tuple[list[list[Link]], list[str]]:
        """What each question mentions, and its words without that; encoded in large batches."""
        bank, retriever = self.world.bank, self.world.retriever
        bank.warm([q.question for q in questions])
        bank.rows([q.question for q in questions])
        mentions = [retriever.link_text(q.question, bool(q.image)) for q in questions]
        texts = [without_mentions(q.question, links) for q, links in zip(questions, mentions, strict=True)]
        bank.warm(texts)
        return mentions, texts

    def _train_path_scorer(self, questions: Sequence[Question]) -> None:
        """Teach the retriever which relations the training wordings ask for."""
        _, texts = self._read(questions)
        paths = self.world.retriever.walk.paths
        asked = {q: text for q, text in zip(questions, texts, strict=True) if q.type != "unknown" and q.head}
        if not asked:
            return
        targets = paths.rows([path_text([(self.world.label(relation), True) for relation in q.path]) for q in asked])
        scorer = PathScorer.train(self.world.bank, list(asked.values()), targets.tolist(), paths, seed=self.seed)
        if processes.is_first():
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

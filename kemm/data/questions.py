"""Knowledge questions generated from any graph: one hop, two hops, yes/no and unanswerable, split without leakage.

Three things are held out of training, each drawn by a hash that depends only on the seed and the thing itself:

- entities: nothing is asked about them, and their pictures are not trained on;
- facts: all ``(head, relation)`` pairs in a share of the graph; no training question rests on one of them;
- wordings: a share of each relation's wordings.

A test question is in a held-out wording and is about a held-out fact or a held-out entity. ``dev`` questions, for
calibration, hold out facts of their own.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kemm.data.wordings import capitalise, local_name, share, split_wordings, wording_for
from kemm.settings import QuestionSettings, Wording
from kg.errors import FormatError, InputError
from kg.records import BOOKKEEPING_RELATIONS, Literal

NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with every answer that counts as right.

    Attributes:
        type: ``one-hop``, ``two-hop``, ``yes-no`` or ``unknown``.
        head: the entity asked about; "" when unknown (questions of a user's file).
        path: the relations from the head to the answer.
        supports: the facts it rests on, as ``(head, relation, tail text)``.
        held_out: which of ``facts``, ``wordings``, ``entities`` it holds out.
        image: path of the picture it is asked of; "" for a question in words alone.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    type: str = ""
    head: str = ""
    path: tuple[str, ...] = ()
    supports: tuple[tuple[str, str, str], ...] = ()
    split: str = "test"
    held_out: tuple[str, ...] = ()
    image: str = ""


class Holdout:
    """Which entities, facts and pictures are held out. The same seed gives the same answer everywhere, for ever."""

    def __init__(self, settings: QuestionSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def entity(self, iri: str) -> bool:
        return share(self.seed, "entity", iri) < self.settings.held_out_entities

    def fact(self, head: str, relation: str) -> str:
        """``test``, ``dev`` or ``train`` of all facts of this head and relation."""
        if self.entity(head):
            return "test"
        drawn = share(self.seed, "fact", head, relation)
        if drawn < self.settings.held_out_facts:
            return "test"
        return "dev" if drawn < self.settings.held_out_facts + 0.06 else "train"


Fact = tuple[str, str, str | Literal]


class QuestionMaker:
    """Generate questions from a graph's facts.

    Args:
        facts: the graph's statements as ``(head, relation, tail)``.
        labels: a readable name for every IRI in them.
        pictured: entities that have pictures, by split: ``{"train": {iri: [path, …]}, "test": {…}}``.
        settings, seed: see ``QuestionSettings``.
    """

    def __init__(
        self,
        facts: Iterable[Fact],
        labels: Callable[[str], str],
        pictured: dict[str, dict[str, list[str]]],
        settings: QuestionSettings,
        seed: int = 0,
    ) -> None:
        self.settings, self.seed, self.label, self.pictured = settings, seed, labels, pictured
        self.holdout = Holdout(settings, seed)
        self.random = random.Random(seed)
        self.by_relation: dict[str, dict[str, list[str | Literal]]] = defaultdict(lambda: defaultdict(list))
        for head, relation, tail in facts:
            if relation not in BOOKKEEPING_RELATIONS:
                self.by_relation[relation][head].append(tail)
        wanted = None if settings.relations is None else set(settings.relations)
        self.relations = sorted(
            relation
            for relation, heads in self.by_relation.items()
            if (wanted is None and sum(map(len, heads.values())) >= settings.min_facts)
            or (wanted is not None and wanted & {relation, local_name(relation), labels(relation)})
        )
        self.wordings = {r: wording_for(r, labels(r), settings.wordings) for r in self.relations}
        heads = sorted({head for relation in self.by_relation.values() for head in relation})
        self.namespace = {head: head[: len(head) - len(local_name(head))] for head in heads}
        surface = {head: (self.namespace[head], labels(head).casefold()) for head in heads}
        count = Counter(surface.values())
        self.named_alone = {head for head in heads if count[surface[head]] == 1}
        self.in_namespace: dict[str, list[str]] = defaultdict(list)
        for head in heads:
            if head in self.named_alone:
                self.in_namespace[self.namespace[head]].append(head)
        self._tails_of: dict[str, list[str]] = {}

    # ── public ────────────────────────────────────────────────────────────────────────────────────────────────────

    def make(self) -> list[Question]:
        """Every kind of question, shuffled, with stable ids."""
        rounds = [
            [*self.one_hop(), *self.yes_no(), *self.two_hop(), *self.unknown()] for _ in range(self.settings.repeats)
        ]
        once = {(q.question, q.image, q.answers): q for made in rounds for q in made}
        questions = list(once.values())
        self.random.shuffle(questions)
        test = [q for q in questions if q.split == "test"][: self.settings.test]
        questions = [q for q in questions if q.split != "test"] + test
        return [Question(**{**_fields(q), "id": f"q{number:05d}"}) for number, q in enumerate(questions)]

    def one_hop(self) -> list[Question]:
        """One relation away; and the inverse where the settings give a wording for it."""
        made: list[Question] = []
        for relation in self.relations:
            wording = self.wordings[relation]
            for head in self._sample(self.by_relation[relation], self.settings.per_relation):
                tails = self.by_relation[relation][head]
                split = self.holdout.fact(head, relation)
                supports = tuple((head, relation, self.text(tail)) for tail in tails)
                answers = tuple(dict.fromkeys(map(self.text, tails)))
                made += self._ask(wording.ask, split, head, (relation,), answers, supports, "one-hop", {})
            if wording.inverse:
                made += self._inverse(relation, wording.inverse)
        return made

    def yes_no(self) -> list[Question]:
        """Half of them true. A false one names a tail that the relation has elsewhere."""
        made: list[Question] = []
        about_entities = [relation for relation in self.relations if self._tails(relation)]
        most = max(1, self.settings.yes_no // max(1, len(about_entities)))
        pairs = [(r, head) for r in about_entities for head in self._sample(self.by_relation[r], most)]
        for relation, head in pairs:
            tails = [tail for tail in self.by_relation[relation][head] if isinstance(tail, str)]
            pool = self._tails(relation)
            if not tails:
                continue
            true = self.random.random() < 0.5
            tail = self.random.choice(tails if true else pool)
            if not true and (tail in tails or tail == head or self.text(tail) in map(self.text, tails)):
                continue
            supports = ((head, relation, self.text(tail)),) if true else ()
            split, answers = self.holdout.fact(head, relation), ("yes" if true else "no",)
            blanks = {"{y}": self.text(tail)}
            made += self._ask(
                self.wordings[relation].whether, split, head, (relation,), answers, supports, "yes-no", blanks
            )
        return made

    def two_hop(self) -> list[Question]:
        """Chains head → middle → answer. Every middle that fits gives its answers; over eight is no question.

        Where the settings word some relations, only those are chained: of others nobody would ask so.
        """
        chains = []
        through = [r for r in self.relations if self._own(r).of] or self.relations
        asked_for = [r for r in self.relations if self._own(r).ask] or self.relations
        for first in through:
            capped = 0
            for head in self._sample(self.by_relation[first], self.settings.per_relation):
                middles = [tail for tail in self.by_relation[first][head] if isinstance(tail, str)]
                found = [self._chain(head, first, middles, second) for second in asked_for if middles]
                known = [chain for chain in found if chain is not None]
                cap = self._cap(head)
                if cap is not None and known:
                    known = [self.random.choice(known)] if capped < cap else []
                    capped += 1
                chains += known
        self.random.shuffle(chains)
        paths: dict[str, int] = defaultdict(int)
        made: list[Question] = []
        cap = max(60, 2 * self.settings.two_hop // max(1, len({chain[1:3] for chain in chains})))
        for head, first, second, supports, answers in chains:
            splits = {self.holdout.fact(fact_head, relation) for fact_head, relation, _ in supports}
            split = "test" if "test" in splits else "dev" if "dev" in splits else "train"
            key = f"{split} {first} {second}"
            if paths[key] >= (2 * cap if split == "train" else cap // 4):
                continue
            for _ in range(2 if split == "train" else 1):  # few chains are wholly in training: word each twice
                inner = self._pick(self.wordings[first].of, split)
                outer = [text.replace("{x}", inner) for text in self._side(self.wordings[second].ask, split)]
                asked = self._ask(outer, split, head, (first, second), answers, supports, "two-hop", {}, sided=True)
                paths[key] += len(asked)
                made += asked
        train = [question for question in made if question.split == "train"][: self.settings.two_hop]
        return train + [question for question in made if question.split != "train"]

    def _own(self, relation: str) -> Wording:
        given = self.settings.wordings
        return given.get(relation) or given.get(local_name(relation)) or given.get(self.label(relation)) or Wording()

    def _chain(self, head: str, first: str, middles: list[str], second: str) -> tuple | None:
        supports: dict[tuple[str, str, str], None] = {}
        answers: dict[str, None] = {}
        for middle in middles:
            for tail in self.by_relation[second].get(middle, ()):
                if tail != head and tail not in middles:
                    supports[head, first, self.text(middle)] = None
                    supports[middle, second, self.text(tail)] = None
                    answers[self.text(tail)] = None
        if not answers or len(answers) > 8 or self.text(head) in answers:
            return None
        return head, first, second, tuple(supports), tuple(answers)

    def unknown(self) -> list[Question]:
        """Heads whose kind has the relation, while they don't: the right answer is "not known"."""
        made: list[Question] = []
        for relation in self.relations:
            heads = self.by_relation[relation]
            alike = [h for space in sorted({self.namespace[head] for head in heads}) for h in self.in_namespace[space]]
            wanted = max(1, int(min(len(heads), self.settings.per_relation) * self.settings.unknown))
            drawn = self.random.sample(alike, min(len(alike), 20 * wanted))
            for head in self._sample([head for head in drawn if head not in heads], wanted):
                split = self.holdout.fact(head, relation)
                made += self._ask(
                    self.wordings[relation].ask, split, head, (relation,), (NOT_KNOWN,), (), "unknown", {}
                )
        return made

    def text(self, tail: str | Literal) -> str:
        """A tail as an answer: its label, or the literal's value."""
        return self.label(tail) if isinstance(tail, str) else tail.value

    # ── what the makers share ─────────────────────────────────────────────────────────────────────────────────────

    def _cap(self, head: str) -> int | None:
        return next((n for prefix, n in self.settings.namespaces.items() if head.startswith(prefix)), None)

    def _sample(self, heads: Iterable[str], most: int) -> list[str]:
        chosen, capped = [], 0
        heads = sorted(heads)
        self.random.shuffle(heads)
        for head in heads:
            cap = self._cap(head)
            if cap is not None and (capped >= cap or head not in self.named_alone):
                continue
            capped += cap is not None
            chosen.append(head)
            if len(chosen) >= most:
                break
        return chosen

    def _tails(self, relation: str) -> list[str]:
        if relation not in self._tails_of:
            tails = {t for tails in self.by_relation[relation].values() for t in tails if isinstance(t, str)}
            self._tails_of[relation] = sorted(tails)
        return self._tails_of[relation]

    def _side(self, texts: Sequence[str], split: str) -> list[str]:
        return split_wordings(texts, self.settings.held_out_wordings, self.seed)[split]

    def _pick(self, texts: Sequence[str], split: str) -> str:
        return self.random.choice(self._side(texts, split))

    def _inverse(self, relation: str, texts: list[str]) -> list[Question]:
        """Given the tail, which head? Asked in words, about the tail."""
        by_tail: dict[str, list[str]] = defaultdict(list)
        for head, tails in self.by_relation[relation].items():
            for tail in tails:
                if isinstance(tail, str):
                    by_tail[tail].append(head)
        made = []
        asked = sorted(tail for tail, heads in by_tail.items() if len(heads) <= 8)
        for tail in self.random.sample(asked, min(len(asked), self.settings.per_relation // 2)):
            heads = by_tail[tail]
            split = max((self.holdout.fact(head, relation) for head in heads), key=("train", "dev", "test").index)
            supports = tuple((head, relation, self.text(tail)) for head in heads)
            answers = tuple(dict.fromkeys(map(self.label, heads)))
            made += self._ask(texts, split, tail, (relation,), answers, supports, "one-hop", {"{x}": self.text(tail)})
        return made

    def _ask(
        self,
        texts: Sequence[str],
        split: str,
        head: str,
        path: tuple[str, ...],
        answers: tuple[str, ...],
        supports: tuple[tuple[str, str, str], ...],
        type: str,
        blanks: dict[str, str],
        sided: bool = False,
    ) -> list[Question]:
        """Word one question; of a picture where there is one to ask of, else in words, else not at all."""
        held_out = split == "test"
        text = self.random.choice(list(texts)) if sided else self._pick(texts, split)
        image, name = "", ""
        if "{x}" not in blanks:
            pictures = self.pictured.get("test" if held_out else split, {}).get(head, ())
            if pictures and self.random.random() < self.settings.with_picture:
                image = self.random.choice(pictures)
                name = self._pick(self.settings.this, split)
            elif head in self.named_alone:
                name = self.label(head)
            else:
                return []
            blanks = {**blanks, "{x}": name}
        for blank, filling in blanks.items():
            text = text.replace(blank, filling)
        marks = ("wordings", "entities" if head and self.holdout.entity(head) else "facts") if held_out else ()
        return [Question("", capitalise(text), answers, type, head, path, supports, split, marks, image)]


def _fields(question: Question) -> dict:
    return {name: getattr(question, name) for name in Question.__slots__}


def save_questions(questions: Iterable[Question], path: Path) -> None:
    """Write JSON lines, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(asdict(q), ensure_ascii=False) + "\n" for q in questions), encoding="utf-8")
    partial.replace(path)


def load_questions(path: Path) -> list[Question]:
    """Read JSON lines with at least ``question`` and ``answers``; other known fields are kept, unknown ones ignored.

    Raises:
        InputError: there is no such file, or it holds no question.
        FormatError: a line is not JSON, lacks a field, or its question is empty.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give JSON lines with question, answers and, for a picture, image")
    questions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            answers = [row["answers"]] if isinstance(row["answers"], str) else row["answers"]
            known = {key: row[key] for key in ("type", "head", "split") if isinstance(row.get(key), str)}
            known |= {key: tuple(row[key]) for key in ("path", "held_out") if isinstance(row.get(key), list)}
            known |= {"supports": tuple(tuple(fact) for fact in row.get("supports") or ())}
            image, text = row.get("image") or "", row["question"]
            if not isinstance(text, str) or not text.strip():
                raise FormatError(str(path), number, "the question is empty")
            identity = str(row.get("id", f"line {number}"))
            questions.append(Question(identity, text, tuple(map(str, answers)), image=image, **known))
        except (json.JSONDecodeError, TypeError) as error:
            raise FormatError(str(path), number, f"not a question in JSON ({error})") from None
        except KeyError as error:
            raise FormatError(str(path), number, f"the field {error} is missing") from None
    if not questions:
        raise InputError(f"{path}: no questions in it")
    return questions

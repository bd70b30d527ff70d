"""From a question and a picture to the facts that could answer it, on one page: link, walk, select."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.errors import InputError
from kg.link import TEMPERATURE, Context
from kg.names import require_unicode
from kg.records import Link
from retrieval import anchors as find
from retrieval.embed import Embedder
from retrieval.entity_index import EntityIndex
from retrieval.evidence import Evidence, EvidenceFact, Query
from retrieval.fact_index import FactIndex
from retrieval.index.graph_walk import GraphWalk
from retrieval.index.path_walk import PathWalk
from retrieval.packing import evidence_facts, pack
from retrieval.path_scorer import PathJudge
from retrieval.pictures.nearest import NearestPictures, in_index
from retrieval.selection import Judge, by_cosine, select
from retrieval.step_scorer import StepScorer

if TYPE_CHECKING:
    from kg import EntityLinker, KnowledgeGraph
    from kg.coherence import Coherence
    from retrieval.linker_head import LinkerHead

MAX_MENTIONS = 4
MAX_PICTURE_LINKS = 3
#: How many linked questions are remembered.
MOST_LINKED = 10_000


class Retriever:
    """Evidence for questions about one store.

    Args:
        index: of the same store, made with the same embedders; without one, nothing is found by mere likeness.
        images: needed for pictures unless ``link_image`` is given.
        linker: of text mentions; made from the graph when first needed.
        link_image: ``(image, k) -> list[Link]``, a model's own way to name what a picture shows; by default the
            nearest pictures of the index.
        hops: without a ``step_scorer``, 1 or 2 lay out all facts around an anchor and judge them; with one, paths of
            up to so many steps are followed that it reads in the question.
        k: how many facts at most, unless a call says otherwise.
        path_scorer: a learned judge of paths in place of the cosine.
        step_scorer: a learned reader of paths; needed from 3 hops on.
        linker_head: a learned judge of what a mention means in its sentence, and whether any of its candidates.
        coherence: weighs what several mentions may mean by what goes together in the graph.
        facts: searched where nothing is named or shown, in place of entities like the question.

    Raises:
        InputError: the index was made with other embedders, or there is no ``step_scorer`` for so many hops.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        index: EntityIndex | None,
        text: Embedder,
        images: Embedder | None = None,
        linker: EntityLinker | None = None,
        link_image: Callable[[Any, int], list[Link]] | None = None,
        hops: int = 2,
        k: int = 32,
        path_scorer: PathJudge | None = None,
        step_scorer: StepScorer | None = None,
        linker_head: LinkerHead | None = None,
        coherence: Coherence | None = None,
        facts: FactIndex | None = None,
    ) -> None:
        if hops > 2 and step_scorer is None:
            raise InputError(f"{hops} hops need a step scorer: train one (StepScorer.train), or ask for 2 hops")
        if index is not None:
            index.require(text, images)
            index.follow(graph, text)
        self.graph, self.index, self.text, self.images, self.k = graph, index, text, images, k
        self.link_image = link_image
        self.path_scorer, self.linker_head, self.coherence = path_scorer, linker_head, coherence
        self.facts = facts
        self.step_scorer, self.paths = step_scorer, PathWalk(graph, hops) if step_scorer is not None else None
        self.walk = GraphWalk(graph, text.embed, min(hops, 2), linker)
        if index is not None:
            self.walk.paths.learn(*index.path_vectors())
        self._asking: tuple[int, frozenset[str]] = (-1, frozenset())
        self._linked: dict[tuple[str, bool], list[Link]] = {}  # at that version: "this" is asked about many pictures

    def reading(self, step_scorer: StepScorer | None, hops: int) -> Retriever:
        """The same retriever, following the paths of up to ``hops`` steps that a scorer reads in the question."""
        names = ("images", "link_image", "linker_head", "coherence", "facts")
        self.walk.refresh()
        given: dict[str, Any] = {"linker": self.walk.linker} | {name: getattr(self, name) for name in names}
        return Retriever(self.graph, self.index, self.text, hops=hops, k=self.k, step_scorer=step_scorer, **given)

    def retrieve(self, query: Query, k: int | None = None) -> Evidence:
        """Return at most ``k`` facts for a question, a picture, or both.

        Raises:
            InputError: the query has neither, or a text that is not valid Unicode, or a picture that nothing here can
                look at.
            UnreadableImage: the picture can't be opened.
        """
        question = query.text.strip()
        if not question and query.image is None:
            raise InputError("empty question: give a text, a picture, or both")
        require_unicode(question)
        self.walk.refresh()
        shown = self.link_picture(query.image) if query.image is not None else []
        mentioned = self._mentioned(question, query.image is not None) if question else []
        anchors = merged(shown, mentioned)
        found_by = find.ways(anchors, {"picture": shown, "mention": mentioned})
        is_strange = query.image is not None and not shown
        if not anchors and question and self.facts is not None:
            found = self.facts.evidence(question, self.k if k is None else k)
            return replace(found, is_strange=is_strange)
        if not anchors and question and self.index is not None:
            vector = self.text.embed([question])[0]
            anchors, found_by = find.search_anchors(self.index, vector, question, self.graph.iris, MAX_MENTIONS)
        asked = find.without_mentions(question, mentioned)  # a name says which entity, not which relation
        return replace(self._gather(anchors, asked, k, question, found_by), is_strange=is_strange)

    def gather(
        self,
        anchors: Sequence[Link],
        asked: str,
        k: int | None = None,
        question: str = "",
        found_by: Sequence[tuple[str, ...]] | None = None,
    ) -> Evidence:
        """Return the evidence around known anchors: what `retrieve` does after linking.

        Args:
            asked: the question without the names in it, by which paths are judged; "" ranks by anchor and hop alone.
            question: its whole text; far ends spelt out in it are kept whatever their relation.
            found_by: one an anchor; ``("graph",)`` when not given.
        """
        self.walk.refresh()
        return self._gather(anchors, asked, k, question, found_by)

    def _gather(
        self,
        anchors: Sequence[Link],
        asked: str,
        k: int | None,
        question: str,
        found_by: Sequence[tuple[str, ...]] | None,
    ) -> Evidence:
        """The evidence at the version of the last `GraphWalk.refresh`."""
        most = self.k if k is None else k
        if self.paths is not None and asked:
            facts = self._follow(anchors, asked, most, found_by or ())
        else:
            near = [self.walk.candidates(link.entity) for link in anchors]
            facts = select(self.walk, near, anchors, self._judge(asked), most, question, found_by or ())
        ends = [link.entity for link in anchors]
        for fact in facts:
            ends += (fact.statement.head, fact.statement.relation)
            if isinstance(fact.statement.tail, str):
                ends.append(fact.statement.tail)
        return Evidence(tuple(facts), tuple(anchors), self.walk.version, self.walk.labels(ends))

    def _follow(
        self, anchors: Sequence[Link], asked: str, k: int, found_by: Sequence[tuple[str, ...]]
    ) -> list[EvidenceFact]:
        """The facts along the paths that the question asks for."""
        assert self.paths is not None and self.step_scorer is not None
        self.paths.refresh()
        reading = self.step_scorer.read(asked, self.paths.steps)
        trails = [self.paths.trails(link.entity, reading) for link in anchors]
        named = {trail.anchor for several in trails for trail in several}
        return evidence_facts(self.paths, pack(trails, [link.score for link in anchors], k, named), found_by)

    def _judge(self, asked: str) -> Judge | None:
        if not asked:
            return None
        if self.path_scorer is not None:
            return self.path_scorer.judge(asked, self.walk.paths)
        return by_cosine(self.text.embed([asked])[0], self.walk.paths)

    def link_text(self, question: str, has_picture: bool = False) -> list[Link]:
        """Entities named in a question, at most four; common words only where nothing better is named or shown.

        Of two entities of one name, the one is meant that has facts of the kind asked for.
        """
        self.walk.refresh()
        return self._mentioned(question, has_picture)

    def _mentioned(self, question: str, has_picture: bool) -> list[Link]:
        linker = self.walk.linker
        if self._asking[0] != self.walk.version:
            labels = self.walk.labels(self.graph.relations())
            self._asking = self.walk.version, find.relation_words(labels.values())
            self._linked.clear()
        if (question, has_picture) in self._linked:
            return list(self._linked[question, has_picture])

        closeness = self._closeness(question)

        def context(iris: list[str], span: tuple[int, int]) -> Sequence[float]:
            scores = closeness(iris, span) if len(iris) > 1 else [0.0]
            if self.linker_head is None:
                return scores
            judged = self.linker_head.context(question)(iris, span)
            return [*(one + other for one, other in zip(scores, judged, strict=False)), judged[-1]]

        links = linker.link(question, context=context, coherence=self.coherence)
        names = self.walk.labels(link.entity for link in links)
        best = find.best_mentions(links, names.__getitem__, self._asking[1], has_picture, MAX_MENTIONS, question)
        if len(self._linked) >= MOST_LINKED:
            self._linked.clear()
        self._linked[question, has_picture] = best
        return list(best)

    def _closeness(self, question: str) -> Context:
        """How well entities fit as what a question is about, by the facts around them.

        The cosine of the question and their likeliest one-step path; with a step scorer, τ log of the chance that the
        question's first step can be taken from them.
        """
        if self.paths is None or self.step_scorer is None:
            judge = functools.cache(
                lambda: self.walk.closeness(self.text.embed([question])[0])
            )  # for who has to choose
            return lambda iris, span: judge()(iris)
        paths, scorer = self.paths, self.step_scorer

        def by_first_step(iris: list[str], span: tuple[int, int]) -> list[float]:
            paths.refresh()
            reading = scorer.read(f"{question[: span[0]]}this{question[span[1] :]}", paths.steps)
            chances = np.exp(reading.next(reading.start())[0][0, :-1])
            return [TEMPERATURE * float(np.log(chances[paths.ways_on(iri)].sum() + 1e-3)) for iri in iris]

        return by_first_step

    def link_picture(self, image: Any) -> list[Link]:
        """Entities that a picture may show, at most three, by the model's linker or the nearest pictures."""
        if self.link_image is not None:
            return self.link_image(image, MAX_PICTURE_LINKS)
        if self.index is None or self.images is None or self.index.shown is None:
            place = "the retriever" if self.index is None else self.index.out
            raise InputError(f"a picture was given, but {place} was built or opened without an image embedder")
        vector = self.images.embed([image])[0]
        found = NearestPictures(in_index(self.index, self.graph)).candidates(vector[None])[0]
        links = [Link(entity, float(p)) for entity, p in zip(found.entities, found.chances, strict=True)]
        return links[:MAX_PICTURE_LINKS]


def merged(*lists: Sequence[Link]) -> list[Link]:
    """One link an entity, the most probable, in the order of first mention."""
    best: dict[str, Link] = {}
    for link in (link for links in lists for link in links):
        if link.entity not in best or link.score > best[link.entity].score:
            best[link.entity] = link
    return list(best.values())

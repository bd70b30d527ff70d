"""The parts of a retriever that can be learned, as one thing that a retriever is given.

| part     | learns                                                                | from                              |
|----------|-----------------------------------------------------------------------|-----------------------------------|
| `paths`  | which relations a question means: `StepScorer`                        | answers                           |
| `linker` | what a mention means in its sentence: `LinkerHead`                    | topics                            |
| `facts`  | which fact answers a question that names nothing: `FactRanker`        | answers, an index with facts      |
| `fusion` | how far each ranking of facts is to be trusted: `LearnedFusion`       | the same, of the part for choices |
| `cross`  | the same as `facts`, reading question and fact together: `PairJudge`  | answers, an index with facts      |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kg.errors import InputError
from retrieval.embed import TokenEmbedder
from retrieval.reranking import PairJudge

if TYPE_CHECKING:
    import numpy as np

    from retrieval.fact_index import FactIndex
    from retrieval.fact_ranker import FactRanker
    from retrieval.fusion import LearnedFusion
    from retrieval.linker_head import LinkerHead, MentionEmbedder
    from retrieval.retriever import Retriever
    from retrieval.step_scorer import StepScorer

#: Part → the file that keeps it.
PARTS = {
    "paths": "steps.safetensors",
    "linker": "linker.safetensors",
    "facts": "facts.safetensors",
    "fusion": "fusion.json",
    "cross": "cross.safetensors",
}
OF_FACTS = ("facts", "fusion", "cross")


class TrainedPairJudge(PairJudge, Protocol):
    """A `PairJudge` that can be kept."""

    def save(self, path: Path) -> None: ...


@dataclass(frozen=True)
class Towers:
    """What the parts read with.

    Attributes:
        text: the retriever's own.
        mentions: for `linker`.
        train_cross: questions, the fact that answers each, what was found for each → a judge.
        open_cross: its file → the judge.
    """

    text: TokenEmbedder
    mentions: MentionEmbedder
    train_cross: Callable[[Sequence[str], Sequence[str], Sequence[Sequence[str]]], TrainedPairJudge]
    open_cross: Callable[[Path], TrainedPairJudge]


@dataclass
class Learned:
    """The parts that were learned, None for the others; ``hops`` is the longest path of ``paths``."""

    hops: int
    paths: StepScorer | None = None
    linker: LinkerHead | None = None
    facts: FactRanker | None = None
    fusion: LearnedFusion | None = None
    cross: TrainedPairJudge | None = None

    @property
    def names(self) -> list[str]:
        return [part for part in PARTS if getattr(self, part) is not None]

    def equip(self, retriever: Retriever, hops: int | None = None) -> Retriever:
        """The same retriever with these parts."""
        made = retriever.reading(self.paths, hops or (self.hops if self.paths is not None else 2))
        made.linker_head = self.linker or made.linker_head
        if made.facts is not None and any(part in OF_FACTS for part in self.names):
            made.facts = made.facts.judged(self.facts, self.fusion, self.cross)
        return made


def require_parts(parts: Sequence[str], facts: FactIndex | None) -> list[str]:
    """The parts in the order of the table.

    Raises:
        InputError: there is none of a name, or what is needed to learn one is missing.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise InputError(f"there is no part '{unknown[0]}' of a retriever (there are: {', '.join(PARTS)})")
    if not parts:
        raise InputError(f"no part of a retriever is named; name some of {', '.join(PARTS)}")
    wanted = [part for part in OF_FACTS if part in parts]
    if wanted and facts is None:
        raise InputError(f"the index was built without facts, which '{wanted[0]}' ranks: run `kemm index --facts`")
    return [part for part in PARTS if part in parts]


def entity_vectors(retriever: Retriever) -> Callable[[list[str]], np.ndarray]:
    """IRIs → unit vectors of what the index says of them (N, D), 0 for one that it has not.

    Raises:
        InputError: the retriever has no index.
    """
    index = retriever.index
    if index is None:
        raise InputError("the linker is learned from the texts of entities: give an index")

    def vectors(iris: list[str]) -> Any:
        ids = retriever.graph.ids(iris)
        return index.text_vectors([ids.get(iri, -1) for iri in iris])

    return vectors

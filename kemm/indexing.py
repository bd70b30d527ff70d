"""Index a store with the frozen towers, and open a retriever over it without a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.progress import Progress, bars

if TYPE_CHECKING:
    from retrieval.learned_parts import Towers
    from retrieval.retriever import Retriever

TOKENS = 12  # of "label: description" are embedded; the lexical index has all of it
FACT_TOKENS = 24  # of a fact's text


def build(
    store: str,
    out: Path,
    update: bool = False,
    text: str = "minilm",
    vision: str | None = None,
    labels_only: bool = False,
    facts: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Embed a store's entities and pictures and write an index of them, or bring one up to date.

    Args:
        out: the index's folder.
        update: embed only what changed since.
        vision: the picture tower; EfficientNet-lite0 if not given, or for an update the index's own.
        labels_only: embed the labels of entities without their descriptions, several times faster; the lexical index
            has both in any case. An update goes on as the index was built.
        facts: embed every fact, too, so that a question alone finds the fact that answers it.

    Returns:
        Counts, the KG version and seconds.

    Raises:
        StoreMissing, IndexStale, UnreadableImage: with what to do.
    """
    if progress is None:
        with bars() as shown:
            return build(store, out, update, text, vision, labels_only, facts, shown)
    import time

    from kemm.encoders import build_encoder
    from kemm.encoders.text import TextEmbedder
    from kemm.encoders.vision import PictureEmbedder
    from kemm.picture_linking import picture_tower
    from kg.store.graph import KnowledgeGraph
    from retrieval.catalogue import build_index, update_index

    started = time.perf_counter()
    vision = picture_tower(vision, out if update else None)
    if vision.startswith("tuned:"):  # remembered for whoever asks the index from another folder
        vision = f"tuned:{Path(vision.removeprefix('tuned:')).resolve()}"
    with KnowledgeGraph.open(store, create=False) as graph:
        has_pictures = next(iter(graph.pictures()), None) is not None
        tower = build_encoder(text)
        texts, longer = TextEmbedder(tower, TOKENS), TextEmbedder(tower, FACT_TOKENS)
        images = PictureEmbedder(build_encoder(vision), built_as=vision) if has_pictures else None
        if update:
            made = update_index(graph, out, texts, images, staged(progress), facts=longer)
        else:
            chosen = longer if facts else None
            made = build_index(graph, out, texts, images, staged(progress), labels_only=labels_only, facts=chosen)
    return {**made, "seconds": round(time.perf_counter() - started, 2)}


def staged(progress: Progress) -> Callable[[str, int, int], None]:
    """Turn "(stage, done, total)" reports into ticks of one bar a stage."""
    ticks: dict[str, Any] = {}
    last: dict[str, int] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in ticks:
            ticks[stage], last[stage] = progress(f"index {stage}", total), 0
        ticks[stage](done - last[stage])
        last[stage] = done

    return report


def open_retriever(
    store: str,
    index: Path,
    text: str = "minilm",
    vision: str | None = None,
    learned: Path | None = None,
    hops: int | None = None,
    languages: Sequence[str] = (),
) -> Retriever:
    """A retriever over a store and its index.

    Args:
        vision: the picture tower; that of the index if not given.
        learned: a folder that `kemm.retriever_training` wrote.
        hops: the longest path; by default that of ``learned``, or 2.
        languages: of the names that questions are looked through for; all by default.

    Raises:
        StoreMissing, IndexStale, InputError: with what to do.
    """
    from kemm.data.text_bank import TextBank
    from kemm.encoders import build_encoder
    from kemm.encoders.vision import PictureEmbedder
    from kemm.picture_linking import linker_for, picture_tower
    from kg import EntityLinker
    from kg.store.graph import KnowledgeGraph
    from retrieval.entity_index import EntityIndex
    from retrieval.learned_folder import open_learned
    from retrieval.retriever import Retriever

    graph = KnowledgeGraph.open(store, create=False)
    found = EntityIndex.open(index, graph)
    bank, tower = TextBank(build_encoder(text), 64), build_encoder(picture_tower(vision, index))
    facts = found.fact_index(graph, bank) if found.manifest.get("facts") else None
    plain = Retriever(
        graph,
        found,
        bank,
        PictureEmbedder(tower),
        linker=EntityLinker(graph, languages) if languages else None,
        link_image=linker_for(graph, found, tower),
        hops=2 if hops is None or learned is not None else hops,
        facts=facts,
    )
    return plain if learned is None else open_learned(learned, plain, towers_of(plain)).equip(plain, hops)


def towers_of(retriever: Retriever, seed: int = 0, progress: Progress | None = None) -> Towers:
    """What the learned parts of a retriever that `open_retriever` made read with.

    Args:
        seed, progress: of training a cross-encoder.
    """
    from kemm.data.text_bank import TextBank
    from kemm.encoders.cross_encoder import CrossEncoder
    from kemm.encoders.mention_states import MentionStates
    from retrieval.learned_parts import Towers

    bank = retriever.text
    assert isinstance(bank, TextBank)

    def train_cross(questions: Sequence[str], right: Sequence[str], found: Sequence[Sequence[str]]) -> CrossEncoder:
        tick = None if progress is None else progress("re-ranker", len(questions))
        return CrossEncoder.train(bank.tower, questions, right, found, seed=seed, tick=tick)

    return Towers(bank, MentionStates(bank.tower), train_cross, lambda path: CrossEncoder.open(path, bank.tower))

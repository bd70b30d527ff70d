"""A word in a sentence → its WordNet synset: the linker with and without its learned head, beside what is simpler.

The sentences are the examples in WordNet's own glosses, in which the linker finds a lemma of the synset; the glosses
are read without them. All that may be meant are the synsets that have the word as a lemma. Everything is split by
synset: four sixths to learn from, one for choices, one for the figures. Every synset counts alike, however rare, so the
first sense of a word is right less often than in running text.
"""

from __future__ import annotations

import json
import random
import re
import time
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.retrieval_inputs import Arguments, recall

#: Sentences that are taken, all sides together.
SENTENCES = 16_000
_QUOTED = re.compile(r'"([^"]+)"')


def part(iri: str) -> str:
    """The side that a synset's sentences are on."""
    return ("train", "train", "train", "train", "choices", "figures")[zlib.crc32(iri.encode()) % 6]


def _prepared(arguments: Arguments) -> dict[str, Any]:
    """Sentences, their mentions, candidates and vectors; made by the first process that asks."""
    import numpy as np

    work = Path(arguments["work"])
    if not (work / "linking.npz").exists():
        from kemm.encoders import build_encoder
        from kemm.encoders.mention_states import MentionStates
        from kemm.encoders.text import TextEmbedder
        from kg import EntityLinker
        from kg.ingest.wordnet import PARTS, synsets

        held = [one for part in PARTS for one in synsets(part)]
        row = {one.iri: number for number, one in enumerate(held)}
        linker = EntityLinker((one.iri, one.lemmas[0], one.lemmas[1:]) for one in held)
        said = [(one.iri, text) for one in held for text in _QUOTED.findall(one.gloss) if len(text.split()) > 2]
        random.Random(0).shuffle(said)
        asked: list[dict[str, Any]] = []
        for iri, text in said:
            spans: dict[tuple[int, int], list[Any]] = defaultdict(list)
            for link in linker.link(text, per_mention=100):
                spans[link.start, link.end].append(link)
            for span, links in spans.items():
                if any(link.entity == iri for link in links):
                    offered, weights = [row[link.entity] for link in links], [link.score for link in links]
                    asked.append({"text": text, "span": span, "iri": iri, "offered": offered, "weights": weights})
                    break
            if len(asked) == SENTENCES:
                break
        needed = sorted({number for one in asked for number in one["offered"]})
        place = {number: at for at, number in enumerate(needed)}
        for one in asked:
            one["right"] = one["offered"].index(row[one["iri"]])
            one["offered"] = [place[number] for number in one["offered"]]
        texts = [f"{', '.join(held[n].lemmas[:3])}: {_definition(held[n].gloss)}" for n in needed]
        tower = build_encoder("minilm")
        start = time.process_time()
        mentions, wholes = MentionStates(tower).mentions([one["text"] for one in asked], [one["span"] for one in asked])
        seconds = time.process_time() - start
        np.savez(
            work / "linking.npz", mentions=mentions, wholes=wholes, candidates=TextEmbedder(tower, 28).embed(texts)
        )
        keys = [(held[n].iri, held[n].lemmas) for n in needed]
        (work / "linking.json").write_text(
            json.dumps({"asked": asked, "texts": texts, "keys": keys, "ms": 1e3 * seconds / len(asked)})
        )
    made: dict[str, Any] = json.loads((work / "linking.json").read_text())
    with np.load(work / "linking.npz") as arrays:
        return made | dict(arrays)


def _definition(gloss: str) -> str:
    return _QUOTED.split(gloss)[0].strip(" ;:") or gloss


def _ranked(arguments: Arguments, made: dict[str, Any], score: Any) -> dict[str, Any]:
    """Rank the candidates of every mention of one side: the processor time of one, and how often the first is right."""
    import numpy as np

    side = arguments.get("side", "figures")
    rows = [row for row, one in enumerate(made["asked"]) if part(one["iri"]) == side]
    start = time.process_time()
    ranked = [np.argsort(-np.asarray(score(row, made["asked"][row])), kind="stable").tolist() for row in rows]
    seconds = time.process_time() - start
    right = [made["asked"][row]["right"] for row in rows]
    several = [number for number, row in enumerate(rows) if len(made["asked"][row]["offered"]) > 1]
    note = recall([one[:10] for one in ranked], right)
    of_several = recall([ranked[number][:10] for number in several], [right[number] for number in several])
    note += f" of {len(rows)}; of the {len(several)} words of several synsets {of_several}"
    return {"value": 1e6 * seconds / len(rows), "note": note}


def link_with_head(arguments: Arguments) -> dict[str, Any]:
    import numpy as np

    from retrieval.linker_head import LinkerHead

    made = _prepared(arguments)
    learned = [row for row, one in enumerate(made["asked"]) if part(one["iri"]) == "train"]
    some = [made["asked"][row] for row in learned]
    head = LinkerHead.train(
        None,  # type: ignore[arg-type]  # all is encoded already
        None,  # type: ignore[arg-type]
        made["mentions"][learned],
        made["wholes"][learned],
        made["candidates"],
        [one["offered"] for one in some],
        [one["weights"] for one in some],
        [one["right"] for one in some],
    )

    def score(row: int, one: dict[str, Any]) -> Any:
        logits = head.scores(made["mentions"][row], made["wholes"][row], made["candidates"][one["offered"]])
        return logits + np.log(one["weights"])

    result = _ranked(arguments, made, score)
    result["note"] += f"; {_calibration(arguments, made, head, score)}; encoding, apart, {made['ms']:.1f} ms a mention"
    return result


def _calibration(arguments: Arguments, made: dict[str, Any], head: Any, score: Any) -> str:
    """How well the first candidate's probability holds, every seventh mention's right candidate being taken away."""
    import numpy as np

    side = arguments.get("side", "figures")
    sure, right, found, lost = [], [], [], []
    for row, one in enumerate(made["asked"]):
        if part(one["iri"]) != side:
            continue
        logits = np.append(score(row, one), head.weights["scales"][2])
        is_hidden = row % 7 == 0
        if is_hidden:
            logits[one["right"]] = -np.inf
        chances = np.exp(logits - logits.max())
        best, wanted = int(chances.argmax()), len(logits) - 1 if is_hidden else one["right"]
        sure.append(float(chances.max() / chances.sum()))
        right.append(best == wanted)
        (found if is_hidden else lost).append(best == len(logits) - 1)
    bins = np.minimum((np.array(sure) * 10).astype(int), 9)
    gaps = [abs(np.array(sure)[bins == one].sum() - np.array(right)[bins == one].sum()) for one in range(10)]
    return (
        f"with a seventh hidden: calibration error {sum(gaps) / len(sure):.3f}, NIL found {np.mean(found):.3f}, "
        f"falsely said {np.mean(lost):.3f}"
    )


def link_without(arguments: Arguments) -> dict[str, Any]:
    made = _prepared(arguments)
    return _ranked(arguments, made, lambda row, one: one["weights"])


def link_minilm(arguments: Arguments) -> dict[str, Any]:
    made = _prepared(arguments)
    return _ranked(arguments, made, lambda row, one: made["candidates"][one["offered"]] @ made["wholes"][row])


def link_first_sense(arguments: Arguments) -> dict[str, Any]:
    """WordNet's own order: by how often a sense was tagged in its corpora, then by its number."""
    from kg.ingest.wordnet import data_folder

    made = _prepared(arguments)
    letters = dict(zip("12345", "nvara", strict=True))
    order: dict[tuple[str, str], float] = {}
    for line in (data_folder() / "index.sense").read_text().splitlines():
        key, offset, number, tagged = line.split()
        lemma, rest = key.split("%")
        order[lemma, f"{offset}-{letters[rest[0]]}"] = int(tagged) - int(number) / 1_000

    def score(row: int, one: dict[str, Any]) -> list[float]:
        start, end = one["span"]
        word = one["text"][start:end].lower().replace(" ", "_")
        return [_rank(order, word, *made["keys"][number]) for number in one["offered"]]

    return _ranked(arguments, made, score)


def _rank(order: dict[tuple[str, str], float], word: str, iri: str, lemmas: list[str]) -> float:
    """The rank of a synset for a word, by the lemma that looks most like it: a plural has none of its own."""
    key = iri.rsplit("/", 1)[-1]
    names = [lemma.lower().replace(" ", "_") for lemma in lemmas]
    near = [name for name in names if name == word] or [name for name in names if name[:3] == word[:3]] or names
    return max(order.get((name, key), -1.0) for name in near)


def link_bm25s(arguments: Arguments) -> dict[str, Any]:
    import bm25s

    made = _prepared(arguments)
    index = bm25s.BM25()
    index.index(bm25s.tokenize(made["texts"], show_progress=False), show_progress=False)

    def score(row: int, one: dict[str, Any]) -> Any:
        tokens = bm25s.tokenize([one["text"]], show_progress=False, return_ids=False)[0]
        known = [token for token in tokens if token in index.vocab_dict]
        return index.get_scores(known)[one["offered"]] if known else [0.0] * len(one["offered"])

    return _ranked(arguments, made, score)

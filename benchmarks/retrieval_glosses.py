"""From a definition to its synset, among all 117,659 of WordNet: by words, by vectors, and by both.

    python -m benchmarks.retrieval_glosses --cache FOLDER      # vectors of the documents are kept there
    python -m benchmarks.retrieval_glosses --part valid

A definition taken from the text that is indexed finds itself, which says nothing. So the index has all that WordNet
says of a synset but its definition: lemmas, lemmas of the synsets that it points to (hypernyms, antonyms, …, hyponyms
last), and its examples. The query is the definition, without examples. This is a reverse dictionary (Hill et al., 2016,
arXiv:1504.00548): the words asked with are mostly not those indexed, so that neither search is favoured by copying.

Synsets asked for are drawn by seed 0 from those with a definition of 4 words or more: 500 on which weights are fitted,
300 for choices (``--part valid``), 1,000 for the figure, and 6,000 others on which a head for queries is trained. bm25s
has the very same documents. The vectors are MiniLM's.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval_fvqa import by_bm25s
from benchmarks.retrieval_inputs import Arguments
from benchmarks.retrieval_recalls import kept, show, shown, with_peer
from retrieval.index import Hit

KS = (1, 10)
DEPTH = 50
MOST_POINTED = 12  # lemmas of other synsets in a document
MAX_TOKENS = 24


def documents() -> tuple[list[str], list[str]]:
    """What is indexed of each synset, and its definition."""
    from kg.ingest.wordnet import PARTS, synsets

    held = [one for part in PARTS for one in synsets(part)]
    label = {one.iri: one.lemmas[0] for one in held}
    texts, definitions = [], []
    for one in held:
        pointed = sorted(one.pointers, key=lambda pointer: pointer[0].endswith("hyponym"))
        names = list(dict.fromkeys(label[iri] for _, iri in pointed))[:MOST_POINTED]
        examples = re.findall(r'"([^"]+)"', one.gloss)
        texts.append("; ".join([", ".join(one.lemmas), ", ".join(names), *examples]))
        definitions.append(one.gloss.split('"')[0].strip(" ;:"))
    return texts, definitions


def asked_for(definitions: list[str]) -> dict[str, list[int]]:
    """Rows of synsets by part."""
    rows = [row for row, said in enumerate(definitions) if len(said.split()) >= 4]
    random.Random(0).shuffle(rows)
    return {"train": rows[:500], "valid": rows[500:800], "test": rows[800:1800], "head": rows[1800:7800]}


def recall(found: list[list[int]], right: list[int]) -> list[float]:
    return [float(np.mean([one in hits[:k] for one, hits in zip(right, found, strict=True)])) for k in KS]


def bm25s_figures(part: str, stemmed: bool) -> list[float]:
    texts, definitions = documents()
    rows = asked_for(definitions)[part]
    return recall(by_bm25s(texts, [definitions[row] for row in rows], stemmed), rows)


def figures(part: str, cache_folder: Path | None = None) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """What was asked, and the recall of each of our ways at 1 and 10."""
    from kemm.encoders import build_encoder
    from kemm.encoders.text import TextEmbedder
    from retrieval.embed import EmbeddingCache
    from retrieval.fusion import LearnedFusion
    from retrieval.index.dense import DenseIndex
    from retrieval.index.lexical import LexicalIndex
    from retrieval.query_head import QueryHead
    from retrieval.ranking import fused

    texts, definitions = documents()
    parts = asked_for(definitions)
    rows = parts[part]
    embedder = TextEmbedder(build_encoder("minilm"), MAX_TOKENS)
    found_by: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(cache_folder or Path(folder) / "vectors")
        dense = DenseIndex.create(embedder.dimension, len(texts))
        dense.add(range(len(texts)), cache.embed(embedder, texts, _tell))
        words = LexicalIndex.create(Path(folder) / "words", "english")
        words.add(range(len(texts)), texts)

        def embed(wanted: list[int]) -> np.ndarray:
            return cache.embed(embedder, [definitions[row] for row in wanted], _tell)

        head = QueryHead.train(embed(parts["head"]), parts["head"], dense)

        def search(wanted: list[int]) -> list[dict[str, list[Hit]]]:
            vectors = embed(wanted)
            return [
                {
                    "lexical": words.search(definitions[row], DEPTH),
                    "dense": dense.search(vector, DEPTH),
                    "head": dense.search(turned, DEPTH),
                }
                for row, vector, turned in zip(wanted, vectors, head(vectors), strict=True)
            ]

        found, fitting = search(rows), search(parts["train"])
        for name, title in (("lexical", "our words"), ("dense", "MiniLM alone"), ("head", "MiniLM, learned head")):
            found_by[title] = recall([[hit.id for hit in one[name]] for one in found], rows)
        for names, title in ((("lexical", "dense"), "no head"), (("lexical", "head"), "head")):
            some = [{name: one[name] for name in names} for one in found]
            by_rank = [[hit.id for hit in fused(one)] for one in some]
            fusion = LearnedFusion.fit([{name: one[name] for name in names} for one in fitting], parts["train"])
            started = time.process_time()
            by_weight = [[hit.id for hit in fusion.fuse(one)] for one in some]
            took = (time.process_time() - started) / len(rows) * 1e3
            found_by[f"fused by reciprocal rank, {title}"] = recall(by_rank, rows)
            found_by[f"fused by learned weights, {title}"] = recall(by_weight, rows)
    about = {
        "part": part,
        "definitions": len(rows),
        "synsets": len(texts),
        "fusing, ms": round(took, 3),
        "weights": fusion.weights,
    }
    return about, found_by


def way(arguments: Arguments) -> dict[str, Any]:
    """One of our ways in the table of `benchmarks.retrieval`; the first process that asks takes all."""
    cache = Path(arguments["features"]) if arguments.get("features") else None
    return shown(kept(arguments, "glosses", lambda: figures("test", cache))[arguments["way"]], KS)


def way_bm25s(arguments: Arguments) -> dict[str, Any]:
    return shown(bm25s_figures("test", arguments["stemmed"]), KS)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cache", type=Path, help="folder for vectors, of use the next time")
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    beside = with_peer(lambda stemmed: bm25s_figures(options.part, stemmed))
    about, found_by = figures(options.part, options.cache)
    if options.json:
        print(json.dumps({"about": about, "recall": beside | found_by}))
    else:
        print(", ".join(f"{name}: {value}" for name, value in about.items()))
        show(beside | found_by, KS)
    return 0


def _tell(what: str, done: int, total: int) -> None:
    print(f"{what}: {done:,} of {total:,}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

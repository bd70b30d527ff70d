"""The supporting fact of FVQA's questions among all distinct facts, by the question alone.

    python -m benchmarks.retrieval_fvqa DATA                       # a folder with train0.json.gz
    python -m benchmarks.retrieval_fvqa DATA --split question --seed 1 --part valid

FVQA (Wang et al., 2018, arXiv:1606.05433), train list 0: 3,048 questions about pictures and 2,443 facts, said in
sentences. Pictures are not used, so that "What can be found in this place?" can't be told from its 40 like.

Splits, drawn by a seed: train 60 %, validation 10 %, test 30 %. By fact: a fact asked about in the test is in no
training question (though in the index). By question: no text of a question is on two sides, facts may be. Everything
was chosen on the validation part of seed 0; the test parts are for the figure.

bm25s is asked beside, as it comes and with a stemmer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval_inputs import Arguments
from benchmarks.retrieval_recalls import kept, show, shown, with_peer

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "fvqa"
KS = (1, 5, 20)


def read(folder: Path) -> tuple[list[str], list[int], list[str]]:
    """Questions, the row of each one's fact, and the facts as sentences."""
    held = json.loads(gzip.decompress((folder / "train0.json.gz").read_bytes()))
    rows: dict[str, int] = {}
    questions, right = [], []
    for one in held.values():
        questions.append(one["question"].strip())
        right.append(rows.setdefault(one["fact_surface"], len(rows)))
    return questions, right, [fact.replace("[[", "").replace("]]", "").strip() for fact in rows]


def split(questions: list[str], right: list[int], by: str, seed: int) -> dict[str, list[int]]:
    """Rows of questions by part; whole facts, or whole texts of questions, go to one part."""
    keys: list[Any] = right if by == "fact" else [question.lower() for question in questions]
    order = sorted(set(keys))
    random.Random(seed).shuffle(order)
    bounds = (round(0.3 * len(order)), round(0.4 * len(order)))
    part = {
        key: "test" if place < bounds[0] else "valid" if place < bounds[1] else "train"
        for place, key in enumerate(order)
    }
    return {name: [row for row, key in enumerate(keys) if part[key] == name] for name in ("train", "valid", "test")}


def recall(found: list[list[int]], right: list[int]) -> list[float]:
    return [float(np.mean([one in hits[:k] for one, hits in zip(right, found, strict=True)])) for k in KS]


def by_bm25s(facts: list[str], asked: list[str], stemmed: bool) -> list[list[int]]:
    import bm25s

    stemmer = None
    if stemmed:
        import Stemmer

        stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    index.index(bm25s.tokenize(facts, stemmer=stemmer, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(asked, stemmer=stemmer, show_progress=False)
    found: list[list[int]] = index.retrieve(tokens, k=max(KS), show_progress=False)[0].tolist()
    return found


def bm25s_figures(data: Path, by: str, part: str, seed: int, stemmed: bool) -> list[float]:
    questions, right, facts = read(data)
    rows = split(questions, right, by, seed)[part]
    return recall(by_bm25s(facts, [questions[row] for row in rows], stemmed), [right[row] for row in rows])


def figures(
    data: Path, by: str, part: str, seed: int, steps: int, cross: bool = False
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """What was asked, and the recall of each of our ways at 1, 5 and 20."""
    from kemm.data.text_bank import TextBank
    from kemm.encoders import build_encoder
    from retrieval.fact_search import FactSearch
    from retrieval.index.dense import DenseIndex
    from retrieval.index.lexical import LexicalIndex

    questions, right, facts = read(data)
    parts = split(questions, right, by, seed)
    rows = parts[part]
    asked, true = [questions[row] for row in rows], [right[row] for row in rows]
    found_by: dict[str, list[float]] = {}
    bank = TextBank(build_encoder("minilm"), 64)
    bank.warm(facts)
    bank.warm(questions)
    with tempfile.TemporaryDirectory() as folder:
        dense = DenseIndex.create(bank.dimension, len(facts))
        dense.add(range(len(facts)), bank.embed(facts))
        words = LexicalIndex.create(Path(folder) / "words", "english")
        words.add(range(len(facts)), facts)
        search = FactSearch(bank, dense, words, facts.__getitem__)
        found = [search.candidates(question) for question in asked]
        for name, title in (("lexical", "our words"), ("dense", "MiniLM alone")):
            found_by[title] = recall([[hit.id for hit in one[name]] for one in found], true)

        def ours() -> list[list[int]]:
            return [[hit.id for hit in search.search(question, max(KS))] for question in asked]

        found_by["fused by rank, late interaction, nothing learned"] = recall(ours(), true)
        started = time.process_time()
        search.learn(
            [questions[row] for row in parts["train"]],
            [right[row] for row in parts["train"]],
            steps,
            seed,
        )
        trained = time.process_time() - started
        ours()  # facts' tokens and questions' vectors are in memory from here on
        started = time.process_time()
        found_by["learned ranker"] = recall(ours(), true)
        took = (time.process_time() - started) / len(asked) * 1e3
        if cross:
            learn = parts["train"]
            search.cross = _cross(
                search, bank.tower, [questions[row] for row in learn], [right[row] for row in learn], seed
            )
            found_by["learned ranker, then cross-encoder"] = recall(ours(), true)
            search.ranker = None
            found_by["fused by rank, then cross-encoder"] = recall(ours(), true)
    about = {
        "split": f"by {by}, seed {seed}, {part}",
        "questions": len(rows),
        "facts": len(facts),
        "training, processor s": round(trained, 1),
        "a question, processor ms": round(took, 2),
    }
    return about, found_by


def _cross(search: Any, tower: Any, questions: list[str], right: list[int], seed: int) -> Any:
    """Trained on what the search finds without anything learned."""
    from kemm.encoders.cross_encoder import CrossEncoder
    from retrieval.reranking import RERANKED

    ranker, search.ranker = search.ranker, None
    found = [[search.say(hit.id) for hit in search.search(question, RERANKED)] for question in questions]
    search.ranker = ranker
    return CrossEncoder.train(tower, questions, [search.say(row) for row in right], found, seed=seed)


def way(arguments: Arguments) -> dict[str, Any]:
    """One of our ways in the table of `benchmarks.retrieval`; the first process that asks takes all."""
    _require_data()
    return shown(kept(arguments, "fvqa", lambda: figures(DATA, "fact", "test", 0, 200))[arguments["way"]], KS)


def way_bm25s(arguments: Arguments) -> dict[str, Any]:
    _require_data()
    return shown(bm25s_figures(DATA, "fact", "test", 0, arguments["stemmed"]), KS)


def _require_data() -> None:
    if not DATA.exists():
        raise ModuleNotFoundError("FVQA is not beside the repository, in ../shared/data/fvqa")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=("fact", "question"), default="fact")
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--cross", action="store_true", help="train a cross-encoder, too: minutes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    asked = (options.data, options.split, options.part, options.seed)
    beside = with_peer(lambda stemmed: bm25s_figures(*asked, stemmed))
    about, found_by = figures(*asked, options.steps, options.cross)
    if options.json:
        print(json.dumps({"about": about, "recall": beside | found_by}))
    else:
        print(", ".join(f"{name}: {value}" for name, value in about.items()))
        show(beside | found_by, KS)
    return 0


if __name__ == "__main__":
    sys.exit(main())

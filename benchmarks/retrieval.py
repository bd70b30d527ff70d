"""Speed and memory of ``retrieval`` beside its peers, in one run and one table.

    python -m benchmarks.retrieval                            # all measures, 3 alternating rounds
    python -m benchmarks.retrieval --only 'dense*' --rounds 5 --json
    python -m benchmarks.retrieval --list                     # what there is to measure
    python -m benchmarks.retrieval --index FOLDER             # text vectors of an index that `kemm index` wrote

Every measure runs in a fresh process, the contenders in turn; a row gives the median of the rounds, the least and the
most, and the most memory that the process ever held. Times are of the processor, on one thread, so that a busy machine
matters little. What is measured, and how: `retrieval_dense`, `retrieval_lexical`, `retrieval_linking`,
`retrieval_metaqa`, `retrieval_latency`; the same every round: `retrieval_fvqa`, `retrieval_glosses` (recalls) and
`retrieval_pictures` (accuracies). A peer that is not installed is left out, and the table says so.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import tempfile
from collections.abc import Callable

from benchmarks import frame
from benchmarks.frame import Arguments, Contender, Measure

_PICTURES = "retrieval_pictures"
#: Photos → entities: accuracies in percent on a test part, once; see `retrieval_pictures`.
PICTURES: dict[str, Measure] = {
    "photo → entity, Caltech-101, 97 synsets": Measure(
        "% top-1",
        {
            "zero-shot, ImageNet's classes": Contender(_PICTURES, "caltech", {"how": "classes"}),
            "zero-shot, and made-up classifiers": Contender(_PICTURES, "caltech", {"how": "among"}),
            "1-shot": Contender(_PICTURES, "caltech", {"how": "1-shot"}),
            "1-shot with zero-shot": Contender(_PICTURES, "caltech", {"how": "1-shot with zero-shot"}),
            "trained, linear head": Contender(_PICTURES, "caltech", {"how": "linear head"}),
            "trained, entity_image": Contender(_PICTURES, "caltech", {"how": "entity_image"}),
        },
    ),
    "photo → entity, Grocery, 81 products": Measure(
        "% top-1",
        {
            "zero-shot, iconic picture": Contender(_PICTURES, "grocery", {"how": "iconic"}),
            "zero-shot, iconic, both centred": Contender(_PICTURES, "grocery", {"how": "iconic, centred"}),
            "1-shot": Contender(_PICTURES, "grocery", {"how": "1-shot"}),
            "trained, linear head": Contender(_PICTURES, "grocery", {"how": "linear head"}),
            "trained, entity_image": Contender(_PICTURES, "grocery", {"how": "entity_image"}),
        },
    ),
    "photo → entity, all of WordNet": Measure(
        "% true first links",
        {"zero-shot, climbing": Contender(_PICTURES, "open_wordnet")},
    ),
    "photo → none of these": Measure(
        "% of absent refused",
        {
            "zero-shot, ImageNet's classes": Contender(_PICTURES, "none_of_these", {"how": "classes"}),
            "zero-shot, and made-up classifiers": Contender(_PICTURES, "none_of_these", {"how": "among"}),
            "1-shot": Contender(_PICTURES, "none_of_these", {"how": "1-shot"}),
            "trained, entity_image": Contender(_PICTURES, "none_of_these", {"how": "entity_image"}),
        },
    ),
    "collage of two photos": Measure(
        "% both found",
        {"zero-shot, regions": Contender(_PICTURES, "collages", {"count": 100})},
    ),
}
_OURS = ("our words", "MiniLM alone")
#: Recalls on a test part, once; see `retrieval_fvqa` and `retrieval_glosses`.
RECALLS: dict[str, Measure] = {
    name: Measure(
        "% recall@1",
        {
            **{way: Contender(module, "way", {"way": way}) for way in ways},
            "bm25s": Contender(module, "way_bm25s", {"stemmed": False}, is_elsewhere=True),
            "bm25s, stemmed": Contender(module, "way_bm25s", {"stemmed": True}, is_elsewhere=True),
        },
    )
    for name, module, ways in (
        (
            "FVQA, question → fact",
            "retrieval_fvqa",
            ("learned ranker", "fused by rank, late interaction, nothing learned", *_OURS),
        ),
        (
            "WordNet, definition → synset",
            "retrieval_glosses",
            ("fused by learned weights, head", "fused by reciprocal rank, no head", *_OURS),
        ),
    )
}
#: measure → its unit and who is measured, ours first; of times less is better.
MEASURES: dict[str, Measure] = {
    **{
        f"dense, {kind}, {how}": Measure(
            "µs/query",
            {
                "retrieval": Contender("retrieval_dense", "search_ours", {"kind": kind, "how": how}),
                "FAISS": Contender("retrieval_dense", "search_faiss", {"kind": kind, "how": how}),
            },
        )
        for kind in ("exact", "ivf", "hnsw")
        for how in ("single", "batch")
    },
    "lexical, build": Measure(
        "ms",
        {
            "retrieval": Contender("retrieval_lexical", "build_ours"),
            "bm25s": Contender("retrieval_lexical", "build_bm25s", {}, is_elsewhere=True),
            "SQLite FTS5": Contender("retrieval_lexical", "build_fts5"),
        },
    ),
    "lexical, gloss → synset": Measure(
        "µs/query",
        {
            "retrieval": Contender("retrieval_lexical", "search_ours"),
            "tantivy, glosses alone": Contender("retrieval_lexical", "search_tantivy"),
            "bm25s": Contender("retrieval_lexical", "search_bm25s", {}, is_elsewhere=True),
            "SQLite FTS5": Contender("retrieval_lexical", "search_fts5"),
        },
    ),
    "WordNet, word in a sentence → synset": Measure(
        "µs/mention",
        {
            "retrieval": Contender("retrieval_linking", "link_with_head"),
            "without the head": Contender("retrieval_linking", "link_without"),
            "MiniLM alone": Contender("retrieval_linking", "link_minilm"),
            "first sense": Contender("retrieval_linking", "link_first_sense"),
            "bm25s": Contender("retrieval_linking", "link_bm25s", {}, is_elsewhere=True),
        },
    ),
    "MetaQA, linking": Measure("ms/question", {"retrieval": Contender("retrieval_metaqa", "link")}),
    **{
        f"MetaQA, {hops} hop": Measure(
            "ms/question",
            {"retrieval": Contender("retrieval_metaqa", "answer", {"hops": hops})},
        )
        for hops in (1, 2, 3)
    },
    **RECALLS,
    "retrieve, all of it": Measure(
        "ms/question",
        {
            "retrieval": Contender("retrieval_latency", "row", {"whose": "ours"}),
            "rdflib, networkx, FTS5": Contender("retrieval_latency", "row", {"whose": "peer"}),
        },
    ),
    **PICTURES,
}


def main() -> int:
    options = _arguments()
    about = {"vectors": f"of {options.index}" if options.index else f"{options.size:,} drawn"}
    work = tempfile.mkdtemp(prefix="kemm-benchmark-")
    try:
        return frame.main(MEASURES, options, about, functools.partial(_prepare, options, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _prepare(options: argparse.Namespace, work: str, chosen: list[str]) -> Callable[[str], Arguments]:
    common = {"work": work, "size": options.size, "index": options.index or "", "features": options.features or ""}
    return lambda name: common | {"store": options.store or ""}


def _arguments() -> argparse.Namespace:
    parser = frame.parser(__doc__, threads=1)
    parser.add_argument("--size", type=int, default=120_000, help="vectors drawn, and synsets read at most")
    parser.add_argument("--index", help="folder that `kemm index` wrote: its text vectors instead of drawn ones")
    parser.add_argument("--store", help="the store that --index is of, for the time of a whole `retrieve`")
    parser.add_argument("--features", help="folder to keep features and vectors in; by default they go with the run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

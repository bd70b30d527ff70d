"""Speed and memory of ``kg.embeddings`` beside PyKEEN and plain products, in one run and one table.

    python -m benchmarks.embeddings --peer-python PYTHON      # a Python that has pykeen 1.11
    python -m benchmarks.embeddings --only 'ranks*' --rounds 5 --json

Every measure runs in a fresh process, the contenders in turn; a row gives the median of the rounds, the least and the
most, the last by processor time, and the most memory that the process ever held. All contenders get the same triples
(FB15k-237), dimension (128; of ComplEx and RotatE 128 complex numbers), batch and number of threads. What is measured,
and how: ``embedding_measures`` and ``embedding_graph_measures``. That ranks and scores are the same as PyKEEN's, and
what graph encoders give the same as PyG's and PyKEEN's, are tests: tests/kg/embeddings, tests/kg/gnn.

LibKGE has no wheel: it takes part where the peers' Python can import it (see ``embedding_libkge``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks import frame
from benchmarks.frame import Contender, Measure

DATA = frame.ROOT.parent / "shared" / "data" / "fb15k-237"
MODELS = ("distmult", "complex", "transe", "rotate")


def _contender(function: str, arguments: dict[str, Any] | None = None) -> Contender:
    """Where a function is, and that a peer's wants the peers' Python."""
    module = "embedding_measures"
    if function.startswith("graph_"):
        module = "embedding_graph_measures"
    elif function.endswith("_libkge"):
        module = "embedding_libkge"
    return Contender(module, function, arguments or {}, is_elsewhere="pykeen" in function or "peer" in function)


#: measure → its unit and who is measured; ours first.
MEASURES: dict[str, Measure] = {
    **{
        f"ranks, {model}": Measure(
            "triples/s",
            {
                "kg": _contender("ranks_ours", {"model": model}),
                "PyKEEN": _contender("ranks_pykeen", {"model": model}),
                "LibKGE": _contender("ranks_peer_libkge", {"model": model}),
            },
        )
        for model in MODELS
    },
    "1-vs-all, complex": Measure(
        "queries/s",
        {
            "kg": _contender("all_ours", {"precision": "float32"}),
            "kg, bfloat16": _contender("all_ours", {"precision": "bfloat16"}),
            "kg, bfloat16, answers together": _contender("all_ours", {"precision": "bfloat16", "group": 16}),
            "PyKEEN, LCWA": _contender("all_pykeen"),
            "LibKGE, 1vsAll": _contender("all_peer_libkge"),
            "three products alone": _contender("all_products", {"precision": "float32"}),
            "three products alone, bfloat16": _contender("all_products", {"precision": "bfloat16"}),
        },
    ),
    **{
        f"32 negatives, {model}": Measure(
            "triples/s",
            {
                "kg": _contender("negatives_ours", {"model": model}),
                "kg, shared": _contender("negatives_ours", {"model": model, "shared": True}),
                "PyKEEN, sLCWA": _contender("negatives_pykeen", {"model": model}),
            },
        )
        for model in MODELS
    },
    "whole graph, R-GCN": Measure(
        "edges/s",
        {"kg": _contender("graph_rgcn_ours"), "PyG, RGCNConv": _contender("graph_rgcn_pyg")},
    ),
    "whole graph, CompGCN": Measure(
        "edges/s",
        {
            "kg": _contender("graph_compgcn_ours", {"composition": "mult"}),
            "PyKEEN": _contender("graph_compgcn_pykeen", {"composition": "Multiplication"}),
        },
    ),
    "whole graph, relational attention": Measure(
        "edges/s",
        {"kg": _contender("graph_rgat_ours"), "PyG, GATv2Conv": _contender("graph_gatv2_pyg")},
    ),
    "sampled subgraphs, 10 and 10 of a hop": Measure(
        "seeds/s",
        {"kg": _contender("graph_sampled_ours"), "PyG, NeighborLoader": _contender("graph_sampled_peer")},
    ),
}


def main() -> int:
    parser = frame.parser(__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of a set (default ../shared/data/fb15k-237)")
    parser.add_argument("--dimension", type=int, default=128, help="of vectors (default 128)")
    parser.add_argument("--batch", type=int, default=512, help="triples or queries a step (default 512)")
    options = parser.parse_args()
    about = {"data": options.data.name, "dimension": options.dimension, "batch": options.batch}
    return frame.main(MEASURES, options, about, lambda _: lambda name: about | {"data": str(options.data)})


if __name__ == "__main__":
    sys.exit(main())

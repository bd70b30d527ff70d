"""Walks on a snapshot: neighbourhoods, paths, PageRank, random walks and Steiner trees.

    graph.walks                      by IRI, on the store as it is now, or was           kg.walks.named
    neighbourhood(snapshot, …)       k hops with fan-out limits and relation filters     kg.walks.sampling
    neighbourhoods(snapshot, …)      the same of many entities, one for each
    shortest_path(snapshot, …)       between two sets of entities                        kg.walks.paths
    simple_paths(snapshot, …)        all of at most k edges
    pagerank(snapshot, …)            personalised, by forward push, with an error bound  kg.walks.forward_push
    random_walks(snapshot, …)        uniform or node2vec                                 kg.walks.node2vec
    steiner_tree(snapshot, …)        a compact connected subgraph, prize-collecting      kg.walks.steiner

The functions know dense numbers only (``snapshot.index_of``). They are compiled when first used, and the compiled code
is kept on disk; importing this package compiles and imports nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kg import registry

if TYPE_CHECKING:
    from kg.walks.forward_push import pagerank as pagerank
    from kg.walks.forward_push import pageranks as pageranks
    from kg.walks.named import Walks as Walks
    from kg.walks.node2vec import random_walks as random_walks
    from kg.walks.paths import shortest_path as shortest_path
    from kg.walks.paths import simple_paths as simple_paths
    from kg.walks.sampling import neighbourhood as neighbourhood
    from kg.walks.sampling import neighbourhoods as neighbourhoods
    from kg.walks.steiner import steiner_tree as steiner_tree

#: Public name → "module:attribute".
WALKS: dict[str, str] = {
    "Walks": "kg.walks.named:Walks",
    "neighbourhood": "kg.walks.sampling:neighbourhood",
    "neighbourhoods": "kg.walks.sampling:neighbourhoods",
    "shortest_path": "kg.walks.paths:shortest_path",
    "simple_paths": "kg.walks.paths:simple_paths",
    "pagerank": "kg.walks.forward_push:pagerank",
    "pageranks": "kg.walks.forward_push:pageranks",
    "random_walks": "kg.walks.node2vec:random_walks",
    "steiner_tree": "kg.walks.steiner:steiner_tree",
}

__all__ = list(WALKS)


def __getattr__(name: str) -> Any:
    if name not in WALKS:
        raise AttributeError(f"module 'kg.walks' has no attribute '{name}'")
    return registry.resolve(WALKS, name, "walk")

"""kill -9 at random moments of builds and updates of an index: it opens, at a version that it says and holds.

``KEMM_KILLS=60`` kills so many times; the ordinary run kills ten times.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.errors import IndexStale
from retrieval.catalogue import build_index, update_index
from retrieval.entity_index import EntityIndex
from tests.retrieval.small_world import LABEL, HashedWords

KILLS = int(os.environ.get("KEMM_KILLS", "10"))

#: Adds an entity and deletes another, then brings the index up to date, over and over; each fifth time it builds anew.
#: Says after the first round how long one takes.
WORK = """
import sys, time
from kg import KnowledgeGraph, Literal
from retrieval.catalogue import build_index, update_index
from tests.retrieval.small_world import LABEL, HashedWords

with KnowledgeGraph.open(sys.argv[1], create=False) as graph:
    for number in range(1000):
        started = time.perf_counter()
        new = graph.version + 1
        with graph.edit(source="edit") as edit:
            edit.add(f"x:{new}", LABEL, Literal(f"thing {new}"))
            if new > 21:
                edit.retract(f"x:{new - 20}", LABEL)
        (build_index if new % 5 == 0 else update_index)(graph, sys.argv[2], HashedWords())
        if number == 1:
            print(time.perf_counter() - started, flush=True)
"""


def test_a_kill_leaves_a_usable_index(tmp_path: Path) -> None:
    address, out = f"sqlite:///{tmp_path}/store.db", tmp_path / "index"
    rng, reached = random.Random(3), [0]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with KnowledgeGraph.open(address) as graph:
        with graph.edit(source="start") as edit:
            for n in range(300):
                edit.add(f"y:{n}", LABEL, Literal(f"old {n}"))
            edit.add("x:1", LABEL, Literal("thing 1"))
        build_index(graph, out, HashedWords())
    for _ in range(KILLS):
        command = [sys.executable, "-c", WORK, address, str(out)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        assert child.stdout is not None
        seconds = child.stdout.readline()
        assert seconds, child.communicate()[1]
        time.sleep(rng.random() * 2 * float(seconds))
        child.send_signal(signal.SIGKILL)
        _, said = child.communicate()
        assert child.returncode == -signal.SIGKILL, said
        with KnowledgeGraph.open(address, create=False) as graph:
            index = EntityIndex.open(out, graph, allow_stale=True)
            check(index, graph, index.kg_version)
            if index.kg_version < graph.version:
                with pytest.raises(IndexStale, match="run `kemm index --update`"):
                    EntityIndex.open(out, graph)
            update_index(graph, out, HashedWords())
            index = EntityIndex.open(out, graph)
            check(index, graph, graph.version)
        assert len(list(out.glob("generation-*"))) == 1  # what the killed one left is cleared away
        reached.append(index.kg_version)
    assert reached == sorted(reached) and reached[-1] > 2 * KILLS


def check(index: EntityIndex, graph: KnowledgeGraph, version: int) -> None:
    """The index holds just the entities of that version, in each of its parts, and finds the newest by its name."""
    held = graph.entity_ids(version)
    assert sorted(index.text.ids) == held.tolist() and len(index.words) == len(held)
    newest = f"x:{version}"
    (vector,) = HashedWords().embed([f"thing {version}"])
    (hit,) = index.search_text(vector, 1)
    assert graph.iris([hit.id])[hit.id] == newest
    assert newest in graph.iris([hit.id for hit in index.search_words(f"thing {version}", 3)]).values()
    gone = np.array(list(graph.ids([f"x:{version - 20}"]).values()))
    assert version < 22 or not index.text_vectors(gone).any()

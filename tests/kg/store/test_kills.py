"""kill -9 at random moments of loads and edits: the store opens, at the version before or after.

``KEMM_KILLS=60`` kills so many times; the ordinary run kills a few times only.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kg import KnowledgeGraph
from kg.store import bulk

KILLS = int(os.environ.get("KEMM_KILLS", "8"))

#: What each version does, told by its number: loads of segments in one go and in parts, edits, and a retraction.
WORK = """
import sys
from kg import KnowledgeGraph
from kg.store import bulk
import kg.store.batches as batches

bulk.SMALL, bulk.PORTION, batches.BATCH = 0, 2_000, 1_000

def facts(version):
    return [(f"v{version}n{n % 997}", f"r{n % 5}", f"n{n}") for n in range(6_000)]

with KnowledgeGraph.open(sys.argv[1], create=False) as graph:
    print("ready", flush=True)
    for _ in range(int(sys.argv[2])):
        version = graph.version + 1
        if version % 4 == 0:
            bulk.load(graph, facts(version), source="parts", resume=True, identity=str(version))
        elif version % 4 == 1:
            bulk.load(graph, facts(version), source="whole")
        elif version % 4 == 2:
            with graph.edit(source="edit") as edit:
                for n in range(50):
                    edit.add(f"v{version}n{n}", "r", f"n{n}")
        else:
            graph.retract(f"v{version - 1}n7", "r", source="edit")
"""


def expected(version: int) -> int:
    """The number of statements at a version, from its number alone."""
    return sum((6_000, 6_000, 50, -1)[done % 4] for done in range(1, version + 1))


@pytest.mark.parametrize("kind", ["file", "postgresql"])
def test_a_kill_leaves_the_version_before_or_after(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if kind == "postgresql":
        if KILLS < 50:
            pytest.skip("only with KEMM_KILLS=50 or more: a server survives its clients")
        address = request.getfixturevalue("postgres")
    else:
        address = f"sqlite:///{tmp_path}/store.db"
    with KnowledgeGraph.open(address) as graph:
        bulk.load(graph, [], source="none")
        start = graph.version
    assert start == 0
    rng, reached = random.Random(5), [0]
    path = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    for kill in range(KILLS):
        command = [sys.executable, "-c", WORK, address, "1000"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=path, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n", child.communicate()[1]
        time.sleep(rng.random() * 0.6)
        child.send_signal(signal.SIGKILL)
        _, said = child.communicate()
        assert child.returncode == -signal.SIGKILL, said
        with KnowledgeGraph.open(address, create=False) as graph:
            version = graph.version
            assert graph.stats()["triples"] == expected(version) and len(graph.log()) == version
            assert sum(1 for _ in graph.triples(version=version)) == expected(version)
            back = rng.randrange(version + 1)
            assert graph.count_facts(back) == expected(back)
            if kill % 3 == 2:
                graph.drop_load()
        reached.append(version)
    assert reached == sorted(reached) and reached[-1] > 0

"""Kernels on several cores leave torch its number of threads, and take no more themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Ranks by the compiled kernel, then says how many threads torch and numba have.
RANK = """
import sys, torch
if sys.argv[1]:
    torch.set_num_threads(int(sys.argv[1]))
import numba, numpy as np
from kg.embeddings.counting import count

found = [np.zeros(2, dtype=np.int64) for _ in range(4)]
scores, one = np.array([[1.0, 3.0, 2.0]], dtype=np.float32), np.zeros(2, dtype=np.int64)
count(scores, one, np.array([0, 1]), one, one, one, *found)
assert found[0].tolist() == [2, 0], found
print(torch.get_num_threads(), numba.get_num_threads())
"""


@pytest.mark.parametrize(("environment", "said"), [("1", ""), ("", "1"), ("", "2"), ("2", "1")])
def test_torch_keeps_its_number_of_threads(environment: str, said: str) -> None:
    variables = os.environ | {"NUMBA_NUM_THREADS": "2"} | ({"OMP_NUM_THREADS": environment} if environment else {})
    done = subprocess.run(
        [sys.executable, "-c", RANK, said], env=variables, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    wanted = said or environment
    assert done.stdout.split() == [wanted, wanted]

"""Machine code is kept, loaded without numba, and made again where what was kept is no good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = """
def total(numbers, count):
    found = 0
    for i in range(count):
        found += numbers[i]
    return found
"""

PROGRAM = """
import sys
import numpy as np
from kg.store.compiled import Library
library = Library("some_kernels", total="i8* i8")
print(library.total(np.arange(5), 5), "numba" in sys.modules)
"""


def run(folder: Path, home: Path) -> str:
    path = [str(folder), str(Path(__file__).parents[3])]
    program = f"import sys; sys.path[:0] = {path!r}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"HOME": str(home), "PATH": ""}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_code_is_kept_and_a_broken_file_made_again(tmp_path: Path) -> None:
    (tmp_path / "some_kernels.py").write_text(KERNELS)
    assert run(tmp_path, tmp_path) == "10 True"
    (kept,) = tmp_path.rglob("*.kernels")
    assert run(tmp_path, tmp_path) == "10 False"
    kept.write_bytes(kept.read_bytes()[:-1])
    assert run(tmp_path, tmp_path) == "10 True"
    assert run(tmp_path, tmp_path) == "10 False"
    (tmp_path / "some_kernels.py").write_text(KERNELS.replace("found = 0", "found = 1"))
    assert run(tmp_path, tmp_path) == "11 True"


def test_a_kernel_says_what_it_is_not_given() -> None:
    import numpy as np

    from kg.store.numbering import kernels

    with pytest.raises(AssertionError):
        kernels.words(np.zeros(1, np.int64), *[np.zeros(1, np.int64)] * 2, 1, 0, np.zeros(1, np.uint64))

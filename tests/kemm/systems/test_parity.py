"""The same numbers from the same weights as the reference implementation, for every system."""

from __future__ import annotations

import pytest

from benchmarks.parity import cases
from benchmarks.parity_case import Case, compare


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.system}: {case.reference}")
def test_the_same_weights_give_the_same_numbers_and_gradients(case: Case):
    try:
        found = compare(case)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    assert max(found.outputs.values()) <= 1e-5, found.outputs
    assert found.gradients <= 1e-4, found.worst

"""Batches made ahead are those made in line, in order, and end cleanly."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from kemm.data.ahead import Ahead


def batch_of(number: int) -> list[float]:
    return np.random.default_rng((3, number)).random(4).tolist()


@pytest.mark.parametrize("depth", [0, 1, 2, 50])
@pytest.mark.parametrize("first", [0, 7])
def test_they_are_those_made_in_line_from_any_step_on(depth: int, first: int) -> None:
    with Ahead(batch_of, range(first, 10), depth) as batches:
        assert list(batches) == [batch_of(number) for number in range(first, 10)]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_no_more_than_the_depth_are_made_before_they_are_asked_for(depth: int) -> None:
    made: list[int] = []

    def note(number: int) -> int:
        made.append(number)
        return number

    def made_in_the_end(expected: int) -> list[int]:
        deadline = time.monotonic() + 10
        while len(made) < expected and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)  # time for one too many
        return made

    with Ahead(note, range(100), depth) as batches:
        assert next(batches) == 0
        assert made_in_the_end(1 + depth) == list(range(1 + depth))
        assert [next(batches) for _ in range(5)] == [1, 2, 3, 4, 5]
        assert made_in_the_end(6 + depth) == list(range(6 + depth))


def test_the_next_batch_is_made_while_the_step_computes() -> None:
    step_goes_on, made = threading.Event(), threading.Event()

    def make(number: int) -> int:
        if number == 1:
            assert step_goes_on.wait(5)
            made.set()
        return number

    with Ahead(make, range(2), 1) as batches:
        next(batches)
        step_goes_on.set()  # the step that uses batch 0
        assert made.wait(5)  # batch 1 is there before it is asked for


def test_a_fault_is_raised_at_its_own_batch_and_closing_ends_the_thread() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("no pictures")
        return number

    before = threading.active_count()
    with Ahead(make, range(9), 3) as batches:
        assert [next(batches), next(batches)] == [0, 1]
        with pytest.raises(ValueError, match="no pictures"):
            next(batches)
    assert threading.active_count() == before
    with pytest.raises(StopIteration):
        next(batches)

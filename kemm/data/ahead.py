"""The next steps' batches, made beside the step that is being computed."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """An iterator over ``batch_of`` of each number, in their order, some of which are made before they are asked for.

    One thread makes them, one after another, so ``batch_of`` need not be safe for several; PyTorch, numpy and files let
    the step go on meanwhile. It must hang on the number alone, not on the global random state, which the step uses.

        with Ahead(batch_of, range(first, last)) as batches:
            for batch in batches: …

    Args:
        batch_of: makes the batch of a number.
        numbers: of the steps; a run that goes on begins with its next.
        depth: how many batches are made ahead, and so held; 0 makes each when it is asked for.

    Attributes:
        waited: seconds that whoever asks has stood still so far.
    """

    def __init__(self, batch_of: Callable[[int], Item], numbers: Iterable[int], depth: int = 2) -> None:
        self._batch_of, self._numbers, self._depth = batch_of, iter(numbers), depth
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="batches") if depth else None
        self._made: deque[Future[Item]] = deque()
        self.waited = 0.0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        """The next batch.

        Raises:
            Exception: what ``batch_of`` raised, at the batch for which it did.
        """
        started = time.perf_counter()
        try:
            if self._maker is None:
                return self._batch_of(next(self._numbers))
            self._fill(self._maker)
            if not self._made:
                raise StopIteration
            batch = self._made.popleft().result()
            self._fill(self._maker)
            return batch
        finally:
            self.waited += time.perf_counter() - started

    def _fill(self, maker: ThreadPoolExecutor) -> None:
        for number in itertools.islice(self._numbers, self._depth - len(self._made)):
            self._made.append(maker.submit(self._batch_of, number))

    def close(self) -> None:
        """Make no more; waits for the one that is being made."""
        self._numbers = iter(())
        self._made.clear()
        if self._maker is not None:
            self._maker.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

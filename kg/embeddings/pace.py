"""Training in pieces: a checkpoint every few minutes, and an end after so many, whichever step it is in.

pace = Pace(time.monotonic, checkpoint_minutes=5, minutes=9)
fit(..., pace=pace)          # stops after nine minutes; the same call goes on
"""

from __future__ import annotations

from collections.abc import Callable


def _never() -> float:
    return 0.0


class Pace:
    """Says after each step whether a checkpoint is due and whether the time is up.

    Args:
        clock: seconds from any moment on; by default time stands still and nothing is ever due.
        checkpoint_minutes: between checkpoints within an epoch; None: at the ends of epochs alone.
        minutes: after which training stops; None: when it is done.
    """

    def __init__(
        self,
        clock: Callable[[], float] = _never,
        checkpoint_minutes: float | None = None,
        minutes: float | None = None,
    ) -> None:
        self._clock, self._between = clock, checkpoint_minutes
        self._last = clock()
        self._end = None if minutes is None else self._last + 60 * minutes

    def is_due(self) -> bool:
        """Whether the last checkpoint is too long ago; ``written`` says when there is one."""
        return self._between is not None and self._clock() - self._last >= 60 * self._between

    def written(self) -> None:
        """Take note of a checkpoint."""
        self._last = self._clock()

    def is_over(self) -> bool:
        """Whether the time to train is up."""
        return self._end is not None and self._clock() >= self._end

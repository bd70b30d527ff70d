"""Ctrl-C during training: the step in hand is done and a checkpoint written; the second time it means now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed."""

    is_asked = False


@contextmanager
def held() -> Iterator[Interrupt]:
    """Hold the first Ctrl-C back; whoever runs looks at ``is_asked`` after each step. Other threads hold nothing."""
    found = Interrupt()
    usual = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        found.is_asked = True
        signal.signal(signal.SIGINT, usual)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, ask)
    try:
        yield found
    finally:
        if signal.getsignal(signal.SIGINT) is ask:
            signal.signal(signal.SIGINT, usual)

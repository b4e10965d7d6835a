"""Telling how a run goes, and stopping it when asked."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Watch:
    """Hears what a run does; this one keeps it to itself.

    Subclass it to show progress: the run calls `began` and `ended` once per step, and
    `advanced` as often as there is news in between.
    """

    def began(self, step: str) -> None:
        """Hear that a step has begun."""

    def advanced(self, step: str, done: float, total: float, note: str = "") -> None:
        """Hear that a step is `done` of `total` through."""

    def ended(self, step: str, state: str, note: str, seconds: float) -> None:
        """Hear that a step is ``done``, ``unconverged``, ``failed`` or ``stopped``, and why."""

    def closed(self) -> None:
        """Hear that the run is over, well or not."""


class Stop:
    """Whether Ctrl-C was pressed while `listening`, for work that swallows the interrupt.

    Samplers answer Ctrl-C with the draws they have; a run must not take those for a result.
    """

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.asked:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def listening(self) -> Iterator[Stop]:
        """Note every Ctrl-C inside the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = signal.getsignal(signal.SIGINT)

        def note(number: int, frame: FrameType | None) -> None:
            self.asked = True
            if callable(before):
                before(number, frame)
            else:
                raise KeyboardInterrupt

        signal.signal(signal.SIGINT, note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

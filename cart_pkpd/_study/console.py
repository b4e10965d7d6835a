"""Progress on a terminal: live bars where there is one, short lines where there is not."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cart_pkpd._core.safe import visible
from cart_pkpd._study.watch import Watch

_STYLES = {"done": "green", "unconverged": "yellow", "failed": "red", "stopped": "red"}
_SECONDS_BETWEEN_LINES = 15.0


def watch(console: Console, *, quiet: bool) -> Watch:
    """Return what shows progress on `console`: bars, lines, or nothing."""
    if quiet:
        return Watch()
    return Bars(console) if console.is_terminal else Lines(console)


class Lines(Watch):
    """One short line per step, and now and then one in between; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = 0.0

    def began(self, step: str) -> None:
        """Print that a step begins."""
        self._last = time.monotonic()
        self._say(f"{step} ...")

    def advanced(self, step: str, done: float, total: float, note: str = "") -> None:
        """Print how far a long step is, at most every 15 seconds."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES and total > 0:
            self._last = time.monotonic()
            self._say(f"{step}: {100 * done / total:.0f} %{_after(note)}")

    def ended(self, step: str, state: str, note: str, seconds: float) -> None:
        """Print how a step ended."""
        self._say(f"{step}: {state}{_after(note)} ({seconds:.1f} s)")

    def _say(self, text: str) -> None:
        # A line in a log is not wrapped to a width that nobody has.
        self._console.print(
            visible(text), markup=False, highlight=False, emoji=False, soft_wrap=True
        )


class Bars(Watch):
    """A live bar for the step that runs, a coloured line for each that has ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._step = ""

    def began(self, step: str) -> None:
        """Show a bar."""
        self.closed()
        self._step = step
        self._progress = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task(step, total=None, note="")
        self._progress.start()

    def advanced(self, step: str, done: float, total: float, note: str = "") -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, note=visible(note))

    def ended(self, step: str, state: str, note: str, seconds: float) -> None:
        """Replace the bar by a line; that of many fits stays until all are there."""
        if step == self._step:
            self.closed()
        style = _STYLES.get(state, "default")
        self._console.print(f"  [{style}]{state:>11}[/]  ", end="")
        self._console.print(
            visible(f"{step}{_after(note)} ({seconds:.1f} s)"),
            markup=False,
            emoji=False,
            highlight=False,
        )

    def closed(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _after(note: str) -> str:
    return f": {note}" if note else ""

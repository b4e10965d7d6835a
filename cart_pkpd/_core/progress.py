"""A progress bar for long work: HTML in a notebook, a line in a terminal, nothing elsewhere."""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from cart_pkpd._core.errors import DataError

_SECONDS_BETWEEN = 0.2


class News(Protocol):
    """How far long work is."""

    @property
    def stage(self) -> str:
        """What is being done."""

    @property
    def done(self) -> int:
        """Steps done."""

    @property
    def total(self) -> int:
        """Of how many, 0 while that is not known."""


def listener(
    progress: Callable[[Any], None] | bool | None, what: str
) -> Callable[[Any], None] | None:
    """Return what is told of progress, or None.

    Parameters
    ----------
    progress : callable, bool or None
        A function of the caller's own; True for a bar, False for none; None for a bar in a
        notebook only.
    what : str
        Name of the work, such as the label of a fit.

    Raises
    ------
    DataError
        For anything else.
    """
    if callable(progress):
        return progress
    if progress is not None and not isinstance(progress, bool):
        raise DataError(
            f"progress: give True for a bar, False for none or a function, not {progress!r}."
        )
    if in_notebook():
        return None if progress is False else NotebookBar(what)
    return TerminalBar(what) if progress and sys.stderr.isatty() else None


def in_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Bar:
    """Hears news of work and shows it a few times a second, the last news always."""

    def __init__(self, what: str) -> None:
        self._what, self._shown, self._began = what, 0.0, time.monotonic()

    def __call__(self, news: News) -> None:
        """Hear how far the work is."""
        now, over = time.monotonic(), 0 < news.total <= news.done
        if over or now - self._shown >= _SECONDS_BETWEEN:
            self._shown = now
            self._show(news, over=over)

    def text(self, news: News) -> str:
        """Return the news in words."""
        count = f" {news.done:,} of {news.total:,}" if news.total else ""
        diverged = getattr(news, "divergences", 0)
        more = f", {diverged} divergent" if diverged else ""
        seconds = time.monotonic() - self._began
        return f"{self._what}: {news.stage}{count}{more} ({seconds:.0f} s)"

    def _show(self, news: News, *, over: bool) -> None:
        raise NotImplementedError


class NotebookBar(_Bar):
    """A bar that needs no widgets: one output of the cell, replaced as the work goes on."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self._handle: Any = None

    def html(self, news: News) -> str:
        """Return the bar as HTML."""
        part = f"value='{news.done}' max='{news.total}'" if news.total else ""
        return f"<progress {part}></progress> <small>{html.escape(self.text(news))}</small>"

    def _show(self, news: News, *, over: bool) -> None:
        # Imported by name: IPython is there in a notebook alone, and has no types.
        shown: Any = importlib.import_module("IPython.display")
        if self._handle is None:
            self._handle = shown.display(shown.HTML(self.html(news)), display_id=True)
        else:
            self._handle.update(shown.HTML(self.html(news)))


class TerminalBar(_Bar):
    """One line of a terminal, written over as the work goes on."""

    def _show(self, news: News, *, over: bool) -> None:
        end = "\n" if over else ""
        sys.stderr.write(f"\r\033[K{self.text(news)}{end}")
        sys.stderr.flush()

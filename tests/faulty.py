"""The real command in a process of its own, with a fault in it: ``faulty.py FAULT ARGUMENTS``."""

from __future__ import annotations

import datetime as dates
import itertools
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from cart_pkpd import cli
from cart_pkpd._core import files
from cart_pkpd._study import folder


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def halt_at(suffix: str) -> None:
    """Stop when half of a file of this kind is there, and wait for what comes."""
    flush = files._flush

    def wait(part: Path) -> None:
        if part.suffix != suffix:
            flush(part)
            return
        os.truncate(part, part.stat().st_size // 2)
        say("half written")
        time.sleep(600)

    files._flush = wait


def turn_the_clock_back() -> None:
    """Let the clock of the day lose an hour whenever it is asked."""
    began, hours = time.time(), itertools.count()

    class Clock(dates.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: began - 3600.0 * next(hours)
    time.time_ns = lambda: int(time.time() * 1e9)
    folder.datetime = Clock


def limit_memory(mebibytes: int) -> None:
    """Allow so much beyond what the program itself takes."""
    import nutpie as nutpie  # what is loaded later needs room for its code

    from cart_pkpd import checks, compare, fit, plots, report

    assert all((checks, compare, fit, plots, report))
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    most = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_steps(most: int) -> None:
    """Let the solver give up on who needs more steps."""
    from cart_pkpd._engine import solve

    real = solve.levels
    solve.levels = lambda *args, **how: real(*args, **{**how, "max_steps": most})


if __name__ == "__main__":
    fault, *arguments = sys.argv[1:]
    match fault.split():
        case ["half", "a", "fit"]:
            halt_at(".nc")
        case ["half", "a", "page"]:
            halt_at(".html")
        case ["clock"]:
            turn_the_clock_back()
        case ["memory", mebibytes]:
            limit_memory(int(mebibytes))
        case ["steps", most]:
            limit_steps(int(most))
    cli.main(arguments)

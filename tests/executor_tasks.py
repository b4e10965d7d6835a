"""Tasks for test_executor, in a module of their own so that workers can import them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from cart_pkpd import executor
from cart_pkpd._core.errors import FitError


def square(number: int) -> int:
    return number**2


def slow_square(number: int) -> int:
    time.sleep(0.05 * (3 - number % 3))
    return number**2


def normal(task: tuple[int, int]) -> float:
    seed, index = task
    return float(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,))).normal())


def process(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def limits(_: int) -> tuple[int, str | None]:
    return executor.cores_here(), os.environ.get("OMP_NUM_THREADS")


def picky(number: int) -> int:
    if number == 1:
        raise FitError("patient 'x1' has no records.")
    if number == 2:
        raise ZeroDivisionError("division by zero")
    return number


def unsendable(number: int) -> object:
    return (lambda: number) if number == 1 else number


def dies_at_first(task: tuple[str, int]) -> int:
    """Kill this process the first time that task 2 comes by."""
    mark, number = task
    if number == 2 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return number**2


def always_dies(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def counts_tries(task: tuple[str, int]) -> int:
    """Note every try of a task in a file, and do not survive task 1."""
    with Path(task[0]).open("a") as file:
        file.write(f"{task[1]}\n")
    return always_dies(task[1])


def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds

"""Levels of many patients from the compiled solver, on several processors where that pays."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._engine.program import Program, state_symbol
from cart_pkpd._engine.schedule import Schedule

RTOL = 1e-6
MAX_STEPS = 20_000


@dataclass(frozen=True)
class Solver:
    """How accurately equations are solved.

    Attributes
    ----------
    rtol : float
        Relative tolerance of each state, 1e-13 or more.
    max_steps : int
        Most steps per patient; one that needs more has no solution.
    """

    rtol: float = RTOL
    max_steps: int = MAX_STEPS

    def __post_init__(self) -> None:
        exact = isinstance(self.rtol, int | float | np.floating) and 1e-13 <= self.rtol < 1
        steps = isinstance(self.max_steps, int | np.integer) and self.max_steps >= 1
        if not (exact and steps):
            raise ModelError(
                "rtol must lie between 1e-13 and 1 and max_steps be a whole number of at least 1, "
                f"not {self.rtol!r} and {self.max_steps!r}."
            )

    def changed(self, rtol: float | None, max_steps: int | None) -> Solver:
        """Return the same with what is given."""
        return Solver(
            self.rtol if rtol is None else rtol,
            self.max_steps if max_steps is None else max_steps,
        )


LOWEST = 1e-300
"""Levels below this count as this where a logarithm is taken."""

REASONS = MappingProxyType(
    {
        0: "solved",
        1: "more steps than max_steps were needed",
        2: "the step size became too small",
        3: "the solution became infinite",
        4: "a level is not a number",
        5: "an amount that had died out came back below 0",
    }
)
BELOW_ZERO = 5
"""The reason that whoever asked for levels finds; the solver itself takes any sign."""
_WORTH_THREADS = 64


@lru_cache(maxsize=128)
def observing_states(program: Program) -> Program:
    """Return the program with every state as a further endpoint, unless one has its name.

    Levels and states then come from one compiled function.
    """
    more = tuple(s for s in program.states if s not in program.endpoints)
    return replace(
        program,
        endpoints=(*program.endpoints, *more),
        observe=(*program.observe, *(state_symbol(s) for s in more)),
    )


def check_state_names(program: Program) -> None:
    """Refuse to show states if an endpoint has the name of one and is something else.

    Raises
    ------
    ModelError
        Naming the first such state.
    """
    observed = dict(zip(program.endpoints, program.observe, strict=True))
    for name in program.states:
        if name in observed and observed[name] is not state_symbol(name):
            raise ModelError(
                f"{program.name} has a state and an endpoint called {name!r} that differ; give "
                "one of them another name to see the states."
            )


def floors_of(program: Program) -> NDArray[np.float64]:
    """Return the sizes below which the accuracy of states does not matter."""
    return np.array(program.floors, dtype=float) if program.floors else np.zeros(1)


def options_of(program: Program, solver: Solver, threads: int = 1) -> NDArray[np.float64]:
    """Return the solver's settings as the kernels take them."""
    return np.array([solver.rtol, solver.max_steps, program.start, threads], dtype=float)


def sensitivities(
    program: Program,
    wrt: tuple[str, ...],
    base: NDArray[np.float64],
    schedule: Schedule,
    *,
    rtol: float = RTOL,
    max_steps: int = MAX_STEPS,
    threads: int | None = None,
    only: NDArray[np.bool_] | None = None,
    lanes: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Solve for every patient, with derivatives by some parameters.

    Parameters
    ----------
    program : Program
        The equations.
    wrt : tuple of str
        Parameters to differentiate by.
    base : ndarray, shape (k, v)
        Every value of every patient, natural scale.
    schedule : Schedule
        Observations, doses, inputs.
    rtol, max_steps : float, int
        Relative tolerance, and most steps per patient.
    threads : int, optional
        Patients solved at the same time; by default all processors for many patients.
    only : ndarray of bool, shape (k,), optional
        Patients to solve for; what is returned of the others is NaN.
    lanes : bool
        Several patients in lock-step where the equations are differential and nothing is
        differentiated by. A patient's levels then differ by less than the tolerance from those
        without, and are the same among any other patients.

    Returns
    -------
    values : ndarray, shape (n,)
        Level of each observation in the schedule's order; NaN for unsolved patients.
    sensitivities : ndarray, shape (n, m)
        Derivative of each by each of `wrt`, natural scale.
    status : ndarray of int, shape (k,)
        0 where solved; `REASONS` has the words.
    """
    # LLVM takes a moment to import; declaring a model must not wait for it.
    from cart_pkpd._engine.compiling import predict_of
    from cart_pkpd._engine.kernel import kernel, lanes_kernel

    k, n, m = schedule.n_patients, schedule.n_observations, len(wrt)
    # Where nothing is differentiated by, no sensitivity is written.
    values = np.empty(n) if only is None else np.full(n, np.nan)
    sens = np.full((n, m) if m else (1, 1), np.nan)
    status = np.zeros(k, dtype=np.int64)
    wide = lanes and program.states and not wrt
    predict = predict_of(lanes_kernel(program) if wide else kernel(program, wrt, None))
    rows = np.ascontiguousarray(base, dtype=float)
    given = np.ascontiguousarray(rows[:, program.columns(wrt)])
    settings = options_of(program, Solver(rtol, max_steps))
    if wide:
        settings = np.append(settings, float(schedule.shared))
    else:
        schedule = schedule.written_out()

    def some(first: int, last: int) -> None:
        predict(
            first, last, given, rows, *schedule.arrays, floors_of(program), settings, values,
            sens, status,
        )  # fmt: skip

    if only is None or only.all():
        _spread(some, k, threads)
    else:
        for first, last in _runs(only):
            some(first, last)
    return values, sens if m else np.empty((n, 0)), status


def levels(
    program: Program,
    base: NDArray[np.float64],
    schedule: Schedule,
    *,
    rtol: float = RTOL,
    max_steps: int = MAX_STEPS,
    threads: int | None = None,
    only: NDArray[np.bool_] | None = None,
    lanes: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Solve for every patient, without derivatives; as :func:`sensitivities`."""
    values, _, status = sensitivities(
        program,
        (),
        base,
        schedule,
        rtol=rtol,
        max_steps=max_steps,
        threads=threads,
        only=only,
        lanes=lanes,
    )
    return values, status


def _runs(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and one past the last position of each run of true values."""
    edges = np.diff(np.concatenate([[0], where.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def _spread(task: Any, k: int, threads: int | None) -> None:
    """Run ``task(first, last)`` over k patients in chunks, which do not depend on each other."""
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads!r}.")
    workers = threads or ((os.cpu_count() or 1) if k >= _WORTH_THREADS else 1)
    workers = max(1, min(workers, k))
    if workers == 1:
        task(0, k)
        return
    edges = np.linspace(0, k, 4 * workers + 1).astype(int)
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(task, int(a), int(b)) for a, b in pairwise(edges)]:
            done.result()

"""One population ODE problem as plain data, the same for every engine that is timed on it.

Thirty patients; states E (effectors, copies/µg), M (memory cells, copies/µg), A (antigen, relative
to its start) and Y (IL-6, pg/mL); t in days::

    h  = A/(ka + A)
    E' = rho*E*h - (alpha + k)*E      E(0) = e0
    M' = k*E - beta*M                 M(0) = 0
    A' = g*(1 - A) - kappa*E*A        A(0) = 1
    Y' = kout*(Y0 - Y) + prod*E*h     Y(0) = Y0

``ln(E + M)`` and ``ln(Y)`` are observed with normal noise. What is timed is the log-likelihood of
all patients and its gradient in the natural log of all 30 × 10 individual parameters.

The observations and the reference answers are in ``reference.npz``, which ``make_reference.py``
writes. NumPy is all this file needs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("e0", "rho", "ka", "alpha", "k", "beta", "kappa", "g", "kout", "prod")
TYPICAL = np.array([5.0, 1.0, 0.1, 0.16, 0.002, 0.004, 1e-4, 0.01, 2.0, 0.05])
Y0 = 5.0
STATES = ("E", "M", "A", "Y")
STATE_SCALE = np.array([1.0, 1.0, 1e-3, 1.0])
PATIENTS = 30
SPREAD = 0.2
SIGMA = 0.5
TIMES = np.array([0, 1, 3, 5, 7, 10, 12, 14, 17, 21, 28, 42, 60, 90, 180, 365.0])

RTOL = 1e-6
ATOL = 1e-6 * STATE_SCALE
ATOL_SCALAR = 1e-9  # for engines that take one number only

VARIANTS = ("base", "stiff", "ragged")
REFERENCE = Path(__file__).with_name("reference.npz")


@dataclass(frozen=True)
class Problem:
    """Patients × parameters, patients × times and patients × times × 2 observations."""

    variant: str
    typical: np.ndarray
    params: np.ndarray
    times: np.ndarray
    obs: np.ndarray
    loglik: float
    gradient: np.ndarray

    @property
    def log_params(self) -> np.ndarray:
        return np.log(self.params)


def typical(variant: str) -> np.ndarray:
    """The typical parameters; the stiff variant's IL-6 has a half-life of 20 minutes."""
    values = TYPICAL.copy()
    if variant == "stiff":
        values[NAMES.index("kout")] = 50.0
    return values


def individual(variant: str) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(PATIENTS, len(NAMES)))
    return typical(variant) * np.exp(SPREAD * noise)


def schedule(variant: str) -> np.ndarray:
    """Times of every patient: nominal, or up to 0.4 days late where the variant is ragged."""
    times = np.tile(TIMES, (PATIENTS, 1))
    if variant == "ragged":
        times += np.random.default_rng(3).uniform(0, 0.4, times.shape) * (times > 0)
    return times


def rhs(t: float, y: Any, p: Any) -> list:
    """The four derivatives; anything that can be multiplied will do for ``y`` and ``p``."""
    e, m, a, il6 = y
    _, rho, ka, alpha, k, beta, kappa, g, kout, prod = p
    growth = e * a / (ka + a)
    return [
        rho * growth - (alpha + k) * e,
        k * e - beta * m,
        g * (1.0 - a) - kappa * e * a,
        kout * (Y0 - il6) + prod * growth,
    ]


def log_density(prediction: np.ndarray, obs: np.ndarray) -> np.ndarray:
    """Normal log density of each observation, on the log scale."""
    z = (obs - prediction) / SIGMA
    return -0.5 * z * z - np.log(SIGMA) - 0.5 * np.log(2 * np.pi)


def load(variant: str) -> Problem:
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is none of {', '.join(VARIANTS)}")
    with np.load(REFERENCE) as stored:
        obs, gradient = stored[f"{variant}_obs"], stored[f"{variant}_gradient"]
        loglik = float(stored[f"{variant}_loglik"])
    return Problem(
        variant, typical(variant), individual(variant), schedule(variant), obs, loglik, gradient
    )


def gradient_error(gradient: np.ndarray, reference: np.ndarray) -> float:
    """Largest error of any patient, relative to the largest entry of that patient's gradient."""
    size = np.abs(reference).max(axis=1, keepdims=True)
    return float((np.abs(gradient - reference) / size).max())


def entry_error(gradient: np.ndarray, reference: np.ndarray) -> float:
    """Largest relative error of any single entry; entries near zero make it pessimistic."""
    return float((np.abs(gradient - reference) / np.abs(reference)).max())


Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


def timed(evaluate: Evaluate, at: np.ndarray) -> tuple[float, float, tuple[float, np.ndarray]]:
    """Wall-clock seconds, processor seconds and the answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = evaluate(at)
    return time.perf_counter() - wall, time.process_time() - cpu, answer


def times_and_errors(problem: Problem, evaluate: Evaluate, repeats: int) -> dict[str, Any]:
    """The first call's excess is compilation; each later one has slightly other parameters.

    So no result can be reused; the last call has the reference's parameters. Where the machine
    is shared, ``cpu_seconds_per_gradient`` is the fairer number of the two. With no repeats the
    first call counts, for what is slow and has nothing to compile.
    """
    first, *rest = timed(evaluate, problem.log_params)
    calls = [timed(evaluate, problem.log_params + 1e-9 * i) for i in reversed(range(repeats))]
    calls = calls or [(first, *rest)]
    seconds = statistics.median(wall for wall, _, _ in calls)
    loglik, gradient = calls[-1][2]
    return {
        "seconds_per_gradient": seconds,
        "cpu_seconds_per_gradient": statistics.median(cpu for _, cpu, _ in calls),
        "repeats": repeats,
        "compile_seconds": max(first - seconds, 0.0),
        "loglik": float(loglik),
        "loglik_error": float(loglik) - problem.loglik,
        "max_rel_error_gradient": gradient_error(np.asarray(gradient), problem.gradient),
        "max_rel_error_entry": entry_error(np.asarray(gradient), problem.gradient),
    }


def measure(
    peer: str,
    version: str,
    problem: Problem,
    evaluate: Evaluate,
    repeats: int,
    note: str,
    setup_seconds: float = 0.0,
    rtol: float = RTOL,
) -> None:
    """Time ``evaluate(log_params)`` and print one JSON line; a failure is a line with ``error``."""
    line: dict[str, Any] = {"peer": peer, "version": version, "variant": problem.variant}
    line["rtol"] = rtol
    try:
        line |= times_and_errors(problem, evaluate, repeats)
        line["compile_seconds"] += setup_seconds
    except RuntimeError as error:
        line["error"] = str(error)
    print(json.dumps(line | {"note": note}), flush=True)


def arguments(doc: str | None, methods: tuple[str, ...]) -> argparse.Namespace:
    """The command line every runner has."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--variant", choices=VARIANTS, default="base")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--method", choices=methods, action="append", help="all if not given")
    parser.add_argument("--rtol", type=float, action="append", help=f"{RTOL:g} if not given")
    args = parser.parse_args()
    args.rtol = args.rtol or [RTOL]
    args.method = args.method or list(methods)
    return args

"""SciPy: ``solve_ivp`` with differences, and with hand-written sensitivity equations.

``lsoda-fd`` and ``rk45-fd`` solve each patient 21 times (central differences over the patient's
own ten parameters). ``rk45-fd-stacked`` does the same for all patients and shifts in one solve of
2,520 states, which spreads Python's overhead. ``lsoda-sens`` integrates 4 + 40 equations a patient
from hand-written Jacobians, which a user would have to write for each model::

    python benchmarks/engine/run_scipy.py --method lsoda-fd --repeats 1
"""

from __future__ import annotations

from functools import partial

import make_reference
import numpy as np
import problem
import scipy
from scipy.integrate import solve_ivp

STEP = 1e-3
P = len(problem.NAMES)
SHIFTS = STEP * np.concatenate([np.zeros((1, P)), np.eye(P), -np.eye(P)])


def start(p: np.ndarray) -> np.ndarray:
    e0 = p[0]
    return np.stack([e0, 0 * e0, 0 * e0 + 1, 0 * e0 + problem.Y0])


def from_differences(loglik: np.ndarray) -> np.ndarray:
    """Gradient from log-likelihoods at the 1 + 10 + 10 shifts, which come first."""
    return (loglik[1 : P + 1] - loglik[P + 1 :]) / (2 * STEP)


def one_loglik(p: np.ndarray, times: np.ndarray, obs: np.ndarray, method: str) -> float:
    out = solve_ivp(
        problem.rhs, (0, times[-1]), start(p), method, t_eval=times, args=(p,),
        rtol=problem.RTOL, atol=problem.ATOL,
    )  # fmt: skip
    mu = np.log(np.stack([out.y[0] + out.y[1], out.y[3]], axis=-1))
    return problem.log_density(mu, obs).sum()


def each(at: problem.Problem, method: str, log_params: np.ndarray) -> tuple[float, np.ndarray]:
    total, gradient = 0.0, []
    for theta, times, obs in zip(log_params, at.times, at.obs, strict=True):
        loglik = np.array([
            one_loglik(np.exp(theta + by), times, obs, method) for by in SHIFTS
        ])  # fmt: skip
        total += loglik[0]
        gradient.append(from_differences(loglik))
    return total, np.array(gradient)


def stacked_rhs(t: float, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.concatenate(problem.rhs(t, y.reshape(4, -1), p))


def stacked(at: problem.Problem, method: str, log_params: np.ndarray) -> tuple[float, np.ndarray]:
    p = np.exp(SHIFTS[:, None] + log_params).reshape(-1, P).T
    grid = np.unique(at.times)
    out = solve_ivp(
        stacked_rhs, (0, grid[-1]), start(p).ravel(), method, t_eval=grid, args=(p,),
        rtol=problem.RTOL, atol=np.repeat(problem.ATOL, p.shape[1]),
    )  # fmt: skip
    y = out.y.reshape(4, len(SHIFTS), problem.PATIENTS, grid.size)
    mu = np.log(np.stack([y[0] + y[1], y[3]], axis=-1))
    own = np.searchsorted(grid, at.times)[None, :, :, None]
    mu = np.take_along_axis(mu, own, axis=2)
    loglik = problem.log_density(mu, at.obs).sum(axis=(2, 3))
    return loglik[0].sum(), from_differences(loglik).T


def sensitivities(
    at: problem.Problem, method: str, log_params: np.ndarray
) -> tuple[float, np.ndarray]:
    total, gradient = 0.0, []
    atol = np.concatenate([problem.ATOL, np.repeat(problem.ATOL, P)])
    for p, times, obs in zip(np.exp(log_params), at.times, at.obs, strict=True):
        out = solve_ivp(
            make_reference.augmented, (0, times[-1]), make_reference.start(p), method,
            t_eval=times, args=(p,), rtol=problem.RTOL, atol=atol,
        )  # fmt: skip
        mu, d = make_reference.predictions(out.y)
        total += problem.log_density(mu, obs).sum()
        gradient.append(np.einsum("te,tep->p", (obs - mu) / problem.SIGMA**2, d))
    return total, np.array(gradient)


METHODS = {
    "lsoda-fd": (each, "LSODA", f"a solve per patient and shift; step {STEP} in ln"),
    "rk45-fd": (each, "RK45", f"a solve per patient and shift; step {STEP} in ln"),
    "rk45-fd-stacked": (stacked, "RK45", "all patients and shifts in one solve, common steps"),
    "lsoda-sens": (sensitivities, "LSODA", "hand-written sensitivities, under the same tolerance"),
}


def main() -> None:
    args = problem.arguments(__doc__, tuple(METHODS))
    at = problem.load(args.variant)
    for name in args.method:
        how, method, note = METHODS[name]
        problem.measure(
            f"scipy {name}", scipy.__version__, at, partial(how, at, method), args.repeats,
            f"{note}; atol vector",
        )  # fmt: skip


if __name__ == "__main__":
    main()

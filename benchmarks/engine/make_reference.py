"""Write ``reference.npz``: observations, log-likelihood and gradient of every variant.

The states and their sensitivities to the log parameters are integrated together, every one of
the 44 equations under rtol 1e-11, with SciPy's DOP853. ``--check`` compares the stored gradient
with Radau's at the same tolerance and with differences of the log-likelihood::

    python benchmarks/engine/make_reference.py
    python benchmarks/engine/make_reference.py --check
"""

from __future__ import annotations

import argparse

import numpy as np
import problem
from scipy.integrate import solve_ivp

RTOL = 1e-11
N, P = 4, len(problem.NAMES)


def jacobians(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the right-hand side in the states, and in the log parameters."""
    e, m, a, il6 = y
    _, rho, ka, alpha, k, beta, kappa, g, kout, prod = p
    h, h_a, h_ka = a / (ka + a), ka / (ka + a) ** 2, -a / (ka + a) ** 2
    in_state = np.array([
        [rho * h - alpha - k, 0, rho * e * h_a, 0],
        [k, -beta, 0, 0],
        [-kappa * a, 0, -g - kappa * e, 0],
        [prod * h, 0, prod * e * h_a, -kout],
    ])  # fmt: skip
    in_param = np.array([
        [0, e * h, rho * e * h_ka, -e, -e, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, e, -m, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, -e * a, 1 - a, 0, 0],
        [0, 0, prod * e * h_ka, 0, 0, 0, 0, 0, problem.Y0 - il6, e * h],
    ])  # fmt: skip
    return in_state, in_param * p


def augmented(t: float, z: np.ndarray, p: np.ndarray) -> np.ndarray:
    y, s = z[:N], z[N:].reshape(N, P)
    in_state, in_param = jacobians(y, p)
    return np.concatenate([problem.rhs(t, y, p), (in_state @ s + in_param).ravel()])


def start(p: np.ndarray) -> np.ndarray:
    s = np.zeros((N, P))
    s[0, 0] = p[0]
    return np.concatenate([[p[0], 0, 1, problem.Y0], s.ravel()])


def solve(p: np.ndarray, times: np.ndarray, method: str = "DOP853") -> np.ndarray:
    """States and sensitivities, (44, times)."""
    atol = RTOL * np.concatenate([problem.STATE_SCALE, np.repeat(problem.STATE_SCALE, P)])
    out = solve_ivp(
        augmented, (0, times[-1]), start(p), method, t_eval=times, args=(p,), rtol=RTOL, atol=atol
    )
    if not out.success:
        raise RuntimeError(out.message)
    return out.y


def predictions(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln(E + M) and ln(Y), (times, 2), and their sensitivities, (times, 2, 10)."""
    y, s = z[:N], z[N:].reshape(N, P, -1)
    cells = y[0] + y[1]
    d = np.stack([(s[0] + s[1]) / cells, s[3] / y[3]])
    return np.log(np.stack([cells, y[3]])).T, d.transpose(2, 0, 1)


def observations(variant: str) -> np.ndarray:
    """The typical patient's profile at everybody's own times, with noise."""
    times = problem.schedule(variant)
    grid = np.unique(times)
    typical, _ = predictions(solve(problem.typical(variant), grid))
    noise = np.random.default_rng(2).normal(size=(*times.shape, 2))
    return typical[np.searchsorted(grid, times)] + problem.SIGMA * noise


def answer(variant: str, obs: np.ndarray, method: str = "DOP853") -> tuple[float, np.ndarray]:
    loglik, gradient = 0.0, []
    times, params = problem.schedule(variant), problem.individual(variant)
    for p, t, o in zip(params, times, obs, strict=True):
        mu, d = predictions(solve(p, t, method))
        loglik += problem.log_density(mu, o).sum()
        gradient.append(np.einsum("te,tep->p", (o - mu) / problem.SIGMA**2, d))
    return float(loglik), np.array(gradient)


def write() -> None:
    stored = {}
    for variant in problem.VARIANTS:
        stored[f"{variant}_obs"] = obs = observations(variant)
        loglik, gradient = answer(variant, obs)
        stored[f"{variant}_loglik"], stored[f"{variant}_gradient"] = np.array(loglik), gradient
        print(f"{variant}: log-likelihood {loglik:.10g}, |gradient| {np.abs(gradient).max():.4g}")
    np.savez_compressed(problem.REFERENCE, **stored)


def states_only(p: np.ndarray, times: np.ndarray) -> np.ndarray:
    """ln(E + M) and ln(Y) from the four states alone: no line of the sensitivities is used."""
    y0 = [p[0], 0, 1, problem.Y0]
    out = solve_ivp(
        problem.rhs, (0, times[-1]), y0, "DOP853", t_eval=times, args=(p,),
        rtol=1e-12, atol=1e-12 * problem.STATE_SCALE,
    )  # fmt: skip
    return np.log(np.stack([out.y[0] + out.y[1], out.y[3]])).T


def differences(at: problem.Problem, patient: int, step: float = 1e-4) -> np.ndarray:
    """One patient's gradient by differences of fourth order."""
    p, t, o = at.params[patient], at.times[patient], at.obs[patient]

    def loglik(i: int, by: float) -> float:
        moved = p * np.exp(by * (np.arange(P) == i))
        return float(problem.log_density(states_only(moved, t), o).sum())

    def slope(i: int, by: float) -> float:
        return (loglik(i, by) - loglik(i, -by)) / (2 * by)

    return np.array([(4 * slope(i, step) - slope(i, 2 * step)) / 3 for i in range(P)])


def check() -> None:
    for variant in problem.VARIANTS:
        at = problem.load(variant)
        loglik, gradient = answer(variant, at.obs, "Radau")
        error = problem.gradient_error(gradient, at.gradient)
        print(f"{variant}: Radau differs by {loglik - at.loglik:.1e} and, gradient, {error:.1e}")
        for patient in (0, 7):
            d = differences(at, patient)[None]
            error = problem.gradient_error(d, at.gradient[patient : patient + 1])
            print(f"{variant}: differences, patient {patient}: {error:.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    (check if parser.parse_args().check else write)()

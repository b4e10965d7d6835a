"""pydiffsol (diffsol, compiled by LLVM): forward sensitivities, one patient after another.

Each solver is run with its sensitivities outside the error test (pydiffsol's default; ``-free``),
inside it with the states' tolerances (``-tested``) and inside it with looser ones (``-loose``).
The inputs are the natural parameters, which is faster here than logs; the chain rule does the
rest::

    python benchmarks/engine/run_pydiffsol.py --method bdf-free
"""

from __future__ import annotations

import time
from functools import partial
from itertools import product

import numpy as np
import problem
import pydiffsol as ds

SOLVERS = ("bdf", "esdirk34", "tr_bdf2", "tsit45")
SENSITIVITY_TOLERANCES = {
    "free": (None, None),
    "tested": (1.0, problem.ATOL_SCALAR / problem.RTOL),
    "loose": (10.0, 1.0),
}
"""Relative and absolute, in units of the relative tolerance of the states."""
METHODS = tuple(f"{s}-{c}" for s in SOLVERS for c in SENSITIVITY_TOLERANCES)


def code() -> str:
    """The model in DiffSL; the inputs are in the order of the parameters."""
    inputs = ", ".join(
        f"{n} = {v!r}" for n, v in zip(problem.NAMES, problem.TYPICAL.tolist(), strict=True)
    )
    return f"""
    in_i {{ {inputs} }}
    u_i {{ e = e0, m = 0, a = 1, y = {problem.Y0} }}
    F_i {{
        rho * e * a / (ka + a) - (alpha + k) * e,
        k * e - beta * m,
        g * (1 - a) - kappa * e * a,
        kout * ({problem.Y0} - y) + prod * e * a / (ka + a)
    }}
    out_i {{ log(e + m), log(y) }}
    """


def compiled() -> tuple[ds.Ode, float]:
    began = time.perf_counter()
    ode = ds.Ode(code(), matrix_type=ds.nalgebra_dense)
    return ode, time.perf_counter() - began


def configure(ode: ds.Ode, method: str, rtol: float) -> None:
    solver, control = method.split("-")
    ode.ode_solver = ds.OdeSolverType.from_str(solver)
    ode.rtol, ode.atol = rtol, rtol * problem.ATOL_SCALAR / problem.RTOL
    ode.sens_rtol, ode.sens_atol = (
        None if share is None else share * rtol for share in SENSITIVITY_TOLERANCES[control]
    )


def evaluate(ode: ds.Ode, at: problem.Problem, log_params: np.ndarray) -> tuple[float, np.ndarray]:
    total, gradient = 0.0, np.empty_like(log_params)
    for i, (p, times, obs) in enumerate(zip(np.exp(log_params), at.times, at.obs, strict=True)):
        out = ode.solve_fwd_sens(p, times)
        mu = np.asarray(out.ys).T
        total += problem.log_density(mu, obs).sum()
        residual = (obs - mu) / problem.SIGMA**2
        gradient[i] = p * np.einsum("te,pet->p", residual, np.asarray(out.sens))
    return total, gradient


def main() -> None:
    args = problem.arguments(__doc__, METHODS)
    at = problem.load(args.variant)
    version = f"{ds.version()} (diffsol {ds.diffsol_version()})"
    for method, rtol in product(args.method, args.rtol):
        ode, seconds = compiled()
        configure(ode, method, rtol)
        problem.measure(
            f"pydiffsol {method}", version, at, partial(evaluate, ode, at), args.repeats,
            f"scalar atol {ode.atol:g}; dense nalgebra matrices", seconds, rtol,
        )  # fmt: skip


if __name__ == "__main__":
    main()

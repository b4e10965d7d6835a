"""The package's own engine: the kernel that fits use, through its Python entry.

Run it with the project's environment::

    .venv/bin/python benchmarks/engine/run_engine.py
"""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
import problem

from cart_pkpd import __version__, models
from cart_pkpd._engine.ops import loglik_op
from cart_pkpd._engine.schedule import base_values, schedule
from cart_pkpd._engine.solve import Solver, floors_of, options_of
from cart_pkpd._engine.source import DV, LEVEL, Likelihood
from cart_pkpd.models.math import log

E, M, A, Y = (scale / 1.0 for scale in problem.STATE_SCALE)


class Benchmark(models.OdeModel):
    """Effector, memory, antigen and IL-6, as ``problem.py`` has them."""

    E = models.State("copies/µg", "effectors", floor=E)
    M = models.State("copies/µg", "memory cells", floor=M)
    A = models.State("1", "antigen", floor=A)
    Y = models.State("pg/mL", "IL-6", floor=Y)

    e0 = models.Positive(5.0, "copies/µg", "effectors at the start")
    rho = models.Positive(1.0, "1/day", "expansion rate")
    ka = models.Positive(0.1, "1", "antigen for half the expansion")
    alpha = models.Positive(0.16, "1/day", "contraction rate")
    k = models.Positive(0.002, "1/day", "conversion to memory")
    beta = models.Positive(0.004, "1/day", "decline of memory")
    kappa = models.Positive(1e-4, "µg/copies/day", "killing rate")
    g = models.Positive(0.01, "1/day", "antigen growth rate")
    kout = models.Positive(2.0, "1/day", "IL-6 elimination rate")
    prod = models.Positive(0.05, "pg/mL/day*µg/copies", "IL-6 production")
    y0 = models.Positive(problem.Y0, "pg/mL", "IL-6 at the start")

    def initial(self, p: Any) -> dict[str, Any]:
        return {"E": p.e0, "M": 0.0, "A": 1.0, "Y": p.y0}

    def rhs(self, t: Any, y: Any, p: Any) -> dict[str, Any]:
        growth = y.E * y.A / (p.ka + y.A)
        return {
            "E": p.rho * growth - (p.alpha + p.k) * y.E,
            "M": p.k * y.E - p.beta * y.M,
            "A": p.g * (1.0 - y.A) - p.kappa * y.E * y.A,
            "Y": p.kout * (p.y0 - y.Y) + p.prod * growth,
        }

    def observe(self, t: Any, y: Any, p: Any) -> dict[str, Any]:
        return {"transgene": y.E + y.M, "il6": y.Y}


def likelihood() -> Likelihood:
    """``problem.log_density`` as a formula; the observations are logs already."""
    z = (DV - log(LEVEL)) / problem.SIGMA
    one = -0.5 * z * z - float(np.log(problem.SIGMA) + 0.5 * np.log(2 * np.pi))
    return Likelihood(((one,), (one,)), ())


def evaluation(at: problem.Problem, rtol: float = problem.RTOL) -> tuple[problem.Evaluate, float]:
    """Return the function to time, and the seconds until it was compiled or loaded."""
    began = time.perf_counter()
    program = Benchmark().program
    k, n = at.times.shape
    plan = schedule(
        k,
        patient=np.repeat(np.arange(k), 2 * n),
        time=np.repeat(at.times.ravel(), 2),
        endpoint=np.tile([0, 1], k * n),
    )
    base = base_values(program, k, {"y0": problem.Y0})
    code, dv = np.zeros(2 * k * n, dtype=np.int64), at.obs.reshape(-1)
    operation = loglik_op(program, problem.NAMES, likelihood())
    function = operation.compiled()
    data = (base, *plan.arrays, code, dv, dv, floors_of(program), options_of(program, Solver(rtol)))

    def evaluate(log_params: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope, _ = function(log_params, np.empty(0), *data)
        if not np.isfinite(total).all():
            raise RuntimeError(f"{np.count_nonzero(~np.isfinite(total))} patients were not solved")
        return float(total.sum()), slope

    evaluate(at.log_params)
    return evaluate, time.perf_counter() - began


def growth_at(at: problem.Problem, rtol: float) -> int:
    """Return by how many KiB the process grows when far more steps are needed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    evaluate, _ = evaluation(at, rtol)
    evaluate(at.log_params)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def main() -> None:
    args = problem.arguments(__doc__, ("auto",))
    at = problem.load(args.variant)
    _, seconds = evaluation(at)
    tight = growth_at(at, 1e-11)
    for rtol in args.rtol:
        evaluate, _ = evaluation(at, rtol)
        problem.measure(
            "cart_pkpd", __version__, at, evaluate, args.repeats,
            "Tsit5 with Rodas5P; floor of each state = atol vector / rtol; "
            f"memory grows by {tight} KiB at rtol 1e-11", seconds, rtol,
        )  # fmt: skip


if __name__ == "__main__":
    main()

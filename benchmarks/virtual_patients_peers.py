"""Levels of given patients by SciPy, diffrax or pydiffsol, timed: the peers of virtual patients.

Run by ``virtual_patients.py`` with the peers' interpreter, one core. Compilation is not timed. The
equations, tolerances and the order of parameters are those of ``engine/problem.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "engine"))
import problem

Solve = Callable[[np.ndarray], np.ndarray]


def scipy_solver(method: str, times: np.ndarray) -> tuple[Solve, str]:
    import scipy
    from scipy.integrate import solve_ivp

    def one(p: np.ndarray) -> np.ndarray:
        out = solve_ivp(
            problem.rhs, (0, times[-1]), [p[0], 0.0, 1.0, problem.Y0], method, t_eval=times,
            args=(p,), rtol=problem.RTOL, atol=problem.ATOL,
        )  # fmt: skip
        return np.stack([out.y[0] + out.y[1], out.y[3]], axis=-1)

    return lambda params: np.array([one(p) for p in params]), scipy.__version__


def diffrax_solver(method: str, times: np.ndarray) -> tuple[Solve, str]:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    batch, width = method.split("-")
    control = diffrax.PIDController(rtol=problem.RTOL, atol=jnp.asarray(problem.ATOL))
    at = jnp.asarray(times)

    def one(p: jax.Array) -> jax.Array:
        y0 = jnp.stack([p[0], 0 * p[0], 1 + 0 * p[0], problem.Y0 + 0 * p[0]])
        out = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, q: jnp.stack(problem.rhs(t, y, q))), diffrax.Tsit5(),
            0.0, float(times[-1]), None, y0, p, saveat=diffrax.SaveAt(ts=at),
            stepsize_controller=control, max_steps=4096,
        )  # fmt: skip
        return jnp.stack([out.ys[:, 0] + out.ys[:, 1], out.ys[:, 3]], axis=-1)

    many = jax.jit(jax.vmap(one) if batch == "vmap" else lambda ps: jax.lax.map(one, ps))
    size = int(width)

    def solve(params: np.ndarray) -> np.ndarray:
        parts = [np.asarray(many(jnp.asarray(p))) for p in np.split(params, len(params) // size)]
        return np.concatenate(parts)

    return solve, f"{diffrax.__version__} (jax {jax.__version__})"


def pydiffsol_solver(method: str, times: np.ndarray) -> tuple[Solve, str]:
    import pydiffsol as ds
    from run_pydiffsol import code

    ode = ds.Ode(code().replace("log(e + m), log(y)", "e + m, y"), matrix_type=ds.nalgebra_dense)
    ode.ode_solver = ds.OdeSolverType.from_str(method)
    ode.rtol, ode.atol = problem.RTOL, problem.ATOL_SCALAR

    def solve(params: np.ndarray) -> np.ndarray:
        return np.array(
            [np.asarray(ode.solve_dense(np.ascontiguousarray(p), times).ys).T for p in params]
        )

    return solve, f"{ds.version()} (diffsol {ds.diffsol_version()})"


SOLVERS = {"scipy": scipy_solver, "diffrax": diffrax_solver, "pydiffsol": pydiffsol_solver}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", choices=sorted(SOLVERS), required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--patients", type=int, required=True)
    parser.add_argument("--given", required=True, help="npz: params, times, level")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with np.load(args.given) as stored:
        params, times, level = (stored[k] for k in ("params", "times", "level"))
    params, level = params[: args.patients], level[: args.patients]
    solve, version = SOLVERS[args.peer](args.method, times)
    found = solve(params)  # compiles
    wall, cpu = [], []
    for i in range(args.repeats):
        a, b = time.perf_counter(), time.process_time()
        solve(params * (1.0 + 1e-12 * i))
        wall.append(time.perf_counter() - a)
        cpu.append(time.process_time() - b)
    scale = np.abs(level).max(axis=1, keepdims=True)
    line = {
        "who": args.peer, "method": args.method, "version": version, "patients": len(params),
        "us_wall": 1e6 * float(np.median(wall)) / len(params),
        "us_cpu": 1e6 * float(np.median(cpu)) / len(params),
        "apart": float((np.abs(found - level) / scale).max()),
    }  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()

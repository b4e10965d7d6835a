"""Diffrax: reverse and forward mode, compiled by JAX for one core, in float64.

``-vmap`` steps all patients together until the slowest is done; ``-map`` solves one after another
in one compiled loop, which suits Tsit5 on one core but not Kvaerno5. ``kvaerno5chord`` iterates
each stage to convergence; Diffrax's default (``kvaerno5``) gives up early, and refuses half of its
steps here. The number of steps is bounded by about what the problem needs, which keeps the
checkpoints of reverse mode few::

    python benchmarks/engine/run_diffrax.py --method tsit5-reverse-map
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Callable
from itertools import product

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import problem

jax.config.update("jax_enable_x64", True)

SOLVERS = {
    "tsit5": diffrax.Tsit5(),
    "kvaerno5": diffrax.Kvaerno5(),
    "kvaerno5chord": diffrax.Kvaerno5(
        root_finder=diffrax.with_stepsize_controller_tols(optimistix.Chord)()
    ),
}
METHODS = (
    "tsit5-reverse-vmap",
    "tsit5-reverse-map",
    "tsit5-forward-vmap",
    "tsit5-forward-map",
    "kvaerno5-reverse-vmap",
    "kvaerno5-forward-vmap",
    "kvaerno5chord-reverse-vmap",
    "kvaerno5chord-forward-vmap",
)
MAX_STEPS = {"tsit5": 512, "kvaerno5": 2048, "kvaerno5chord": 256}
MAX_STEPS_STIFF = {"tsit5": 16384, "kvaerno5": 2048, "kvaerno5chord": 256}


def field(t: jax.Array, y: jax.Array, p: jax.Array) -> jax.Array:
    return jnp.stack(problem.rhs(t, y, p))


def patient_loglik(
    solver: diffrax.AbstractSolver, adjoint: diffrax.AbstractAdjoint, max_steps: int, rtol: float
) -> Callable:
    """One patient's log-likelihood as a function of log parameters, times and observations."""
    control = diffrax.PIDController(rtol=rtol, atol=jnp.asarray(rtol * problem.STATE_SCALE))

    def loglik(theta: jax.Array, times: jax.Array, obs: jax.Array) -> jax.Array:
        p = jnp.exp(theta)
        y0 = jnp.stack([p[0], 0 * p[0], 1 + 0 * p[0], problem.Y0 + 0 * p[0]])
        out = diffrax.diffeqsolve(
            diffrax.ODETerm(field), solver, 0.0, times[-1], None, y0, p,
            saveat=diffrax.SaveAt(ts=times), stepsize_controller=control,
            adjoint=adjoint, max_steps=max_steps, throw=False,
        )  # fmt: skip
        mu = jnp.log(jnp.stack([out.ys[:, 0] + out.ys[:, 1], out.ys[:, 3]], axis=-1))
        total = problem.log_density(mu, obs).sum()
        return jnp.where(out.result == diffrax.RESULTS.successful, total, jnp.nan)

    return loglik


def forward(loglik: Callable) -> Callable:
    """Value and gradient by ten tangents along one primal solve."""

    def both(theta: jax.Array, times: jax.Array, obs: jax.Array) -> tuple:
        value_twice = lambda x: (v := loglik(x, times, obs), v)  # noqa: E731
        gradient, value = jax.jacfwd(value_twice, has_aux=True)(theta)
        return value, gradient

    return both


def compiled(method: str, at: problem.Problem, rtol: float = problem.RTOL) -> problem.Evaluate:
    solver, mode, batch = method.split("-")
    steps = (MAX_STEPS_STIFF if at.variant == "stiff" else MAX_STEPS)[solver]
    steps *= 1 if rtol >= problem.RTOL else 2 if rtol > 3e-9 else 4
    adjoint = diffrax.ForwardMode() if mode == "forward" else diffrax.RecursiveCheckpointAdjoint()
    loglik = patient_loglik(SOLVERS[solver], adjoint, steps, rtol)
    one = forward(loglik) if mode == "forward" else jax.value_and_grad(loglik)
    times, obs = jnp.asarray(at.times), jnp.asarray(at.obs)

    @jax.jit
    def everybody(thetas: jax.Array) -> tuple[jax.Array, jax.Array]:
        if batch == "vmap":
            values, gradients = jax.vmap(one)(thetas, times, obs)
        else:
            values, gradients = jax.lax.map(lambda x: one(*x), (thetas, times, obs))
        return values.sum(), gradients

    def evaluate(log_params: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = everybody(jnp.asarray(log_params))
        return float(value), np.asarray(gradient)

    return evaluate


def main() -> None:
    args = problem.arguments(__doc__, METHODS)
    at = problem.load(args.variant)
    version = f"{diffrax.__version__} (jax {jax.__version__})"
    for method, rtol in product(args.method, args.rtol):
        problem.measure(
            f"diffrax {method}", version, at, compiled(method, at, rtol), args.repeats,
            "float64, one core; atol vector", rtol=rtol,
        )  # fmt: skip


if __name__ == "__main__":
    main()

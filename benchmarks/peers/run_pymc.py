"""Plain PyMC: B1 sampled by nutpie (numba), B2 with PyMC's own ODE operator and sampler.

    python benchmarks/peers/run_pymc.py b1 job.json out.json --chains 2
    python benchmarks/peers/run_pymc.py b2 job.json out.json --limit 200

B2's operator calls SciPy's ``odeint`` with forward sensitivities for one patient after another, at
``odeint``'s own tolerances of 1.5e-8, which the operator does not let one set. One operator is
built for the times of all patients together, as every operator compiles its equations anew. A run
of B2 that reaches ``--limit`` seconds of the processor is ended and says how far it came.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jobs
import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt

NAMES = ("typical", "omega", "sigma")


def population(job: dict, varying: np.ndarray) -> tuple:
    """Declare typical values, omegas and individual values; return the latter and sigma."""
    centred = np.array(job["centred"], bool)
    typical = pm.Normal("typical", np.array(job["mu0"]), np.array(job["spread"]))
    omega = pm.HalfNormal("omega", np.array(job["omega0"]))
    sigma = pm.HalfNormal("sigma", np.array(job["sigma0"]), shape=np.shape(job["sigma0"]))
    location, scale = pt.where(centred, typical[varying], 0.0), pt.where(centred, omega, 1.0)
    z = pm.Normal("z", location, scale, shape=(job["N"], varying.size))
    own = pt.where(centred, z, typical[varying] + omega * z)
    phi = pt.zeros((job["N"], len(job["mu0"]))) + typical
    return pt.set_subtensor(phi[:, varying], own), sigma


def b1(job: dict) -> pm.Model:
    """Return the model of B1."""
    t, y, below = (np.array(job[k]) for k in ("time", "y", "below"))
    with pm.Model() as model:
        phi, sigma = population(job, np.arange(6))
        tmax, rho, alpha, beta = (pt.exp(phi[:, k])[:, None] for k in (1, 2, 3, 5))
        since = t - tmax
        late = pt.maximum(since, 0.0)
        fast = -pt.softplus(phi[:, 4:5]) - alpha * late
        slow = -pt.softplus(-phi[:, 4:5]) - beta * late
        f = phi[:, :1] + rho * pt.minimum(since, 0.0) + pt.logaddexp(fast, slow)
        seen, lost = np.nonzero(below == 0), np.nonzero(below == 1)
        pm.Normal("records", f[seen], sigma, observed=y[seen])
        pm.Potential("below", pm.logcdf(pm.Normal.dist(f[lost], sigma), y[lost]).sum())
    return model


def rhs(y, t, p) -> list:
    """Return the derivatives of B2's states; see ``engine/problem.py``."""
    growth = y[0] * y[2] / (p[2] + y[2])
    return [
        p[1] * growth - (p[3] + p[4]) * y[0],
        p[4] * y[0] - p[5] * y[1],
        p[7] * (1 - y[2]) - p[6] * y[0] * y[2],
        p[8] * (p[10] - y[3]) + p[9] * growth,
    ]


def b2(job: dict) -> pm.Model:
    """Return the model of B2. The eleventh parameter of the equations is the baseline of IL-6."""
    from pymc.ode import DifferentialEquation

    times, y, base = np.array(job["time"]), np.array(job["y"]), job["il6_base"]
    later, where = np.unique(times[:, 1:], return_inverse=True)
    where = where.reshape(times[:, 1:].shape)
    solve = DifferentialEquation(func=rhs, times=later, n_states=4, n_theta=11, t0=0.0)
    with pm.Model() as model:
        phi, sigma = population(job, np.array(job["varying"]) - 1)
        levels = []
        for i in range(job["N"]):
            p = pt.concatenate([pt.exp(phi[i]), [base]])
            out = solve(pt.stack([p[0], 0.0, 1.0, base]), p)[where[i]]
            first = pt.stack([phi[i, 0], np.log(base)])
            both = pt.stack([pt.log(out[:, 0] + out[:, 1]), pt.log(out[:, 3])], axis=1)
            levels.append(pt.concatenate([first[None], both]))
        pm.Normal("records", pt.stack(levels), sigma, observed=y)
    return model


MODELS = {"b1": b1, "b2": b2}


def start(job: dict, seed: int) -> dict:
    """Return values near the priors' medians, as the other tools get."""
    rng = np.random.default_rng(seed)
    mu0, omega0 = np.array(job["mu0"]), np.array(job["omega0"])
    own = np.array(job.get("varying", range(1, mu0.size + 1))) - 1
    z = 0.1 * rng.standard_normal((job["N"], own.size))
    z += np.where(np.array(job["centred"], bool), mu0[own], 0.0)
    return {
        "typical": mu0 + 0.1 * rng.standard_normal(mu0.size), "omega": 0.674 * omega0,
        "sigma": np.full(np.shape(job["sigma0"]), 0.5), "z": z,
    }  # fmt: skip


def log_density(compiled: Any) -> Callable[[np.ndarray], float]:
    """Return the log density, with gradient, that nutpie calls."""
    gradient, value = np.empty(compiled.n_dim), np.empty(1)
    numbers = ctypes.POINTER(ctypes.c_double)

    def function(x: np.ndarray) -> float:
        code = compiled.compiled_logp_func.ctypes(
            x.size, *(a.ctypes.data_as(numbers) for a in (x, gradient, value)),
            compiled.user_data.ctypes.data,
        )  # fmt: skip
        if code:
            raise ValueError(f"PyMC's log density fails at the start, code {code}.")
        return float(value[0])

    return function


def by_nutpie(args: argparse.Namespace, job: dict) -> tuple[dict, dict]:
    """Sample by nutpie; return what happened, and the draws."""
    clock = jobs.Clock()
    compiled = nutpie.compile_pymc_model(
        MODELS[args.row](job), initial_points=start(job, args.seed), jitter_rvs=set()
    )
    function, x = log_density(compiled), np.zeros(compiled.n_dim)
    function(x)
    line: dict = {"tool": "pymc", "version": f"{pm.__version__}, nutpie {nutpie.__version__}"}
    line["build"] = clock.look()
    spent = []
    for i in range(50):
        function(x + 1e-9 * i)
        spent.append(clock.look())
    line["gradient"] = {k: float(np.median([s[k] for s in spent])) for k in ("wall", "cpu")}
    if args.no_sampling:
        return line, {}
    trace = nutpie.sample(
        compiled, draws=args.draws, tune=args.tune, chains=args.chains, cores=1, seed=args.seed,
        target_accept=0.9, progress_bar=False,
    )  # fmt: skip
    line["sample"] = clock.look()
    stats = trace["sample_stats"]
    line |= {
        "steps_kept": int(stats["n_steps"].sum()), "divergences": int(stats["diverging"].sum()),
        **lengths(args),
    }  # fmt: skip
    return line, drawn(trace)


def by_pymc(args: argparse.Namespace, job: dict) -> tuple[dict, dict]:
    """Sample by PyMC's own NUTS; return what happened, and the draws if it ended in time."""
    clock = jobs.Clock()
    model = MODELS[args.row](job)
    function = model.logp_dlogp_function(ravel_inputs=True)
    at = start(job, args.seed)
    point = {
        v.name: np.log(at[v.name.removesuffix("_log__")]) if v.name.endswith("_log__")
        else at[v.name] for v in model.value_vars
    }  # fmt: skip
    function.set_extra_values({})
    flat = np.concatenate([np.ravel(point[v.name]) for v in model.value_vars])
    function(flat)
    line: dict = {"tool": "pymc", "version": pm.__version__, "build": clock.look()}
    function(flat + 1e-9)
    line["gradient"] = clock.look()  # once: it takes seconds
    if args.no_sampling:
        return line, {}
    wanted = args.chains * (args.tune + args.draws)
    line |= {"wanted": wanted, "limit": args.limit, **lengths(args)}
    far = Counter()
    limit = jobs.Limit(args.limit, lambda: far.transitions, line, args.out)
    limit.start()
    with model:
        trace = pm.sample(
            draws=args.draws, tune=args.tune, chains=args.chains, cores=1, target_accept=0.9,
            initvals=at, init="adapt_diag", random_seed=args.seed, callback=far,
            progressbar=False, compute_convergence_checks=False,
        )  # fmt: skip
    limit.over.set()
    line |= {"sample": clock.look(), "transitions": far.transitions}
    return line, drawn(trace)


class Counter:
    """Counts transitions."""

    transitions = 0

    def __call__(self, trace, draw) -> None:
        """Count one draw."""
        self.transitions += 1


def lengths(args: argparse.Namespace) -> dict[str, int]:
    """Return how much was asked for."""
    return {k: getattr(args, k) for k in ("chains", "tune", "draws")}


def drawn(trace) -> dict[str, np.ndarray]:
    """Return population draws as (chains, draws, k)."""
    found = {n: np.asarray(trace["posterior"][n].values) for n in NAMES}
    return {n: v.reshape(*v.shape[:2], -1) for n, v in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("row", choices=MODELS)
    parser.add_argument("job")
    parser.add_argument("out")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--tune", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1e9, help="processor seconds of sampling")
    parser.add_argument("--no-sampling", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    job = jobs.read(args.job)
    line, draws = (by_nutpie if args.row == "b1" else by_pymc)(args, job)
    jobs.finish(args.out, line, **draws)


if __name__ == "__main__":
    main()

"""NumPyro, in float64 on one core; B2 with Diffrax (Tsit5, reverse mode, one patient at a time).

    peers-env/bin/python benchmarks/peers/run_numpyro.py b1 job.json out.json --chains 2

The chains run one after the other. The sampler is called transition by transition, compiled as a
whole, so that a run that reaches ``--limit`` seconds of the processor can say how far it came.
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import argparse
import sys

import jobs
import numpy as np

sys.path.insert(0, str(jobs.HERE.parent / "engine"))

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.stats import norm
from numpyro.infer import NUTS
from numpyro.infer.initialization import init_to_value

jax.config.update("jax_enable_x64", True)


def population(job: dict, varying: np.ndarray) -> tuple:
    """Sample typical values, omegas and individual values; return the latter and sigma."""
    mu0, omega0 = np.array(job["mu0"]), np.array(job["omega0"])
    sigma0, centred = np.array(job["sigma0"]), np.array(job["centred"], bool)
    typical = numpyro.sample("typical", dist.Normal(mu0, np.array(job["spread"])))
    omega = numpyro.sample("omega", dist.HalfNormal(omega0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(sigma0))
    shape = (job["N"], varying.size)
    means, mine = jnp.broadcast_to(typical[varying], shape), jnp.broadcast_to(omega, shape)
    location, scale = jnp.where(centred, means, 0.0), jnp.where(centred, mine, 1.0)
    z = numpyro.sample("z", dist.Normal(location, scale))
    own = jnp.where(centred, z, means + mine * z)
    phi = jnp.broadcast_to(typical, (job["N"], mu0.size)).at[:, varying].set(own)
    return phi, sigma


def b1(job: dict):
    t, y, below = (np.array(job[k]) for k in ("time", "y", "below"))

    def model() -> None:
        phi, sigma = population(job, np.arange(6))
        tmax, rho, alpha, beta = (jnp.exp(phi[:, k])[:, None] for k in (1, 2, 3, 5))
        since = t - tmax
        late = jnp.maximum(since, 0.0)
        fast = jax.nn.log_sigmoid(-phi[:, 4:5]) - alpha * late
        slow = jax.nn.log_sigmoid(phi[:, 4:5]) - beta * late
        f = phi[:, :1] + rho * jnp.minimum(since, 0.0) + jnp.logaddexp(fast, slow)
        z = (y - f) / sigma
        numpyro.factor("records", jnp.where(
            below, norm.logcdf(z), norm.logpdf(z) - jnp.log(sigma)
        ).sum())  # fmt: skip

    return model


def b2(job: dict):
    import diffrax
    import problem

    times, y = np.array(job["time"]), np.array(job["y"])
    varying = np.array(job["varying"]) - 1
    control = diffrax.PIDController(
        rtol=job["rtol"], atol=jnp.asarray(job["rtol"] * problem.STATE_SCALE)
    )

    def field(at, state, p):
        return jnp.stack(problem.rhs(at, state, p))

    def levels(pair):
        p, ts = jnp.exp(pair[0]), pair[1]
        y0 = jnp.stack([p[0], 0 * p[0], 1 + 0 * p[0], problem.Y0 + 0 * p[0]])
        out = diffrax.diffeqsolve(
            diffrax.ODETerm(field), diffrax.Tsit5(), 0.0, ts[-1], None, y0, p,
            saveat=diffrax.SaveAt(ts=ts), stepsize_controller=control, max_steps=4096, throw=False,
        )  # fmt: skip
        mu = jnp.log(jnp.stack([out.ys[:, 0] + out.ys[:, 1], out.ys[:, 3]], axis=-1))
        return jnp.where(out.result == diffrax.RESULTS.successful, mu, jnp.inf)

    def model() -> None:
        phi, sigma = population(job, varying)
        mu = jax.lax.map(levels, (phi, times))
        numpyro.factor("records", (norm.logpdf((y - mu) / sigma) - jnp.log(sigma)).sum())

    return model


MODELS = {"b1": b1, "b2": b2}


def start(job: dict, seed: int) -> dict:
    """Return values near the priors' medians."""
    rng = np.random.default_rng(seed)
    mu0, omega0 = np.array(job["mu0"]), np.array(job["omega0"])
    own = np.array(job.get("varying", range(1, mu0.size + 1))) - 1
    z = 0.1 * rng.standard_normal((job["N"], own.size))
    z += np.where(np.array(job["centred"], bool), mu0[own], 0.0)
    return {
        "typical": mu0 + 0.1 * rng.standard_normal(mu0.size), "omega": 0.674 * omega0,
        "sigma": np.full(np.shape(job["sigma0"]), 0.5), "z": z,
    }  # fmt: skip


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
    args = parser.parse_args()
    job = jobs.read(args.job)
    line: dict = {"tool": "numpyro", "version": f"{numpyro.__version__} (jax {jax.__version__})"}
    clock = jobs.Clock()
    kernel = NUTS(
        MODELS[args.row](job), target_accept_prob=0.9,
        init_strategy=init_to_value(values=start(job, args.seed)),
    )  # fmt: skip
    state = kernel.init(jax.random.PRNGKey(args.seed), args.tune, None, (), {})
    step = jax.jit(lambda s: kernel.sample(s, (), {})).lower(state).compile()
    line["build"] = clock.look()
    potential = jax.jit(jax.value_and_grad(kernel._potential_fn_gen()))
    jax.block_until_ready(potential(state.z))
    spent = []
    for _ in range(20):
        clock.look()
        jax.block_until_ready(potential(state.z))
        spent.append(clock.look())
    line["gradient"] = {k: float(np.median([s[k] for s in spent])) for k in ("wall", "cpu")}
    kept: list = []
    steps, divergences, done, cpu, wall = [], 0, 0, 0.0, 0.0
    for chain in range(args.chains):
        clock.look()
        if chain:
            kernel._init_strategy = init_to_value(values=start(job, args.seed + chain))
            state = kernel.init(jax.random.PRNGKey(args.seed + chain), args.tune, None, (), {})
        draws = []
        for i in range(args.tune + args.draws):
            state = step(state)
            steps.append(int(state.num_steps))
            done += 1
            if i >= args.tune:
                draws.append(kernel.postprocess_fn((), {})(state.z))
                divergences += int(state.diverging)
            gone = clock.look()
            cpu, wall = cpu + gone["cpu"], wall + gone["wall"]
            if cpu > args.limit:
                break
        kept.append(draws)
        if cpu > args.limit:
            break
    line |= {
        "sample": {"cpu": cpu, "wall": wall}, "steps": int(np.sum(steps)),
        "transitions": done, "wanted": args.chains * (args.tune + args.draws),
        "divergences": divergences, "chains": args.chains, "tune": args.tune,
        "draws": args.draws, "limit": args.limit,
    }  # fmt: skip
    out = {}
    if done == line["wanted"]:
        names = ("typical", "omega", "sigma")
        out = {n: np.array([[np.asarray(d[n]) for d in ds] for ds in kept]) for n in names}
        out = {n: v.reshape(*v.shape[:2], -1) for n, v in out.items()}
    jobs.finish(args.out, line, **out)


if __name__ == "__main__":
    main()

"""Stan, by PyStan: translate and compile, time the gradient, sample.

    peers-env/bin/python benchmarks/peers/run_stan.py b1 job.json out.json --chains 2

Gradients are timed through the same compiled model. PyStan keeps compiled models in a cache of its
own; ``--compile`` forgets ours there first, so that the compilation is timed. The wheels of
httpstan hold an object file that was compiled for Python 3.10: a model compiled under another
Python cannot be loaded. A run that reaches ``--limit`` seconds of the processor is ended and says
how far its progress messages came.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import re
import time

import httpstan.cache
import httpstan.compile
import httpstan.models
import jobs
import numpy as np
import stan


def start(job: dict, seed: int) -> dict:
    """Return values near the priors' medians, as the other tools get; Stan's own are far off."""
    rng = np.random.default_rng(seed)
    mu0, omega0 = np.array(job["mu0"]), np.array(job["omega0"])
    centred = np.array(job["centred"], bool)
    own = np.array(job.get("varying", range(1, mu0.size + 1))) - 1
    z = 0.1 * rng.standard_normal((job["N"], own.size))
    z += np.where(centred, mu0[own], 0.0)
    sigma = np.full(np.shape(job["sigma0"]), 0.5)
    return {
        "typical": (mu0 + 0.1 * rng.standard_normal(mu0.size)).tolist(),
        "omega": (0.674 * omega0).tolist(), "sigma": sigma.tolist(), "z": z.tolist(),
    }  # fmt: skip


def build(code: str) -> None:
    """Translate and compile into PyStan's cache, without the 5 minutes its client waits at most."""
    name = httpstan.models.calculate_model_name(code)
    try:
        httpstan.models.import_services_extension_module(name)
    except KeyError:
        warnings = httpstan.compile.compile(code, f"model_{name.split('/')[1]}")[1]
        said = asyncio.run(httpstan.models.build_services_extension_module(code))
        httpstan.cache.dump_stanc_warnings(warnings, name)
        httpstan.cache.dump_services_extension_module_compiler_output(said, name)


def gradients(code: str, job: dict, seconds: float) -> dict:
    """Return the cost of a gradient, called in this process; putting the data in is part of it."""
    name = httpstan.models.calculate_model_name(code)
    function = httpstan.models.import_services_extension_module(name).log_prob_grad
    at, data = start(job, 1), data_of(job, code)
    z = np.array(at["z"])
    flat = [*at["typical"], *np.log(at["omega"]), *np.atleast_1d(np.log(at["sigma"]))]
    flat = np.array([*flat, *z.T.ravel()]).tolist()
    function(data, flat, True)
    spent, began = [], time.perf_counter()
    while len(spent) < 3 or (time.perf_counter() - began < seconds and len(spent) < 30):
        clock = jobs.Clock()
        function(data, flat, True)
        spent.append(clock.look())
    return {k: float(np.median([s[k] for s in spent])) for k in ("wall", "cpu")}


class Progress(io.StringIO):
    """Where PyStan writes how many iterations of all chains are done."""

    done = 0

    def write(self, text: str) -> int:
        """Keep the newest number."""
        for found in re.findall(r"\((\d+)/\d+\)", text):
            self.done = int(found)
        return len(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("row", choices=jobs.JOBS)
    parser.add_argument("job")
    parser.add_argument("out")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--tune", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1e9, help="processor seconds of sampling")
    parser.add_argument("--compile", action="store_true", help="compile anew")
    parser.add_argument("--no-sampling", action="store_true")
    args = parser.parse_args()
    job = jobs.read(args.job)
    code = (jobs.HERE / f"{args.row}.stan").read_text(encoding="utf-8")
    line: dict = {"tool": "stan", "version": f"PyStan {stan.__version__}"}
    if args.compile:
        httpstan.cache.delete_model_directory(httpstan.models.calculate_model_name(code))
    clock = jobs.Clock()
    build(code)
    model = stan.build(code, data=data_of(job, code), random_seed=args.seed)
    line["build"] = clock.look()
    line["gradient"] = gradients(code, job, 10.0)
    draws = {}
    if not args.no_sampling:
        line |= {
            "chains": args.chains, "tune": args.tune, "draws": args.draws, "limit": args.limit,
            "wanted": args.chains * (args.tune + args.draws),
        }  # fmt: skip
        clock = jobs.Clock()
        progress = Progress()
        limit = jobs.Limit(args.limit, lambda: progress.done, line, args.out)
        limit.start()
        with contextlib.redirect_stderr(progress):
            fit = model.sample(
                num_chains=args.chains, num_samples=args.draws, num_warmup=args.tune, delta=0.9,
                init=[start(job, args.seed + c) for c in range(args.chains)], refresh=1,
            )  # fmt: skip
        limit.over.set()
        line["sample"] = sampled_in(clock)
        chains = {
            name: fit[name].reshape(-1, args.draws, args.chains).transpose(2, 1, 0)
            for name in ("typical", "omega", "sigma")
        }
        draws = chains
        line |= {
            "steps_kept": float(fit["n_leapfrog__"].sum()),
            "divergences": int(fit["divergent__"].sum()), "transitions": line["wanted"],
        }  # fmt: skip
    jobs.finish(args.out, line, **draws)


def sampled_in(clock: jobs.Clock) -> dict:
    """Return the seconds of sampling, of the sampling processes too, which have not ended."""
    alive = sum(jobs.spent_by(pid) for pid in jobs.children())
    gone = clock.look()
    return {"wall": gone["wall"], "cpu": gone["cpu"] + alive}


def data_of(job: dict, code: str) -> dict:
    """Return what the program's data block names."""
    block = re.search(r"\ndata \{(.*?)\n\}", code, re.S).group(1)
    names = re.findall(r"(\w+);", block)
    return {n: job[n] for n in names}


if __name__ == "__main__":
    main()

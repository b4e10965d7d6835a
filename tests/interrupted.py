"""Run by test_interruptions in a process of its own: saves a fit, or samples, as it is told."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
from diagnostics_inputs import known, trial

from cart_pkpd._core import files


def known_fit(draws: int):
    """Return a fit that was not sampled; 2000 draws take about 1 MB."""
    rng = np.random.default_rng(1)
    own = {k: v * np.exp(0.2 * rng.standard_normal((draws, 24))) for k, v in
           (("c0", 100.0), ("k", 0.1))}  # fmt: skip
    values = {"c0": 100.0, "k": 0.1, "omega_c0": 0.6, "omega_k": 0.03, "sigma_log": 0.4}
    return known(trial(np.full((24, 5), 100.0)), values, own, iiv=["c0", "k"])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def halt_half_way() -> None:
    """Stop inside every save when half of the file is there."""

    def wait(part: Path) -> None:
        os.truncate(part, part.stat().st_size // 2)
        say("half written")
        time.sleep(120)

    files._flush = wait


def save(path: Path, draws: int) -> None:
    try:
        known_fit(draws).save(path)
    except OSError as problem:
        say(f"{type(problem).__name__}: {problem}")
        return
    say("saved")


def save_laplace(path: Path) -> None:
    from cart_pkpd import checks, fit, models

    model = models.get("stein2019").with_(
        **{n: models.Fixed(v) for n, v in (("rho", 0.889), ("fb", 0.0079), ("beta", 0.0032))}
    )
    plan = checks.planned_trial(model, 4, [5, 9, 14, 28])
    result = fit.laplace(model, plan, fit.population(iiv=["cmax"]), starts=1, max_iterations=3)
    say("fitted")
    result.save(path)
    say("saved")


def sample(path: Path) -> None:
    from cart_pkpd import checks, fit

    plan = checks.planned_trial("stein2019", 4, [5, 9, 14, 28, 60])

    def heard(news) -> None:
        if news.stage == "sampling" and news.done:
            say("sampling")

    fit.bayes(
        "stein2019", plan, fit.population(iiv=["cmax"]), draws=200_000, chains=2, progress=heard
    ).save(path)
    say("saved")


if __name__ == "__main__":
    what, target = sys.argv[1], Path(sys.argv[2])
    match what:
        case "save":
            save(target, int(sys.argv[3]))
        case "save with little room":
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            save(target, int(sys.argv[3]))
        case "save slowly":
            halt_half_way()
            save(target, int(sys.argv[3]))
        case "save a likelihood fit slowly":
            halt_half_way()
            save_laplace(target)
        case "sample":
            sample(target)

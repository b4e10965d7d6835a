"""Simulation-based calibration as a command: from a run file or a plan to a folder of results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import ConfigError
from cart_pkpd._core.files import whole_file
from cart_pkpd._core.validate import one_of
from cart_pkpd._study import plan, steps, tables
from cart_pkpd._study.config import Config
from cart_pkpd._study.folder import write_json
from cart_pkpd._study.watch import Watch

if TYPE_CHECKING:
    import xarray as xr

    from cart_pkpd._stats.population import Population
    from cart_pkpd.models import Model

_ALPHA = 0.05
_BY_QUANTITY = (
    "p_value", "p_adjusted", "p_value_all", "bias", "dispersion", "contraction"
)  # fmt: skip
_BY_SIMULATION = ("status", "reason", "tries", "below", "seconds", "patient")


@dataclass(frozen=True, eq=False)
class Problem:
    """What is calibrated."""

    model: Model
    trial: xr.Dataset
    population: Population
    endpoint: str | tuple[str, ...]


@dataclass(frozen=True)
class PlannedTrial:
    """A model and a design as they are typed.

    Attributes
    ----------
    model : str
        Name of a registered model.
    patients : int
        How many.
    times : str
        Days, ``0,3,7,14``.
    lloq, dose : float or None
        Limit of quantification and dose of every patient.
    iiv : str
        Parameters that vary, ``cmax,tmax``.
    error : str
        Residual error.
    spreads, fixed, priors : sequence of str
        ``cmax=0.3``, ``beta=0.01`` and ``omega_cmax=lognormal:median=0.5,sigma=0.3``.
    """

    model: str
    patients: int
    times: str
    lloq: float | None = None
    dose: float | None = None
    iiv: str = ""
    error: str = "lognormal"
    spreads: Sequence[str] = ()
    fixed: Sequence[str] = ()
    priors: Sequence[str] = ()

    def problem(self) -> Problem:
        """Return what is to be calibrated.

        Raises
        ------
        CartError
            For what cannot be read, or does not fit the model.
        """
        from cart_pkpd import checks, models
        from cart_pkpd._stats.population import population

        changes: dict[str, Any] = {
            name: {"spread": _number(value, "--spread")}
            for name, value in _pairs(self.spreads, "--spread")
        }
        for name, value in _pairs(self.fixed, "--fix"):
            changes[name] = models.Fixed(_number(value, "--fix"))
        model = models.get(self.model).with_(**changes)
        days = [_number(t, "--times") for t in self.times.split(",")]
        trial = checks.planned_trial(model, self.patients, days, doses=self.dose, lloq=self.lloq)
        pop = population(
            iiv=[name.strip() for name in self.iiv.split(",") if name.strip()],
            error=self.error,
            priors={name: _prior(text) for name, text in _pairs(self.priors, "--prior")},
        )
        endpoints = tuple(model.endpoints)
        return Problem(model, trial, pop, endpoints[0] if len(endpoints) == 1 else endpoints)


def of_run_file(config: Config, name: str | None) -> tuple[Problem, dict[str, Any]]:
    """Return one model of a run file with its trial, and how it is to be sampled.

    Parameters
    ----------
    config : Config
        The run file.
    name : str or None
        Which of its models; None stands for the sole one.

    Raises
    ------
    CartError
        If there is no such model, or the run file cannot be run.
    """
    from cart_pkpd._stats.population import population

    plan.check(config)
    known = list(config.spec.models)
    if name is None and len(known) != 1:
        said = ", ".join(known) or "none"
        raise ConfigError(f"say with --fit which model of {config.source} ({said}).")
    chosen = known[0] if name is None else one_of(name, known, "model", error=ConfigError)
    if config.given is not None:
        raise ConfigError(
            f"{config.source}: a fit with 'given_fit' cannot be calibrated: known parameters are "
            "not drawn again. Leave fit.given_fit out."
        )
    trial = steps.load_trial(config)
    steps.check_endpoints(config, trial)
    problem = Problem(
        plan.model(config, chosen),
        trial,
        population(**config.population(chosen)),
        config.spec.fit.endpoints if len(config.spec.fit.endpoints) > 1
        else config.spec.fit.endpoints[0],
    )  # fmt: skip
    return problem, config.sampling(chosen)


def calibrate(
    problem: Problem,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    progress: Callable[[Any], None] | None = None,
) -> xr.Dataset:
    """Calibrate, and write tables, a figure and the result; finished simulations are kept.

    Raises
    ------
    ConfigError
        If the folder holds something else.
    FitError
        As ``checks.sbc``.
    """
    from cart_pkpd import checks, plots
    from cart_pkpd._fit.trees import write_tree

    check_folder(folder)
    found = checks.sbc(
        problem.model, problem.trial, problem.population, endpoint=problem.endpoint,
        progress=progress, resume=folder / "simulations", **settings,
    )  # fmt: skip
    write_tree(found, folder / "sbc.nc")
    _write_tables(found, folder)
    if converged(found):
        with whole_file(folder / "sbc.png") as part:
            plots.sbc(found).savefig(part, dpi=110, format="png")
    write_json(folder / "sbc.json", summary(found))
    return found


def check_folder(folder: Path) -> None:
    """Raise ConfigError if a folder holds something that no calibration wrote."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out '{folder}' is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "simulations").is_dir():
        raise ConfigError(
            f"'{folder}' is not empty and holds no earlier calibration; name another folder."
        )


def _write_tables(found: xr.Dataset, folder: Path) -> None:
    by = found[[*_BY_QUANTITY]].to_dataframe().reset_index()
    tables.write_csv(folder / "quantities.csv", by)
    each = found[[*_BY_SIMULATION]].to_dataframe().reset_index()
    tables.write_csv(folder / "simulations.csv", each)
    ranks = found["rank"].to_series().unstack("quantity")[found["quantity"].to_numpy()]
    tables.write_csv(folder / "ranks.csv", ranks.reset_index())


def converged(found: xr.Dataset) -> int:
    """Return how many fits converged."""
    return int((found["status"] == "converged").sum())


def exit_code(found: xr.Dataset) -> int:
    """Return 0 where ranks agree with uniform ones, else 3."""
    least = float(found["p_adjusted"].min())
    return 0 if converged(found) and least >= _ALPHA else 3


def watched(problem: Problem, out: Path, settings: Mapping[str, Any], watch: Watch) -> xr.Dataset:
    """Calibrate and tell how it goes."""
    began = time.perf_counter()
    watch.began("sbc")
    try:
        found = calibrate(
            problem, out, settings=settings,
            progress=lambda news: watch.advanced("sbc", news.done, news.total),
        )  # fmt: skip
        watch.ended("sbc", "done", f"results in {out}", time.perf_counter() - began)
    finally:
        watch.closed()
    return found


def summary(found: xr.Dataset) -> dict[str, Any]:
    """Return what was found as plain data."""
    counts = {
        state: int((found["status"] == state).sum())
        for state in ("converged", "unconverged", "failed")
    }
    reasons = found["reason"].to_numpy()
    return {
        "exit_code": exit_code(found),
        "sentence": found.attrs["sentence"],
        "model": found.attrs["what"],
        "counts": counts,
        "reasons": sorted({str(r) for r in reasons if r}),
        "quantities": {
            str(q): {name: float(found[name].sel(quantity=q)) for name in _BY_QUANTITY}
            for q in found["quantity"].to_numpy()
        },
    }


def _pairs(given: Sequence[str], flag: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        name, sign, value = text.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise ConfigError(f"{flag} {text!r}: write NAME=VALUE.")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _number(text: str, flag: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{flag}: {text.strip()!r} is not a number.")
    return value


def _prior(text: str) -> dict[str, Any]:
    """Return a prior from ``lognormal:median=0.5,sigma=0.3``."""
    kind, _, numbers = text.partition(":")
    given = _pairs(numbers.split(","), "--prior") if numbers else []
    return {"kind": kind.strip(), **{name: _number(value, "--prior") for name, value in given}}

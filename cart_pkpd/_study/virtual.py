"""`cart-pkpd simulate`: virtual patients of a run file, written and summed up."""

from __future__ import annotations

import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._core import words
from cart_pkpd._core.errors import ConfigError
from cart_pkpd._study.config import RunFileError, load
from cart_pkpd._study.simulatetable import Simulate
from cart_pkpd._study.watch import Watch

if TYPE_CHECKING:
    import xarray as xr

STEP = "simulate"
_AS_THEY_ARE = (
    "trials", "uncertainty", "values", "covariates", "lloq", "uloq", "follow_up", "inputs",
    "window", "endpoints", "chunk",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A checked [simulate] table.

    Attributes
    ----------
    table : Simulate
    seed : int
    title : str
    root : Path
        Folder from which the file's paths count.
    """

    table: Simulate
    seed: int
    title: str
    root: Path


def read(path: Path, seed: int | None) -> Job:
    """Read the [simulate] table of a run file, which may have no other.

    Raises
    ------
    RunFileError
        One sentence for each thing wrong.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        load(path)  # says what is wrong
        raise
    if "simulate" not in given:
        raise RunFileError(["has no [simulate] table; add one with model, n and times."], path.name)
    spec = load(path).spec
    assert spec.simulate is not None
    own = spec.seed if seed is None else seed
    return Job(spec.simulate, own, spec.title or path.stem, path.parent)


def run(
    job: Job, out: Path | None, *, overwrite: bool, watch: Watch, executor: str | None = None,
    jobs: int | None = None, scheduler: str | None = None,
) -> tuple[xr.Dataset, Path]:  # fmt: skip
    """Simulate the patients; return them, read from the file, and the file."""
    from cart_pkpd import simulate

    target = out or job.root / (job.table.out or f"{job.title}-patients.nc".replace(" ", "-"))
    if target.exists() and not overwrite:
        raise ConfigError(f"{str(target)!r} is there already; give --overwrite, or another --out.")
    began = time.perf_counter()
    watch.began(STEP)
    try:
        found = simulate.patients(
            _model(job), job.table.n, seed=job.seed, **arguments(job), out=target,
            overwrite=overwrite, executor=executor, jobs=jobs, scheduler=scheduler,
            progress=lambda done, total: watch.advanced(STEP, done, total, f"{done:,} patients"),
        )  # fmt: skip
        watch.ended(STEP, "done", f"{target}", time.perf_counter() - began)
    finally:
        watch.closed()
    return found, target


def _model(job: Job) -> Any:
    from cart_pkpd import fit

    return job.table.model if job.table.fit is None else fit.load(job.root / job.table.fit)


def arguments(job: Job) -> dict[str, Any]:
    """Return what the table says as arguments of ``simulate.patients``."""
    from cart_pkpd import simulate

    table, given = job.table, job.table.given()
    out: dict[str, Any] = {k: given[k] for k in _AS_THEY_ARE if k in given}
    if table.times is not None:
        out["times"] = simulate.Schedule(table.times, table.visit_window, table.missed)
    if table.doses is not None:
        by_dose = isinstance(table.doses, dict)
        out["doses"] = _by_dose(table.doses) if by_dose else table.doses
    if table.infusions is not None:
        out["infusions"] = [tuple(one) for one in table.infusions]
    if table.inputs is not None:
        out["inputs"] = {k: [(a[0], a[1]) for a in v] for k, v in table.inputs.items()}
    if table.error is not None:
        out["error"] = _error(table.error)
    for name in ("dropout", "death"):
        if name in given:
            out[name] = simulate.Dropout(**given[name])
    if table.outcomes is not None:
        out["outcomes"] = {k: simulate.Outcome(**v) for k, v in given["outcomes"].items()}
    if table.covariates is not None:
        out["covariates"] = {k: _covariate(v) for k, v in given["covariates"].items()}
    if table.subjects is not None:
        out["covariates"] = _subjects(job.root / table.subjects)
    return out


def _by_dose(given: Any) -> dict[float, int]:
    try:
        return {float(dose): n for dose, n in given.items()}
    except ValueError:
        raise ConfigError(
            f"simulate.doses: a key is a dose, such as \"1e6\", not {next(iter(given))!r}."
        ) from None  # fmt: skip


def _error(given: Any) -> Any:
    from cart_pkpd import simulate

    if not isinstance(given, dict):
        return given
    return {
        k: v if isinstance(v, float | int) else simulate.Residual(**v.given())
        for k, v in given.items()
    }


def _covariate(given: Any) -> Any:
    from cart_pkpd import simulate
    from cart_pkpd._stats.priors import prior_from

    if not isinstance(given, dict):
        return given
    return simulate.Categorical(given["shares"]) if "shares" in given else prior_from(given)


def _subjects(path: Path) -> Any:
    import pandas as pd

    from cart_pkpd._core.errors import DataError

    try:
        return pd.read_csv(path)
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror}.") from error


def summed_up(found: xr.Dataset, path: Path) -> dict[str, Any]:
    """Return what was simulated as plain data: by dose patients, exposure, losses, outcomes."""
    import numpy as np

    from cart_pkpd import simulate

    probs = (0.05, 0.5, 0.95)
    table = simulate.summary(found, probs=probs)
    dose, left = found["dose_level"].to_numpy(), found["left"].to_numpy()
    rows = []
    for i, level in enumerate(table["dose_level"].to_numpy()):
        who = np.isnan(dose) if np.isnan(level) else dose == level
        row: dict[str, Any] = {
            "dose": None if np.isnan(level) else float(level),
            "patients": int(table["n"][i]),
            "left": float((left[who] > 0).mean()),
        }
        if "exposure" in table:
            row["exposure"] = _exposures(table["exposure"].isel(dose_level=i))
        for name in str(found.attrs["outcomes"]).split():
            known = (found[f"{name}_evaluable"].to_numpy() > 0) & who
            grade = found[name].to_numpy()[known]
            row[name] = float((grade > 0).mean()) if known.any() else None
        rows.append(row)
    about = {k: found.attrs[k] for k in ("model", "patients_from", "residual_error")}
    unsolved = int((found["status"].to_numpy() > 0).sum())
    return {**about, "file": str(path), "patients": int(found.sizes["id"]),
            "trials": int(found.attrs["trials"]), "seed": int(found.attrs["seed"]),
            "unsolved": unsolved, "quantiles": list(probs), "by_dose": rows}  # fmt: skip


def _exposures(values: Any) -> dict[str, dict[str, list[float]]]:
    return {
        str(e): {
            str(m): [float(v) for v in values.sel(endpoint=e, metric=m).to_numpy()]
            for m in values["metric"].to_numpy()
        }
        for e in values["endpoint"].to_numpy()
    }


def sentence(said: dict[str, Any]) -> str:
    """Return the same in words, a line per dose."""
    lines = [
        f"{said['patients']:,} virtual patients of {said['model']} ({said['patients_from']}; "
        f"residual error: {said['residual_error']}), seed {said['seed']}."
    ]
    if said["unsolved"]:
        lines.append(f"! {said['unsolved']} patients have no solution; their levels are missing.")
    known = {"dose", "patients", "left", "exposure"}
    for row in said["by_dose"]:
        name = "all" if row["dose"] is None else words.dose(row["dose"], "")
        parts = [f"{row['patients']:,} patients"]
        for endpoint, metrics in row.get("exposure", {}).items():
            parts += [f"{endpoint} {_range(m, v)}" for m, v in metrics.items() if m != "tmax"]
        if row["left"]:
            parts.append(f"{100 * row['left']:.1f} % left")
        parts += [
            f"{k} {100 * v:.1f} % of evaluable" for k, v in row.items()
            if k not in known and v is not None
        ]  # fmt: skip
        lines.append(f"  {name.strip()}: {'; '.join(parts)}")
    lines.append(f"Written to {said['file']}; exposure as median (5 % to 95 %).")
    return "\n".join(lines)


def _range(metric: str, values: list[float]) -> str:
    low, middle, high = (words.number(v) for v in values)
    return f"{metric} {middle} ({low} to {high})"

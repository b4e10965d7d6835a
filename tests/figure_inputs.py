"""Made-up results in the shapes that plots and report take: small, seeded, with known content."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core import names

LEVELS = (1e6, 3e6, 1e7, 3e7)
PER_LEVEL = (3, 3, 6, 4)
DAYS = np.array([0, 1, 3, 7, 10, 14, 21, 28, 60, 90, 180, 360], dtype=float)
LLOQ = {"transgene": 50.0, "car_cells": 0.5}
WINDOW_DAYS = np.array([0, 1, 2, 3, 5, 7, 10, 14, 21, 28], dtype=float)


def patients() -> list[str]:
    return [f"P{i + 1:02d}" for i in range(sum(PER_LEVEL))]


def dose_levels() -> np.ndarray:
    return np.repeat(LEVELS, PER_LEVEL)


def curve(time: np.ndarray, cmax: float, tmax: float) -> np.ndarray:
    """Expansion by a factor of 3900 to the peak, then two phases of decline."""
    grow = cmax * 3900 ** (time / tmax - 1)
    since = np.maximum(time - tmax, 0)
    fall = cmax * (0.98 * np.exp(-0.16 * since) + 0.02 * np.exp(-0.003 * since))
    return np.where(time < tmax, grow, fall)


def _rows(seed: int) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(seed)
    rows = []
    for patient, level in zip(patients(), dose_levels(), strict=True):
        cmax = 4000 * (level / 1e6) ** 0.35 * np.exp(0.8 * rng.normal())
        tmax = 9.3 * np.exp(0.25 * rng.normal())
        for name, scale in (("transgene", 1.0), ("car_cells", 0.01)):
            for day in DAYS:
                time = max(day + 0.4 * rng.normal() * (day > 0), 0.0)
                value = scale * curve(np.array([time]), cmax, tmax)[0] * np.exp(0.3 * rng.normal())
                rows.append((patient, name, time, day, value, LLOQ[name]))
        for i, name in enumerate(names.CYTOKINES):
            for day in WINDOW_DAYS:
                height = 8 * (i + 1) * (level / 1e6) ** 0.4 * np.exp(0.5 * rng.normal())
                value = 2 + height * np.exp(-((day - 8) ** 2) / 20)
                rows.append((patient, name, day, day, value, 3.0))
    return rows


def trial(seed: int = 1) -> xr.Dataset:
    """Return a trial Dataset of 16 patients at 4 dose levels with 11 endpoints."""
    patient, endpoint, time, nominal, dv, lloq = zip(*_rows(seed), strict=True)
    value, limit = np.array(dv), np.array(lloq)
    low = value < limit
    units = {name: names.ENDPOINTS[name] for name in dict.fromkeys(endpoint)}
    day = {"units": "day"}
    n = len(patient)
    ids = patients()
    return xr.Dataset(
        {
            "dv": ("obs", np.where(low, limit, value), {"units": "see measure"}),
            "censoring": ("obs", np.where(low, "left", "none")),
            "lloq": ("obs", limit, {"units": "see measure"}),
            "uloq": ("obs", np.full(n, np.nan), {"units": "see measure"}),
            "limit": ("obs", np.full(n, np.nan), {"units": "see measure"}),
            "amount": ("dosing", dose_levels(), {"units": "cells"}),
            "dose_level": ("id", dose_levels(), {"units": "cells", "long_name": "Dose level"}),
            "crs_grade": ("id", np.arange(len(ids)) % 4.0, {"units": "", "long_name": "CRS grade"}),
            "response": ("id", np.array(["PR", "SD", "PD", "SD"] * 4)),
            "event_name": ("event", np.array(["tocilizumab"])),
            "event_value": ("event", np.array([1.0])),
            "unit": ("measure", np.array([e.unit for e in units.values()])),
            "label": ("measure", np.array([e.label for e in units.values()])),
            "kind": ("measure", np.array([e.kind for e in units.values()])),
        },
        coords={
            "row": ("obs", np.arange(n) + 2),
            "patient": ("obs", np.array(patient)),
            "time": ("obs", np.array(time), day),
            "nominal_time": ("obs", np.array(nominal), day),
            "endpoint": ("obs", np.array(endpoint)),
            "occasion": ("obs", np.ones(n, dtype=int)),
            "dose_row": ("dosing", np.arange(len(ids)) + 2),
            "dose_patient": ("dosing", np.array(ids)),
            "dose_time": ("dosing", np.zeros(len(ids)), day),
            "id": np.array(ids),
            "event_row": ("event", np.array([99])),
            "event_patient": ("event", np.array(["P03"])),
            "event_time": ("event", np.array([6.0]), day),
            "measure": np.array(list(units)),
        },
        attrs={
            "source": "made_up.csv",
            "source_sha256": "0f" * 32,
            "time_unit": "day",
            "import_report": json.dumps(IMPORT_REPORT),
        },
    )


IMPORT_REPORT = {
    "source": "made_up.csv",
    "sha256": "0f" * 32,
    "n_patients": 16,
    "n_records": 1841,
    "n_observations": 1824,
    "n_doses": 16,
    "n_events": 1,
    "columns": [{"column": "ID", "header": "SUBJ", "how": "guessed"}],
    "endpoints": [],
    "missing_covariates": {},
    "guesses": ["SUBJ is the patient; say columns= if not."],
    "notes": ["1 value given as text '<50' was read as below the LLOQ."],
    "exclusions": [
        {"row": 17, "patient": "P01", "column": "MDV", "value": "1", "reason": "MDV is 1"}
    ],
}


def endpoint(name: str = "transgene", seed: int = 1) -> xr.Dataset:
    """Return one endpoint with its label and unit, as data.endpoint does."""
    whole = trial(seed)
    one = whole.isel(obs=np.flatnonzero(whole["endpoint"].values == name))
    for variable in ("dv", "lloq", "uloq", "limit"):
        one[variable].attrs["units"] = names.ENDPOINTS[name].unit
    one["dv"].attrs["long_name"] = names.ENDPOINTS[name].label
    return one.assign_attrs(endpoint=name)


def nca(seed: int = 1) -> xr.Dataset:
    """Return NCA parameters; P01 never quantified, P02 without a terminal slope."""
    rng = np.random.default_rng(seed)
    n = len(patients())
    cmax = 4000 * (dose_levels() / 1e6) ** 0.35 * np.exp(0.8 * rng.normal(size=n))
    columns = {
        "cmax": (cmax, "copies/µg", "Cmax", "CMAX"),
        "tmax": (9 + rng.normal(size=n), "day", "Tmax", "TMAX"),
        "auc0_28": (cmax * 12, "copies/µg*day", "AUC0–28d", "AUCINT"),
        "half_life": (np.exp(4 + 0.3 * rng.normal(size=n)), "day", "t½", "LAMZHL"),
        "lambda_z_n_points": (rng.integers(3, 6, n).astype(float), "1", "λz points", "LAMZNPT"),
    }
    parameters = list(columns)
    reason = np.full((n, len(parameters)), "", dtype="<U60")
    made = xr.Dataset(
        {
            name: ("id", values.copy(), {"units": unit, "long_name": text, "cdisc": code})
            for name, (values, unit, text, code) in columns.items()
        },
        coords={
            "id": np.array(patients()),
            "dose_level": ("id", dose_levels(), {"units": "cells", "long_name": "Dose level"}),
            "parameter": np.array(parameters),
        },
        attrs={"endpoint": "transgene", "rules": "AUC: linear up, log down"},
    )
    made["cmax"][0], made["auc0_28"][0] = 0.0, 0.0
    for name, who, why in (
        ("tmax", 0, "no value above LLOQ"),
        ("half_life", 0, "no value above LLOQ"),
        ("half_life", 1, "fewer than 3 points after the peak"),
    ):
        made[name][who] = np.nan
        reason[who, parameters.index(name)] = why
    return made.assign(reason=(("id", "parameter"), reason))


def predictions(seed: int = 1) -> xr.Dataset:
    """Return individual predictions on a grid and at the observations."""
    one = endpoint(seed=seed)
    grid = np.linspace(0, 360, 120)
    rng = np.random.default_rng(seed)
    tops = 4000 * (dose_levels() / 1e6) ** 0.35 * np.exp(0.4 * rng.normal(size=len(patients())))
    middle = np.array([curve(grid, top, 9.3) for top in tops])
    at = {p: top for p, top in zip(patients(), tops, strict=True)}
    ipred = [
        curve(np.array([t]), at[str(p)], 9.3)[0]
        for p, t in zip(one.patient.values, one.time.values, strict=True)
    ]
    pred = [curve(np.array([t]), 9000, 9.3)[0] for t in one.time.values]
    made = one.assign(
        median=(("id", "grid"), middle),
        lower=(("id", "grid"), middle * 0.7),
        upper=(("id", "grid"), middle * 1.4),
        population=("grid", curve(grid, 9000, 9.3)),
        population_lower=("grid", curve(grid, 5000, 9.3)),
        population_upper=("grid", curve(grid, 15000, 9.3)),
        ipred=("obs", np.array(ipred)),
        pred=("obs", np.array(pred)),
    ).assign_coords(grid_time=("grid", grid, {"units": "day"}))
    attrs = {"endpoint": "transgene", "label": "CAR transgene", "units": "copies/µg", "prob": 0.9}
    return made.assign_attrs(attrs)


def vpc(strata: int = 1) -> xr.Dataset:
    """Return a predictive check with 8 bins; the last two bins hold values below the LLOQ."""
    time = np.array([1.0, 3, 7, 10, 14, 28, 90, 300])
    quantile = np.array([0.05, 0.5, 0.95])
    middle = curve(time, 9000, 9.3)[:, None] * np.array([0.2, 1, 5.0])
    middle = np.where(middle < LLOQ["transgene"], np.nan, middle)
    shape = ("stratum", "bin", "quantile")
    wide = np.repeat(middle[None], strata, axis=0)
    blq = np.repeat(np.array([0.3, 0, 0, 0, 0, 0, 0.1, 0.3])[None], strata, axis=0)
    labels = ["all"] if strata == 1 else [f"{level:g}" for level in LEVELS[:strata]]
    one = endpoint()
    made = one.assign(
        observed=(shape, wide * 1.1),
        simulated_lower=(shape, wide * 0.6),
        simulated_median=(shape, wide),
        simulated_upper=(shape, wide * 1.7),
        blq_observed=(shape[:2], blq),
        blq_lower=(shape[:2], np.clip(blq - 0.1, 0, 1)),
        blq_median=(shape[:2], blq),
        blq_upper=(shape[:2], blq + 0.12),
    ).assign_coords(
        stratum=np.array(labels),
        quantile=quantile,
        bin_left=("bin", time * 0.8),
        bin_right=("bin", time * 1.2),
        bin_time=("bin", time),
    )
    attrs = {"endpoint": "transgene", "label": "CAR transgene", "units": "copies/µg", "prob": 0.9}
    return made.assign_attrs(attrs)


PARAMETERS = {
    "cmax": ("peak transgene level", "copies/µg", "typical", 24000.0, 0.5, 0.15),
    "tmax": ("time of the peak", "day", "typical", 9.3, 0.4, 0.05),
    "alpha": ("rapid contraction rate", "1/day", "typical", 0.16, 0.5, 0.1),
    "beta": ("slow decline rate", "1/day", "typical", 0.0032, 0.6, 0.3),
    "omega_cmax": ("sd of cmax between patients", "1", "omega", 0.8, 0.5, 0.15),
    "sigma_log": ("residual sd on log scale", "1", "residual", 0.5, 0.3, 0.05),
}


def draws(chains: int = 4, n: int = 250, seed: int = 1) -> xr.Dataset:
    """Return posterior draws, log-normal around the typical values."""
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            name: (
                ("chain", "draw"),
                middle * np.exp(narrow * rng.normal(size=(chains, n))),
                {"long_name": text, "units": unit},
            )
            for name, (text, unit, _, middle, _, narrow) in PARAMETERS.items()
        }
    )


def prior_draws(n: int = 1000, seed: int = 2) -> xr.Dataset:
    """Return prior draws, wider around the same values."""
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            name: ("draw", middle * np.exp(wide * rng.normal(size=n)), {"units": unit})
            for name, (_, unit, _, middle, wide, _) in PARAMETERS.items()
        }
    )


def table() -> pd.DataFrame:
    """Return a parameter table with 90 % intervals of the log-normals above."""
    z = 1.645
    rows = {
        name: {
            "label": text, "unit": unit, "role": role,
            "prior_median": middle, "prior_lower": middle * np.exp(-z * wide),
            "prior_upper": middle * np.exp(z * wide),
            "median": middle, "lower": middle * np.exp(-z * narrow),
            "upper": middle * np.exp(z * narrow),
            "rhat": 1.002, "ess_bulk": 1830.0, "ess_tail": 1444.0,
        }
        for name, (text, unit, role, middle, wide, narrow) in PARAMETERS.items()
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def tree() -> xr.DataTree:
    """Return a fit's tree with three divergent draws."""
    posterior = draws()
    diverging = np.zeros((4, 250), dtype=bool)
    diverging[0, [10, 20]] = diverging[2, 30] = True
    stats = xr.Dataset({"diverging": (("chain", "draw"), diverging)})
    return xr.DataTree.from_dict({"/posterior": posterior, "/sample_stats": stats})


def comparison() -> pd.DataFrame:
    """Return three models: two ranked, one that did not converge."""
    return pd.DataFrame(
        {
            "rank": [1.0, 2.0, np.nan],
            "converged": [True, True, False],
            "verdict": ["Converged.", "Converged.", "Not converged: R-hat up to 1.21 for 'beta'."],
            "elpd": [-812.4, -824.9, np.nan],
            "se": [14.1, 15.0, np.nan],
            "elpd_diff": [0.0, 12.5, np.nan],
            "dse": [0.0, 4.0, np.nan],
            "weight": [0.97, 0.03, np.nan],
            "p": [30.2, 33.3, np.nan],
            "pareto_k_bad": [2.0, 3.0, np.nan],
            "n_obs": [192.0, 192.0, 192.0],
            "seconds": [38.0, 51.0, 44.0],
        },
        index=pd.Index(["ogasawara2021", "stein2019", "liu2021"], name="model"),
    )


@dataclass(frozen=True)
class Verdict:
    ok: bool = True
    sentence: str = "Converged: R-hat at most 1.002, no divergences."
    max_rhat: float = 1.002
    min_ess_bulk: float = 1830.0
    divergences: int = 0


@dataclass(frozen=True)
class Result:
    """What the report asks of a FitResult."""

    model_name: str = "stein2019"
    label: str = "Stein 2019"
    endpoints: tuple[str, ...] = ("transgene",)
    verdict: Verdict = field(default_factory=Verdict)
    provenance: dict[str, Any] = field(
        default_factory=lambda: {"seed": 1, "sampler": "nutpie", "pymc": "6.4.0", "seconds": 38.2}
    )

    @property
    def tree(self) -> xr.DataTree:
        return tree()

    def table(self) -> pd.DataFrame:
        return table()

    def draws(self) -> xr.Dataset:
        return draws()

    def prior_draws(self) -> xr.Dataset:
        return prior_draws()


def small_trial(rename: dict[str, str] | None = None) -> xr.Dataset:
    """Return six patients at two dose levels with transgene, IL-6 and IL-10."""
    whole = trial()
    ids = patients()[:6]
    names_kept = ["transgene", "il6", "il10"]
    keep = np.isin(whole["patient"], ids) & np.isin(whole["endpoint"], names_kept)
    some = whole.isel(
        obs=np.flatnonzero(keep),
        id=np.arange(6),
        dosing=np.arange(6),
        measure=np.flatnonzero(np.isin(whole["measure"], names_kept)),
    )
    return renamed(some, rename or {})


def renamed(dataset: xr.Dataset, rename: dict[str, str]) -> xr.Dataset:
    """Return the dataset with patients renamed wherever they are named."""
    for name in ("id", "patient", "dose_patient", "event_patient"):
        if name in dataset.coords:
            values = np.array([rename.get(p, p) for p in dataset[name].values.astype(str)])
            dataset = dataset.assign_coords({name: (dataset[name].dims, values)})
    return dataset


def exposure_twin(fold: float = 1.25) -> xr.Dataset:
    """Return model exposures `fold` times those of `nca`; P01 falls below, P16 stays above LLOQ."""
    cmax = nca()["cmax"].values * fold
    cmax[0] = 20.0
    tlast = np.full((len(patients()), 3), [200.0, 120.0, 310.0])
    tlast[0], tlast[15] = 0.0, np.inf
    spread = np.array([1.0, 0.8, 1.3])
    columns = {
        "cmax": (cmax[:, None] * spread, "copies/µg"),
        "tmax": (np.full((len(patients()), 1), 9.3) * spread, "day"),
        "auc0_28": (cmax[:, None] * 12 * spread, "copies/µg*day"),
        "tlast": (tlast, "day"),
    }
    return xr.Dataset(
        {
            key: (("id", "interval"), value, {"units": unit})
            for key, (value, unit) in columns.items()
        },
        coords={
            "id": np.array(patients()),
            "dose_level": ("id", dose_levels()),
            "interval": np.array(["median", "lower", "upper"]),
        },
        attrs={"endpoint": "transgene", "prob": 0.9, "lloq": 50.0, "horizon": 365.0},
    )

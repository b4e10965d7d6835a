"""Small trials for the NCA tests, and the oracle tables."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

ORACLES = Path(__file__).parent / "oracles" / "nca"

Profile = Sequence[tuple[float, float | str]]
"""Times and levels; a level such as ``"<50"`` is below that LLOQ, ``">9"`` above that ULOQ."""


def trial(
    profiles: Mapping[str, Profile],
    *,
    lloq: float = np.nan,
    doses: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    nominal: Mapping[str, Sequence[float]] | None = None,
    endpoint: str = "transgene",
    unit: str = "copies/µg",
    covariates: Mapping[str, Sequence[object]] | None = None,
) -> xr.Dataset:
    """Return a trial Dataset of one endpoint; without `doses` everybody gets 1e6 on day 0."""
    ids = list(profiles)
    doses = doses if doses is not None else {name: [(0.0, 1e6)] for name in ids}
    rows = [(name, time, *_read(level, lloq)) for name in ids for time, level in profiles[name]]
    given = [(name, time, amount) for name in doses for time, amount in doses[name]]
    visits = [v for name in ids for v in (nominal or {}).get(name, [np.nan] * len(profiles[name]))]
    first = {name: doses[name][0][1] if doses.get(name) else np.nan for name in ids}
    obs = {
        "dv": ("obs", np.array([r[2] for r in rows], dtype=float)),
        "censoring": ("obs", np.array([r[3] for r in rows], dtype="<U8")),
        "lloq": ("obs", np.array([r[4] for r in rows], dtype=float)),
        "uloq": ("obs", np.full(len(rows), np.nan)),
        "amount": ("dosing", np.array([g[2] for g in given], dtype=float), {"units": "cells"}),
        "dose_level": ("id", np.array([first[name] for name in ids])),
        "unit": ("measure", np.array([unit])),
        "label": ("measure", np.array(["CAR transgene"])),
        "kind": ("measure", np.array(["cells"])),
    }
    for name, values in (covariates or {}).items():
        obs[name] = ("id", np.asarray(values))
    coords = {
        "row": ("obs", np.arange(2, 2 + len(rows))),
        "patient": ("obs", np.array([r[0] for r in rows], dtype="<U16")),
        "time": ("obs", np.array([r[1] for r in rows], dtype=float)),
        "nominal_time": ("obs", np.array(visits, dtype=float)),
        "endpoint": ("obs", np.array([endpoint] * len(rows), dtype="<U16")),
        "dose_patient": ("dosing", np.array([g[0] for g in given], dtype="<U16")),
        "dose_time": ("dosing", np.array([g[1] for g in given], dtype=float)),
        "id": np.array(ids, dtype="<U16"),
        "measure": np.array([endpoint]),
    }
    return xr.Dataset(obs, coords=coords)


def _read(level: float | str, lloq: float) -> tuple[float, str, float]:
    if isinstance(level, str):
        limit = float(level[1:])
        return (limit, "left", limit) if level[0] == "<" else (limit, "right", lloq)
    return float(level), "none", lloq


def one(levels: Sequence[float | str], times: Sequence[float], **options: object) -> xr.Dataset:
    """Return a trial of one patient."""
    return trial({"01": list(zip(times, levels, strict=True))}, **options)  # type: ignore[arg-type]


def oracle(name: str) -> list[dict[str, str]]:
    """Return the rows of an oracle table as text."""
    with (ORACLES / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def dataset(name: str, dose: float) -> xr.Dataset:
    """Return `theoph` or `indometh` as a trial; hours stand for days, as the rules have no unit."""
    found: dict[str, list[tuple[float, float | str]]] = defaultdict(list)
    for row in oracle(f"{name}.csv"):
        found[row["subject"]].append((float(row["time"]), float(row["conc"])))
    return trial(found, doses={name: [(0.0, dose)] for name in found})


def same_digits(value: float, printed: str) -> bool:
    """Whether a value rounds to the digits printed (trailing zeros may have been cut)."""
    decimals = len(printed.partition(".")[2])
    return abs(value - float(printed)) <= 0.5000001 * 10.0**-decimals

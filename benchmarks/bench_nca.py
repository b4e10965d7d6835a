"""Time and peak memory of the NCA.

Run ``python benchmarks/bench_nca.py`` (6,000 profiles) or ``… 1000000``; one core is used.
Targets: 6,000 profiles × 12 samples, two windows, every default parameter, in under 0.5 s;
1,000,000 profiles in under 60 s and 2 GiB.
"""

from __future__ import annotations

import os
import resource
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import xarray as xr

from cart_pkpd import nca

SCHEDULE = np.array([0, 1, 3, 7, 10, 14, 21, 28, 60, 90, 180, 365.0])
WINDOWS = [(0, 28), (0, 90)]


def simulated(patients: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return levels and actual times of patients with expansion and two-phase decline."""
    rng = np.random.default_rng(seed)
    shape = (patients, SCHEDULE.size)
    times = SCHEDULE + rng.uniform(0, 0.4, shape) * (SCHEDULE > 0)
    growth, fast = rng.uniform(0.5, 1.2, (patients, 1)), rng.uniform(0.02, 0.3, (patients, 1))
    since = times - rng.uniform(7, 15, (patients, 1))
    decline = 0.98 * np.exp(-fast * since) + 0.02 * np.exp(-0.005 * since)
    levels = 1e4 * np.where(since < 0, np.exp(growth * since), decline)
    levels *= np.exp(0.2 * rng.normal(size=shape))
    levels[:, 0] = 0.0
    return levels, times


def as_trial(levels: np.ndarray, times: np.ndarray, lloq: float) -> xr.Dataset:
    """Return the profiles as a trial Dataset, the way a table would be read."""
    patients, samples = levels.shape
    ids = np.arange(1, patients + 1).astype(str)
    below = levels.ravel() < lloq
    n = levels.size
    obs = {
        "dv": ("obs", np.where(below, lloq, levels.ravel())),
        "censoring": ("obs", np.where(below, "left", "none")),
        "lloq": ("obs", np.full(n, lloq)),
        "amount": ("dosing", np.full(patients, 1e7), {"units": "cells"}),
        "dose_level": ("id", np.full(patients, 1e7)),
        "unit": ("measure", np.array(["copies/µg"])),
        "kind": ("measure", np.array(["cells"])),
    }
    coords = {
        "patient": ("obs", np.repeat(ids, samples)),
        "time": ("obs", times.ravel()),
        "nominal_time": ("obs", np.tile(SCHEDULE, patients)),
        "endpoint": ("obs", np.full(n, "transgene")),
        "row": ("obs", np.arange(2, n + 2)),
        "dose_patient": ("dosing", ids),
        "dose_time": ("dosing", np.zeros(patients)),
        "id": ids,
        "measure": np.array(["transgene"]),
    }
    return xr.Dataset(obs, coords=coords)


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(label: str, call, *args, **kwargs) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(*args, **kwargs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = f"{result.sizes['id']:,} profiles, {result.sizes['parameter']} parameters"
    print(f"{label:32s} {count}: {wall:7.3f} s wall, {cpu:7.3f} s CPU, peak {peak_gib():.2f} GiB")


def main(patients: int) -> None:
    levels, times = simulated(patients)
    if patients > 100_000:
        timed("profiles, reasons as codes", nca.profiles, levels, times, lloq=20.0,
              window=WINDOWS, dose=1e7, reasons="code")  # fmt: skip
        return
    trial = as_trial(levels, times, 20.0)
    nca.table(trial.isel(id=slice(0, 1), obs=slice(0, 12), dosing=slice(0, 1)))  # imports
    for _ in range(3):
        timed("table of a trial", nca.table, trial, window=WINDOWS)
    timed("profiles as matrices", nca.profiles, levels, times, lloq=20.0, window=WINDOWS, dose=1e7)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6000)

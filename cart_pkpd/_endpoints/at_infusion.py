"""The last record before the infusion as one of the infusion, where models begin."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cart_pkpd._core.validate import as_trial


def baseline_at_infusion(trial: xr.Dataset, endpoint: str = "sld") -> xr.Dataset:
    """Return the trial with each patient's last record before the infusion as of day 0.

    Parameters
    ----------
    trial : xr.Dataset
        From ``data.read_table``.
    endpoint : str
        What is measured. Meant for tumour size: its baseline scan is some days old, and models
        begin at the infusion, so that fits leave it out, and whoever has no other scan with it.

    Returns
    -------
    xr.Dataset
        The same records. Who has one at day 0 keeps all as they are.

    Raises
    ------
    DataError
        If it is no trial, or has no such endpoint.
    """
    from cart_pkpd import data

    data.endpoint(trial, endpoint)  # refuses what is not there
    return with_baseline(trial, endpoint)[0]


def with_baseline(trial: xr.Dataset, endpoint: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Return the trial with each patient's last record before the infusion as of day 0, and a note.

    Raises
    ------
    DataError
        If it is no trial.
    """
    as_trial(trial)
    time, who = trial["time"].values, trial["patient"].values.astype(str)
    last: dict[str, int] = {}
    for i in np.flatnonzero((trial["endpoint"].values == endpoint) & (time <= 0)):
        if who[i] not in last or time[i] >= time[last[who[i]]]:
            last[who[i]] = int(i)
    moved = [i for i in last.values() if time[i] < 0]
    if not moved:
        return trial, ()
    at = time.copy()
    at[moved] = 0.0
    changed = trial["time"].copy(data=at)
    note = f"the last {endpoint} before the infusion counts as of its day ({len(moved)} patients)."
    kept = trial.assign_coords if "time" in trial.coords else trial.assign
    return kept(time=changed), (note,)

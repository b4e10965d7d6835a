"""Cytokine peaks of every patient within the window, with their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import data
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.names import CYTOKINES
from cart_pkpd._dose.measured import ABOVE, BELOW, EXACT, MISSING

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of K cytokines in n patients.

    Attributes
    ----------
    names : tuple of str
        The cytokines.
    labels, units : tuple of str
    ids : ndarray of str, shape (n,)
    value : ndarray, shape (n, K)
        ln of the peak, or of its bound; NaN without a sample.
    status : ndarray of str, shape (n, K)
        ``"measured"``; ``"below"`` the bound where every sample is BLQ; ``"above"`` it where a
        sample is over the ULOQ; ``"missing"``.
    lloq : ndarray, shape (K,)
        Median LLOQ, NaN without one. [unit]
    window : (float, float)
        First and last day.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    units: tuple[str, ...]
    ids: NDArray[np.str_]
    value: Floats
    status: NDArray[np.str_]
    lloq: Floats
    window: tuple[float, float]

    def table(self) -> pd.DataFrame:
        """Return one row per patient and cytokine: peak or bound [unit], status, unit."""
        n, k = self.value.shape
        return pd.DataFrame(
            {
                "id": np.repeat(self.ids, k),
                "cytokine": np.tile(np.array(self.names), n),
                "peak": np.exp(self.value).ravel(),
                "status": self.status.ravel(),
                "unit": np.tile(np.array(self.units), n),
            }
        )

    def of(self, ids: Sequence[str]) -> Peaks:
        """Return the peaks of these patients, in this order; missing where not known."""
        known = {str(i): j for j, i in enumerate(self.ids)}
        rows = np.array([known.get(str(i), -1) for i in ids], dtype=int)
        there = (rows >= 0)[:, None]
        value = np.where(there, self.value[rows], np.nan)
        status = np.where(there, self.status[rows], MISSING)
        return Peaks(
            self.names, self.labels, self.units, np.array(ids, dtype=str), value, status,
            self.lloq, self.window,
        )  # fmt: skip


def peaks(
    trial: xr.Dataset,
    cytokines: Sequence[str] | None = None,
    *,
    window: tuple[float, float] = (0.0, 28.0),
) -> Peaks:
    """Return the observed peak of each cytokine in each patient.

    Parameters
    ----------
    trial : xr.Dataset
    cytokines : sequence of str, optional
        Endpoints; by default those of the nine that the trial has.
    window : (float, float)
        First and last day.

    Returns
    -------
    Peaks

    Raises
    ------
    DataError
        If the trial lacks a cytokine that is named.

    Notes
    -----
    A peak is the highest quantifiable sample. Where every sample is BLQ it is known to lie below
    the largest of their limits; where one is above the ULOQ, above that.
    """
    there = data.endpoints(trial)
    names = tuple(c for c in CYTOKINES if c in there) if cytokines is None else tuple(cytokines)
    ids = trial["id"].values.astype(str)
    if not window[0] < window[1]:
        raise DataError(f"window= must be two rising days, not {tuple(window)!r}.")
    columns = [_column(trial, name, ids, window) for name in names]
    shape = (ids.size, 0)
    return Peaks(
        names,
        tuple(c[3] for c in columns),
        tuple(c[4] for c in columns),
        ids,
        np.stack([c[0] for c in columns], axis=1) if columns else np.empty(shape),
        np.stack([c[1] for c in columns], axis=1) if columns else np.empty(shape, dtype="<U8"),
        np.array([c[2] for c in columns]),
        window,
    )


def _column(
    trial: xr.Dataset, name: str, ids: NDArray[np.str_], window: tuple[float, float]
) -> tuple[Floats, NDArray[np.str_], float, str, str]:
    records = data.endpoint(trial, name)
    frame = pd.DataFrame({v: records[v].values for v in ("dv", "censoring", "lloq", "time")})
    frame["patient"] = records["patient"].values.astype(str)
    frame = frame[frame["time"].between(*window) & np.isfinite(frame["dv"].astype(float))]
    each = dict(tuple(frame.groupby("patient")))
    found = [_peak(each[i]) if i in each else (np.nan, MISSING) for i in ids]
    lloq = frame["lloq"].dropna()
    attrs = records["dv"].attrs
    return (
        np.array([f[0] for f in found], dtype=float),
        np.array([f[1] for f in found], dtype="<U8"),
        float(lloq.median()) if len(lloq) else np.nan,
        str(attrs["long_name"]),
        str(attrs["units"]),
    )


def _peak(samples: pd.DataFrame) -> tuple[float, str]:
    """Return ln of the peak or bound, and what it is."""
    dv, code = samples["dv"].to_numpy(dtype=float), samples["censoring"].to_numpy(dtype=str)
    over = code == "right"
    if over.any():
        return float(np.log(dv[over].max())), ABOVE
    exact = (code == "none") & (dv > 0)
    lloq = samples["lloq"].to_numpy(dtype=float)
    limit = np.where(code == "none", lloq, dv)[~exact]  # a censored record's own limit
    top = float(np.nanmax(limit)) if np.isfinite(limit).any() else np.nan
    if not exact.any():
        return (float(np.log(top)), BELOW) if top > 0 else (np.nan, MISSING)
    return float(np.log(dv[exact].max())), EXACT

"""A trial that has not been: patients, times and limits, in the form of a real one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._checks.identifiability import takes_doses
from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import one_of, positive_int
from cart_pkpd.models._simulated import times_of

if TYPE_CHECKING:
    from cart_pkpd.models import Model

type Limits = float | Mapping[str, float] | None


def planned_trial(
    model: Model | str,
    patients: int,
    times: ArrayLike | Mapping[str, ArrayLike],
    *,
    doses: ArrayLike | None = None,
    lloq: Limits = None,
    uloq: Limits = None,
    subjects: pd.DataFrame | None = None,
) -> xr.Dataset:
    """Return a trial with the typical course in the place of measurements.

    Parameters
    ----------
    model : Model or str
        Whose endpoints, units and typical values.
    patients : int
        Number of patients.
    times : array_like or mapping of str to array_like
        Days of the samples; the same for all endpoints of the model, or by endpoint. [day]
    doses : float or array_like, shape (patients,), optional
        Cells given on day 0.
    lloq, uloq : float or mapping of str to float, optional
        Limits of quantification, one number or by endpoint. [unit of the endpoint]
    subjects : pd.DataFrame, optional
        Covariates: one row per patient, in order.

    Returns
    -------
    xr.Dataset
        As from ``data.read_table``; patients are called 1, 2, 3 …

    Raises
    ------
    ModelError
        For an unknown endpoint, or a number of doses or rows that is not that of the patients.

    Examples
    --------
    >>> checks.planned_trial("stein2019", 12, [0, 3, 7, 10, 14, 21, 28, 60, 90], lloq=50)
    """
    from cart_pkpd import data, models

    chosen = models.get(model) if isinstance(model, str) else model
    k, known = positive_int(patients, "patients"), chosen.endpoints
    planned = times if isinstance(times, Mapping) else dict.fromkeys(known, times)
    days = {
        one_of(str(name), known, "endpoint of this model", error=ModelError): times_of(t)
        for name, t in planned.items()
    }
    given = _doses(doses, k)
    ids = np.arange(1, k + 1)
    parts = [_dose_rows(ids, given)] if given is not None else []
    typical = None if given is None else float(np.median(given))
    parts += [_samples(chosen, ids, name, t, typical) for name, t in days.items()]
    table = pd.concat(parts, ignore_index=True).sort_values(
        ["ID", "TIME", "EVID"], ascending=[True, True, False], kind="stable"
    )
    return data.read_table(
        table,
        units={name: known[name] for name in days},
        lloq=_limits(lloq),
        uloq=_limits(uloq),
        subjects=None if subjects is None else _subjects(subjects, ids),
        echo=False,
    )


def _doses(doses: ArrayLike | None, k: int) -> NDArray[np.float64] | None:
    if doses is None:
        return None
    given = np.asarray(doses, dtype=float)
    if given.ndim > 1 or given.size not in (1, k) or not (given > 0).all():
        raise ModelError(f"planned_trial: give one dose above 0, or one for each of {k} patients.")
    return np.broadcast_to(given.ravel(), (k,))


def _dose_rows(ids: NDArray[np.int64], given: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame({"ID": ids, "TIME": 0.0, "AMT": given, "EVID": 1})


def _samples(
    model: Model, ids: NDArray[np.int64], name: str, t: NDArray[np.float64], dose: float | None
) -> pd.DataFrame:
    days = np.unique(t)
    given: dict[str, Any] = {"doses": dose} if dose is not None and takes_doses(model) else {}
    level = model.simulate(days, **given)[name].to_numpy()
    # A level of 0 has no logarithm; what stands there does not matter, but has to be a level.
    positive = level[level > 0]
    level = np.where(level > 0, level, positive.min() if positive.size else 1.0)
    return pd.DataFrame(
        {
            "ID": np.repeat(ids, days.size),
            "TIME": np.tile(days, ids.size),
            "DVID": name,
            "DV": np.tile(level, ids.size),
            "EVID": 0,
        }
    )


def _limits(given: Limits) -> float | dict[str, float] | None:
    return dict(given) if isinstance(given, Mapping) else given


def _subjects(subjects: pd.DataFrame, ids: NDArray[np.int64]) -> pd.DataFrame:
    if len(subjects) != ids.size:
        raise ModelError(
            f"planned_trial: subjects has {len(subjects)} rows for {ids.size} patients."
        )
    return subjects.drop(columns="ID", errors="ignore").assign(ID=ids)

"""Parameters of many patients in, levels as a Dataset out: shared by all kinds of model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.names import label

if TYPE_CHECKING:
    from cart_pkpd.models._declare import Model


@dataclass(frozen=True, eq=False)
class Patients:
    """Values of every parameter for k patients.

    Attributes
    ----------
    values : mapping of str to ndarray, shape (k,)
        Natural scale.
    ids : ndarray, shape (k,), or None
        Labels; None if there is one patient without a label.
    """

    values: Mapping[str, NDArray[np.float64]]
    ids: NDArray[Any] | None
    count: int


def times_of(times: ArrayLike) -> NDArray[np.float64]:
    """Return the times as a vector.

    Raises
    ------
    ModelError
        If they are not a vector of finite numbers.
    """
    try:
        t = np.atleast_1d(np.asarray(times, dtype=float))
    except (TypeError, ValueError):
        raise ModelError(f"times must be numbers (days), not {times!r}.") from None
    if t.ndim != 1 or not t.size or not np.isfinite(t).all():
        raise ModelError("times must be a vector of finite numbers (days).")
    return t


def patients_of(
    model: Model,
    params: Mapping[str, ArrayLike] | pd.DataFrame | xr.Dataset | None,
    keywords: Mapping[str, ArrayLike],
    count: int | None = None,
    ids: NDArray[Any] | None = None,
) -> Patients:
    """Return every parameter of every patient; those not given are typical.

    Parameters
    ----------
    model : Model
        Whose parameters these are.
    params : mapping, DataFrame, Dataset or None
        Values by name; a DataFrame's index or a Dataset's ``id`` names the patients.
    keywords : mapping
        More values by name.
    count : int, optional
        Number of patients, where something else decides it.
    ids : ndarray, optional
        Their labels.
    """
    given, found = _columns(params)
    ids = found if ids is None else ids
    given |= {k: _numbers(k, v) for k, v in keywords.items()}
    model.check_names(given, "simulate")
    values = {k: np.asarray(v, dtype=float) for k, v in model.typical().items()} | given
    lengths = {k: v.shape[0] for k, v in values.items() if v.ndim == 1}
    if ids is not None:
        lengths["patients"] = len(ids)
    if count is not None:
        lengths["patients"] = count
    if any(v.ndim > 1 for v in values.values()) or len(set(lengths.values())) > 1:
        said = ", ".join(f"{k}: {n}" for k, n in lengths.items())
        raise ModelError(f"simulate: give one value, or one per patient, of each ({said}).")
    empty = [n for n, v in values.items() if v.ndim == 1 and not v.size]
    if empty:
        raise ModelError(f"simulate: {empty[0]} has no value.")
    k = next(iter(lengths.values()), 1)
    for name, value in values.items():
        _check(model, name, value)
    if ids is None and lengths:
        ids = np.arange(k)
    return Patients({n: np.broadcast_to(v, (k,)) for n, v in values.items()}, ids, k)


def _columns(
    params: Mapping[str, ArrayLike] | pd.DataFrame | xr.Dataset | None,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[Any] | None]:
    if params is None:
        return {}, None
    if isinstance(params, pd.DataFrame):
        columns = {str(c): params[c].to_numpy(dtype=float) for c in params.columns}
        return columns, params.index.to_numpy()
    if isinstance(params, xr.Dataset):
        columns = {str(k): v.to_numpy().astype(float) for k, v in params.data_vars.items()}
        return columns, params["id"].to_numpy() if "id" in params.coords else None
    if not isinstance(params, Mapping):
        raise ModelError(
            f"simulate: parameters must be given by name, as {{'name': value}}, a DataFrame or a "
            f"Dataset, not {params!r}."
        )
    return {str(k): _numbers(str(k), v) for k, v in params.items()}, None


def _numbers(name: str, value: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"simulate: {name} = {value!r} is not a number.") from None


def _check(model: Model, name: str, values: NDArray[np.float64]) -> None:
    parameter = model.parameters[name]
    for i, value in enumerate(np.ravel(values)):
        if not parameter.contains(float(value)):
            place = f" (patient {i})" if values.ndim else ""
            raise ModelError(
                f"{name} = {float(value)!r}{place} is not possible: it must be {parameter.support}."
            )


def _label(name: str) -> str:
    driver = name.removeprefix("driver_")
    return label(name) if driver == name else f"driver {driver.replace('_', ' ')}"


def simulated(
    levels: Mapping[str, tuple[NDArray[np.float64], str]],
    times: NDArray[np.float64],
    patients: Patients,
    **attrs: Any,
) -> xr.Dataset:
    """Return levels as a Dataset.

    Parameters
    ----------
    levels : mapping of str to (ndarray, str)
        By name, levels of shape (k, n) and their unit.
    times : ndarray, shape (n,)
        [day]
    patients : Patients
        Whose they are.
    **attrs
        What to note on the Dataset.
    """
    dims: tuple[str, ...] = ("id", "time")
    out = xr.Dataset(coords={"time": ("time", times, {"units": "day", "long_name": "Time"})})
    if patients.ids is None:
        dims = ("time",)
    else:
        out = out.assign_coords(id=patients.ids)
    for name, (level, unit) in levels.items():
        array = level[0] if patients.ids is None else level
        out[name] = (dims, array, {"units": unit, "long_name": _label(name)})
    return out.assign_attrs(attrs)

"""Results in long form: one row per patient and parameter, with CDISC names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._nca.registry import units


def reasons_of(params: xr.Dataset) -> xr.DataArray:
    """Return the reasons as text, also from a table that stores them as codes."""
    if "reason" in params:
        return params["reason"]
    codes = params["reason_code"]
    return xr.DataArray(np.array(codes.attrs["texts"])[codes.values], codes.coords, codes.dims)


def parameter_names(params: xr.Dataset) -> list[str]:
    """Return the names of the parameters of a table."""
    return [str(name) for name in params["parameter"].values]


def groups_of(params: xr.Dataset) -> list[str]:
    """Return the dims besides id and parameter: endpoint, infusion."""
    return [d for d in ("endpoint", "infusion") if d in params.dims]


def long(params: xr.Dataset) -> pd.DataFrame:
    """Return a table of parameters in long form, as in the CDISC domain PP.

    Parameters
    ----------
    params : xarray.Dataset
        As returned by `table` or `profiles`.

    Returns
    -------
    pandas.DataFrame
        Columns ``id``, ``endpoint``, ``infusion`` (where there are several), ``parameter``,
        ``PPTESTCD`` (empty where CDISC has no code), ``label``, ``value``, ``unit``, ``start``,
        ``end`` (window [day], NaN for parameters without one), ``PPSTINT``, ``PPENINT`` (ISO
        8601 durations), ``method`` (how a window was completed), ``reason``.
    """
    why, dims = reasons_of(params), [*groups_of(params), "id"]
    parts = [_rows(params, name, why, dims) for name in parameter_names(params)]
    frame = pd.concat(parts, ignore_index=True)
    order = {str(name): i for i, name in enumerate(params["id"].values)}
    keys = {"id": frame["id"].map(order)}
    frame = frame.assign(_place=keys["id"]).sort_values("_place", kind="stable", ignore_index=True)
    return frame.drop(columns="_place")


def _rows(params: xr.Dataset, name: str, why: xr.DataArray, dims: list[str]) -> pd.DataFrame:
    column = params[name].transpose(*dims)
    attrs = column.attrs
    start, end = attrs.get("window", (np.nan, np.nan))
    where = np.meshgrid(*(params[d].values for d in dims), indexing="ij")
    rows: dict[str, Any] = {d: w.ravel() for d, w in zip(dims, where, strict=True)}
    if "endpoint" not in rows:
        rows["endpoint"] = str(params.attrs.get("endpoint", ""))
    rows |= {
        "parameter": name,
        "PPTESTCD": attrs.get("cdisc", ""),
        "label": attrs.get("long_name", name),
        "value": column.values.ravel(),
        "unit": _units(params, name, dims, column),
        "start": float(start),
        "end": float(end),
        "PPSTINT": _duration(float(start)),
        "PPENINT": _duration(float(end)),
        "method": _method(params, name, dims, column.size),
        "reason": why.sel(parameter=name).transpose(*dims).values.ravel(),
    }
    first = ["id", "endpoint", *(["infusion"] if "infusion" in dims else [])]
    return pd.DataFrame(rows)[[*first, *(k for k in rows if k not in first)]]


def _duration(day: float) -> str:
    return "" if np.isnan(day) else f"P{day:g}D"


def _units(
    params: xr.Dataset, name: str, dims: list[str], column: xr.DataArray
) -> str | NDArray[np.str_]:
    """Return the unit of a parameter, by endpoint where endpoints differ."""
    if "units" in column.attrs or "endpoint" not in dims:
        return str(column.attrs.get("units", ""))
    by_endpoint = np.array([unit_for(params, name, i) for i in range(params.sizes["endpoint"])])
    shape = [-1 if d == "endpoint" else 1 for d in dims]
    return np.broadcast_to(by_endpoint.reshape(shape), column.shape).ravel()


def unit_for(params: xr.Dataset, name: str, endpoint: int) -> str:
    """Return the unit of a parameter for one of several endpoints."""
    attrs = params[name].attrs
    if "units" in attrs:
        return str(attrs["units"])
    level = str(params["endpoint_units"].values[endpoint])
    return units(attrs["unit_kind"], level, str(params.attrs["dose_units"]))


def _method(params: xr.Dataset, name: str, dims: list[str], size: int) -> list[str] | str:
    rule = f"{name}_rule"
    if rule not in params:
        return ""
    column = params[rule].transpose(*dims)
    values = column.values.ravel()
    texts = column.attrs.get("texts")
    return values.tolist() if texts is None else [texts[c] for c in values]

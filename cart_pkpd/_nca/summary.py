"""Group summaries: the statistics of a label's table of cellular kinetics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core import words
from cart_pkpd._core.names import level_unit
from cart_pkpd._core.validate import one_of, positive_int
from cart_pkpd._nca.longform import groups_of, parameter_names, unit_for
from cart_pkpd._nca.reasons import Floats

STATISTICS = ("geometric", "arithmetic", "median", "count")
LABEL_PARAMETERS = ("cmax", "tmax", "auc0_28", "half_life", "tlast")
"""Parameters of the cellular-kinetics table of approved labels."""


def significant(value: float, digits: int) -> str:
    """Return a number with that many significant digits, never in exponent form.

    Examples
    --------
    >>> significant(32700.4, 3), significant(0.63, 3), significant(8.1797, 3)
    ('32700', '0.630', '8.18')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    return f"{rounded:.{decimals}f}"


def statistics(values: Floats) -> dict[str, float]:
    """Return the summary statistics of one group; NaN is missing.

    Geometric statistics leave zeros out (their number is ``n_zero``); the geometric CV is
    ``100·sqrt(exp(s²) − 1)`` with s the SD of the logs. Spreads need two values.
    """
    there = values[~np.isnan(values)]
    n, positive = there.size, there[there > 0]
    nan = math.nan
    logs = np.log(positive)
    mean = float(there.mean()) if n else nan
    sd = float(there.std(ddof=1)) if n > 1 else nan
    quartiles = np.quantile(there, [0, 0.25, 0.5, 0.75, 1]) if n else np.full(5, nan)
    spread = float(logs.std(ddof=1)) if positive.size > 1 else nan
    return {
        "n": n,
        "n_zero": int((there == 0).sum()),
        "geomean": float(np.exp(logs.mean())) if positive.size else nan,
        "geocv": 100 * math.sqrt(math.expm1(spread**2)) if positive.size > 1 else nan,
        "mean": mean,
        "sd": sd,
        "cv": 100 * sd / mean if n > 1 and mean != 0 else nan,
        "median": float(quartiles[2]),
        "q1": float(quartiles[1]),
        "q3": float(quartiles[3]),
        "min": float(quartiles[0]),
        "max": float(quartiles[4]),
    }


def statement(
    found: Mapping[str, float], total: int, statistic: str, digits: int, max_missing: float
) -> str:
    """Return the statistics of a group as a label prints them, with n and N."""
    n, zeros = int(found["n"]), int(found["n_zero"])
    used = n - zeros if statistic == "geometric" else n
    sparse = statistic != "count" and total - used > max_missing * total
    if used == 0 or sparse:
        return f"NC (n={used} of {total})"

    def number(name: str) -> str:
        return significant(found[name], digits)

    counted = f"n={used}" if used == total else f"n={used} of {total}"
    counted += f", {zeros} zero" if statistic == "geometric" and zeros else ""
    if statistic == "count":
        ones = round(found["mean"] * n)
        return f"{ones}/{n} ({100 * ones / n:.0f} %)" + ("" if n == total else f" {counted}")
    if statistic == "median":
        return f"{number('median')} [{number('min')}; {number('max')}] {counted}"
    middle, spread = ("geomean", "geocv") if statistic == "geometric" else ("mean", "sd")
    unit = " %" if statistic == "geometric" else ""
    more = f" ({number(spread)}{unit})" if used > 1 else ""
    return f"{number(middle)}{more} {counted}"


def summary(
    params: xr.Dataset,
    by: str | Sequence[str] | None = "dose_level",
    *,
    parameters: Sequence[str] | None = None,
    statistic: Mapping[str, str] | None = None,
    digits: int = 3,
    max_missing: float = 0.5,
) -> pd.DataFrame:
    """Return the parameters summarised by group, as numbers and as a label prints them.

    Parameters
    ----------
    params : xarray.Dataset
        As returned by `table`.
    by : str or sequence of str, optional
        Coordinates over ``id`` that form the groups: ``"dose_level"``, any covariate. None
        for one group of all patients.
    parameters : sequence of str, optional
        Parameters to summarise; all by default.
    statistic : mapping of parameter to {"geometric", "arithmetic", "median", "count"}, optional
        Statistic of the text, where it should not be the parameter's own.
    digits : int
        Significant digits of the text.
    max_missing : float
        The text is ``NC`` (not calculated) where a larger share of a group has no value; for
        geometric statistics a zero counts as none. Counts are always given.

    Returns
    -------
    pandas.DataFrame
        One row per group and parameter: the group columns, ``parameter``, ``label``, ``unit``,
        ``statistic``, ``n`` (values), ``N`` (patients), ``n_zero``, ``geomean``, ``geocv`` [%],
        ``mean``, ``sd``, ``cv`` [%], ``median``, ``q1``, ``q3``, ``min``, ``max``, ``text``.

    Notes
    -----
    Text forms: geometric mean (geometric CV %); arithmetic mean (SD); median [min; max];
    count/n. ``n=… of …`` says when patients of the group have no value.
    """
    positive_int(digits, "digits")
    if not 0 <= max_missing <= 1:
        raise ValueError(f"max_missing must be in [0, 1], not {max_missing!r}.")
    names = _checked(params, by, parameters, statistic)
    rows = []
    for name in names:
        attrs = params[name].attrs
        kind = (statistic or {}).get(name, attrs["statistic"])
        for key, values, unit in _groups(params, name, by):
            found = statistics(values)
            text = statement(found, values.size, kind, digits, max_missing)
            rows.append(
                key
                | {"parameter": name, "label": attrs["long_name"], "unit": unit}
                | {"statistic": kind, "n": found.pop("n"), "N": values.size}
                | found
                | {"text": text}
            )
    frame = pd.DataFrame(rows)
    whole = {"n": np.int64, "N": np.int64, "n_zero": np.int64}
    return frame.astype(whole) if len(frame) else frame


def _checked(
    params: xr.Dataset,
    by: str | Sequence[str] | None,
    parameters: Sequence[str] | None,
    statistic: Mapping[str, str] | None,
) -> list[str]:
    known = parameter_names(params)
    for name in [*(parameters or []), *(statistic or {})]:
        one_of(name, known, "parameter of this table")
    for kind in (statistic or {}).values():
        one_of(kind, STATISTICS, "statistic")
    coordinates = [str(c) for c in params.coords if params[c].dims == ("id",)]
    for name in _names(by):
        one_of(name, coordinates, "group")
    return list(parameters) if parameters is not None else known


def _names(by: str | Sequence[str] | None) -> list[str]:
    return [] if by is None else [by] if isinstance(by, str) else list(by)


def _groups(
    params: xr.Dataset, name: str, by: str | Sequence[str] | None
) -> Iterator[tuple[dict[str, object], Floats, str]]:
    """Yield the label, the values and the unit of every group of one parameter.

    Patients whose group is missing form a group of their own, so that none is lost.
    """
    dims = groups_of(params)
    column = params[name].transpose(*dims, "id")
    keys = _names(by)
    frame = pd.DataFrame({k: params[k].values for k in keys}, index=range(params.sizes["id"]))
    parts = list(frame.groupby(keys, dropna=False).indices.items()) if keys else [
        ((), np.arange(params.sizes["id"]))
    ]  # fmt: skip
    for place in np.ndindex(*(params.sizes[d] for d in dims)):
        label = {d: params[d].values[i] for d, i in zip(dims, place, strict=True)}
        endpoint = place[dims.index("endpoint")] if "endpoint" in dims else -1
        unit = str(column.attrs["units"]) if endpoint < 0 else unit_for(params, name, endpoint)
        for key, members in parts:
            group = key if isinstance(key, tuple) else (key,)
            yield label | dict(zip(keys, group, strict=True)), column.values[place][members], unit


def label_table(
    params: xr.Dataset,
    by: str | Sequence[str] | None = "dose_level",
    *,
    parameters: Sequence[str] = LABEL_PARAMETERS,
    statistic: Mapping[str, str] | None = None,
    digits: int = 3,
) -> pd.DataFrame:
    """Return the table as product labels print it: parameters down, groups across.

    Parameters
    ----------
    params, by, statistic, digits
        As for `summary`.
    parameters : sequence of str
        By default Cmax, Tmax, AUC0–28d, t½ and Tlast; those the table lacks are left out.

    Returns
    -------
    pandas.DataFrame
        Of text; the index says parameter, unit and statistic, the columns are the groups; doses
        are headed ``"3×10⁶ cells"``, levels without a unit ``"dose level 2"``.
    """
    positive_int(digits, "digits")
    there = set(parameter_names(params))
    names = [name for name in parameters if name in there]
    rows = summary(params, by, parameters=names, statistic=statistic, digits=digits)
    wording = {
        "geometric": "geometric mean (CV %)", "arithmetic": "mean (SD)",
        "median": "median [min; max]", "count": "count",
    }  # fmt: skip
    columns = [*groups_of(params), *_names(by)]
    rows = rows.assign(
        statistic=rows["statistic"].map(wording), unit=rows["unit"].map(words.unit)
    )  # fmt: skip
    index = ["label", "unit", "statistic"]
    if not columns:
        return rows.set_index(index)[["text"]]
    order = rows[index].drop_duplicates()
    wide = rows.pivot(index=index, columns=columns, values="text")
    return _headed(wide.reindex(pd.MultiIndex.from_frame(order)).fillna("–"), params)


def _headed(wide: pd.DataFrame, params: xr.Dataset) -> pd.DataFrame:
    """Return the table with doses for people at the head of its columns."""
    if "dose_level" not in wide.columns.names or params["dose_level"].dtype.kind not in "fiu":
        return wide
    unit = dose_level_unit(params)
    columns = wide.columns.to_frame(index=False)
    columns["dose_level"] = [words.dose(float(v), unit) for v in columns["dose_level"]]
    if wide.columns.nlevels == 1:
        return wide.set_axis(pd.Index(columns["dose_level"], name="dose_level"), axis=1)
    return wide.set_axis(pd.MultiIndex.from_frame(columns), axis=1)


def dose_level_unit(params: xr.Dataset) -> str:
    """Return the unit of the dose levels of a table of parameters; empty where they are labels."""
    level = params["dose_level"]
    of_amounts = str(params.attrs.get("dose_units", ""))
    return level_unit(str(level.attrs.get("units", "")), level.values, of_amounts)

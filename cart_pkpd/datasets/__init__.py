"""Example trials: ``fast01``, simulated and bundled, and ``car22``, public and fetched.

>>> from cart_pkpd import datasets
>>> trial = datasets.load("fast01")
>>> lesions = datasets.load("fast01", table="lesions")
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

import pandas as pd
import xarray as xr

from cart_pkpd import data
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of
from cart_pkpd.datasets import _car22
from cart_pkpd.datasets._fast01 import bundle

__all__ = ["fetch", "has_table", "load", "names", "path", "truth"]


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


_BUNDLED = ("fast01",)
_FETCHED = ("car22",)
_TABLES = ("lesions", "followup")

Table = Literal["lesions", "followup"]


def names() -> list[str]:
    """Return the names of the example trials: those to `load`, then those to `fetch`.

    Returns
    -------
    list of str
        Such as ``"fast01"``.
    """
    return [*_BUNDLED, *_FETCHED]


def path(name: str) -> Path:
    """Return the path of the records of a bundled trial, ready for `data.read_table`.

    Parameters
    ----------
    name : str
        Of a bundled trial, such as ``"fast01"``.

    Returns
    -------
    Path
        A CSV file inside the package.

    Raises
    ------
    DataError
        If there is no bundled trial of that name.
    """
    _bundled(name)
    return bundle.FOLDER / "records.csv"


def has_table(name: str | None, table: str) -> bool:
    """Return whether a trial of this name is bundled with a further table, such as ``"lesions"``.

    Parameters
    ----------
    name : str or None
        Of an example trial; None is none.
    table : str
        Such as ``"lesions"`` or ``"followup"``.

    Returns
    -------
    bool
        False for names that are not known.

    Examples
    --------
    >>> has_table("fast01", "lesions"), has_table("car22", "lesions")
    (True, False)
    """
    return name in _BUNDLED and table in _TABLES


@overload
def load(name: str, table: None = None, echo: bool = False) -> xr.Dataset: ...


@overload
def load(name: str, table: Table, echo: bool = False) -> pd.DataFrame: ...


def load(name: str, table: Table | None = None, echo: bool = False) -> xr.Dataset | pd.DataFrame:
    """Return a bundled trial.

    Parameters
    ----------
    name : str
        ``"fast01"``: a simulated phase 1 trial of 30 patients with solid tumours.
    table : {"lesions", "followup"}, optional
        A further table instead of the trial itself: lesions at every scan [mm, days since
        infusion], or progression, new treatment, death and last contact of every patient.
    echo : bool
        Print the import report.

    Returns
    -------
    xr.Dataset or pd.DataFrame
        The trial Dataset, or the further table with NaN for missing values.

    Raises
    ------
    DataError
        If there is no such trial or table.

    Examples
    --------
    >>> load("fast01").sizes["id"]
    30
    """
    records = path(name)
    if table is None:
        return _with_units(data.read_table(records, echo=echo))
    one_of(table, _TABLES, "table of fast01", error=DataError)
    return pd.read_csv(
        records.with_name(f"{table}.csv"), na_values=["."], keep_default_na=False,
        dtype={"ID": str},
    )  # fmt: skip


def _with_units(trial: xr.Dataset) -> xr.Dataset:
    """Return the trial with the units of its patients' columns."""
    for name, unit in bundle.SUBJECT_UNITS.items():
        trial[name].attrs["units"] = unit
    return trial


def truth(name: str = "fast01") -> dict[str, Any]:
    """Return the true parameters behind a simulated trial, as they stand in ``truth.toml``.

    Parameters
    ----------
    name : str
        Of a bundled trial.

    Returns
    -------
    dict
        Tables of ``truth.toml`` by name; units stand beside the numbers there.

    Examples
    --------
    >>> truth()["transgene"]["cmax"]
    4000.0
    """
    _bundled(name)
    return bundle.truth()


def fetch(
    name: str,
    *,
    limits: bool = False,
    lloq: Mapping[str, float] | None = None,
    echo: bool = False,
) -> xr.Dataset:
    """Return a public trial, from this machine if it is there, otherwise from the network.

    Parameters
    ----------
    name : str
        ``"car22"``: 59 children and young adults with B-ALL treated with CD22 CAR-T cells
        (Lichtenstein 2021 [1]_, GPL-3.0): CAR+ cells weekly (``car_abs`` [cells/µL], ``car_pct``
        [% of T cells]), 14 cytokines [pg/mL] near daily, CRP, ferritin, LDH, dose level 1 to 3.
    limits : bool
        Also treat the values at which cytokines pile up as limits of quantification. They
        differ by batch and are not published; `Notes` says what is assumed.
    lloq : mapping of str to float, optional
        LLOQ by endpoint, instead of the assumed ones: ``{"car_abs": 1.0}``.
    echo : bool
        Print the import report.

    Returns
    -------
    xr.Dataset
        The trial Dataset. Dose amounts were not published, so `dosing` is empty.

    Raises
    ------
    DataError
        If the name is unknown, the folder in ``CART_PKPD_DATA`` lacks the tables, a table is not
        the published one, or the network cannot be reached.

    Notes
    -----
    The first of these is used: the folder ``car22`` in the folder that the environment variable
    ``CART_PKPD_DATA`` names; the copy in the user's cache; the public files, checked by sha256.

    A zero in ``car_abs`` means not detected. An LLOQ of 0.04 cells/µL is assumed (the smallest
    positive count is 0.0406), so that zeros are left-censored. With ``limits=True`` records of
    IL-2 below 0.80 and of IL-4 below 0.16 pg/mL are left-censored, and those of IFN-γ above 2760,
    of IL-6 above 1470, of IL-8 above 1147 and of IL-10 above 749 pg/mL right-censored.

    References
    ----------
    .. [1] Lichtenstein DA et al. Blood 2021;138(24):2469, :doi:`10.1182/blood.2021011898`.
    """
    if name in _BUNDLED:
        raise DataError(f"{name!r} is bundled: use datasets.load({name!r}).")
    one_of(name, _FETCHED, "public data set", error=DataError)
    return _car22.fetch(limits=limits, lloq=lloq, echo=echo)


def _bundled(name: str) -> None:
    if name in _FETCHED:
        raise DataError(f"{name!r} is not bundled: use datasets.fetch({name!r}).")
    one_of(name, _BUNDLED, "bundled data set", error=DataError)

"""Patients in groups: dose levels and other covariates, each with its label and colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd.plots import _axes, _text

# Plasma without its pale end: ordered in lightness, so the order survives in grey and with
# any kind of colour blindness; the lowest dose is the lightest.
_ORDINAL = ("#e8853b", "#d45270", "#b52f8c", "#8405a7", "#4903a0", "#0d0887")
_CATEGORIES = ("#0b5a9d", "#b8480a", "#00755e", "#8c3f7d", "#7a6200", "#3f4854")  # dark Okabe–Ito


@dataclass(frozen=True)
class Group:
    """Patients drawn in one colour."""

    label: str
    colour: str
    patients: tuple[str, ...]


def dose_colours(levels: NDArray[np.float64]) -> dict[float, str]:
    """Return one colour per dose level, light to dark with rising dose."""
    found = [float(v) for v in np.unique(levels[np.isfinite(levels)])]
    return dict(zip(found, _ordinal(len(found)), strict=True))


def _ordinal(n: int) -> list[str]:
    """Return `n` colours spread over the ordinal palette, interpolated beyond six."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    if n == 1:
        return [_ORDINAL[-2]]
    scale = LinearSegmentedColormap.from_list("dose", _ORDINAL)
    return [to_hex(scale(i / (n - 1))) for i in range(n)]


def groups(dataset: xr.Dataset, by: str | None) -> list[Group]:
    """Return the patients of the ``id`` dim grouped by one of its variables.

    Parameters
    ----------
    dataset : xr.Dataset
        With coord ``id``.
    by : str or None
        Variable on ``id``; None puts all patients in one group.

    Returns
    -------
    list of Group
        In rising order; patients without a value come last, in grey.

    Raises
    ------
    DataError
        If `by` is not known for the patients.
    """
    patients = dataset["id"].values.astype(str)
    if by is None:
        return [Group("all patients", _axes.BLUE, tuple(patients))]
    known = [str(v) for v in dataset.variables if dataset[v].dims == ("id",) and v != "id"]
    if by not in known:
        raise DataError(
            f"patients cannot be grouped by {by!r}: the dataset holds no such value per patient."
            f"{did_you_mean(by, known)} Known: {', '.join(known) or 'none'}."
        )
    column = dataset[by]
    if column.dtype.kind in "fiub":
        unit = (
            _text.dose_unit(dataset) if by == "dose_level" else str(column.attrs.get("units", ""))
        )
        return _numeric(column.astype(float), patients, by, unit)
    return _textual(column.values.astype(str), patients)


def _numeric(column: xr.DataArray, patients: NDArray[np.str_], by: str, units: str) -> list[Group]:
    values = column.values
    name = _text.name_of(column)
    made = []
    for level, colour in dose_colours(values).items():
        text = (
            _text.dose(level, units)
            if by == "dose_level"
            else f"{name} {_text.short(level)} {_text.unit(units)}".strip()
        )
        made.append(Group(text, colour, tuple(patients[values == level])))
    missing = patients[~np.isfinite(values)]
    text = "dose not given" if by == "dose_level" else f"{name} not recorded"
    return made + ([Group(text, _axes.GREY, tuple(missing))] if missing.size else [])


def _textual(values: NDArray[np.str_], patients: NDArray[np.str_]) -> list[Group]:
    found = sorted({v for v in values if v})
    made = [
        Group(value, _CATEGORIES[i % len(_CATEGORIES)], tuple(patients[values == value]))
        for i, value in enumerate(found)
    ]
    missing = patients[values == ""]
    return made + ([Group("not recorded", _axes.GREY, tuple(missing))] if missing.size else [])


def default_by(dataset: xr.Dataset) -> str | None:
    """Return "dose_level" where the dataset knows it, else None."""
    return "dose_level" if "dose_level" in dataset.variables else None

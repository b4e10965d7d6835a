"""Exposure–response: a fitted curve beside what was observed in groups by exposure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cart_pkpd._core.errors import DataError
from cart_pkpd._endpoints.exposure import ExposureResponse
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._crs import crs_response
from cart_pkpd.plots._survival import survival

_LONGEST = 60  # letters of a title above one panel


def exposure_response(found: ExposureResponse, *, ncols: int | None = None) -> Figure:
    """Draw the probability of an outcome along the exposure, or survival by exposure.

    Parameters
    ----------
    found : ExposureResponse
        From ``endpoints.exposure_response``.
    ncols : int, optional
        Panels per row.

    Returns
    -------
    Figure
        Logistic and ordinal: one panel per threshold with the fitted curve and its interval,
        observed shares in groups by exposure, every patient as a tick. Survival: Kaplan–Meier
        curves of the groups. The ratio per doubling stands above.

    Raises
    ------
    DataError
        If it is no result of ``endpoints.exposure_response``.
    """
    if not isinstance(found, ExposureResponse):
        raise DataError("there is nothing to draw: pass the result of endpoints.exposure_response.")
    if found.curve is not None:
        figure = crs_response(
            found.curve.assign_attrs(outcome=_outcome(found.outcome)), ncols=ncols
        )
        legend = figure.legends[0]
        said = _said(found)
        if len(found.curve["grade"]) == 1 and len(said) > _LONGEST:
            said = said.replace(" per ", "\nper ")
        legend.set_title(said)
        legend.set_alignment("left")
        legend.get_title().set(fontsize=_axes.BODY, color=_axes.INK, fontweight="bold")
        return figure
    assert found.survival is not None
    start = "" if found.landmark is None else f"day {found.landmark:g}"
    ax = survival(found.survival, band=False, start=start)
    _axes.heading(ax, _said(found), note=f"groups by {found.ratios['label'].iloc[0]}")
    whole = ax.get_figure(root=True)
    assert whole is not None
    return whole


def _outcome(text: str) -> str:
    """Return an outcome as people write it: ``"CRS grade ≥ 2"``."""
    name, sign, least = text.partition(" ≥ ")
    return _text.name_of(xr.DataArray(0, name=name)) + sign + least


def _said(found: ExposureResponse) -> str:
    row: pd.Series = found.ratios.iloc[0]
    outcome = _outcome(found.outcome)
    change = "doubling" if row["change"] == "2-fold" else str(row["change"])
    if np.isnan(float(row["estimate"])):
        return f"{outcome}: no {row['kind']}, because the likelihood has no maximum"
    between = _text.interval(float(row["lower"]), float(row["upper"]))
    number = _text.number(float(row["estimate"]))
    level = f"{_text.percent(float(row['prob']))} {'CI' if found.method == 'ml' else 'CrI'}"
    return f"{outcome}: {row['kind']} {number} ({level} {between}) per {change} of {row['label']}"

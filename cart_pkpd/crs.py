"""Cytokine release syndrome on top of any courses: whether it occurs, how severe, and when.

Three parts, each optional, all conditional on courses of cells and cytokines that come from a
fit, a simulation or the measurements themselves::

    layer = crs.Layer(
        occurrence=crs.Logistic(["transgene", crs.covariate("dose_level", reference=1e7)]),
        grade=crs.ProportionalOdds([crs.peak("il6")]),
        onset=crs.Hazard([crs.level("il6")]),
    )
    courses = crs.fitted_courses(result, n_draws=100)        # or model.simulate(...)
    predictors = layer.predictors(courses, trial)
    fitted = layer.bayes(predictors, seed=1)
    fitted.odds_ratios()
    fitted.probabilities()

Every term is centred at a reference with a unit and has a weakly informative prior;
``layer.priors()`` prints them. Which part speaks of whom is in ``Layer``'s notes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._crs.compare import incidence as incidence
from cart_pkpd._crs.compare import response as response
from cart_pkpd._crs.courses import fitted as fitted_courses
from cart_pkpd._crs.courses import observed as observed_courses
from cart_pkpd._crs.layer import DEFAULT_WINDOW
from cart_pkpd._crs.layer import Layer as Layer
from cart_pkpd._crs.parts import Hazard as Hazard
from cart_pkpd._crs.parts import Logistic as Logistic
from cart_pkpd._crs.parts import ProportionalOdds as ProportionalOdds
from cart_pkpd._crs.predictors import at_median as at_median
from cart_pkpd._crs.terms import Term as Term
from cart_pkpd._crs.terms import auc as auc
from cart_pkpd._crs.terms import category as category
from cart_pkpd._crs.terms import covariate as covariate
from cart_pkpd._crs.terms import final as final
from cart_pkpd._crs.terms import level as level
from cart_pkpd._crs.terms import ordered as ordered
from cart_pkpd._crs.terms import peak as peak
from cart_pkpd._crs.terms import peak_time as peak_time
from cart_pkpd._crs.terms import running_max as running_max

if TYPE_CHECKING:
    from cart_pkpd._crs.result import CrsResult

__all__ = [
    "CrsResult",
    "Hazard",
    "Layer",
    "Logistic",
    "ProportionalOdds",
    "Term",
    "at_median",
    "auc",
    "category",
    "covariate",
    "default",
    "final",
    "fitted_courses",
    "incidence",
    "level",
    "load",
    "observed_courses",
    "ordered",
    "peak",
    "peak_time",
    "response",
    "running_max",
]


def __getattr__(name: str) -> Any:
    if name == "CrsResult":  # loaded when asked for: the sampler takes a second to import
        from cart_pkpd._crs.result import CrsResult

        return CrsResult
    raise AttributeError(f"module 'cart_pkpd.crs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


def default(
    cells: str = "transgene",
    cytokine: str = "il6",
    *,
    dose: str | None = "dose_level",
    dose_reference: float = 1e7,
    dose_unit: str = "cells",
    window: tuple[float, float] = DEFAULT_WINDOW,
) -> Layer:
    """Return the usual layer: Cmax and dose for whether, a cytokine for how severe and when.

    Parameters
    ----------
    cells : str
        Course whose ln Cmax decides, with dose, whether CRS occurs.
    cytokine : str
        Course whose ln peak decides the grade, and whose ln level the hazard of onset.
    dose : str or None
        Patient-level variable of the dose; None to leave it out.
    dose_reference : float
        Dose at which its term is 0. [dose_unit]
    dose_unit : str
        Unit of the dose; a variable without a unit is taken to be in it.
    window : (float, float)
        First and last day.

    Returns
    -------
    Layer

    Notes
    -----
    In patients treated with CD22 CAR-T cells [1]_ the peak of the cells told who had CRS, but not
    how severe it was; the peaks of cytokines told that.

    References
    ----------
    .. [1] Lichtenstein et al. (2021), Blood 138:2469, :doi:`10.1182/blood.2021011898`.
    """
    whether = [peak(cells)]
    if dose is not None:
        whether.append(covariate(dose, reference=dose_reference, unit=dose_unit))
    return Layer(
        occurrence=Logistic(whether),
        grade=ProportionalOdds([peak(cytokine)]),
        onset=Hazard([level(cytokine)]),
        window=window,
    )


def load(path: str | Path) -> CrsResult:
    """Read a fitted layer written by ``CrsResult.save``.

    Parameters
    ----------
    path : str or Path
        The netCDF file.

    Returns
    -------
    CrsResult
        As it was saved, without refitting.

    Raises
    ------
    FitError
        If the file is not a fitted layer.
    """
    from cart_pkpd._crs.files import load as read

    return read(Path(path))

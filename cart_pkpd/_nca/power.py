"""Dose proportionality by the power model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cart_pkpd._core.validate import one_of, probability
from cart_pkpd._nca.longform import groups_of, parameter_names


@dataclass(frozen=True)
class Proportionality:
    """The power model ``ln P = intercept + slope · ln dose``.

    Attributes
    ----------
    parameter : str
    slope, intercept : float
        1 is proportional to dose, 0 is independent of it.
    standard_error : float
        Of the slope.
    lower, upper : float
        Confidence interval of the slope.
    confidence : float
    p_below_half : float
        P(slope < 0.5): the t distribution about the estimate, which is also the posterior under
        a flat prior.
    dose_ratio : float
        Highest over lowest dose.
    fold_per_doubling : float
        Change of the parameter when the dose doubles.
    n, n_doses, n_left_out : int
        Patients and distinct doses used; patients without a positive value or dose.
    reason : str
        Why there is no estimate; empty where there is one.
    """

    parameter: str
    slope: float
    intercept: float
    standard_error: float
    lower: float
    upper: float
    confidence: float
    p_below_half: float
    dose_ratio: float
    n: int
    n_doses: int
    n_left_out: int
    reason: str = ""

    @property
    def fold_per_doubling(self) -> float:
        """Change of the parameter when the dose doubles."""
        return float(2.0**self.slope)

    @property
    def sentence(self) -> str:
        """The result in words."""
        left = f"; {self.n_left_out} without a positive value left out" if self.n_left_out else ""
        span = f" over {self.dose_ratio:.3g}-fold" if math.isfinite(self.dose_ratio) else ""
        patients = "patient" if self.n == 1 else "patients"
        doses = "dose" if self.n_doses == 1 else "doses"
        used = f"{self.n} {patients}, {self.n_doses} {doses}{span}{left}"
        if self.reason:
            return f"{self.parameter}: no power model, {self.reason} ({used})."
        return (
            f"{self.parameter} changes with dose to the power {self.slope:.2f} "
            f"({self.confidence:.0%} CI {self.lower:.2f} to {self.upper:.2f}); "
            f"P(slope < 0.5) = {self.p_below_half:.3f} ({used})."
        )

    def __str__(self) -> str:
        return self.sentence


def proportionality(
    params: xr.Dataset,
    parameter: str = "auc0_28",
    *,
    dose: str | None = None,
    confidence: float = 0.9,
) -> Proportionality:
    """Return the power model of a parameter on the dose.

    Parameters
    ----------
    params : xarray.Dataset
        As returned by `table`, for one endpoint and one infusion.
    parameter : str
    dose : str, optional
        Variable or coordinate with the dose; by default ``dose`` (the amount given), or
        ``dose_level`` where the table has no ``dose``.
    confidence : float
        Level of the interval of the slope.

    Returns
    -------
    Proportionality
        With NaN and a reason with fewer than three patients or a single dose.

    References
    ----------
    .. [1] Smith et al., Pharm Res 17:1278 (2000), :doi:`10.1023/A:1026451721686`.

    Notes
    -----
    Ordinary least squares of the logs; the interval uses Student's t with n − 2 degrees of
    freedom. Zeros have no logarithm: they are left out and counted.
    """
    one_of(parameter, parameter_names(params), "parameter of this table")
    probability(confidence, "confidence")
    if groups_of(params):
        raise ValueError(f"choose one {groups_of(params)[0]} first, with params.sel(…).")
    name = dose or ("dose" if "dose" in params.variables else "dose_level")
    one_of(name, [str(v) for v in params.variables], "dose variable")
    amount = np.asarray(params[name].values, dtype=np.float64)
    value = np.asarray(params[parameter].values, dtype=np.float64)
    use = (amount > 0) & (value > 0)
    x, y = np.log(amount[use]), np.log(value[use])
    counts = (int(use.sum()), int(np.unique(x).size), int((~use).sum()))
    ratio = float(np.exp(np.ptp(x))) if x.size else math.nan
    if counts[0] < 3 or counts[1] < 2:
        why = "fewer than three patients" if counts[0] < 3 else "only one dose"
        nan = math.nan
        return Proportionality(
            parameter, nan, nan, nan, nan, nan, confidence, nan, ratio, *counts, why
        )
    from scipy.stats import t as student

    dx, df = x - x.mean(), x.size - 2
    sxx = float(dx @ dx)
    slope = float(dx @ y) / sxx
    intercept = float(y.mean() - slope * x.mean())
    residual = y - intercept - slope * x
    error = math.sqrt(float(residual @ residual) / df / sxx)
    half = float(student.ppf(0.5 + confidence / 2, df)) * error
    below = float(student.cdf((0.5 - slope) / error, df)) if error > 0 else float(slope < 0.5)
    return Proportionality(
        parameter, slope, intercept, error, slope - half, slope + half, confidence, below,
        ratio, *counts,
    )  # fmt: skip

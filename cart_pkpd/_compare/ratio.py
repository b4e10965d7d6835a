"""The likelihood-ratio test of one step of a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cart_pkpd._stats.population import Structure


@dataclass(frozen=True)
class Ratio:
    """A likelihood-ratio test of two nested fits.

    Attributes
    ----------
    df : int
        Quantities that only the larger fit has.
    p : float
        Probability of so large a difference if the smaller fit is true.
    boundary : bool
        One of them is a standard deviation, whose 0 is at the edge of what it may be.
    """

    df: int
    p: float
    boundary: bool

    @property
    def words(self) -> str:
        """The reference distribution."""
        if not self.boundary:
            return f"χ² with {self.df} df"
        return f"50:50 mixture of χ² with {self.df - 1} and {self.df} df"


def ratio(smaller: Structure, larger: Structure, difference: float) -> Ratio:
    """Return the test of a difference in -2 ln L.

    Parameters
    ----------
    smaller, larger : Structure
        The nested fits.
    difference : float
        -2 ln L of the smaller less that of the larger.

    Notes
    -----
    Where a standard deviation is 0 under the smaller fit the statistic is, in large samples, a
    50:50 mixture of chi-squared with q - 1 and q degrees of freedom, q counting it and its
    correlations (Self & Liang 1987, J Am Stat Assoc 82:605; Stram & Lee 1994, Biometrics 50:1171).
    """
    df = len(larger.quantities) - len(smaller.quantities)
    boundary = len(larger.of_role("omega")) > len(smaller.of_role("omega"))
    return Ratio(df, p_value(difference, df, boundary=boundary), boundary)


def p_value(difference: float, df: int, *, boundary: bool = False) -> float:
    """Return the tail area of chi-squared, or of the mixture at a boundary."""
    if not np.isfinite(difference) or df < 1:
        return np.nan
    if difference <= 0:
        return 1.0
    upper = float(stats.chi2.sf(difference, df))
    if not boundary:
        return upper
    lower = float(stats.chi2.sf(difference, df - 1)) if df > 1 else 0.0
    return (lower + upper) / 2.0

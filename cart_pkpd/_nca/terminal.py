"""The terminal slope: all candidate windows at once, and the best-fit rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cart_pkpd._nca.block import at, first_row, last_row, total
from cart_pkpd._nca.reasons import Bools, Codes, Floats, Ints, Why, explain, no_reason

CONSTANT = 1e-10
"""Root mean square of ln level about its mean below which a window counts as constant."""


@dataclass(frozen=True)
class Windows:
    """Regression of ln level on time for every window that ends at the last point.

    Row i of each array is the window that starts at row i; NaN where row i is no point.

    Attributes
    ----------
    n : ndarray of int, shape (rows, patients)
    slope : ndarray, shape (rows, patients)
        [1/day]
    mean_x, mean_y : ndarray, shape (rows, patients)
        Centre of the line. [day], [ln any]
    r_squared, adj_r_squared : ndarray, shape (rows, patients)
    constant : ndarray of bool, shape (rows, patients)
        ln level does not vary, so that R² means nothing.
    """

    n: Ints
    slope: Floats
    mean_x: Floats
    mean_y: Floats
    r_squared: Floats
    adj_r_squared: Floats
    constant: Bools


def windows(x: Floats, log_y: Floats, points: Bools) -> Windows:
    """Fit every window, adding points from the last one backward (Welford's recurrences)."""
    rows, patients = x.shape
    n, mx, my = np.zeros(patients, dtype=np.int64), np.zeros(patients), np.zeros(patients)
    sxx, sxy, syy = np.zeros(patients), np.zeros(patients), np.zeros(patients)
    out = {name: np.full((rows, patients), np.nan) for name in ("slope", "mx", "my", "r2", "adj")}
    counts = np.zeros((rows, patients), dtype=np.int64)
    constant = np.zeros((rows, patients), dtype=bool)
    for row in range(rows - 1, -1, -1):
        use = points[row]
        if not use.any():
            continue
        n = n + use
        weight = np.maximum(n, 1)
        dx = np.where(use, x[row] - mx, 0.0)
        dy = np.where(use, log_y[row] - my, 0.0)
        mx, my = mx + dx / weight, my + dy / weight
        rest = np.where(use, log_y[row] - my, 0.0)
        sxx = sxx + dx * np.where(use, x[row] - mx, 0.0)
        sxy, syy = sxy + dx * rest, syy + dy * rest
        r2 = sxy**2 / (sxx * syy)
        flat = syy <= weight * CONSTANT**2
        counts[row] = np.where(use, n, 0)
        constant[row] = use & (n >= 2) & flat
        fit = use & (n >= 2) & ~flat
        out["slope"][row] = np.where(fit, sxy / sxx, np.nan)
        out["mx"][row], out["my"][row] = mx, my
        out["r2"][row] = np.where(fit, np.minimum(r2, 1.0), np.nan)
        adjusted = 1 - (1 - np.minimum(r2, 1.0)) * (n - 1) / np.maximum(n - 2, 1)
        out["adj"][row] = np.where(fit & (n > 2), adjusted, np.nan)
    return Windows(counts, out["slope"], out["mx"], out["my"], out["r2"], out["adj"], constant)


@dataclass(frozen=True)
class Terminal:
    """The chosen terminal fit of each patient.

    Attributes
    ----------
    why : ndarray of int16, shape (patients,)
        Why there is no slope; 0 where there is one.
    lambda_z, mean_x, mean_y, r_squared, adj_r_squared, start, end : ndarray, shape (patients,)
    n : ndarray of int, shape (patients,)
    """

    why: Codes
    lambda_z: Floats
    mean_x: Floats
    mean_y: Floats
    n: Ints
    start: Floats
    end: Floats
    r_squared: Floats
    adj_r_squared: Floats

    def predict(self, time: Floats) -> Floats:
        """Return the level on the fitted line."""
        return np.exp(self.mean_y - self.lambda_z * (time - self.mean_x))


def choose(fits: Windows, min_points: int, tolerance: float) -> tuple[Ints, Bools]:
    """Return the row of the best window (-1 for none), and whether any window could be fitted.

    Of all windows with at least `min_points` (and three) points, those with a falling line and
    an adjusted R² above the best of all, rising ones included, less `tolerance` compete; the
    one with most points wins. With `min_points` 2, the two-point window counts only when
    there are exactly two points.
    """
    candidate = (fits.n >= max(min_points, 3)) & ~np.isnan(fits.adj_r_squared)
    adjusted = np.where(candidate, fits.adj_r_squared, -np.inf)
    best = adjusted.max(axis=0, initial=-np.inf)
    row = first_row(candidate & (fits.slope < 0) & (adjusted > best - tolerance))
    fitted = candidate.any(axis=0)
    if min_points == 2:
        whole = first_row(fits.n > 0)
        pair = (fits.n.max(axis=0, initial=0) == 2) & ~np.isnan(at(fits.slope, whole))
        row = np.where(pair & (at(fits.slope, whole) < 0), whole, row)
        fitted = fitted | pair
    return row, fitted


def terminal(
    x: Floats,
    log_y: Floats,
    points: Bools,
    whole: Bools,
    *,
    min_points: int,
    tolerance: float,
) -> Terminal:
    """Return the terminal fit of each patient.

    Parameters
    ----------
    x, log_y : ndarray, shape (rows, patients)
        Times [day] and ln level.
    points : ndarray of bool, shape (rows, patients)
        Points that may take part.
    whole : ndarray of bool, shape (patients,)
        Patients whose points were chosen: one line through all of them, no search.
    min_points, tolerance
        See `choose`.
    """
    fits = windows(x, log_y, points)
    count = fits.n.max(axis=0, initial=0)
    row, fitted = choose(fits, min_points, tolerance)
    all_of_them = first_row(points)
    falls = (count >= min_points) & (at(fits.slope, all_of_them) < 0)
    row = np.where(whole, np.where(falls, all_of_them, -1), row)
    fitted = np.where(whole, ~np.isnan(at(fits.slope, all_of_them)), fitted)
    why = explain(
        no_reason(x.shape[1]),
        (whole & (count < min_points), Why.CHOSEN_FEW),
        (count < min_points, Why.FEW_POINTS),
        ((row < 0) & ~fitted, Why.CONSTANT),
        ((row < 0) & whole, Why.CHOSEN_RISING),
        (row < 0, Why.RISING),
    )
    return Terminal(
        why=why,
        lambda_z=-at(fits.slope, row),
        mean_x=at(fits.mean_x, row),
        mean_y=at(fits.mean_y, row),
        n=np.where(row >= 0, at(fits.n.astype(float), row), 0).astype(np.int64),
        start=at(x, row),
        end=at(x, np.where(row >= 0, last_row(points), -1)),
        r_squared=at(fits.r_squared, row),
        adj_r_squared=at(fits.adj_r_squared, row),
    )


def line(x: Floats, log_y: Floats, points: Bools) -> tuple[Ints, Floats, Floats]:
    """Return number of points, slope and R² of ln level on time; NaN with fewer than two."""
    n = points.sum(axis=0)
    count = np.maximum(n, 1)
    mean_x = total(np.where(points, x, 0.0)) / count
    mean_y = total(np.where(points, log_y, 0.0)) / count
    dx, dy = np.where(points, x - mean_x, 0.0), np.where(points, log_y - mean_y, 0.0)
    sxx, sxy, syy = total(dx**2), total(dx * dy), total(dy**2)
    fit = (n >= 2) & (syy > count * CONSTANT**2)
    safe = np.where(fit, sxx, 1.0)
    slope = np.where(fit, sxy / safe, np.where(n >= 2, 0.0, np.nan))
    r2 = np.where(fit, np.minimum(sxy**2 / (safe * np.where(fit, syy, 1.0)), 1.0), np.nan)
    return n, slope, r2

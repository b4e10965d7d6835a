"""One profile at a time: plain arrays in, a number out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._nca.compute import WINDOW, Plan, Values, fill, plan
from cart_pkpd._nca.registry import Window, window_name
from cart_pkpd._nca.rules import Rules
from cart_pkpd._nca.tables import matrix_samples


def _values(
    conc: ArrayLike, time: ArrayLike, names: list[str], lloq: ArrayLike | None,
    rules: dict[str, Any], window: Window = WINDOW,
) -> tuple[Values, Plan]:  # fmt: skip
    """Return parameters of one profile; a profile that cannot be read is a DataError."""
    level, clock = np.asarray(conc, dtype=np.float64), np.asarray(time, dtype=np.float64)
    if level.ndim != 1 or level.shape != clock.shape:
        raise ValueError(
            f"conc and time must be of one and the same length, not {level.shape} and "
            f"{clock.shape}."
        )
    limit = np.broadcast_to(np.nan if lloq is None else np.asarray(lloq, float), level.shape)
    todo = plan(Rules().with_(**rules), window, names)
    samples = matrix_samples(
        level[None], clock[None], limit[None], np.zeros((1, level.size), bool),
        np.array([np.nan]), np.array(["1"]), todo,
    )  # fmt: skip
    if samples.problem[0]:
        raise DataError(Problem("bad_profile", todo.book.texts[samples.problem[0]]))
    return fill(Values.empty(todo, 1), samples, todo), todo


def _number(
    conc: ArrayLike, time: ArrayLike, name: str, lloq: ArrayLike | None, rules: dict[str, Any],
    window: Window = WINDOW,
) -> float:  # fmt: skip
    return float(_values(conc, time, [name], lloq, rules, window)[0].values[0, 0])


def cmax(conc: ArrayLike, time: ArrayLike, *, lloq: ArrayLike | None = None, **rules: Any) -> float:
    """Return the highest level from the infusion on.

    Parameters
    ----------
    conc : array_like, shape (n,)
        Levels; NaN where missing, 0 or below `lloq` where BLQ. [any]
    time : array_like, shape (n,)
        Time since the infusion. [day]
    lloq : array_like, optional
        Lower limit of quantification, one for all samples or one for each. [any]
    **rules
        Single rules, see `Rules`.

    Returns
    -------
    float
        0 if every sample is BLQ, NaN without samples. [any]

    Raises
    ------
    DataError
        For negative or infinite levels, and for two samples at one time.

    Examples
    --------
    >>> cmax([0, 10, 40, 20], [0, 3, 7, 14])
    40.0
    """
    return _number(conc, time, "cmax", lloq, rules)


def tmax(conc: ArrayLike, time: ArrayLike, *, lloq: ArrayLike | None = None, **rules: Any) -> float:
    """Return the time [day] of Cmax, the first of ties by default.

    Parameters
    ----------
    conc, time, lloq, **rules
        As for `cmax`.

    Returns
    -------
    float
        NaN where no level is above the LLOQ. [day]

    Examples
    --------
    >>> tmax([0, 40, 40, 20], [0, 3, 7, 14]), tmax([0, 40, 40, 20], [0, 3, 7, 14], tmax="last")
    (3.0, 7.0)
    """
    return _number(conc, time, "tmax", lloq, rules)


def auc(
    conc: ArrayLike,
    time: ArrayLike,
    start: float = 0.0,
    end: float | None = None,
    *,
    lloq: ArrayLike | None = None,
    **rules: Any,
) -> float:
    """Return the area under a profile in a window, interpolated at both ends.

    Parameters
    ----------
    conc, time, lloq, **rules
        As for `cmax`; ``method``, ``tail``, ``start_rule`` and ``blq`` matter most.
    start : float
        First day of the window.
    end : float, optional
        Last day of the window; by default the area from 0 to Tlast (AUClast).

    Returns
    -------
    float
        NaN where there is no area, for instance with a single sample. [any × day]

    Examples
    --------
    >>> auc([0, 10, 40, 20], [0, 3, 7, 14], method="linear")
    325.0
    >>> auc([0, 10, 40, 20], [0, 3, 7, 14], end=7, method="linear")
    115.0
    """
    if end is None:
        if start != 0:
            raise ValueError("give the end of a window that does not start at 0.")
        return _number(conc, time, "auclast", lloq, rules)
    window = (float(start), float(end))
    return _number(conc, time, f"auc{window_name(window)}", lloq, rules, window)


@dataclass(frozen=True)
class Slope:
    """A terminal slope, or why there is none.

    Attributes
    ----------
    lambda_z : float
        [1/day]
    n_points : int
    start, end : float
        Window of the fit. [day]
    r_squared, adj_r_squared, span_ratio : float
    exclude : str
        Why there is no slope; empty where there is one.
    """

    lambda_z: float
    n_points: int
    start: float
    end: float
    r_squared: float
    adj_r_squared: float
    span_ratio: float
    exclude: str

    @property
    def half_life(self) -> float:
        """Ln 2/lambda_z [day]."""
        return math.log(2) / self.lambda_z


def lambda_z(
    conc: ArrayLike, time: ArrayLike, *, lloq: ArrayLike | None = None, **rules: Any
) -> Slope:
    """Return the terminal slope by the best-fit rule.

    Parameters
    ----------
    conc, time, lloq, **rules
        As for `cmax`; ``min_points``, ``tolerance``, ``allow_tmax``, ``earliest_day`` and
        ``lambda_z_window`` matter here.

    Returns
    -------
    Slope
        With NaN and the reason in ``exclude`` where there is no slope.

    Notes
    -----
    Of all windows that end at the last quantifiable sample and start after Tmax, those with a
    falling line and an adjusted R² above the best of all windows (rising ones included) less
    the tolerance compete; the one with most samples wins.

    Examples
    --------
    >>> found = lambda_z([0, 100, 50, 25, 12.5], [0, 7, 14, 21, 28])
    >>> round(found.half_life, 9), found.n_points, found.start
    (7.0, 3, 14.0)
    """
    names = [
        "lambda_z", "lambda_z_n_points", "lambda_z_start", "lambda_z_end", "r_squared",
        "adj_r_squared", "span_ratio",
    ]  # fmt: skip
    result, todo = _values(conc, time, names, lloq, rules)
    rate, n, first, last, r2, adjusted, span = result.values[:, 0].tolist()
    why = todo.book.texts[result.why[0, 0]]
    return Slope(rate, 0 if math.isnan(n) else int(n), first, last, r2, adjusted, span, why)


def half_life(
    conc: ArrayLike, time: ArrayLike, *, lloq: ArrayLike | None = None, **rules: Any
) -> float:
    """Return the terminal half-life [day].

    Parameters
    ----------
    conc, time, lloq, **rules
        As for `lambda_z`.

    Returns
    -------
    float
        NaN where there is no terminal slope; ``lambda_z`` says why. [day]

    Examples
    --------
    >>> round(half_life([0, 100, 50, 25, 12.5], [0, 7, 14, 21, 28]), 9)
    7.0
    """
    return _number(conc, time, "half_life", lloq, rules)

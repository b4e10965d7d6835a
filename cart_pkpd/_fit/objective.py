"""The likelihood of one group's records as a function of one vector, with its slopes.

A vector holds the estimated parameters on the free scale and then ln of every scatter that the
group's records can show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._fit.slopes import Predictor, elementwise
from cart_pkpd._stats.design import QUANTIFIED, Design
from cart_pkpd._stats.error import ErrorModel, Sigma
from cart_pkpd._stats.likelihood import pointwise_loglik, record_loglik
from cart_pkpd.models import Model

HUGE = 1e10
"""−ln likelihood where there is none."""

_SIGMA_START = 0.5
# Exact data have no scatter; below this share of the level the likelihood has no bound.
_SIGMA_LEAST = 1e-3
_FARTHEST = 12.0
_STEP = 1e-3
_WORST = 1e3
_LOWEST, _HIGHEST = -1e4, 0.0

type Vector = NDArray[np.float64]
type Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """What one fit works on: a model, the records of a group, and how they scatter.

    Attributes
    ----------
    model : Model
        Its typical values hold for parameters that are neither fixed nor estimated.
    records : Design
        n records.
    errors : tuple of ErrorModel
        Residual error of each measure.
    names : tuple of str
        The m parameters to estimate.
    """

    model: Model
    records: Design
    errors: tuple[ErrorModel, ...]
    names: tuple[str, ...]

    @cached_property
    def scatters(self) -> tuple[tuple[int, Sigma], ...]:
        """Residual parameters of the measures that this group has."""
        present = np.unique(self.records.measure)
        return tuple((int(m), sigma) for m in present for sigma in self.errors[m].sigmas)

    @property
    def size(self) -> int:
        """Length of a vector."""
        return len(self.names) + len(self.scatters)

    @cached_property
    def quantified(self) -> NDArray[np.bool_]:
        """By record: whether it is a number rather than beyond a limit."""
        return self.records.code == QUANTIFIED

    @cached_property
    def lower(self) -> Vector:
        """Least values of a vector; a scatter below its least would fit exact data too well."""
        scatter = [np.log(_SIGMA_LEAST * unit) for unit in self._scatter_units]
        return np.array([*(low for low, _ in self._bounds), *scatter])

    @cached_property
    def upper(self) -> Vector:
        """Greatest values of a vector."""
        return np.array([*(high for _, high in self._bounds), *np.full(len(self.scatters), np.inf)])

    @property
    def _bounds(self) -> list[tuple[float, float]]:
        """Keep the search within what numbers can hold, far from any real value."""
        out = []
        for name in self.names:
            parameter = self.model.parameters[name]
            centre = float(parameter.to_free(parameter.typical))
            width = np.inf if parameter.scale == "identity" else _FARTHEST
            out.append((centre - width, centre + width))
        return out

    @cached_property
    def scatter_start(self) -> Vector:
        """Ln of every scatter where a search begins."""
        return np.array([np.log(_SIGMA_START * unit) for unit in self._scatter_units])

    @property
    def _scatter_units(self) -> list[float]:
        """Return 1, or the usual size of what was measured, for each scatter."""
        dv, measure, out = self.records.dv, self.records.measure, []
        for m, sigma in self.scatters:
            typical = abs(float(np.median(dv[self.quantified & (measure == m)])))
            out.append(max(typical, 1e-12) if sigma.in_data_units else 1.0)
        return out

    def can_move(self, x: Vector) -> NDArray[np.bool_]:
        """Return False for each scatter at its least, where the likelihood has no bound."""
        out = np.ones(x.size, dtype=bool)
        scatter = slice(len(self.names), None)
        out[scatter] = x[scatter] > self.lower[scatter] + _STEP
        return out

    def sigmas(self, x: Vector) -> tuple[dict[str, float], ...]:
        """Return the scatter of every measure; empty for those that this group does not have."""
        out: tuple[dict[str, float], ...] = tuple({} for _ in self.errors)
        for (m, sigma), ln in zip(self.scatters, x[len(self.names) :], strict=True):
            out[m][sigma.name] = float(np.exp(ln))
        return out

    def loglik(self, x: Vector) -> Vector:
        """Return the log-likelihood of every record, shape (n,)."""
        return self._loglik(self._predicted(x)[0], x)

    def minus_loglik(self, x: Vector) -> float:
        """Return −ln likelihood of all records, capped where it overflows."""
        with np.errstate(all="ignore"):
            value = -float(self.loglik(self._within(x)).sum())
        return value if np.isfinite(value) else HUGE

    def with_gradient(self, x: Vector) -> tuple[float, Vector]:
        """Return −ln likelihood and its slopes, shape (m + r,)."""
        at = self._within(x)
        value = self.minus_loglik(at)
        if value >= HUGE:
            return HUGE, np.zeros(x.size)
        return value, -np.nan_to_num(self.scores(at).sum(axis=0), nan=0.0, posinf=0.0, neginf=0.0)

    def scores(self, x: Vector) -> Matrix:
        """Return the slopes of every record's log-likelihood, shape (n, m + r)."""
        with np.errstate(all="ignore"):
            f, by = self._predicted(x)
            each = elementwise(lambda g: self._loglik(g, x), f, self._on_log)
            columns = [each[:, None] * by]
            for i, moves in enumerate(self.can_move(x)[len(self.names) :], len(self.names)):
                step = _STEP * np.eye(x.size)[i]
                change = self._loglik(f, x + step) - self._loglik(f, x - step)
                columns.append((change / (2 * _STEP) * moves)[:, None])
        return np.concatenate(columns, axis=1)

    def residuals(self, x: Vector) -> Vector:
        """Return z of quantified records and sqrt(−2 ln P) of censored ones, shape (n,)."""
        with np.errstate(all="ignore"):
            out = self._residuals(self._predicted(self._within(x))[0], x)
        return np.nan_to_num(out, nan=_WORST, posinf=_WORST, neginf=-_WORST)

    def jacobian(self, x: Vector) -> Matrix:
        """Return the derivatives of the residuals by the parameters, shape (n, m)."""
        with np.errstate(all="ignore"):
            f, by = self._predicted(self._within(x))
            each = elementwise(lambda g: self._residuals(g, x), f, self._on_log)
            return np.nan_to_num(each[:, None] * by, nan=0.0, posinf=0.0, neginf=0.0)

    def scatter_only(self, x: Vector) -> Callable[[int, float], float]:
        """Return −ln likelihood as a function of one scatter, by its place and ln of it.

        The predictions stay those of `x`.
        """
        f = self._predicted(x)[0]

        def value(place: int, ln: float) -> float:
            moved = x.copy()
            moved[place] = ln
            with np.errstate(all="ignore"):
                total = -float(self._loglik(f, moved).sum())
            return total if np.isfinite(total) else HUGE

        return value

    @cached_property
    def _predictor(self) -> Predictor:
        log = tuple(error.on_log for error in self.errors)
        return Predictor(self.model, self.records, self.names, log)

    def _predicted(self, x: Vector) -> tuple[Vector, Matrix]:
        return self._predictor(np.ascontiguousarray(x[: len(self.names)]))

    def _within(self, x: Vector) -> Vector:
        """Return the vector with what lies beyond a bound moved to it."""
        return np.clip(x, self.lower, self.upper)

    @cached_property
    def _on_log(self) -> NDArray[np.bool_]:
        return np.array([error.on_log for error in self.errors])[self.records.measure]

    @cached_property
    def _parts(self) -> list[tuple[int, int, NDArray[np.int64]]]:
        """Measure, censoring code and positions of the records that share both."""
        both = np.stack([self.records.measure, self.records.code])
        kinds, which = np.unique(both, axis=1, return_inverse=True)
        return [(int(m), int(c), np.flatnonzero(which == i)) for i, (m, c) in enumerate(kinds.T)]

    def _loglik(self, f: Vector, x: Vector) -> Vector:
        return pointwise_loglik(self.errors, self.records, f, self.sigmas(x))

    def _residuals(self, f: Vector, x: Vector) -> Vector:
        records, sigmas = self.records, self.sigmas(x)
        out = np.empty(records.n_obs)
        for m, code, rows in self._parts:
            error, dv, low = self.errors[m], records.dv[rows], records.low[rows]
            if code == QUANTIFIED:
                out[rows] = error.z(dv, f[rows], sigmas[m])
            else:
                log_p = record_loglik(error, code, dv, low, f[rows], sigmas[m])
                out[rows] = np.sqrt(-2.0 * np.clip(log_p, _LOWEST, _HIGHEST))
        return out

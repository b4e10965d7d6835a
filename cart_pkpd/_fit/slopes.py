"""Predictions of records with exact derivatives, and likelihoods with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cart_pkpd._engine.program import Program
from cart_pkpd._engine.schedule import Schedule
from cart_pkpd._engine.solve import sensitivities
from cart_pkpd._stats.compiled import on_scale
from cart_pkpd._stats.design import Design
from cart_pkpd.models import Model, Parameter

RTOL = 1e-8
"""Tolerance of the equations: what an optimiser compares must be smooth."""

_STEP = 1e-5
_CURVATURE_STEP = 1e-3
_RIDGE = 1e-6

type Array = NDArray[np.float64]


@dataclass(eq=False)
class Predictor:
    """What a model given by equations predicts of records, and the derivatives.

    Attributes
    ----------
    model : Model
        Its typical values hold for parameters that are neither fixed nor among `names`.
    records : Design
        n records.
    names : tuple of str
        m parameters, the same for every patient.
    log : tuple of bool
        By measure: ln of the level, or the level itself.
    """

    model: Model
    records: Design
    names: tuple[str, ...]
    log: tuple[bool, ...]
    _last: tuple[bytes, Array, Array] | None = None

    @cached_property
    def _plan(self) -> tuple[Schedule, Array]:
        r = self.records
        plan, base = self.model.plan(
            r, time=r.time, patient=r.patient, measure=r.measure, endpoint=r.endpoints
        )
        for name, value in self.model.typical().items():
            base[:, self.model.program.values.index(name)] = value
        return plan, base

    def __call__(self, free: Array) -> tuple[Array, Array]:
        """Return predictions (n,) and their derivatives (n, m) by the free parameters.

        NaN where there is no solution. The last point is remembered: optimisers ask for values
        and then for derivatives there.
        """
        if self._last is None or self._last[0] != free.tobytes():
            self._last = (free.tobytes(), *self._computed(free))
        return self._last[1:]

    def _computed(self, free: Array) -> tuple[Array, Array]:
        plan, base = self._plan
        program, (columns, wants_log) = self._program, self._places
        natural, slope = self._natural(free)
        base[:, columns] = natural
        # By every parameter, so that holding another one needs no compilation.
        level, by_all, _ = sensitivities(program, program.parameters, base, plan, rtol=RTOL)
        f, by = on_scale(program, wants_log, level, by_all[:, columns])
        out, slopes = np.empty_like(f), np.empty_like(by)
        out[plan.order] = f
        slopes[plan.order] = by * slope
        return out, slopes

    @cached_property
    def _program(self) -> Program:
        return self.model.program

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Columns of the parameters, and by record of the plan whether ln is wanted."""
        wants_log = np.array(self.log)[self.records.measure][self._plan[0].order]
        return np.asarray(self._program.columns(self.names)), wants_log

    @cached_property
    def _scales(self) -> NDArray[np.str_]:
        return np.array([self.model.parameters[n].scale for n in self.names])

    def _natural(self, free: Array) -> tuple[Array, Array]:
        """Return the parameters on the natural scale, and d natural / d free."""
        with np.errstate(over="ignore"):
            on_log, on_logit = np.exp(free), 1.0 / (1.0 + np.exp(-free))
        is_log, is_logit = self._scales == "log", self._scales == "logit"
        natural = np.where(is_log, on_log, np.where(is_logit, on_logit, free))
        slope = np.where(is_log, on_log, np.where(is_logit, on_logit * (1.0 - on_logit), 1.0))
        return natural, slope


def slope_of(parameter: Parameter, free: float) -> float:
    """Return d natural / d free of a parameter."""
    h = 1e-6
    return float((parameter.to_natural(free + h) - parameter.to_natural(free - h)) / (2 * h))


def elementwise(function: Callable[[Array], Array], at: Array, on_log: NDArray[np.bool_]) -> Array:
    """Return the derivative of each element of ``function(at)`` by the same element of `at`.

    Steps are relative where `at` is not a logarithm.
    """
    step = _STEP * np.where(on_log, 1.0, np.maximum(np.abs(at), 1e-12))
    return (function(at + step) - function(at - step)) / (2 * step)


def maximise(
    value_and_slope: Callable[[Array], tuple[float, Array]],
    start: Array,
    information: Array,
    *,
    gtol: float = 1e-6,
) -> tuple[Array, float]:
    """Return where −ln likelihood is smallest, and its value there.

    Quasi-Newton steps in coordinates in which `information`, the expected curvature at the
    start, is that of a sphere: parameters that hardly act and those that act strongly then
    count alike. The search ends where no slope in them exceeds `gtol`.
    """
    sizes = np.sqrt(np.maximum(np.diag(information), 1e-12))
    scaled = information / np.outer(sizes, sizes) + _RIDGE * np.eye(start.size)
    # x = start + back @ u
    back = np.linalg.inv(np.linalg.cholesky(scaled)).T / sizes[:, None]

    def in_u(u: Array) -> tuple[float, Array]:
        value, slope = value_and_slope(start + back @ u)
        return value, back.T @ slope

    best = minimize(in_u, np.zeros(start.size), jac=True, method="BFGS", options={"gtol": gtol})
    return start + back @ best.x, float(best.fun)


def curvature(slope: Callable[[Array], Array], at: Array, moved: Sequence[int]) -> Array:
    """Return the second derivatives by some coordinates, from differences of the gradient."""
    rows = []
    for i in moved:
        step = np.zeros(at.size)
        step[i] = _CURVATURE_STEP
        rows.append((slope(at + step) - slope(at - step))[list(moved)] / (2 * _CURVATURE_STEP))
    found = np.array(rows).reshape(len(moved), len(moved))
    return (found + found.T) / 2

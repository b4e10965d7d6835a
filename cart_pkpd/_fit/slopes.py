"""Predictions of records with exact derivatives, and likelihoods with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

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
        records = [self.model.parameters[n] for n in self.names]
        natural = [float(p.to_natural(v)) for p, v in zip(records, free, strict=True)]
        program = self.model.program
        base[:, program.columns(self.names)] = natural
        # By every parameter, so that holding another one needs no compilation.
        level, by_all, _ = sensitivities(program, program.parameters, base, plan, rtol=RTOL)
        slope = by_all[:, program.columns(self.names)]
        wants_log = np.array(self.log)[self.records.measure][plan.order]
        f, by = on_scale(program, wants_log, level, slope)
        out, slopes = np.empty_like(f), np.empty_like(by)
        out[plan.order] = f
        slopes[plan.order] = by * [slope_of(p, v) for p, v in zip(records, free, strict=True)]
        return out, slopes


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
    value_and_slope: Callable[[Array], tuple[float, Array]], start: Array, information: Array
) -> tuple[Array, float]:
    """Return where −ln likelihood is smallest, and its value there.

    Quasi-Newton steps in coordinates in which `information`, the expected curvature at the
    start, is that of a sphere: parameters that hardly act and those that act strongly then
    count alike.
    """
    sizes = np.sqrt(np.maximum(np.diag(information), 1e-12))
    scaled = information / np.outer(sizes, sizes) + _RIDGE * np.eye(start.size)
    # x = start + back @ u
    back = np.linalg.inv(np.linalg.cholesky(scaled)).T / sizes[:, None]

    def in_u(u: Array) -> tuple[float, Array]:
        value, slope = value_and_slope(start + back @ u)
        return value, back.T @ slope

    best = minimize(in_u, np.zeros(start.size), jac=True, method="BFGS", options={"gtol": 1e-6})
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

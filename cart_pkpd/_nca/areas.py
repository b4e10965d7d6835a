r"""Trapezoids: area and first moment of piecewise linear or logarithmic curves in any window.

Notes
-----
A segment from :math:`(t_1, c_1)` over :math:`\Delta` with :math:`L = \ln(c_2/c_1)` has the
logarithmic area :math:`\Delta (c_2 - c_1)/L`, written here as :math:`c_1 \Delta\,\phi_1(L)` with
:math:`\phi_1(L) = (e^L - 1)/L`; its moment about :math:`t_1` is :math:`c_1 \Delta^2 \phi_2(L)`
with :math:`\phi_2(L) = (e^L - \phi_1(L))/L`. Both stay exact for nearly equal levels, where
the textbook forms lose all digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cart_pkpd._nca.block import at, total
from cart_pkpd._nca.reasons import Bools, Floats, Ints

_SERIES = tuple(1.0 / (f * (n + 2)) for n, f in enumerate((1, 1, 2, 6, 24, 120, 720, 5040, 40320)))


def log_ratio(start: Floats, end: Floats) -> Floats:
    """Return ``ln(end/start)`` of positive numbers, to full precision also when nearly equal."""
    change = (end - start) / start
    return np.where(np.abs(change) < 0.5, np.log1p(np.maximum(change, -0.75)), np.log(end / start))


def phi1(x: Floats) -> Floats:
    """Return ``(exp(x) - 1)/x``, 1 at 0."""
    return np.where(x == 0, 1.0, np.expm1(x) / np.where(x == 0, 1.0, x))


def phi2(x: Floats) -> Floats:
    """Return ``(exp(x) - phi1(x))/x``, 1/2 at 0; a series where the difference cancels."""
    small = np.abs(x) < 0.05
    near = np.where(small, x, 0.0)
    series = np.zeros_like(x)
    for coefficient in reversed(_SERIES):
        series = series * near + coefficient
    return np.where(small, series, (np.exp(x) - phi1(x)) / np.where(small, 1.0, x))


@dataclass(frozen=True)
class Curve:
    """The level that the areas integrate: points in time order, padded with the last point.

    Attributes
    ----------
    x, y : ndarray, shape (points, patients)
        Times [day] and levels after the BLQ and start rules. [any]
    n : ndarray of int, shape (patients,)
        Points that are real.
    last : ndarray of int, shape (patients,)
        Row of the last level above 0; -1 without one.
    curved : ndarray of bool, shape (points - 1, patients)
        Segments that are logarithmic.
    """

    x: Floats
    y: Floats
    n: Ints
    last: Ints
    curved: Bools

    @cached_property
    def tlast(self) -> Floats:
        """Time of the last level above 0 [day]; the start where there is none."""
        return np.where(self.last >= 0, at(self.x, self.last), self.x[0])

    @cached_property
    def clast(self) -> Floats:
        """Last level above 0, in its unit; 0 where there is none."""
        return np.where(self.last >= 0, at(self.y, self.last), 0.0)

    @cached_property
    def lost(self) -> Floats:
        """Time of the first point after the last level above 0 [day]; NaN without one."""
        after = self.last + 1
        there = (self.last >= 0) & (after < self.n)
        return at(self.x, np.where(there, after, -1))

    @cached_property
    def _log(self) -> Floats:
        y1 = np.where(self.curved, self.y[:-1], 1.0)
        return log_ratio(y1, np.where(self.curved, self.y[1:], 1.0))

    def integrate(self, start: Floats, end: Floats, *, moment: bool = False) -> Floats:
        """Return the area, or the first moment, between two times that may differ by patient.

        Parameters
        ----------
        start, end : ndarray, shape (patients,)
            Within the points; what lies outside adds nothing. [day]
        moment : bool
            Whether to integrate ``t·c`` instead of ``c``. Linear pieces use the trapezoid of
            ``t·c``, as WinNonlin and PKNCA do.
        """
        x1, x2, y1, y2 = self.x[:-1], self.x[1:], self.y[:-1], self.y[1:]
        width = np.where(x2 > x1, x2 - x1, 1.0)
        low = np.clip(start, x1, x2)
        high = np.maximum(np.clip(end, x1, x2), low)
        step = high - low
        at_low, at_high = (low - x1) / width, (high - x1) / width
        straight1 = y1 * (1 - at_low) + y2 * at_low
        straight2 = y1 * (1 - at_high) + y2 * at_high
        curved1 = y1 * np.exp(self._log * at_low)
        fall = self._log * (step / width)
        curved_area = curved1 * step * phi1(fall)
        if not moment:
            straight = step * (straight1 + straight2) / 2
            return total(np.where(self.curved, curved_area, straight))
        straight = step * (low * straight1 + high * straight2) / 2
        bent = low * curved_area + curved1 * step**2 * phi2(fall)
        return total(np.where(self.curved, bent, straight))


def triangle(curve: Curve, start: Floats, end: Floats) -> Floats:
    """Return the area under the line from Clast down to the first BLQ after it, in a window."""
    gone = ~np.isnan(curve.lost)
    foot = np.where(gone, curve.lost, curve.tlast)
    length = np.where(gone, foot - curve.tlast, 1.0)
    low = np.clip(start, curve.tlast, foot)
    high = np.maximum(np.clip(end, curve.tlast, foot), low)
    height = curve.clast * ((foot - low) + (foot - high)) / length / 2
    return np.where(gone, (high - low) * height, 0.0)


def triangle_moment(curve: Curve) -> Floats:
    """Return the first moment (trapezoid of ``t·c``) of the whole triangle after Clast."""
    gone = ~np.isnan(curve.lost)
    return np.where(gone, (curve.lost - curve.tlast) * curve.tlast * curve.clast / 2, 0.0)


def decline(level: Floats, rate: Floats, origin: Floats, start: Floats, end: Floats) -> Floats:
    """Return the area of ``level·exp(-rate (t - origin))`` between two times after `origin`."""
    low = np.maximum(start, origin)
    step = np.maximum(end - low, 0.0)
    return level * np.exp(-rate * (low - origin)) * -np.expm1(-rate * step) / rate

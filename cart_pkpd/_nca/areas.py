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
    near = np.abs(change) < 0.5
    out = np.log(end / start)
    out[near] = np.log1p(change[near])
    return out


def phi1(x: Floats) -> Floats:
    """Return ``(exp(x) - 1)/x``, 1 at 0."""
    return np.where(x == 0, 1.0, np.expm1(x) / np.where(x == 0, 1.0, x))


def phi2(x: Floats, first: Floats) -> Floats:
    """Return ``(exp(x) - phi1(x))/x``, 1/2 at 0, where `first` is ``phi1(x)``.

    Where the difference cancels it is a series.
    """
    small = np.abs(x) < 0.05
    out = (np.exp(x) - first) / np.where(small, 1.0, x)
    near = x[small]
    series = np.zeros_like(near)
    for coefficient in reversed(_SERIES):
        series = series * near + coefficient
    out[small] = series
    return out


def curved_pieces(
    low: Floats, step: Floats, level: Floats, fall: Floats, *, moment: bool
) -> Floats:
    """Return the area or first moment of exponential pieces.

    Parameters
    ----------
    low, step, level : ndarray
        Start and length of each piece [day], level at its start. [any]
    fall : ndarray
        Ln of the level's change over the piece.
    moment : bool
        Whether to integrate ``t·c`` instead of ``c``.
    """
    first = phi1(fall)
    area = level * step * first
    return low * area + level * step**2 * phi2(fall, first) if moment else area


def straight_pieces(
    low: Floats, high: Floats, start: Floats, end: Floats, *, moment: bool
) -> Floats:
    """Return the trapezoids of ``c``, or of ``t·c``, from levels at both ends of each piece."""
    if moment:
        return (high - low) * (low * start + high * end) / 2
    return (high - low) * (start + end) / 2


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

    def _whole(self, *, moment: bool) -> Floats:
        """Return area or first moment of every segment, shape (points - 1, patients)."""
        x1, x2, y1, y2 = self.x[:-1], self.x[1:], self.y[:-1], self.y[1:]
        pieces = straight_pieces(x1, x2, y1, y2, moment=moment)
        bent = self.curved
        low, level = x1[bent], y1[bent]
        fall = log_ratio(level, y2[bent])
        pieces[bent] = curved_pieces(low, x2[bent] - low, level, fall, moment=moment)
        return pieces

    @cached_property
    def _areas(self) -> Floats:
        return self._whole(moment=False)

    @cached_property
    def _moments(self) -> Floats:
        return self._whole(moment=True)

    def integrate(self, start: Floats, end: Floats, *, moment: bool = False) -> Floats:
        """Return the area, or the first moment, between two times that may differ by patient.

        Whole segments are integrated once for all windows; a window adds what its two ends cut.

        Parameters
        ----------
        start, end : ndarray, shape (patients,)
            Within the points; what lies outside adds nothing. [day]
        moment : bool
            Whether to integrate ``t·c`` instead of ``c``. Linear pieces use the trapezoid of
            ``t·c``, as WinNonlin and PKNCA do.
        """
        x1, x2 = self.x[:-1], self.x[1:]
        whole = self._moments if moment else self._areas
        pieces = np.where((x1 >= start) & (x2 <= end), whole, 0.0)
        for edge in (start, end):
            cut = np.flatnonzero((x1 < edge) & (edge < x2))
            if cut.size:
                row, column = np.divmod(cut, start.size)
                pieces[row, column] = self._cut(row, column, start, end, moment=moment)
        return total(pieces)

    def _cut(self, row: Ints, column: Ints, start: Floats, end: Floats, *, moment: bool) -> Floats:
        """Return area or first moment of the parts of some segments that lie in a window."""
        x1, x2 = self.x[row, column], self.x[row + 1, column]
        y1, y2 = self.y[row, column], self.y[row + 1, column]
        low = np.clip(start[column], x1, x2)
        high = np.maximum(np.clip(end[column], x1, x2), low)
        at_low, at_high = (low - x1) / (x2 - x1), (high - x1) / (x2 - x1)
        pieces = straight_pieces(
            low, high, y1 * (1 - at_low) + y2 * at_low, y1 * (1 - at_high) + y2 * at_high,
            moment=moment,
        )  # fmt: skip
        bent = self.curved[row, column]
        log = log_ratio(y1[bent], y2[bent])
        level = y1[bent] * np.exp(log * at_low[bent])
        step = (high - low)[bent]
        pieces[bent] = curved_pieces(
            low[bent], step, level, log * (step / (x2 - x1)[bent]), moment=moment
        )
        return pieces


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

"""The working state of one block: what is shared by parameters, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

import numpy as np

from cart_pkpd._nca.areas import Curve
from cart_pkpd._nca.block import Block, at, first_row, last_row
from cart_pkpd._nca.clean import curve_of
from cart_pkpd._nca.reasons import (
    Bools,
    Codes,
    Column,
    Floats,
    Ints,
    Note,
    Why,
    explain,
    no_reason,
)
from cart_pkpd._nca.registry import Parameter, Window
from cart_pkpd._nca.rules import Rules
from cart_pkpd._nca.terminal import Terminal, Windows, terminal, windows


class Work:
    """Parameters and intermediate results of a block of patients, computed when first asked for.

    Attributes
    ----------
    block : Block
    rules : Rules
    parameters : mapping of str to Parameter
    notes : ndarray of int, shape (patients,)
        Bits of `Note`, completed as parameters are computed.
    """

    def __init__(self, block: Block, rules: Rules, parameters: Mapping[str, Parameter]) -> None:
        self.block, self.rules, self.parameters = block, rules, parameters
        self.notes: Ints = block.notes.copy()
        self._columns: dict[str, Column] = {}
        self._shared: dict[Callable[[Work], Any], Any] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = self.parameters[name].compute(self)
        return self._columns[name]

    def shared[T](self, compute: Callable[[Work], T]) -> T:
        """Return what several parameters need of `compute`, which is called once."""
        if compute not in self._shared:
            self._shared[compute] = compute(self)
        return cast(T, self._shared[compute])

    def note(self, note: Note, where: Bools) -> None:
        """Add a remark to some patients."""
        self.notes |= np.where(where, int(note), 0)

    # -- observed samples

    @cached_property
    def n_samples(self) -> Ints:
        """Samples of the profile, BLQ included."""
        return self.block.present.sum(axis=0)

    @cached_property
    def usable(self) -> Codes:
        """Reason for having no profile at all."""
        return explain(self.block.problem, (self.n_samples == 0, Why.NO_SAMPLE))

    @cached_property
    def seen(self) -> Bools:
        """Quantifiable samples of the profile."""
        return self.block.present & self.block.quantified

    @cached_property
    def any_seen(self) -> Codes:
        """Reason for having no quantifiable sample."""
        return explain(self.usable, (~self.seen.any(axis=0), Why.ALL_BLQ))

    @cached_property
    def first_seen(self) -> Ints:
        """Row of the first quantifiable sample, -1 without one."""
        return first_row(self.seen)

    @cached_property
    def last_seen(self) -> Ints:
        """Row of the last quantifiable sample, -1 without one."""
        return last_row(self.seen)

    @cached_property
    def peak(self) -> Ints:
        """Row of Cmax among samples from `tmax_after` on, -1 if none is quantifiable."""
        found = self.seen & (self.block.time >= self.rules.tmax_after)
        top = np.where(found, self.block.level, -1.0).max(axis=0, initial=-1.0)
        ties = found & (self.block.level == top)
        return first_row(ties) if self.rules.tmax == "first" else last_row(ties)

    @cached_property
    def tmax(self) -> Floats:
        """Time of `peak` [day]; NaN without one."""
        return at(self.block.time, self.peak)

    @cached_property
    def log_level(self) -> Floats:
        """Ln of quantifiable levels, 0 elsewhere."""
        return np.log(np.where(self.seen, self.block.level, 1.0))

    # -- the curve under which areas are taken

    @cached_property
    def curve(self) -> Curve:
        """Levels after the BLQ and start rules."""
        b = self.block
        tfirst, tlast = at(b.time, self.first_seen), at(b.time, self.last_seen)
        ties = self.seen & (b.level == np.where(self.peak >= 0, at(b.level, self.peak), np.nan))
        ties &= b.time >= self.rules.tmax_after
        return curve_of(b, self.rules, at(b.time, first_row(ties)), tfirst, tlast)

    @cached_property
    def area_reason(self) -> Codes:
        """Why there is no area at all."""
        least = self.rules.accept_samples or 0
        return explain(
            self.usable,
            (self.n_samples == 1, Why.ONE_SAMPLE),
            (np.isnan(self.curve.y).any(axis=0), Why.NO_LLOQ),
            (self.seen.sum(axis=0) < least, Why.FEW_MEASURED),
        )

    @cached_property
    def area_from_start_reason(self) -> Codes:
        """Why there is no area that begins at the infusion."""
        late = (self.curve.n == 0) | (self.curve.x[0] > 0)
        return explain(self.area_reason, (late, Why.NO_START))

    # -- the terminal phase

    def terminal_points(self, earliest: float) -> tuple[Floats, Floats, Bools]:
        """Return times, ln levels and the points that may be part of the terminal phase."""
        rules, b = self.rules, self.block
        if rules.lambda_z_imputed:
            x, y = self.curve.x, self.curve.y
            rows = np.arange(x.shape[0])[:, None]
            points = (rows < self.curve.n) & (y > 0)
            log_y = np.log(np.where(points, y, 1.0))
        else:
            x, log_y, points = b.time, self.log_level, self.seen
        after = x >= self.tmax if rules.allow_tmax else x > self.tmax
        points = points & after & (x > b.dose_end) & (x >= earliest)
        return x, log_y, points

    def fit_terminal(self, earliest: float) -> Terminal:
        """Return the terminal fit on samples from day `earliest` on."""
        rules, b = self.rules, self.block
        x, log_y, points = self.terminal_points(earliest)
        whole = np.zeros(b.patients, dtype=bool)
        if rules.lambda_z_window is not None or b.included is not None:
            x, log_y = b.time, self.log_level
            points, whole = self._chosen(earliest)
        elif b.excluded is not None:
            points = points & ~b.excluded
        fit = terminal(
            x, log_y, points, whole, min_points=rules.min_points, tolerance=rules.tolerance
        )
        self.note(Note.TWO_POINT_LAMBDA, (fit.why == 0) & (fit.n == 2))
        return fit

    def _chosen(self, earliest: float) -> tuple[Bools, Bools]:
        """Return the points when windows or samples are given, and the patients they fix."""
        b, window = self.block, self.rules.lambda_z_window
        _, _, points = self.terminal_points(earliest)
        whole = np.zeros(b.patients, dtype=bool)
        if window is not None:
            points = self.seen & (b.time >= window[0]) & (b.time <= window[1])
            whole[:] = True
        if b.excluded is not None:
            points = points & ~b.excluded
        if b.included is not None:
            points = np.where(b.chosen, self.seen & b.included, points)
            whole = whole | b.chosen
        return points, whole

    @cached_property
    def terminal(self) -> Terminal:
        """The terminal fit behind lambda_z."""
        return self.fit_terminal(self.rules.earliest_day)

    @cached_property
    def fit_reason(self) -> Codes:
        """Why there is no terminal fit, before acceptance."""
        rise = (self.last_seen == self.peak) & (self.peak >= 0) & (self.terminal.n == 0)
        free = ~self.block.chosen & (self.rules.lambda_z_window is None)
        why = explain(
            self.any_seen,
            (self.block.chosen_missing, Why.CHOSEN_MISSING),
            ((self.peak < 0) & free, Why.LATE_BLQ),
            (rise & free & (self.terminal.why != 0), Why.PEAK_LAST),
        )
        return np.where(why == 0, self.terminal.why, why)

    @cached_property
    def candidates(self) -> Windows:
        """Every window of the terminal search."""
        x, log_y, points = self.terminal_points(self.rules.earliest_day)
        if self.block.excluded is not None:
            points = points & ~self.block.excluded
        return windows(x, log_y, points)

    def none(self) -> Codes:
        """Return a fresh column of no reasons."""
        return no_reason(self.block.patients)


def outside_horizon(work: Work, window: Window) -> Bools:
    """Return the patients whose window starts at or after their next infusion."""
    return np.asarray(work.block.horizon <= window[0])


def per_patient(work: Work, value: float) -> Floats:
    """Return one number for every patient."""
    return np.full(work.block.patients, float(value))

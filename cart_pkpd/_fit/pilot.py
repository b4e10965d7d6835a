"""Where the draws will be, roughly, and what records tell there: what coordinates are made of.

In turns, quantities and patients are put where the density is highest with the standard deviations
held, and each standard deviation takes a step up its marginal likelihood: the highest point of
all together would have omegas of 0 or patients that fit too well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cart_pkpd._fit.coordinates import (
    Arrow,
    Between,
    Coordinates,
    Moved,
    Shape,
    shifted,
    unbent,
    unmoved,
)
from cart_pkpd._fit.draws import individual_draws, patient_means, population_draws
from cart_pkpd._fit.posterior import Evaluation, Posterior
from cart_pkpd._fit.start import on_the_line
from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.priors import Prior

_ROUNDS, _ITERATIONS, _ENOUGH = 8, 100, 0.02
_STEP = 1e-4
_WORST = 1e10
_MOST_CHANGE, _LEAST_RATIO = 1.0, 1e-3
_LEAST_OMEGA, _INSIDE = 0.01, 1e-3
_LEAST_LEFT, _ALL_LEFT = 1e-9, 0.999
_BULK = (0.16, 0.84)
_HELD = ("omega", "iov", "residual", "correlation")

type Array = NDArray[np.float64]


def suited(posterior: Posterior, function: Evaluation, start: Array) -> Coordinates:
    """Return coordinates that suit a posterior, found from a point to start at.

    Parameters
    ----------
    posterior : Posterior
        Its deviations are moved; parameters that are centred stay as they are.
    function : Evaluation
        Its function.
    start : ndarray, shape (d,)
        Where the search begins.

    Returns
    -------
    Coordinates
        Those of 0 are in the middle of the draws. A mere shift to the start if nothing better has
        a density.
    """
    pilot = Pilot(posterior, function)
    found = _tried(pilot, start) if posterior.quantities else None
    function.unsolved[:] = 0  # what failed on the way here is no news of the sampling
    return found or shifted(pilot.shape, start, pilot.as_they_are)


def _tried(pilot: Pilot, start: Array) -> Coordinates | None:
    x = start
    try:
        if pilot.structure.random.size:
            x = _middle(pilot, start)
        found = pilot.around(x)
    except np.linalg.LinAlgError:
        return None
    value, gradient = Moved(pilot.function, found)(np.zeros(x.size))
    return found if np.isfinite(value) and np.isfinite(gradient).all() else None


def _middle(pilot: Pilot, start: Array) -> Array:
    """Return a point in the middle of the draws."""
    x, p = start, pilot.shape[0]
    for _ in range(_ROUNDS):
        before = x[:p]
        x = pilot.highest(x)
        x = pilot.spread(x)
        if (np.abs(x[:p] - before) < _ENOUGH * pilot.widths).all():
            break
    return pilot.highest(x)


@dataclass(frozen=True, eq=False)
class Pilot:
    """What is asked of a posterior to find coordinates."""

    posterior: Posterior
    function: Evaluation

    @property
    def structure(self) -> Structure:
        return self.posterior.structure

    @cached_property
    def shape(self) -> Shape:
        """Number of quantities, effects and patients."""
        s = self.structure
        return len(self.posterior.quantities), s.random.size, s.design.n_patients

    @cached_property
    def apart(self) -> NDArray[np.bool_]:
        """By effect: whether its deviations are sampled, shape (r,)."""
        names = self.structure.random.names
        return np.array([n not in self.posterior.centred for n in names], dtype=bool)

    @cached_property
    def widths(self) -> Array:
        """Standard deviations of the priors where the sampler moves, shape (p,)."""
        return np.array([_width(q.prior) for q in self.posterior.quantities])

    @cached_property
    def sds(self) -> NDArray[np.int64]:
        """Quantity that is the standard deviation of each effect, shape (r,)."""
        names = [q.name for q in self.posterior.quantities]
        return np.array([names.index(s) for s in self.structure.random.sds], dtype=np.int64)

    @cached_property
    def as_they_are(self) -> Between:
        """Effects that are sampled as they are."""
        quantities, sds = self.posterior.quantities, self.sds
        bounds = np.array([quantities[q].prior.bounds for q in sds]).reshape(-1, 2)
        return unmoved(np.full(len(sds), -1, dtype=np.int64), bounds, self.shape)

    @cached_property
    def moved(self) -> NDArray[np.int64]:
        """The same, -1 where effects are sampled as the user says, shape (r,)."""
        free = self.structure.population.centred is None
        return np.where(self.apart & free, self.sds, -1)

    def omegas(self, x: Array) -> Array:
        """Return the standard deviations of effects at points (..., d), shape (..., r)."""
        return replace(self.as_they_are, sds=self.sds).omegas(x)

    @cached_property
    def residual(self) -> list[tuple[int, int]]:
        """Measure and quantity of each residual parameter."""
        names = [q.name for q in self.posterior.quantities]
        own = self.structure.sigmas({q.name: q for q in self.structure.of_role("residual")})
        return [(m, names.index(q.name)) for m, s in enumerate(own) for q in s.values()]

    @cached_property
    def quantified(self) -> Array:
        """Number of quantified records of each measure, at least 1."""
        design = self.structure.design
        measures = design.measure[design.code == QUANTIFIED]
        return np.maximum(np.bincount(measures, minlength=len(design.measures)), 1.0)

    def sizes(self, x: Array) -> Array:
        """Return prior standard deviations of quantities and effects, shape (p + r,)."""
        own = np.where(self.apart, 1.0, self.omegas(x))
        return np.concatenate([self.widths, own])

    def information(self, x: Array) -> Arrow:
        """Return what records and priors are expected to tell about a point.

        Expected information of quantified records, from slopes of the predictions by the patients'
        parameters (Gauss & Newton), which kinks of predictions do not harm.
        """
        (p, r, k), d = self.shape, self.posterior.size
        steps = _STEP * self.sizes(x)
        moves = np.zeros((p + r, d))
        for j, h in enumerate(steps):
            moves[j, slice(j, j + 1) if j < p else slice(p + (j - p) * k, p + (j - p + 1) * k)] = h
        points = x + np.concatenate([moves, -moves])
        natural, deviations = (
            (v[: p + r] - v[p + r :]) / (2.0 * steps[:, None, None]) for v in self._patients(points)
        )
        patient = self.structure.design.patient
        told = np.einsum("nm,jnm->nj", self._slopes(x), natural[:, patient])
        full = np.einsum("jka,lka->kjl", deviations, deviations)  # the priors of the deviations
        np.add.at(full, patient, told[:, :, None] * told[:, None, :])
        shared = full[:, :p, :p].sum(axis=0) + np.diag(self.widths**-2.0)
        for measure, q in self.residual:
            shared[q, q] += 2.0 * self.quantified[measure]
        return Arrow(shared, full[:, p:, p:], full[:, p:, :p])

    def _patients(self, points: Array) -> tuple[Array, Array]:
        """Return natural parameters (n, k, m), and deviations in standard deviations (n, k, r)."""
        (p, r, k), structure = self.shape, self.structure
        raw = self.posterior.variables(points[None])
        found = individual_draws(structure, raw)
        natural = np.stack([found[n].to_numpy()[0] for n in structure.model.estimated], axis=-1)
        own = points[:, p:].reshape(len(points), r, k).transpose(0, 2, 1).copy()
        if not self.apart.all():
            omega, quantities = self.omegas(points), population_draws(structure, raw)
            for a in np.flatnonzero(~self.apart):
                mean = patient_means(structure, structure.random.names[a], quantities).to_numpy()[0]
                own[:, :, a] = (own[:, :, a] - mean) / omega[:, a, None]
        return natural, own

    def _slopes(self, x: Array) -> Array:
        """Return d prediction / d natural parameter in residual SDs, 0 where censored, (n, m)."""
        structure, design = self.structure, self.structure.design
        prediction, slopes = self.function.linearised(x)
        found = population_draws(structure, self.posterior.variables(x[None, None]))
        values = {q.name: found[q.name].item() for q in structure.of_role("residual")}
        sd = np.empty(prediction.shape)
        both = zip(structure.errors, structure.sigmas(values), strict=True)
        with np.errstate(all="ignore"):
            for m, (error, sigmas) in enumerate(both):
                rows = design.measure == m
                sd[rows] = error.scale(prediction[rows], sigmas)
            slopes = slopes * ((design.code == QUANTIFIED) / sd)[:, None]
        # A level of 0 has no ln and tells nothing of the parameters.
        return np.nan_to_num(slopes, nan=0.0, posinf=0.0, neginf=0.0)

    def between(self, x: Array, arrow: Arrow, sds: NDArray[np.int64]) -> Between:
        """Return how patients are sampled about a point, where the arrow tells what is known.

        Effects of which `sds` names a standard deviation follow it; the others are sampled as if
        it stayed. Coordinates of 0 are the point itself, but for the former, whose origin is 0.
        """
        _, r, k = self.shape
        own = np.where(sds >= 0, x[-r * k :].reshape(r, k).T, 0.0) if r else np.zeros((k, 0))
        size, prior = np.where(self.apart, self.omegas(x), 1.0), self.apart.astype(float)
        informed = (arrow.own - np.diag(prior)) / np.outer(size, size)
        pull = np.einsum("kab,kb->ka", arrow.own, own) / size
        return Between(
            sds, self.as_they_are.bounds, size, prior, informed, pull,
            arrow.across / size[:, None],
        )  # fmt: skip

    def one_by_one(self, arrow: Arrow) -> Arrow:
        """Return an arrow in which correlated effects stand alone, others integrated out.

        What records tell of them together is in terms of their correlations, which are sampled too.
        """
        which = sorted({a for block in self.structure.random.blocks for a in block})
        if not which:
            return arrow
        own, across = arrow.own.copy(), arrow.across.copy()
        follows, inverse = np.linalg.solve(arrow.own, arrow.across), np.linalg.inv(arrow.own)
        own[:, which, :] = own[:, :, which] = 0.0
        for a in which:
            own[:, a, a] = 1.0 / inverse[:, a, a]
            across[:, a] = own[:, a, a, None] * follows[:, a]
        return Arrow(arrow.shared, own, across)

    def left(self, x: Array) -> Array:
        """Return the share of the population's variance that a patient's records leave, (r, k)."""
        own = self.information(x).own
        _, r, k = self.shape
        left = np.array([np.diag(np.linalg.inv(block)) for block in own]).reshape(k, r).T
        return np.clip(left, _LEAST_LEFT, 1.0)

    def highest(self, x: Array) -> Array:
        """Return the highest point with standard deviations and correlations held."""
        held = [q.role in _HELD for q in self.posterior.quantities]
        fixed = np.flatnonzero(held).astype(np.int64)
        arrow = self.information(x).without(fixed)
        shared = arrow.whitened(self.sizes(x)[: self.shape[0]])
        shared[fixed] = 0.0
        between = self.between(x, arrow, self.as_they_are.sds)
        way = Coordinates(x, shared, np.zeros(self.shape[0]), between)
        density = Moved(self.function, way)

        def minus(w: Array) -> tuple[float, Array]:
            value, gradient = density(w)
            if not np.isfinite(value) or not np.isfinite(gradient).all():
                return _WORST, np.zeros_like(w)
            return -value, -gradient

        options = {"maxiter": _ITERATIONS}
        found = minimize(minus, np.zeros(x.size), jac=True, method="L-BFGS-B", options=options)
        return way.points(found.x) if found.fun < _WORST else x

    def spread(self, x: Array) -> Array:
        """Return the point after a step of every standard deviation; patients stay.

        A step of scoring for an omega, from deviations and their uncertainties; for a residual
        parameter one of expectation and maximisation, as if it were that of a normal error.
        """
        (p, r, k), sds = self.shape, self.sds
        left, gradient = self.left(x), self.function(x)[1]
        x = x.copy()
        own = x[p:].reshape(r, k)
        for q in np.unique(sds[self.apart]):
            rows = np.flatnonzero((sds == q) & self.apart)
            prior, before = self.posterior.quantities[q].prior, self.omegas(x)[rows[0]]
            uphill = np.sum(own[rows] ** 2 + left[rows] - 1.0)
            step = uphill / (1.0 + 2.0 * np.sum((1.0 - left[rows]) ** 2))
            after = before * np.exp(np.clip(step, -_MOST_CHANGE, _MOST_CHANGE))
            after = _within(prior, max(after, _LEAST_OMEGA))
            x[q] = on_the_line(prior, after)
            own[rows] *= before / after
        fitted = float(np.sum(1.0 - left[self.apart])) / self.quantified.sum()
        for measure, q in self.residual:
            ratio = max(1.0 + gradient[q] / self.quantified[measure] + fitted, _LEAST_RATIO)
            x[q] += np.clip(0.5 * np.log(ratio), -_MOST_CHANGE, _MOST_CHANGE)
        return x

    def around(self, x: Array) -> Coordinates:
        """Return coordinates that suit the neighbourhood of a point."""
        (p, r, k), quantities = self.shape, self.posterior.quantities
        if self.structure.population.non_expanders:
            return self._one_by_one(x)
        moved = self.moved
        arrow, left = self.information(x), self.left(x)
        # In a linear model nothing else depends on a standard deviation in these coordinates.
        sds: NDArray[np.int64] = np.unique(self.sds)
        arrow, sizes, scale, origin = arrow.without(sds), self.sizes(x)[:p], np.zeros(p), x.copy()
        origin[p:].reshape(r, k)[moved >= 0] = 0.0
        told = np.where(self.apart[:, None], 2.0 * (1.0 - left) ** 2, 2.0).sum(axis=1)
        for q in sds:
            precision = 1.0 + told[self.sds == q].sum()
            arrow.shared[q, q] = precision
            low, high = quantities[q].prior.bounds
            if np.isfinite(low) and not np.isfinite(high):
                scale[q] = np.exp(x[q]) / np.sqrt(precision)
                origin[q] = unbent(float(np.sqrt(precision)))
                arrow.shared[q, q] = sizes[q] = 1.0
        between = self.between(x, self.one_by_one(arrow), moved)
        return Coordinates(origin, arrow.whitened(sizes), scale, between)

    def _one_by_one(self, x: Array) -> Coordinates:
        """Return coordinates for individual values that have two places, which is far from normal.

        Quantities keep their own axes, and so do effects. Measured: benchmarks/NOTES.md.
        """
        (p, r, k), moved = self.shape, self.moved
        left = np.where(self.apart[:, None], self.left(x), 1.0).T
        arrow = Arrow(np.eye(p), np.eye(r) / left[:, None, :], np.zeros((k, r, p)))
        origin = x.copy()
        origin[p:].reshape(r, k)[moved >= 0] = 0.0
        return shifted(self.shape, origin, self.between(x, arrow, moved))


def _within(prior: Prior, value: float) -> float:
    """Return a value inside a prior's bounds."""
    low, high = prior.bounds
    if np.isfinite(low) and np.isfinite(high):
        return float(np.clip(value, low + _INSIDE * (high - low), high - _INSIDE * (high - low)))
    return max(value, low * (1.0 + _INSIDE)) if np.isfinite(low) else min(value, high)


def _width(prior: Prior) -> float:
    low, high = (on_the_line(prior, float(prior.quantile(p))) for p in _BULK)
    return abs(high - low) / 2.0

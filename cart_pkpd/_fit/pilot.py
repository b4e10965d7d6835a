"""Where the draws will be, roughly, and what patients tell there: what coordinates are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cart_pkpd._fit.coordinates import Arrow, Between, Coordinates, Moved, factored, plain, unbent
from cart_pkpd._fit.draws import individual_draws, patient_means, population_draws
from cart_pkpd._fit.posterior import Evaluation, Posterior
from cart_pkpd._fit.start import on_the_line
from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.priors import Prior

type Array = NDArray[np.float64]

_ROUNDS, _ITERATIONS = 6, 100
_STEP = 1e-4
_WORST = 1e10
_MOST_CHANGE = 1.0
_LEAST_OMEGA = 0.01
_ALL_LEFT = 0.999
_HELD = ("omega", "iov", "residual", "correlation")


@dataclass(frozen=True, eq=False)
class Problem:
    posterior: Posterior
    function: Evaluation

    @property
    def structure(self) -> Structure:
        return self.posterior.structure

    @property
    def shape(self) -> tuple[int, int, int]:
        s = self.structure
        return len(self.posterior.quantities), s.random.size, s.design.n_patients

    @property
    def apart(self) -> NDArray[np.bool_]:
        """By effect: whether its deviations are sampled."""
        return np.array([n not in self.posterior.centred for n in self.structure.random.names], bool)

    @property
    def widths(self) -> Array:
        return np.array([_width(q.prior) for q in self.posterior.quantities])

    def sizes(self, x: Array) -> Array:
        own = np.where(self.apart, 1.0, self.none.omegas(x))
        return np.concatenate([self.widths, own])

    @property
    def none(self) -> Between:
        """The second step that changes nothing."""
        at = [q.name for q in self.posterior.quantities]
        sds = np.array([at.index(s) for s in self.structure.random.sds], dtype=np.int64)
        bounds = np.array([self.posterior.quantities[i].prior.bounds for i in sds]).reshape(-1, 2)
        empty = np.zeros(self.shape[1:])
        return Between(sds, bounds, empty, empty)

    def arrow(self, way: Coordinates, w: Array) -> Arrow:
        """Return the expected information about coordinates, of records and priors."""
        p, r, k = self.shape
        x = way.point(w)
        steps = _STEP * self.sizes(x)
        moves = np.zeros((p + r, w.size))
        for j, h in enumerate(steps):
            moves[j, slice(j, j + 1) if j < p else slice(p + (j - p) * k, p + (j - p + 1) * k)] = h
        points = way.point(np.concatenate([w + moves, w - moves]))[None]
        values, normal = self._of_patients(points)
        by = [(v[: p + r] - v[p + r :]) / (2 * steps[:, None, None]) for v in (values, normal)]
        slopes = self._slopes(x)
        patient = self.structure.design.patient
        told = np.einsum("nm,jnm->nj", slopes, by[0][:, patient])
        every = np.einsum("jka->kaj", by[1])  # what priors tell, like records
        full = np.einsum("kaj,kal->kjl", every, every)
        np.add.at(full, patient, told[:, :, None] * told[:, None, :])
        shared = full[:, :p, :p].sum(axis=0) + np.diag(self.widths**-2.0)
        design = self.structure.design
        for m, i in self.residual():
            shared[i, i] += 2.0 * ((design.measure == m) & (design.code == QUANTIFIED)).sum()
        return Arrow(shared, full[:, p:, p:], full[:, p:, :p])

    def residual(self) -> list[tuple[int, int]]:
        at = [q.name for q in self.posterior.quantities]
        own = self.structure.sigmas({q.name: q for q in self.structure.of_role("residual")})
        return [(m, at.index(q.name)) for m, s in enumerate(own) for q in s.values()]

    def _of_patients(self, points: Array) -> tuple[Array, Array]:
        """Return natural parameters (draws, k, m), and standard deviations from the mean."""
        structure, p = self.structure, self.shape[0]
        raw = self.posterior.variables(points)
        found = individual_draws(structure, raw)
        values = np.stack([found[n].to_numpy()[0] for n in structure.model.estimated], axis=-1)
        r, k = self.shape[1:]
        own = points[0, :, p:].reshape(-1, r, k).transpose(0, 2, 1).copy()
        omega = self.none.omegas(points[0])
        quantities = population_draws(structure, raw)
        for a in np.flatnonzero(~self.apart):
            mean = patient_means(structure, structure.random.names[a], quantities)
            own[:, :, a] -= mean.to_numpy()[0]
            own[:, :, a] /= omega[:, a, None]
        return values, own

    def _slopes(self, x: Array) -> Array:
        """Return d prediction / d natural parameter in residual SDs, (n, m)."""
        structure = self.structure
        prediction, slopes = self.function.linearised(x)
        found = population_draws(structure, self.posterior.variables(x[None, None]))
        sigma = {q.name: found[q.name].item() for q in structure.of_role("residual")}
        sd = np.empty(prediction.shape)
        for m, (error, own) in enumerate(
            zip(structure.errors, structure.sigmas(sigma), strict=True)
        ):
            rows = structure.design.measure == m
            sd[rows] = error.scale(prediction[rows], own)
        with np.errstate(all="ignore"):
            slopes = slopes / sd[:, None]
        slopes = np.nan_to_num(slopes, nan=0.0, posinf=0.0, neginf=0.0)
        return slopes * (structure.design.code == QUANTIFIED)[:, None]


def coordinates_of(posterior: Posterior, function: Evaluation, start: Array) -> Coordinates:
    problem = Problem(posterior, function)
    x = start.copy()
    for _ in range(_ROUNDS):
        x = _mode(problem, x)
        x = _updated(problem, x)
    function.unsolved[:] = 0
    return around(problem, x)


def around(problem: Problem, x: Array) -> Coordinates:
    """Return coordinates that suit the neighbourhood of a point."""
    (p, r, k), none, apart = problem.shape, problem.none, problem.apart
    omega, own = none.omegas(x)[:, None], x[p:].reshape(r, k)
    left = _left(problem.arrow(plain(problem.shape, x, none), np.zeros(x.size)))
    information = np.where(apart[:, None], (1.0 / left - 1.0) / omega**2, 0.0)
    share = 1.0 / (1.0 + information * omega**2)
    tell = share < _ALL_LEFT
    place = np.where(tell, omega * own / np.maximum(1.0 - share, 1e-9), 0.0)
    between = replace(none, information=information, place=place)
    origin = x.copy()
    origin[p:] = np.where(tell, 0.0, own / np.sqrt(share)).ravel()
    arrow = problem.arrow(plain(problem.shape, origin, between), np.zeros(x.size))
    sizes, scale = problem.sizes(x), np.zeros(p)
    told = np.where(apart[:, None], 2.0 * (1.0 - share) ** 2, 2.0).sum(axis=1)
    shared, across = arrow.shared.copy(), arrow.across.copy()
    for q in np.unique(none.sds):
        # In a linear model nothing else depends on a standard deviation in these coordinates.
        shared[q] = shared[:, q] = across[:, :, q] = 0.0
        precision = 1.0 + told[none.sds == q].sum()
        shared[q, q] = precision
        low, high = problem.posterior.quantities[q].prior.bounds
        if np.isfinite(low) and not np.isfinite(high):
            scale[q] = np.exp(x[q]) / np.sqrt(precision)
            origin[q] = unbent(np.sqrt(precision))
            shared[q, q] = sizes[q] = 1.0
    parts = factored(Arrow(shared, arrow.own, across), sizes)
    return Coordinates(origin, *parts, scale, between)


def _left(arrow: Arrow) -> Array:
    """Return the share of the population's variance that records leave, shape (r, k)."""
    k, r = arrow.own.shape[:2]
    left = np.array([np.diag(np.linalg.inv(b)) for b in arrow.own]).reshape(k, r).T
    return np.clip(left, 1e-9, 1.0)


def _mode(problem: Problem, x: Array) -> Array:
    """Return the highest point with standard deviations held."""
    none, p = problem.none, problem.shape[0]
    arrow = problem.arrow(plain(problem.shape, x, none), np.zeros(x.size))
    fixed = [i for i, q in enumerate(problem.posterior.quantities) if q.role in _HELD]
    across, shared = arrow.across.copy(), arrow.shared.copy()
    across[:, :, fixed] = 0.0
    shared[fixed] = shared[:, fixed] = 0.0
    parts = factored(Arrow(shared, arrow.own, across), problem.sizes(x))
    parts[0][fixed] = 0.0
    way = Coordinates(x, *parts, np.zeros(p), none)
    density = Moved(problem.function, way)

    def minus(w: Array) -> tuple[float, Array]:
        value, gradient = density(w)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return _WORST, np.zeros_like(w)
        return -value, -gradient

    found = minimize(
        minus, np.zeros(x.size), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
    )
    return way.point(found.x) if found.fun < _WORST else x


def _updated(problem: Problem, x: Array) -> Array:
    """Return the point after a step of expectation and maximisation of standard deviations."""
    (p, r, k), none, apart = problem.shape, problem.none, problem.apart
    left = _left(problem.arrow(plain(problem.shape, x, none), np.zeros(x.size)))
    gradient = problem.function(x)[1]
    x = x.copy()
    own = x[p:].reshape(r, k)
    for q in np.unique(none.sds[apart]):
        rows = np.flatnonzero((none.sds == q) & apart)
        prior = problem.posterior.quantities[q].prior
        before = none.omegas(x)[rows[0]]
        # A step of scoring: that of expectation and maximisation is slow where little is told.
        excess = np.sum(own[rows] ** 2 + left[rows] - 1.0)
        step = excess / (1.0 + 2.0 * np.sum((1.0 - left[rows]) ** 2))
        after = before * np.exp(np.clip(step, -_MOST_CHANGE, _MOST_CHANGE))
        low, high = prior.bounds
        after = float(np.clip(after, max(low * 1.001, _LEAST_OMEGA), high * 0.999))
        x[q] = on_the_line(prior, after)
        own[rows] *= before / after
    told = float(np.sum(1.0 - left[apart]))
    design = problem.structure.design
    for m, i in problem.residual():
        n = (design.measure == m).sum()
        ratio = max(1.0 + gradient[i] / n + told / design.n_obs, 1e-3)
        x[i] += float(np.clip(0.5 * np.log(ratio), -_MOST_CHANGE, _MOST_CHANGE))
    return x


def _width(prior: Prior) -> float:
    low, high = (on_the_line(prior, float(prior.quantile(q))) for q in (0.16, 0.84))
    return (high - low) / 2.0

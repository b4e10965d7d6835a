"""The marginal likelihood of a population by Laplace's method, with its gradient.

With z the standardised deviations of a patient, l the log-likelihood of the records and D the
Cholesky factor of the deviations' covariance (the omegas on a diagonal where nothing is
correlated), each patient contributes::

    -2 ln L = 2 (-sum l + |z|² / 2) + ln |I + D' A D|    at the z that minimises the first term,

where A is the curvature of -sum l by the patient's parameters on the free scale: the second
derivatives themselves (``laplace``), or J' W J with the slopes J of the predictions and the
expected information W of each record (``foce``, first-order conditional estimation with
interaction). Factors of 2 pi of the deviations cancel.

Where a varying parameter moves a switch (the end of expansion, say), predictions have kinks and
modes often lie at one, where slopes have two values. There J is the slope of the secant over 10 %
to both sides, which changes smoothly with the population values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._fit.individuals import Individuals
from cart_pkpd._fit.modes import Minima, minimise
from cart_pkpd._fit.start import Start
from cart_pkpd._fit.terms import RecordTerms, Slopes
from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.population import Structure

LAPLACE, FOCE = "laplace", "foce"
METHODS = (LAPLACE, FOCE)
_STEP, _WIDE_STEP = 1e-3, 1e-2
_JUMP = 1e-2
_SECANT, _AT_KINK, _SHARP = 0.1, 1e-2, 1e8
_ENOUGH, _ENOUGH_AT_KINKS = 1e-13, 1e-11
_LEAST_CURVATURE = 1e-6
_SMALL = 1e-3
_CHANGE = 3.0
_LEAST = 1e-4
_RANGE = (-700.0, 700.0)
_WARM = 0.9
_WIDEST_LN, _WIDEST_FISHER = 1.5, 2.0
MOST_LOGIT = 12.0
"""Where a correlation counts as 1: 1 - 1.2e-5."""

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Point:
    """Population values.

    Attributes
    ----------
    mean, beta : ndarray
        Typical values and coefficients, free scale.
    omega : ndarray, shape (q,)
        Standard deviation of each random effect.
    partial : ndarray, shape (pairs,)
        Canonical partial correlations.
    sigma : ndarray
        Residual parameters.
    factor : ndarray, shape (q, q)
        Cholesky factor of the correlations.
    """

    mean: Array
    beta: Array
    omega: Array
    partial: Array
    sigma: Array
    factor: Array

    @property
    def root(self) -> Array:
        """Cholesky factor of the covariance, D, shape (q, q)."""
        return self.omega[:, None] * self.factor


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The marginal likelihood at a point, by patient.

    Attributes
    ----------
    value : ndarray, shape (k,)
        -2 ln L of each patient.
    gradient : ndarray, shape (k, d)
        Its derivatives by the coordinates.
    z : ndarray, shape (k, q)
        Standardised deviations at the modes.
    covariance : ndarray, shape (k, q, q)
        Of the deviations about their modes, free scale.
    unresolved : ndarray of bool, shape (k,)
        The mode was not found to the accuracy asked for.
    replaced : ndarray of bool, shape (k,)
        The second derivatives were not positive definite, and the expected ones are used.
    """

    value: Array
    gradient: Array
    z: Array
    covariance: Array
    unresolved: NDArray[np.bool_]
    replaced: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _State:
    """Predictions, slopes and likelihood terms of all records at the modes."""

    free: Array
    f: Array
    j: Array
    terms: Slopes


@dataclass(frozen=True, eq=False)
class _Shape:
    """Slopes that make the curvature (n, q), and how they change by all parameters (n, q, m).

    `local` are second derivatives at the mode itself; the same unless there are kinks.
    """

    slopes: Array
    bends: Array
    local: Array


@dataclass(eq=False)
class Marginal:
    """-2 ln L as a function of d coordinates.

    Coordinates are typical values on the free scale, covariate coefficients, logarithms of the
    omegas (between patients, then between occasions), logits of (1 + z) / 2 of canonical partial
    correlations z, and logarithms of the residual parameters, each in the structure's order.

    Attributes
    ----------
    structure : Structure
        Model, population and data.
    method : str
        ``laplace`` or ``foce``.
    start : Start
        Sizes of omegas and residual parameters, below a ten-thousandth of which neither goes.
    """

    structure: Structure
    method: str
    start: Start

    def __post_init__(self) -> None:
        structure, design = self.structure, self.structure.design
        self.individuals, self.terms = Individuals(structure), RecordTerms(structure)
        self.names = self.individuals.names
        self.random = structure.random
        self.located = [self.names.index(n) for n in structure.located]
        self.varying = [self.names.index(n) for n in self.random.names]
        self.sds = list(dict.fromkeys(self.random.sds))
        self._sd_of = np.array([self.sds.index(n) for n in self.random.sds], dtype=np.int64)
        self.acting = [self.names.index(e.parameter) for e in structure.effects]
        self.columns = np.array([e.column for e in structure.effects]).reshape(
            -1, design.n_patients
        )
        kinked = self.individuals.kinked
        self._kinks = np.array([n in kinked for n in self.random.names], dtype=bool)
        self._starts = np.flatnonzero(np.diff(design.patient, prepend=-1))
        scales = [structure.model.parameters[n].scale for n in self.random.names]
        sizes = self.start.sds(structure)
        self._units = np.array(
            [s if scale == "identity" else 1.0 for s, scale in zip(sizes, scales, strict=True)]
        )
        self._least_omega = _LEAST * sizes
        self._least_sigma = _LEAST * np.array([self.start.sigma[n] for n in self.terms.names])

    @cached_property
    def size(self) -> int:
        """Number of coordinates, d."""
        return sum(self._counts)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the quantities that the coordinates stand for."""
        return (
            *self.structure.located,
            *(f"beta_{e.name}" for e in self.structure.effects),
            *self.sds,
            *self.random.correlations,
            *self.terms.names,
        )

    @property
    def _counts(self) -> tuple[int, int, int, int, int]:
        pairs, sigmas = len(self.random.pairs), len(self.terms.names)
        return len(self.located), len(self.acting), len(self.sds), pairs, sigmas

    @property
    def sd_places(self) -> range:
        """Which coordinates are standard deviations of random effects."""
        m, e, q, _, _ = self._counts
        return range(m + e, m + e + q)

    @property
    def pair_places(self) -> range:
        """Which coordinates are correlations."""
        return range(self._pair_places.start, self._pair_places.stop)

    @cached_property
    def sizes(self) -> Array:
        """Size of each coordinate: 1, but of those on a scale with a unit what is expected."""
        m, e, _, _, _ = self._counts
        own = [self.structure.model.parameters[n] for n in self.structure.located]
        acting = [self.structure.model.parameters[x.parameter] for x in self.structure.effects]
        out = np.ones(self.size)
        out[:m] = [p.spread if p.scale == "identity" else 1.0 for p in own]
        out[m : m + e] = [p.spread if p.scale == "identity" else 1.0 for p in acting]
        scatter = np.array([column.std() for column in self.columns])
        out[m : m + e] /= np.where(scatter > 0, scatter, 1.0)
        return out

    @cached_property
    def widest(self) -> Array:
        """Largest standard error that says something of a coordinate.

        An omega is known to a factor of 20 then, and a correlation to 2 on Fisher's scale.
        """
        out = np.full(self.size, np.inf)
        out[self.sd_places.start : self.sd_places.stop] = _WIDEST_LN
        out[self._pair_places] = 2.0 * _WIDEST_FISHER
        return out

    @property
    def _pair_places(self) -> slice:
        m, e, q, pairs, _ = self._counts
        return slice(m + e + q, m + e + q + pairs)

    def at_start(self) -> Array:
        """Return the coordinates of the starting values."""
        s = self.start
        sizes = dict(zip(self.random.sds, s.sds(self.structure), strict=True))
        return np.concatenate(
            [
                [s.typical[n] for n in self.structure.located],
                np.zeros(len(self.acting)),
                np.log([sizes[n] for n in self.sds]),
                np.zeros(len(self.random.pairs)),
                np.log([s.sigma[n] for n in self.terms.names]),
            ]
        )

    def deviations_at_start(self) -> Array:
        """Return standardised deviations where each patient's own data put them, (k, q)."""
        return self.start.whitened(self.structure).T

    def point(self, x: Array) -> Point:
        """Return what coordinates mean."""
        mean, beta, sd, u, sigma = np.split(x, np.cumsum(self._counts)[:-1])
        omega = np.exp(np.clip(sd, *_RANGE))[self._sd_of]
        omega = np.maximum(omega, self._least_omega)
        sigma = np.maximum(np.exp(np.clip(sigma, *_RANGE)), self._least_sigma)
        partial = partial_of(u)
        return Point(mean, beta, omega, partial, sigma, self.random.factor(partial))

    def at_bound(self, x: Array) -> NDArray[np.bool_]:
        """Return which coordinates are at or beyond the last value they may have."""
        mean, beta, sd, u, sigma = np.split(x, np.cumsum(self._counts)[:-1])
        least = np.array([self._least_omega[self._sd_of == i].min() for i in range(sd.size)])
        return np.concatenate(
            [
                np.zeros(mean.size + beta.size, dtype=bool),
                sd <= np.log(least) + 1e-9 if sd.size else np.zeros(0, dtype=bool),
                np.abs(u) >= MOST_LOGIT - 1e-9,
                sigma <= np.log(self._least_sigma) + 1e-9,
            ]
        )

    def held_with(self, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return `held` with the correlations of effects whose standard deviation is held."""
        out, zero = held.copy(), held[self.sd_places.start : self.sd_places.stop][self._sd_of]
        pairs = np.array(self.random.pairs, dtype=np.int64).reshape(-1, 2)
        out[self._pair_places] |= zero[pairs].any(axis=1)
        return out

    def at_held(self, x: Array, held: NDArray[np.bool_]) -> Array:
        """Return coordinates with those held at 0, and correlations at 0 or at their limit."""
        out, places = np.where(held, -np.inf, x), self._pair_places
        limit = self.at_bound(x)[places]
        out[places] = np.where(held[places], np.where(limit, x[places], 0.0), x[places])
        return out

    def means(self, p: Point) -> Array:
        """Return where each patient's parameters are centred, free scale, shape (k, m)."""
        out = np.zeros((self.structure.design.n_patients, len(self.names)))
        out[:, self.located] = p.mean
        for beta, column, i in zip(p.beta, self.columns, self.acting, strict=True):
            out[:, i] += beta * column
        return out

    def free(self, p: Point, z: Array) -> Array:
        """Return each patient's parameters, free scale, shape (k, m)."""
        out = self.means(p)
        out[:, self.varying] += z @ p.root.T
        return out

    def state(self, p: Point, z: Array, only: NDArray[np.bool_] | None = None) -> _State:
        """Return predictions and terms at given deviations."""
        free = self.free(p, z)
        f, j = self.individuals(free, only)
        return _State(free, f, j, self.terms(f, self._sigma(p)))

    def modes(self, p: Point, z: Array) -> Minima:
        """Return the most likely deviations of every patient, searched from `z`."""

        def joint(at: Array, only: NDArray[np.bool_]) -> tuple[Array, Array]:
            f, j = self.individuals(self.free(p, at), only)
            value, slope = self.terms.first(f, sigma)
            total = -self._sum(value) + 0.5 * (at**2).sum(axis=1)
            return total, at - self._sum(slope[:, None] * j[:, self.varying]) @ p.root

        sigma = self._sigma(p)
        s = self.state(p, z)
        inverse = _inverses(self._scaled(p, self._expected(s, s.j[:, self.varying])))
        enough = _ENOUGH_AT_KINKS if self._kinks.any() else _ENOUGH
        return minimise(joint, z, inverse, enough=enough)

    def _sigma(self, p: Point) -> dict[str, float]:
        return dict(zip(self.terms.names, p.sigma.tolist(), strict=True))

    def evaluate(self, x: Array, z: Array) -> Evaluated:
        """Return -2 ln L and its gradient, by patient, modes being searched from `z` (k, q)."""
        # A search may try anything; what is not finite is refused there.
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                return self._evaluated(x, z)
            except np.linalg.LinAlgError:
                return _without_value(z, x.size)

    def _evaluated(self, x: Array, z: Array) -> Evaluated:
        p = self.point(x)
        found = self.modes(p, z)
        s = self.state(p, found.x)
        shape = self._shape(s)
        m, observed, replaced = self._curvature(p, s, shape)
        inverse = _inverses(m)
        with np.errstate(all="ignore"):
            value = 2.0 * found.value + np.linalg.slogdet(m)[1]
        return Evaluated(
            value=np.where(np.isfinite(value), value, np.inf),
            gradient=self._gradient(p, found, s, shape, inverse, observed),
            z=found.x,
            covariance=p.root @ inverse @ p.root.T,
            unresolved=~(found.decrement < 1e-6),
            replaced=replaced,
        )

    def updated(self, x: Array, at: Evaluated) -> Array:
        """Return coordinates that agree better with the modes and residuals at a point.

        Means move by the mean deviation, omegas become the root of the mean of squared
        deviations and their variances, residual parameters change in proportion to the scatter.
        """
        p, out = self.point(x), x.copy()
        m, e, q, pairs, _ = self._counts
        eta = at.z @ p.root.T
        moved = np.isin(self.varying, self.located)
        shift = np.where(moved, eta.mean(axis=0), 0.0)
        apart = eta - shift
        covariance = (apart[:, :, None] * apart[:, None] + at.covariance).mean(axis=0)
        by_parameter = np.zeros(len(self.names))
        by_parameter[self.varying] = shift
        out[:m] += by_parameter[self.located]
        for i in range(q):
            own = self._sd_of == i
            ratio = np.sqrt(np.diag(covariance)[own].mean()) / p.omega[own][0]
            out[m + e + i] = np.log(p.omega[own][0] * np.clip(ratio, 1 / _CHANGE, _CHANGE))
        if pairs:
            sizes = np.sqrt(np.diag(covariance))
            seen = [covariance[a, b] / (sizes[a] * sizes[b]) for a, b in self.random.pairs]
            partial = np.clip(self.random.partial(np.array(seen)), -_WARM, _WARM)
            out[self._pair_places] = 2.0 * np.arctanh(partial)
        out[m + e + q + pairs :] = np.log(p.sigma) + self._scatter(p, at.z)
        return out

    def _scatter(self, p: Point, z: Array) -> Array:
        """Return ln of the root mean square residual by residual parameter, in SDs, bounded."""
        structure, design, f = self.structure, self.structure.design, self.state(p, z).f
        own = structure.sigmas(self._sigma(p))
        places = structure.sigmas({n: i for i, n in enumerate(self.terms.names)})
        out = np.zeros(p.sigma.size)
        for m, (error, sigmas) in enumerate(zip(structure.errors, own, strict=True)):
            rows = (design.measure == m) & (design.code == QUANTIFIED)
            if rows.any():
                size = np.sqrt(np.mean(error.z(design.dv[rows], f[rows], sigmas) ** 2))
                out[list(places[m].values())] = np.log(np.clip(size, 1 / _CHANGE, _CHANGE))
        return out

    def _sum(self, of_records: Array) -> Array:
        return np.add.reduceat(of_records, self._starts, axis=0)

    def _scaled(self, p: Point, curvature: Array) -> Array:
        """Return I + D' A D."""
        return np.eye(p.omega.size) + p.root.T @ curvature @ p.root

    def _expected(self, s: _State, j: Array) -> Array:
        return self._sum(np.einsum("n,na,nb->nab", s.terms.w, j, j))

    def _mixed(self, s: _State, shape: _Shape) -> Array:
        """Return second derivatives of -sum l by varying and all parameters, (k, q, m)."""
        each = np.einsum("n,na,nb->nab", -s.terms.ff, s.j[:, self.varying], s.j)
        return self._sum(each - s.terms.f[:, None, None] * shape.local)

    def _curvature(
        self, p: Point, s: _State, shape: _Shape
    ) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Return I + D' A D, and by patient whether A is observed, and whether it was to be."""
        expected = self._scaled(p, self._expected(s, shape.slopes))
        k = expected.shape[0]
        if self.method == FOCE:
            return expected, np.zeros(k, dtype=bool), np.zeros(k, dtype=bool)
        observed = self._scaled(p, self._mixed(s, shape)[:, :, self.varying])
        good = _positive(observed)
        return np.where(good[:, None, None], observed, expected), good, ~good

    def _shape(self, s: _State) -> _Shape:
        """Return slopes by the varying parameters, and second derivatives by them and all."""
        slopes = s.j[:, self.varying].copy()
        local = np.empty((s.f.size, len(self.varying), s.free.shape[1]))
        for a in range(len(self.varying)):
            (_, up), (_, down), step = self._shifted_by(s, a, _STEP)
            local[:, a] = _first_difference(up, s.j, down) / step
        bends = local.copy()
        for a in np.flatnonzero(self._kinks).tolist():
            (f_up, up), (f_down, down), step = self._shifted_by(s, a, _SECANT)
            slopes[:, a] = (f_up - f_down) / (2.0 * step)
            bends[:, a] = (up - down) / (2.0 * step)
        nowhere = np.zeros_like(self._kinks)
        return _Shape(slopes, self._symmetric(bends, self._kinks), self._symmetric(local, nowhere))

    def _symmetric(self, bends: Array, first: NDArray[np.bool_]) -> Array:
        """Return second derivatives with mixed ones made equal: those of `first` rather, or means.

        What a secant's slope becomes by another parameter is known from the secant only.
        """
        for a, b in combinations(range(len(self.varying)), 2):
            i, j = self.varying[a], self.varying[b]
            both = bends[:, a, j], bends[:, b, i]
            same = both[int(first[b])] if first[a] != first[b] else (both[0] + both[1]) / 2
            bends[:, a, j] = bends[:, b, i] = same
        return bends

    def _shifted_by(
        self, s: _State, a: int, size: float
    ) -> tuple[tuple[Array, Array], tuple[Array, Array], float]:
        """Return predictions and slopes to both sides by one varying parameter, and the step."""
        step = np.zeros(s.free.shape[1])
        step[self.varying[a]] = size * self._units[a]
        return *self._shifted(s, step), float(step[self.varying[a]])

    def _shifted(self, s: _State, step: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return self.individuals(s.free + step), self.individuals(s.free - step)

    def _third(self, s: _State, inverse: Array, root: Array) -> Array:
        """Return sum_ab C_ab d³f / (d a d b d p) with C = D M⁻¹ D', shape (n, m)."""
        out = np.zeros_like(s.j)
        roots = root @ np.linalg.cholesky(inverse)
        patient = self.structure.design.patient
        for a in range(len(self.varying)):
            size = np.linalg.norm(roots[:, :, a] / self._units, axis=1)
            step = np.zeros_like(s.free)
            step[:, self.varying] = _WIDE_STEP * roots[:, :, a] / size[:, None]
            (_, up), (_, down) = self._shifted(s, step)
            second = _second_difference(up, down, s.j) / _WIDE_STEP**2
            out += (size**2)[patient, None] * second
        return out

    def _gradient(
        self,
        p: Point,
        found: Minima,
        s: _State,
        shape: _Shape,
        inverse: Array,
        observed: NDArray[np.bool_],
    ) -> Array:
        patient, t, z = self.structure.design.patient, s.terms, found.x
        j, bends = shape.slopes, shape.bends
        c = p.root @ inverse @ p.root.T
        seen = observed[patient]
        w = np.where(seen, -t.ff, t.w)
        w_f = np.where(seen, -t.fff, t.w_f)
        w_s = np.where(seen[:, None], -t.ffs, t.ws)
        cj = np.einsum("nab,nb->na", c[patient], j)
        jcj = np.einsum("na,na->n", cj, j)
        bent = np.einsum("nab,nab->n", c[patient], bends[:, :, self.varying])
        # Half the derivative of ln |I + D' A D| by each patient's parameters.
        each = (w_f * jcj - seen * t.ff * bent)[:, None] * s.j
        each += 2.0 * w[:, None] * np.einsum("na,nap->np", cj, bends)
        if observed.any():
            each -= (seen * t.f)[:, None] * self._third(s, inverse, p.root)
        volume = 0.5 * self._sum(each)
        mixed = self._mixed(s, shape)
        for a in np.flatnonzero(self._kinks):
            # A mode at a kink stays there: as if the curvature were without bound.
            at_kink = np.abs(found.gradient[:, a]) > _AT_KINK
            mixed[at_kink, a, self.varying[a]] += _SHARP / self._units[a] ** 2
        moving = self._scaled(p, mixed[:, :, self.varying])
        moving = np.where(_positive(moving)[:, None, None], moving, np.linalg.inv(inverse))
        # How the modes follow: v is D x, with x in units of standard deviations.
        x = np.linalg.solve(moving, (volume[:, self.varying] @ p.root)[..., None])[..., 0]
        v = x @ p.root.T
        by_free = -self._sum(t.f[:, None] * s.j)
        # At the mode the same, and also right at a kink, where the slope has two values.
        stationary = -np.linalg.solve(p.factor.T, z.T).T / p.omega
        use = p.omega > _SMALL * self._units
        by_free[:, self.varying] = np.where(use, stationary, by_free[:, self.varying])
        by_free += volume - np.einsum("ka,kap->kp", v, mixed)
        by_beta = by_free[:, self.acting] * self.columns.T
        by_sd, by_pair = self._by_scale(p, z, x, inverse)
        by_sigma = -self._sum(t.s)
        by_sigma += 0.5 * self._sum(w_s * jcj[:, None] - seen[:, None] * t.fs * bent[:, None])
        along = np.einsum("na,na->n", v[patient], s.j[:, self.varying])
        by_sigma += self._sum(along[:, None] * t.fs)
        by_sigma = np.where(p.sigma > self._least_sigma, by_sigma, 0.0)
        return 2.0 * np.concatenate(
            [by_free[:, self.located], by_beta, by_sd, by_pair, by_sigma], axis=1
        )

    def _by_scale(self, p: Point, z: Array, x: Array, inverse: Array) -> tuple[Array, Array]:
        """Return half the derivatives by ln omegas and by the coordinates of correlations.

        A change dD acts through E = D⁻¹ dD, and B = I - z z' - M⁻¹ + x z' + z x' gives its effect,
        the sum of E B, where x is how much the curvature's volume changes along the deviations.
        """
        cross = x[:, :, None] * z[:, None]
        b = np.eye(p.omega.size) - z[:, :, None] * z[:, None] - inverse
        b += cross + cross.transpose(0, 2, 1)
        back = np.linalg.inv(p.factor)
        # With D = diag(omega) L and ln omega_a: E = L⁻¹ e_a e_a' L.
        by_omega = np.einsum("pa,aq,kpq->ka", back, p.factor, b)
        by_omega = np.where(p.omega > self._least_omega, by_omega, 0.0)
        by_sd = np.zeros((z.shape[0], len(self.sds)))
        np.add.at(by_sd.T, self._sd_of, by_omega.T)
        turns = back @ self.random.factor_slopes(p.partial)
        slope = 0.5 * (1.0 - p.partial) * (1.0 + p.partial)
        by_pair = np.einsum("tpq,kpq->kt", turns, b) * slope
        free = np.abs(p.partial) < partial_of(np.array(MOST_LOGIT))
        return by_sd, np.where(free, by_pair, 0.0)


def _without_value(z: Array, d: int) -> Evaluated:
    """Return what stands for a point whose curvature has no inverse."""
    k, q = z.shape
    nothing, all_of = np.full((k, q, q), np.nan), np.ones(k, dtype=bool)
    return Evaluated(np.full(k, np.inf), np.full((k, d), np.nan), z, nothing, all_of, ~all_of)


def partial_of(u: Array) -> Array:
    """Return canonical partial correlations from their coordinates."""
    return np.tanh(np.clip(u, -MOST_LOGIT, MOST_LOGIT) / 2.0)


def _inverses(matrices: Array) -> Array:
    """Return inverses; the unit matrix where one is not a number."""
    good = np.isfinite(matrices).all(axis=(1, 2))
    return np.linalg.inv(np.where(good[:, None, None], matrices, np.eye(matrices.shape[-1])))


def _positive(matrices: Array) -> NDArray[np.bool_]:
    """Return which symmetric matrices are positive definite."""
    if not matrices.shape[-1]:
        return np.ones(matrices.shape[0], dtype=bool)
    good = np.isfinite(matrices).all(axis=(1, 2))
    safe = np.where(good[:, None, None], matrices, -np.eye(matrices.shape[-1]))
    return np.linalg.eigvalsh(safe)[:, 0] > _LEAST_CURVATURE


def _jumps(forward: Array, backward: Array, at: Array) -> NDArray[np.bool_]:
    """Return where slopes jump between two points that are close: at a kink of the prediction."""
    return np.abs(forward - backward) > _JUMP * (np.abs(at) + np.abs(forward) + np.abs(backward))


def _first_difference(up: Array, at: Array, down: Array) -> Array:
    """Return half the difference; where there is a jump, that of the side without it."""
    forward, backward = up - at, at - down
    one_sided = np.where(np.abs(forward) < np.abs(backward), forward, backward)
    return np.where(_jumps(forward, backward, at), one_sided, (forward + backward) / 2)


def _second_difference(up: Array, down: Array, at: Array) -> Array:
    """Return the second difference, or 0 where there is a jump."""
    forward, backward = up - at, at - down
    return np.where(_jumps(forward, backward, at), 0.0, forward - backward)

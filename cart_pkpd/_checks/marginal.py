"""The likelihood of all records of a patient given the population: etas integrated out.

For draw s of the population and patient i, p(y_i | s) = ∫ p(y_i | x, s) p(x | s) dx over the
patient's varying parameters x. Importance sampling: points from a mixture of t distributions
(:mod:`cart_pkpd._checks.proposal`) and, defensively, the prior, in fixed numbers; weights by
the density of the whole mixture (Owen & Zhou 2000, J Am Stat Assoc 95:135).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from cart_pkpd._checks.proposal import (
    DEGREES,
    PRIOR_SHARE,
    Component,
    Draws,
    components,
    draws_of,
)
from cart_pkpd._core.errors import FitError
from cart_pkpd._stats.likelihood import pointwise_loglik
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.predict import predict

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

type Array = NDArray[np.float64]
type OnShare = Callable[[float], None]

MIN_ESS = 20.0
"""Fewer effective points shift the elpd of a patient by more than 1 / 20 = 0.05."""

LOW_SHARE = 0.05
"""The share of draws that may have fewer."""

FEWEST_POINTS = 10
_AT_ONCE = 1_500_000
_MORE, _ROUNDS = 4, 2


@dataclass(frozen=True, eq=False)
class Marginal:
    """Marginal log-likelihoods of k patients at s draws of the population.

    Attributes
    ----------
    loglik : ndarray, shape (s, k)
        ln p(y_i | s); -inf where no point has a solution.
    error : ndarray, shape (s, k)
        Monte-Carlo standard error of `loglik`: relative error of the likelihood.
    ess : ndarray, shape (s, k)
        Effective number of points, (Σw)² / Σw².
    unsolved : ndarray of int, shape (k,)
        Points at which the patient's equations had no solution; their weight is 0.
    points : ndarray of int, shape (k,)
        Points per draw.
    """

    loglik: Array
    error: Array
    ess: Array
    unsolved: NDArray[np.int64]
    points: NDArray[np.int64]

    @property
    def few(self) -> NDArray[np.bool_]:
        """For which patients the integral rests on too few points, shape (k,)."""
        inexact = (self.error > 0).any(axis=0) | ~np.isfinite(self.loglik).all(axis=0)
        return (np.quantile(self.ess, LOW_SHARE, axis=0) < MIN_ESS) & inexact

    def with_patients(self, rows: NDArray[np.int64], other: Marginal) -> Marginal:
        """Return these numbers with those of some patients replaced."""
        new = {f.name: getattr(self, f.name).copy() for f in fields(self)}
        for name, array in new.items():
            array[..., rows] = getattr(other, name)
        return Marginal(**new)


def proposals(result: FitResult) -> tuple[tuple[Component, ...], ...]:
    """Return the proposals of every patient of a fit, built once from all its draws."""
    structure = result.structure
    quantities = sampled(result.draws())
    individual = sampled(result.individual())
    model = structure.model
    x = [model.parameters[n].to_free(individual[n].to_numpy()) for n in structure.random.names]
    size, k = quantities.sizes["sample"], structure.design.n_patients
    at = np.stack(x, axis=-1) if x else np.zeros((size, k, 0))
    return components(draws_of(structure, quantities), at)


def sampled(draws: xr.Dataset) -> xr.Dataset:
    """Return draws with the dims chain and draw as one, sample, in front."""
    return draws.stack(sample=("chain", "draw")).transpose("sample", ...)


def integrated(
    structure: Structure,
    quantities: xr.Dataset,
    found: Sequence[Sequence[Component]],
    *,
    n_samples: int,
    seed: int,
    on_share: OnShare | None = None,
) -> Marginal:
    """Integrate as :func:`marginal`; again, with more points, where these were too few.

    Patients whose effective points are below 20 at more than 5 % of the draws get four times as
    many points, twice at most. Everything else stays as it was.
    """
    out = marginal(structure, quantities, found, n_samples=n_samples, seed=seed, on_share=on_share)
    for again in range(1, _ROUNDS + 1):
        rows = np.flatnonzero(out.few)
        chosen = rows.tolist()
        if not chosen:
            break
        more = marginal(
            structure.among(chosen),
            quantities,
            [found[i] for i in chosen],
            n_samples=n_samples * _MORE**again,
            seed=seed + again,
        )
        out = out.with_patients(rows, more)
    return out


def marginal(
    structure: Structure,
    quantities: xr.Dataset,
    found: Sequence[Sequence[Component]],
    *,
    n_samples: int,
    seed: int,
    on_share: OnShare | None = None,
) -> Marginal:
    """Integrate the etas out of the likelihood of every patient.

    Parameters
    ----------
    structure : Structure
        k patients with all their records.
    quantities : xr.Dataset
        s draws of the population, dim sample.
    found : sequence of sequence of Component
        Proposals of the k patients.
    n_samples : int
        Points per patient and draw.
    seed : int
        Of the points.
    on_share : callable, optional
        Called with the share that is done.

    Returns
    -------
    Marginal

    Raises
    ------
    FitError
        For fewer than 10 points.
    """
    if n_samples < FEWEST_POINTS:
        raise FitError(f"n_samples={n_samples} are too few points; give {FEWEST_POINTS} or more.")
    draws = draws_of(structure, quantities)
    s, k = draws.means.shape[:2]
    n = n_samples if draws.varying.size else 1  # without etas the likelihood is what it is
    counts = [_counts(own, n) for own in found]
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // (n * max(structure.design.n_obs, k * max(draws.means.shape[2], 1))))
    loglik, ess, error = np.empty((s, k)), np.empty((s, k)), np.zeros((s, k))
    unsolved = np.zeros(k, dtype=np.int64)
    for begin in range(0, s, step):
        rows = slice(begin, begin + step)
        now = draws.taken(rows)
        x, log_q = _points(now, found, counts, n, rng)
        own = patient_loglik(structure, now, x)
        unsolved += np.isnan(own).sum(axis=(0, 2))
        log_weight = np.where(np.isnan(own), -np.inf, own + now.log_prior(x) - log_q)
        most = log_weight.max(axis=-1, keepdims=True)
        weight = np.exp(log_weight - np.where(np.isfinite(most), most, 0.0))
        total = weight.sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            loglik[rows] = np.log(total / n) + most[..., 0]
            ess[rows] = np.nan_to_num(total**2 / (weight**2).sum(axis=-1))
        error[rows] = _relative_error(weight, counts)
        if on_share:
            on_share(min(1.0, (begin + step) / s))
    return Marginal(loglik, error, ess, unsolved, np.full(k, n))


def _relative_error(weight: Array, counts: Sequence[NDArray[np.int64]]) -> Array:
    """Return the relative standard error of mean weights, shape (s, k).

    Only the scatter within a component counts, because each has its fixed number of points.
    """
    s, k, n = weight.shape
    if n == 1:
        return np.zeros((s, k))
    variance = np.zeros((s, k))
    for i, own in enumerate(counts):
        ends = np.cumsum(own)
        for begin, end in zip(ends - own, ends, strict=True):
            # A single point says nothing of its scatter: that of all points stands for it.
            part = weight[:, i, begin:end] if end - begin > 1 else weight[:, i]
            variance[:, i] += (end - begin) * part.var(axis=-1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(variance) / weight.sum(axis=-1))


def _counts(own: Sequence[Component], n: int) -> NDArray[np.int64]:
    """Return the points of each component, and last of the prior; all have some."""
    if not own:
        return np.array([n], dtype=np.int64)
    shares = np.array([c.share for c in own])
    # A component that few draws visit still needs points enough to be measured.
    shares = np.maximum(shares / shares.sum(), 0.1)
    wanted = (1 - PRIOR_SHARE) * n * shares / shares.sum()
    counts = np.maximum(np.floor(wanted), 1).astype(np.int64)
    return np.append(counts, n - counts.sum())


def _points(
    draws: Draws,
    found: Sequence[Sequence[Component]],
    counts: Sequence[NDArray[np.int64]],
    n: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Return points (s, k, n, d) and ln of the density (s, k, n) that they are drawn from."""
    (s, k), d = draws.means.shape[:2], draws.varying.size
    z = rng.standard_normal((s, k, n, d))
    stretch = np.sqrt(DEGREES / rng.chisquare(DEGREES, (s, k, n)))
    low = rng.uniform(size=(s, k, n)) < draws.share[:, None, None]
    x = draws.centres[:, :, None] + np.einsum("sij,sknj->skni", draws.root, z)
    if draws.low >= 0:
        x[..., draws.low] -= low * draws.shift[:, None, None]
    places = [[c.at(draws, i) for c in own] for i, own in enumerate(found)]
    for i, own in enumerate(places):
        begin = 0
        for (location, factor), count in zip(own, counts[i], strict=False):
            rows = slice(begin, begin + count)
            moved = np.einsum("sij,snj->sni", factor, z[:, i, rows])
            x[:, i, rows] = location[:, None] + moved * stretch[:, i, rows, None]
            begin += count
    prior = np.array([c[-1] for c in counts]) / n
    log_q = draws.log_prior(x) + np.log(prior)[:, None]
    for i, own in enumerate(places):
        for (location, factor), count in zip(own, counts[i], strict=False):
            one = _log_t(x[:, i], location, factor) + np.log(count / n)
            log_q[:, i] = np.logaddexp(log_q[:, i], one)
    return x, log_q


def _log_t(x: Array, location: Array, factor: Array) -> Array:
    """Return ln density of a multivariate t, shape (s, n), of x (s, n, d)."""
    d = x.shape[-1]
    inverse = np.linalg.inv(factor)
    z = np.einsum("sij,snj->sni", inverse, x - location[:, None])
    constant = (
        special.gammaln((DEGREES + d) / 2)
        - special.gammaln(DEGREES / 2)
        - 0.5 * d * np.log(DEGREES * np.pi)
    )
    size = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(-1)[:, None]
    distance = np.log1p((z * z).sum(-1) / DEGREES)
    return np.asarray(constant - size - 0.5 * (DEGREES + d) * distance)


def patient_loglik(structure: Structure, draws: Draws, x: Array) -> Array:
    """Return ln p(y_i | x, s), the sum over all records of each patient.

    Parameters
    ----------
    structure : Structure
        k patients.
    draws : Draws
        s draws of the population.
    x : ndarray, shape (s, k, n, d)
        Varying parameters, free scale.

    Returns
    -------
    ndarray, shape (s, k, n)
        NaN where there is no solution.
    """
    model, design = structure.model, structure.design
    s, k, n, _ = x.shape
    values = {}
    for j, name in enumerate(model.estimated):
        own = np.flatnonzero(draws.varying == j)
        free = x[..., own[0]] if own.size else np.repeat(draws.means[..., None, j], n, axis=2)
        natural = model.parameters[name].to_natural(np.moveaxis(free, 1, 2))
        values[name] = np.asarray(natural, dtype=float)
    with np.errstate(all="ignore"):
        level = predict(model, design, values, log=structure.log)
        level = np.broadcast_to(level, (s, n, design.n_obs))
        sigmas = structure.sigmas({q: v[:, None, None] for q, v in draws.sigmas.items()})
        by_record = pointwise_loglik(structure.errors, design, level, sigmas)
    # Every patient has a record, and records are sorted by patient.
    first = np.searchsorted(design.patient, np.arange(k))
    return np.moveaxis(np.add.reduceat(by_record, first, axis=-1), 1, 2)

"""Where to look for a patient's parameters: proposals for integrals over the etas.

A patient's records enter the posterior of the patient's own parameters, given the population,
as a factor that hardly depends on the population. Its normal approximation is the conditional
posterior divided by the prior; multiplied by the prior of *another* draw of the population it
says where the patient's parameters lie under that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from cart_pkpd._fit.draws import patient_means
from cart_pkpd._stats.population import Structure

type Array = NDArray[np.float64]

DEGREES = 5.0
"""Of the t distributions: tails heavier than any conditional posterior of interest."""

PRIOR_SHARE = 0.15
"""Of points drawn from the prior, which bounds every weight by the likelihood / 0.15."""

_FEWEST = 40
_CLIP = 5.0
_LEAST_SD = 1e-8


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of the population as arrays, for k patients, m parameters, d of which vary.

    Attributes
    ----------
    means : ndarray, shape (s, k, m)
        Where the population centres each patient's parameters, free scale.
    omega : ndarray, shape (s, d)
        Standard deviations of the etas.
    root : ndarray, shape (s, d, d)
        Cholesky factor of their covariance.
    varying : ndarray of int, shape (d,)
        Which parameters vary.
    low : int
        Which of the varying ones is a mixture, -1 for none.
    share, shift : ndarray, shape (s,)
        Of the non-expanders; 0 without a mixture.
    sigmas : dict of str to ndarray, shape (s,)
        Residual parameters by the name of their quantity.
    """

    means: Array
    omega: Array
    root: Array
    varying: NDArray[np.int64]
    low: int
    share: Array
    shift: Array
    sigmas: dict[str, Array]

    @property
    def centres(self) -> Array:
        """Means of the varying parameters, shape (s, k, d)."""
        return self.means[..., self.varying]

    def taken(self, rows: slice) -> Draws:
        """Return some of the draws."""
        return Draws(
            self.means[rows], self.omega[rows], self.root[rows], self.varying, self.low,
            self.share[rows], self.shift[rows], {k: v[rows] for k, v in self.sigmas.items()},
        )  # fmt: skip

    def log_prior(self, x: Array) -> Array:
        """Return ln density of the varying parameters, shape (s, k, n), of x (s, k, n, d)."""
        z = np.einsum("sij,sknj->skni", self.unroot, x - self.centres[:, :, None])
        out = -0.5 * (z * z).sum(-1)
        if self.low >= 0:
            own = z[..., self.low]
            lower = own + (self.shift / self.omega[:, self.low])[:, None, None]
            share = self.share[:, None, None]
            with np.errstate(divide="ignore"):
                both = np.logaddexp(
                    np.log1p(-share), np.log(share) + 0.5 * (own * own - lower * lower)
                )
            out = out + both
        size = np.log(np.diagonal(self.root, axis1=1, axis2=2)).sum(-1)
        return out - (size + self._constant)[:, None, None]

    @cached_property
    def unroot(self) -> Array:
        """Inverse of `root`: deviations to independent standard normal ones, shape (s, d, d)."""
        return np.linalg.inv(self.root)

    @cached_property
    def precision(self) -> Array:
        """Inverse of the covariance of the etas, shape (s, d, d)."""
        return np.swapaxes(self.unroot, 1, 2) @ self.unroot

    @property
    def _constant(self) -> float:
        return 0.5 * self.varying.size * float(np.log(2 * np.pi))


def draws_of(structure: Structure, quantities: xr.Dataset) -> Draws:
    """Return draws of the population as arrays.

    Parameters
    ----------
    structure : Structure
        Its patients give the means.
    quantities : xr.Dataset
        Population quantities, natural scale, dim sample.
    """
    population, estimated = structure.population, structure.model.estimated
    size = quantities.sizes["sample"]
    mixture = population.non_expanders
    means = [patient_means(structure, n, quantities).to_numpy() for n in estimated]
    k = structure.design.n_patients
    given = {str(n): v.to_numpy() for n, v in quantities.data_vars.items()}
    # Standard deviations of 0, which marginal likelihood can find, still have an inverse.
    given |= {n: np.maximum(given[n], _LEAST_SD) for n in structure.random.sds}
    zeros = np.zeros(size)
    return Draws(
        means=np.stack(means, axis=-1) if means else np.zeros((size, k, 0)),
        omega=structure.random.sd(given),
        root=structure.random.root(given),
        varying=np.array([estimated.index(n) for n in structure.random.names], dtype=np.int64),
        low=population.iiv.index(mixture) if mixture else -1,
        share=quantities["p_non_expander"].to_numpy() if mixture else zeros,
        shift=quantities["non_expander_shift"].to_numpy() if mixture else zeros,
        sigmas={q.name: quantities[q.name].to_numpy() for q in structure.of_role("residual")},
    )


@dataclass(frozen=True, eq=False)
class Component:
    """What one patient's records say of the varying parameters, as a normal factor.

    Attributes
    ----------
    share : float
        Posterior probability of the component.
    low : bool
        The patient is a non-expander.
    coefficients : ndarray, shape (m + 1, d)
        Conditional posterior mean as a linear function of the standardised population means.
    centre, scale : ndarray, shape (m,)
        Of the standardisation.
    precision : ndarray, shape (d, d)
        Inverse of the covariance of the conditional posterior.
    prior : ndarray, shape (d, d)
        Typical precision of the prior.
    """

    share: float
    low: bool
    coefficients: Array
    centre: Array
    scale: Array
    precision: Array
    prior: Array

    def at(self, draws: Draws, patient: int) -> tuple[Array, Array]:
        """Return location (s, d) and Cholesky factor of the scale (s, d, d) at every draw."""
        means = draws.means[:, patient]
        standard = np.clip((means - self.centre) / self.scale, -_CLIP, _CLIP)
        expected = self.coefficients[0] + standard @ self.coefficients[1:]
        prior_mean = means[:, draws.varying].copy()
        if self.low:
            prior_mean[:, draws.low] -= draws.shift
        of_data, onto = _data_precision(self.precision, self.prior)
        # What the records say, precision × mean: the posterior's less the prior's.
        said = (expected @ self.precision - prior_mean @ self.prior) @ onto
        now = draws.precision
        covariance = np.linalg.inv(of_data + now)
        said = said + np.einsum("sij,sj->si", now, prior_mean)
        location = np.einsum("sij,sj->si", covariance, said)
        covariance = (covariance + np.swapaxes(covariance, 1, 2)) / 2
        return location, np.linalg.cholesky(covariance)


def _data_precision(precision: Array, prior: Array) -> tuple[Array, Array]:
    """Return the precision that the records add, and the projection on where they add any."""
    root = np.linalg.cholesky(prior)
    unroot = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(unroot @ precision @ unroot.T)
    more = values > 1.0
    kept = vectors[:, more]
    of_data = root @ (kept * (values[more] - 1.0)) @ kept.T @ root.T
    onto = unroot.T @ kept @ kept.T @ root.T
    return of_data, onto


def components(draws: Draws, x: Array) -> tuple[tuple[Component, ...], ...]:
    """Return what each patient's records say, from the joint posterior.

    Parameters
    ----------
    draws : Draws
        s draws of the population.
    x : ndarray, shape (s, k, d)
        The patients' varying parameters at the same draws, free scale.

    Returns
    -------
    tuple of tuple of Component
        One or, with non-expanders, up to two for each of the k patients.
    """
    if not draws.varying.size:
        return ((),) * x.shape[1]
    low = low_probability(draws, x)
    out = []
    for i in range(x.shape[1]):
        found = []
        for is_low in (False, True):
            rows = np.flatnonzero((low[:, i] > 0.5) == is_low)
            if rows.size >= max(_FEWEST, 4 * (draws.means.shape[2] + 2)):
                share = rows.size / x.shape[0]
                found.append(_component(draws, rows, i, x[rows, i], is_low, share))
        out.append(tuple(found))
    return tuple(out)


def low_probability(draws: Draws, x: Array) -> Array:
    """Return the probability that a patient with these parameters is a non-expander, (s, k)."""
    if draws.low < 0:
        return np.zeros(x.shape[:2])
    eta = x[..., draws.low] - draws.centres[..., draws.low]
    omega, shift = draws.omega[:, draws.low, None], draws.shift[:, None]
    odds = special.logit(draws.share)[:, None]
    odds = odds - 0.5 * (((eta + shift) / omega) ** 2 - (eta / omega) ** 2)
    return np.asarray(special.expit(odds))


def _component(
    draws: Draws, rows: NDArray[np.int64], patient: int, x: Array, low: bool, share: float
) -> Component:
    means = draws.means[rows, patient]
    centre, scale = means.mean(axis=0), np.maximum(means.std(axis=0), 1e-12)
    design = np.column_stack([np.ones(rows.size), (means - centre) / scale])
    coefficients = np.linalg.lstsq(design, x, rcond=1e-6)[0]
    left = x - design @ coefficients
    prior = np.linalg.inv(_typical(draws, rows))
    covariance = left.T @ left / max(rows.size - design.shape[1], 1)
    # A floor far below any posterior of interest keeps the inverse finite.
    covariance = covariance + np.diag(1e-8 / np.diag(prior))
    # Of what does not vary the records say nothing: there the proposal is the prior.
    fixed = np.flatnonzero(np.median(draws.omega[rows], axis=0) <= _LEAST_SD)
    covariance[fixed, :] = covariance[:, fixed] = 0.0
    covariance[fixed, fixed] = 1.0 / prior[fixed, fixed]
    return Component(
        share, low, coefficients, centre, scale, np.linalg.inv(covariance), prior
    )  # fmt: skip


def _typical(draws: Draws, rows: NDArray[np.int64]) -> Array:
    """Return a covariance of the etas of medians of their SDs and the mean correlations."""
    root = draws.root[rows]
    sd, omega = np.median(draws.omega[rows], axis=0), draws.omega[rows]
    correlation = (root @ np.swapaxes(root, 1, 2)) / (omega[:, :, None] * omega[:, None])
    return np.asarray(correlation.mean(axis=0) * np.outer(sd, sd))

r"""Parametric survival: log time as a line of predictors plus an error, censored in the likelihood.

.. math:: \ln T = a + \sum_j b_j x_j + \sigma \varepsilon

with :math:`\varepsilon` of the smallest-extreme-value (Weibull), normal (log-normal) or logistic
(log-logistic) distribution. The part and its data follow the protocol of the CRS layer's parts, so
priors, sampler and maximum likelihood are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_ndtr, ndtri

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import one_of, shown
from cart_pkpd._crs.parts import Quantity
from cart_pkpd._crs.terms import Term
from cart_pkpd._stats.priors import LogNormal, Prior

Floats = NDArray[np.float64]
Distribution = Literal["weibull", "lognormal", "loglogistic", "exponential"]
DISTRIBUTIONS: tuple[Distribution, ...] = ("weibull", "lognormal", "loglogistic", "exponential")

MEDIAN_PRIOR = LogNormal(180.0, 1.0)  # 90 % between 35 and 930 days: late-line solid tumours
SCALE_PRIOR = LogNormal(0.8, 0.4)
_FAR = 300.0
_LOG_TAU = float(np.log(2 * np.pi))
_MIDDLE = {"weibull": float(np.log(np.log(2.0))), "exponential": float(np.log(np.log(2.0))),
           "lognormal": 0.0, "loglogistic": 0.0}  # fmt: skip


@dataclass(frozen=True)
class Survival:
    """When an event occurs, by a parametric distribution.

    Attributes
    ----------
    terms : tuple of Term
        Predictors of log time.
    distribution : {"weibull", "lognormal", "loglogistic", "exponential"}
    median : Prior
        Of the median time where every term is 0. [day]
    scale : Prior
        Of σ; absent (1) for the exponential distribution.
    """

    terms: tuple[Term, ...]
    distribution: Distribution = "weibull"
    median: Prior = MEDIAN_PRIOR
    scale: Prior = SCALE_PRIOR
    name: ClassVar[str] = "survival"

    def __post_init__(self) -> None:
        one_of(self.distribution, DISTRIBUTIONS, "distribution", error=ModelError)
        for what, prior in (("median", self.median), ("scale", self.scale)):
            if not isinstance(prior, Prior) or prior.bounds[0] != 0.0:
                given = str(prior) if isinstance(prior, Prior) else shown(prior)
                raise ModelError(f"survival, {what}: the prior must be of a positive number, such "
                                 f"as LogNormal(180, 1), not {given}.")  # fmt: skip

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is estimated."""
        first = [Quantity("survival_median", "median time at the reference", "day", self.median,
                          self.name)]  # fmt: skip
        if self.distribution != "exponential":
            first.append(Quantity("survival_scale", "standardised spread of log time", "1",
                                  self.scale, self.name))  # fmt: skip
        slopes = [
            Quantity(f"survival_{t.name}", f"change of ln time per 1 of {t.label}", "1", t.prior,
                     self.name, t)
            for t in self.terms
        ]  # fmt: skip
        return (*first, *slopes)

    @property
    def proportional(self) -> bool:
        """Whether hazards are proportional, so that there are hazard ratios."""
        return self.distribution in ("weibull", "exponential")

    def line(self, values: Mapping[str, Floats], x: Floats) -> tuple[Floats, Floats]:
        """Return location, shape (s, n), and σ, shape (s, 1), of log time.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (s,) or ()
        x : ndarray, shape (n, p) or (s, n, p)
        """
        sigma = np.atleast_1d(np.asarray(values.get("survival_scale", 1.0), float))[:, None]
        a = np.atleast_1d(np.log(np.asarray(values["survival_median"], float)))[:, None]
        slopes = [np.atleast_1d(np.asarray(values[f"survival_{t.name}"], float))[:, None]
                  for t in self.terms]  # fmt: skip
        mu = a - sigma * _MIDDLE[self.distribution]
        for j, b in enumerate(slopes):
            mu = mu + b * x[..., j]
        return np.broadcast_to(mu, (mu.shape[0], x.shape[-2])), sigma

    def log_survival(self, values: Mapping[str, Floats], x: Floats, time: Floats) -> Floats:
        """Return ln S(t), shape (s, n, t), at `time`, shape (t,) [day]."""
        mu, sigma = self.line(values, x)
        with np.errstate(divide="ignore"):
            z = (np.log(time) - mu[..., None]) / sigma[..., None]
        return _log_survival(z, self.distribution)

    def quantile(self, values: Mapping[str, Floats], x: Floats, upper_tail: Floats) -> Floats:
        """Return the time at which S is `upper_tail`, shape (s, n) [day]."""
        mu, sigma = self.line(values, x)
        return np.asarray(np.exp(mu + sigma * _inverse(upper_tail, self.distribution)))


def _exp(z: Floats) -> Floats:
    """Return e^z, held finite where a sampler looks far away from the data."""
    return np.asarray(np.exp(np.minimum(z, _FAR)))


def _log_survival(z: Floats, distribution: Distribution) -> Floats:
    match distribution:
        case "lognormal":
            return np.asarray(log_ndtr(-z))
        case "loglogistic":
            return np.asarray(-np.logaddexp(0.0, z))
    return -_exp(z)


def _inverse(upper_tail: Floats, distribution: Distribution) -> Floats:
    match distribution:
        case "lognormal":
            return np.asarray(-ndtri(upper_tail))
        case "loglogistic":
            return np.asarray(np.log1p(-upper_tail) - np.log(upper_tail))
    return np.asarray(np.log(-np.log(upper_tail)))


def _log_density(z: Floats, distribution: Distribution) -> tuple[Floats, Floats]:
    """Return ln f of the standardised error, and its slope."""
    match distribution:
        case "lognormal":
            return -0.5 * (z * z + _LOG_TAU), -z
        case "loglogistic":
            return z - 2 * np.logaddexp(0.0, z), 1 - 2 * expit(z)
    return z - _exp(z), 1 - _exp(z)


def _log_survival_slope(z: Floats, distribution: Distribution) -> Floats:
    match distribution:
        case "lognormal":
            return -_exp(-0.5 * (z * z + _LOG_TAU) - log_ndtr(-z))
        case "loglogistic":
            return np.asarray(-expit(z))
    return -_exp(z)


@dataclass(frozen=True, eq=False)
class SurvivalData:
    """Times to event of n patients.

    Attributes
    ----------
    part : Survival
    rows : ndarray of int, shape (n,)
        Places of the patients among all.
    x : ndarray, shape (n, p)
    time : ndarray, shape (n,)
        Of event or censoring. [day]
    event : ndarray of bool, shape (n,)
    """

    part: Survival
    rows: NDArray[np.int64]
    x: Floats
    time: Floats
    event: NDArray[np.bool_]

    def loglik(self, values: Mapping[str, Floats]) -> Floats:
        """Return the log-likelihood of every patient, shape (s, n); of densities per day."""
        mu, sigma = self.part.line(values, self.x)
        z = (np.log(self.time) - mu) / sigma
        density = _log_density(z, self.part.distribution)[0] - np.log(sigma) - np.log(self.time)
        return np.where(self.event, density, _log_survival(z, self.part.distribution))

    def with_slopes(self, theta: Floats, slopes: Floats) -> float:
        """Return the sum at one point, and write its slopes, natural scale."""
        kind = self.part.distribution
        scaled = kind != "exponential"
        sigma = theta[1] if scaled else 1.0
        a = np.log(theta[0]) - sigma * _MIDDLE[kind]
        z = (np.log(self.time) - a - self.x @ theta[1 + scaled :]) / sigma
        f, df = _log_density(z, kind)
        dz = np.where(self.event, df, _log_survival_slope(z, kind))
        density = f - np.log(sigma) - np.log(self.time)
        value = np.where(self.event, density, _log_survival(z, kind))
        slopes[0] = -dz.sum() / (sigma * theta[0])
        if scaled:
            slopes[1] = (dz * (_MIDDLE[kind] - z)).sum() / sigma - self.event.sum() / sigma
        slopes[1 + scaled :] = -(dz @ self.x) / sigma
        return float(value.sum())

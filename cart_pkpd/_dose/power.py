"""The power model of exposure by quadrature: exact to the digits that a decision needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cart_pkpd._dose.measured import BELOW, EXACT
from cart_pkpd._stats.priors import HalfNormal, Normal, Prior

type Floats = NDArray[np.float64]

INTERCEPT, SLOPE, BETWEEN = Normal(0.0, 20.0), Normal(0.5, 1.0), HalfNormal(1.5)
_SIGMAS, _FIRST, _SECOND, _REACH = 81, 41, 21, 7.0
_SMALLEST, _NEGLIGIBLE = 1e-3, 30.0
_LN_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class PowerPriors:
    """Priors of ``ln E = a + b ln(d / d*) + N(0, sigma)``.

    Attributes
    ----------
    intercept : Normal
        Of a, ln of the typical exposure at the reference dose, in the unit of the exposure. The
        default says nothing for any assay.
    slope : Normal
        Of b. The default is symmetric about 0.5, half-way between flat (0) and proportional (1),
        so that P(b < 0.5) is 0.5 before any patient.
    sigma : HalfNormal
        Standard deviation between patients of ln exposure; in CAR-T it is often 1 to 2.
    """

    intercept: Normal = INTERCEPT
    slope: Normal = SLOPE
    sigma: HalfNormal = BETWEEN

    def items(self) -> tuple[tuple[str, Prior], ...]:
        """Return names and priors."""
        return (("intercept", self.intercept), ("slope", self.slope), ("sigma", self.sigma))


@dataclass(frozen=True, eq=False)
class Rows:
    """Patients of the power model as arrays of shape (n,): what quadrature needs.

    Attributes
    ----------
    x : ndarray
        ln(dose / reference).
    value, error : ndarray
        ln exposure or its bound, and the standard deviation of its error.
    status : ndarray of str
    """

    x: Floats
    value: Floats
    error: Floats
    status: NDArray[np.str_]

    def log_likelihood(self, intercept: Floats, slope: Floats, sigma: Floats) -> Floats:
        """Return the sum over patients; the arguments broadcast against each other."""
        spread = np.sqrt(sigma[..., None] ** 2 + self.error**2)
        z = (self.value - intercept[..., None] - slope[..., None] * self.x) / spread
        exact = -0.5 * z**2 - np.log(spread) - 0.5 * _LN_2PI
        side = np.where(self.status == BELOW, z, -z)
        censored = self.status != EXACT
        return np.where(censored, special.log_ndtr(np.where(censored, side, 0.0)), exact).sum(-1)


@dataclass(frozen=True, eq=False)
class PowerGrid:
    """The posterior on nodes.

    Attributes
    ----------
    intercept, slope, sigma, weight : ndarray, shape (sigmas, first, second)
        Nodes and probabilities, which sum to 1. For a fixed sigma the slope changes along the
        second axis only.
    """

    intercept: Floats
    slope: Floats
    sigma: Floats
    weight: Floats

    def quantile(self, values: Floats, probs: Floats) -> Floats:
        """Return quantiles of a function of the parameters, given at the nodes."""
        order = np.argsort(values, axis=None)
        weight = self.weight.ravel()[order]
        return np.interp(probs, np.cumsum(weight) - 0.5 * weight, values.ravel()[order])

    def slope_below(self, at: float) -> float:
        """Return P(b < at), from the distribution function interpolated for each sigma."""
        from scipy.interpolate import CubicSpline

        total = 0.0
        for slopes, weight in zip(self.slope[:, :, 0], self.weight.sum(axis=2), strict=True):
            mass = weight.sum()
            if mass < 1e-12:
                continue
            area = CubicSpline(slopes, weight / (slopes[1] - slopes[0])).antiderivative()
            total += float(area(np.clip(at, slopes[0], slopes[-1])) - area(slopes[0]))
        return float(np.clip(total, 0.0, 1.0))

    def moments(self, values: Floats) -> tuple[float, float]:
        """Return mean and standard deviation of a function given at the nodes."""
        mean = float((self.weight * values).sum())
        return mean, float(np.sqrt((self.weight * (values - mean) ** 2).sum()))

    def predictive(self, x: float, probs: Floats) -> Floats:
        """Return quantiles of a new patient's ln exposure at ln(dose / reference) = x."""
        keep = self.weight > 1e-9
        weight = self.weight[keep] / self.weight[keep].sum()
        mean = (self.intercept + self.slope * x)[keep]
        sigma = self.sigma[keep]

        def below(t: float) -> float:
            return float(weight @ special.ndtr((t - mean) / sigma))

        low, high = float((mean - 12 * sigma).min()), float((mean + 12 * sigma).max())
        found = [optimize.brentq(lambda t, p=p: below(t) - p, low, high, xtol=1e-7) for p in probs]
        return np.array(found)

    def draws(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Return n draws of intercept, slope and sigma from the nodes."""
        picked = rng.choice(self.weight.size, size=n, p=self.weight.ravel())
        return (
            self.intercept.ravel()[picked],
            self.slope.ravel()[picked],
            self.sigma.ravel()[picked],
        )


def posterior(rows: Rows, priors: PowerPriors) -> PowerGrid:
    """Return the posterior of intercept, slope and sigma on a grid.

    Notes
    -----
    For each of 81 sigmas (even in ln sigma, trapezoid rule) intercept and slope are placed around
    their mode given sigma along the axes of the curvature there. Given sigma the density is
    log-concave, and normal where nothing is censored, so the rule converges fast.
    """
    ln_sigma = _sigma_range(rows, priors)
    sigma = np.exp(ln_sigma)
    mode, root = _conditional(rows, priors, sigma)
    u = np.linspace(-_REACH, _REACH, _FIRST)[None, :, None]
    v = np.linspace(-_REACH, _REACH, _SECOND)[None, None, :]
    # Slope first: along the second axis of the grid only the slope's own coordinate moves.
    slope = mode[:, 1, None, None] + root[:, 0, 0, None, None] * u + 0.0 * v
    intercept = (
        mode[:, 0, None, None] + root[:, 1, 0, None, None] * u + root[:, 1, 1, None, None] * v
    )
    wide = np.broadcast_to(sigma[:, None, None], slope.shape)
    log_density = rows.log_likelihood(intercept, slope, wide)
    log_density = log_density + _log_prior(priors, intercept, slope, wide)
    log_density = log_density + np.log(root[:, 0, 0] * root[:, 1, 1] * sigma)[:, None, None]
    weight = np.exp(log_density - log_density.max())
    return PowerGrid(intercept, slope, wide, weight / weight.sum())


def _log_prior(priors: PowerPriors, intercept: Floats, slope: Floats, sigma: Floats) -> Floats:
    a, b = priors.intercept, priors.slope
    return (
        -0.5 * ((intercept - a.mu) / a.sigma) ** 2
        - 0.5 * ((slope - b.mu) / b.sigma) ** 2
        - 0.5 * (sigma / priors.sigma.sigma) ** 2
    )


def _sigma_range(rows: Rows, priors: PowerPriors) -> Floats:
    """Return the even grid of ln sigma that holds all but a negligible part of the posterior."""
    wide = np.linspace(np.log(_SMALLEST), np.log(8.0 * priors.sigma.sigma), 121)
    sigma = np.exp(wide)
    mode, root = _conditional(rows, priors, sigma)
    peak = rows.log_likelihood(mode[:, 0], mode[:, 1], sigma)
    peak = peak + _log_prior(priors, mode[:, 0], mode[:, 1], sigma)
    marginal = peak + np.log(root[:, 0, 0] * root[:, 1, 1] * sigma)
    inside = np.flatnonzero(marginal > marginal.max() - _NEGLIGIBLE)
    first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, wide.size - 1)
    return np.linspace(wide[first], wide[last], _SIGMAS)


def _conditional(rows: Rows, priors: PowerPriors, sigma: Floats) -> tuple[Floats, Floats]:
    """Return mode (k, 2) of intercept and slope for each sigma, and a root (k, 2, 2).

    The root is the lower Cholesky factor of the covariance of (slope, intercept).
    """
    spread = np.sqrt(sigma[:, None] ** 2 + rows.error**2)
    theta = np.zeros((sigma.size, 2))
    theta[:, 0] = rows.value.mean()
    for _ in range(60):
        gradient, hessian = _slopes(rows, priors, theta, spread)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        theta = theta + step
        if np.abs(step).max() < 1e-10:
            break
    _, hessian = _slopes(rows, priors, theta, spread)
    covariance = np.linalg.inv(hessian)[:, ::-1, ::-1]
    return theta, np.linalg.cholesky(covariance)


def _slopes(
    rows: Rows, priors: PowerPriors, theta: Floats, spread: Floats
) -> tuple[Floats, Floats]:
    """Return gradient (k, 2) and negative Hessian (k, 2, 2) of the log density given sigma."""
    z = (rows.value - theta[:, :1] - theta[:, 1:] * rows.x) / spread
    sign = np.where(rows.status == BELOW, 1.0, -1.0)
    side = sign * z
    mills = np.exp(-0.5 * side**2 - 0.5 * _LN_2PI - special.log_ndtr(side))
    exact = rows.status == EXACT
    first = np.where(exact, z, -sign * mills) / spread
    second = np.where(exact, 1.0, mills * (mills + side)) / spread**2
    design = np.stack([np.ones_like(rows.x), rows.x], axis=1)
    prior = (priors.intercept, priors.slope)
    mu, precision = np.array([p.mu for p in prior]), np.array([p.sigma**-2.0 for p in prior])
    gradient = first @ design - (theta - mu) * precision
    hessian = np.einsum("kn,ni,nj->kij", second, design, design) + np.diag(precision)
    return gradient, hessian

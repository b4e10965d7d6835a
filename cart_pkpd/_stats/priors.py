"""Priors as plain data: they can be printed, sampled and changed without a sampler.

A prior belongs to a quantity on its natural scale; `LogNormal` and `LogitNormal` say so by
their median and the standard deviation of the log or logit.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import did_you_mean, shown
from cart_pkpd._engine import forms

_ANY_SIGN = ("mu", "low", "high", "lower", "upper")
_MAY_BE_INFINITE = ("lower", "upper")


@dataclass(frozen=True)
class Prior(abc.ABC):
    """A prior distribution of one quantity, natural scale."""

    _range: ClassVar[tuple[float, float]] = (-np.inf, np.inf)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int | float | np.number) or np.isnan(value):
                raise FitError(f"{type(self).__name__}: {name} must be a number, not {value!r}.")
            if np.isinf(value) and name not in _MAY_BE_INFINITE:
                raise FitError(f"{type(self).__name__}: {name} must be finite, not {value!r}.")
            if name not in _ANY_SIGN and not value > 0:
                raise FitError(f"{type(self).__name__}: {name} must be above 0, not {value!r}.")
            object.__setattr__(self, name, float(value))

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which values the prior has all its probability."""
        return self._range

    @abc.abstractmethod
    def quantile(self, p: Any) -> Any:
        """Return the value below which lies the share `p`."""

    @abc.abstractmethod
    def cdf(self, x: Any) -> Any:
        """Return the probability of a value up to `x`."""

    def log_density(self, x: Any) -> Any:
        """Return ln density at `x`, −inf outside the bounds."""
        return log_density(self, x)

    def sample(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` draws, shape (size,)."""
        return np.asarray(self.quantile(rng.uniform(size=size)), dtype=float)

    def __str__(self) -> str:
        arguments = ", ".join(f"{k}={v:.4g}" for k, v in asdict(self).items())
        return f"{type(self).__name__}({arguments})"

    def _check_order(self, low: str, high: str) -> None:
        if not getattr(self, low) < getattr(self, high):
            raise FitError(
                f"{type(self).__name__}: {low} must be below {high}, not {getattr(self, low):g} "
                f"and {getattr(self, high):g}."
            )


@dataclass(frozen=True)
class Normal(Prior):
    """Normal with mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float

    def quantile(self, p: Any) -> Any:
        return self.mu + self.sigma * special.ndtri(p)

    def cdf(self, x: Any) -> Any:
        return special.ndtr((np.asarray(x) - self.mu) / self.sigma)


@dataclass(frozen=True)
class LogNormal(Prior):
    """Normal on the log scale: `median`, and standard deviation `sigma` of the log."""

    median: float
    sigma: float

    _range: ClassVar[tuple[float, float]] = (0.0, np.inf)

    def quantile(self, p: Any) -> Any:
        return self.median * np.exp(self.sigma * special.ndtri(p))

    def cdf(self, x: Any) -> Any:
        z = _log(np.asarray(x, dtype=float) / self.median) / self.sigma
        return special.ndtr(z)


@dataclass(frozen=True)
class LogitNormal(Prior):
    """Normal on the logit scale: `median` in (0, 1), and standard deviation of the logit."""

    median: float
    sigma: float

    _range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.median < 1:
            raise FitError(f"LogitNormal: median must be below 1, not {self.median!r}.")

    def quantile(self, p: Any) -> Any:
        return special.expit(special.logit(self.median) + self.sigma * special.ndtri(p))

    def cdf(self, x: Any) -> Any:
        x = np.clip(np.asarray(x, dtype=float), 0.0, 1.0)
        z = (special.logit(x) - special.logit(self.median)) / self.sigma
        return special.ndtr(z)


@dataclass(frozen=True)
class HalfNormal(Prior):
    """The positive half of a normal with mean 0 and standard deviation `sigma`."""

    sigma: float

    _range: ClassVar[tuple[float, float]] = (0.0, np.inf)

    def quantile(self, p: Any) -> Any:
        return self.sigma * special.ndtri((1 + np.asarray(p)) / 2)

    def cdf(self, x: Any) -> Any:
        return special.erf(np.maximum(x, 0.0) / (self.sigma * math.sqrt(2.0)))


@dataclass(frozen=True)
class TruncatedNormal(Prior):
    """Normal of `mu` and `sigma` before it is cut at `lower` and `upper`."""

    mu: float
    sigma: float
    lower: float = 0.0
    upper: float = np.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_order("lower", "upper")

    @property
    def bounds(self) -> tuple[float, float]:
        return self.lower, self.upper

    def quantile(self, p: Any) -> Any:
        """Return quantiles from logs of tail probabilities, so that far tails keep their digits."""
        p = np.asarray(p, dtype=float)
        a, b = (self.lower - self.mu) / self.sigma, (self.upper - self.mu) / self.sigma
        with np.errstate(divide="ignore"):
            ln_p, ln_q = np.log(p), np.log1p(-p)
        if a > 0:
            above = np.logaddexp(ln_q + special.log_ndtr(-a), ln_p + special.log_ndtr(-b))
            z = -special.ndtri_exp(above)
        else:
            below = np.logaddexp(ln_q + special.log_ndtr(a), ln_p + special.log_ndtr(b))
            z = special.ndtri_exp(below)
        return np.clip(self.mu + self.sigma * z, self.lower, self.upper)

    def cdf(self, x: Any) -> Any:
        a, b = (self.lower - self.mu) / self.sigma, (self.upper - self.mu) / self.sigma
        z = (np.clip(x, self.lower, self.upper) - self.mu) / self.sigma
        # As ratios of tail probabilities on their small side, so that far tails keep their digits.
        z, a, b = (-z, -b, -a) if a > 0 else (z, a, b)
        ln_z, ln_a, ln_b = special.log_ndtr(z), special.log_ndtr(a), special.log_ndtr(b)
        with np.errstate(invalid="ignore"):  # at an edge without probability below it
            below = np.where(z > a, -np.expm1(ln_a - ln_z), 0.0) * np.exp(ln_z - ln_b)
        share = below / -np.expm1(ln_a - ln_b)
        return 1.0 - share if self.lower > self.mu else share


@dataclass(frozen=True)
class HalfCauchy(Prior):
    """The positive half of a Cauchy around 0; `scale` is its median."""

    scale: float

    _range: ClassVar[tuple[float, float]] = (0.0, np.inf)

    def quantile(self, p: Any) -> Any:
        return self.scale * np.tan(np.pi / 2 * np.asarray(p))

    def cdf(self, x: Any) -> Any:
        return np.arctan(np.maximum(x, 0.0) / self.scale) * 2.0 / np.pi


@dataclass(frozen=True)
class Exponential(Prior):
    """Exponential with mean `mean`."""

    mean: float

    _range: ClassVar[tuple[float, float]] = (0.0, np.inf)

    def quantile(self, p: Any) -> Any:
        return -self.mean * np.log1p(-np.asarray(p))

    def cdf(self, x: Any) -> Any:
        return -np.expm1(-np.maximum(x, 0.0) / self.mean)


@dataclass(frozen=True)
class Gamma(Prior):
    """Gamma with mean `shape` / `rate`."""

    shape: float
    rate: float

    _range: ClassVar[tuple[float, float]] = (0.0, np.inf)

    def quantile(self, p: Any) -> Any:
        return special.gammaincinv(self.shape, p) / self.rate

    def cdf(self, x: Any) -> Any:
        return special.gammainc(self.shape, self.rate * np.maximum(x, 0.0))


@dataclass(frozen=True)
class Beta(Prior):
    """Beta with shape parameters `a` and `b`."""

    a: float
    b: float

    _range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def quantile(self, p: Any) -> Any:
        return special.betaincinv(self.a, self.b, p)

    def cdf(self, x: Any) -> Any:
        return special.betainc(self.a, self.b, np.clip(x, 0.0, 1.0))


@dataclass(frozen=True)
class Uniform(Prior):
    """Uniform between `low` and `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_order("low", "high")

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def quantile(self, p: Any) -> Any:
        return self.low + (self.high - self.low) * np.asarray(p)

    def cdf(self, x: Any) -> Any:
        return np.clip((np.asarray(x) - self.low) / (self.high - self.low), 0.0, 1.0)


@dataclass(frozen=True)
class Cauchy(Prior):
    """Cauchy with median `mu`; half of it lies within `scale` of `mu`."""

    mu: float
    scale: float

    def quantile(self, p: Any) -> Any:
        return self.mu + self.scale * np.tan(np.pi * (np.asarray(p) - 0.5))

    def cdf(self, x: Any) -> Any:
        return 0.5 + np.arctan((np.asarray(x) - self.mu) / self.scale) / np.pi


@dataclass(frozen=True)
class StudentT(Prior):
    """Student's t with `df` degrees of freedom, median `mu`, stretched by `scale`."""

    df: float
    mu: float
    scale: float

    def quantile(self, p: Any) -> Any:
        return self.mu + self.scale * special.stdtrit(self.df, p)

    def cdf(self, x: Any) -> Any:
        return special.stdtr(self.df, (np.asarray(x) - self.mu) / self.scale)


def _log(x: Any) -> Any:
    """Return ln x, and −inf at and below 0."""
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(x, 0.0))


@dataclass(frozen=True)
class LKJ(Prior):
    """Correlations of a block of random effects: density det(R)^(`eta` - 1).

    With `eta` = 1 all correlation matrices are as likely as each other; larger values draw to 0.
    Each correlation alone, of which :meth:`quantile` is, is a Beta(a, a) stretched to (-1, 1), a =
    `eta` - 1 + `size` / 2; the canonical partial correlations are independent [1]_.

    Attributes
    ----------
    eta : float
        Shape.
    size : float
        Number of random effects of the block; a fit fills it in.
    depth : float
        1 + number of effects that the partial correlation behind this one is given; a fit fills it
        in.

    References
    ----------
    .. [1] Lewandowski D, Kurowicka D, Joe H (2009). J Multivar Anal 100:1989.
    """

    eta: float = 2.0
    size: float = 2.0
    depth: float = 1.0

    _range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    @property
    def partial_shape(self) -> float:
        """Both shapes of the Beta of the partial correlation, stretched to (-1, 1)."""
        return self.eta + (self.size - 1.0 - self.depth) / 2.0

    @property
    def _shape(self) -> float:
        """Both shapes of the Beta of one correlation alone."""
        return self.eta - 1.0 + self.size / 2.0

    def quantile(self, p: Any) -> Any:
        return 2.0 * special.betaincinv(self._shape, self._shape, p) - 1.0

    def cdf(self, x: Any) -> Any:
        share = np.clip((np.asarray(x, dtype=float) + 1.0) / 2.0, 0.0, 1.0)
        return special.betainc(self._shape, self._shape, share)

    def log_density(self, x: Any) -> Any:
        """Return ln density of one correlation alone at `x`, −inf outside (-1, 1)."""
        return _stretched(Beta(self._shape, self._shape), x)

    def log_density_of_partial(self, x: Any) -> Any:
        """Return ln density of the canonical partial correlation at `x`."""
        return _stretched(Beta(self.partial_shape, self.partial_shape), x)

    def __str__(self) -> str:
        return f"LKJ(eta={self.eta:.4g})"


def _stretched(prior: Beta, x: Any) -> Any:
    """Return ln density at `x` of a Beta stretched from (0, 1) to (-1, 1)."""
    return prior.log_density((np.asarray(x, dtype=float) + 1.0) / 2.0) - math.log(2.0)


@dataclass(frozen=True)
class Density:
    """A prior's log density as the compiled code computes it: a form, its numbers, a constant."""

    form: int
    a: float = 0.0
    b: float = 1.0
    c: float = 1.0
    constant: float = 0.0


def density_of(prior: Prior) -> Density:
    """Return the log density of a prior; its form is one of ``_engine.forms``."""
    normal = -0.5 * math.log(2.0 * math.pi)
    match prior:
        case Normal(mu, sigma):
            return Density(forms.NORMAL, mu, sigma, 1.0, normal - math.log(sigma))
        case HalfNormal(sigma):
            return Density(forms.NORMAL, 0.0, sigma, 1.0, normal - math.log(sigma) + math.log(2.0))
        case TruncatedNormal(mu, sigma, lower, upper):
            a, b = (lower - mu) / sigma, (upper - mu) / sigma
            # From the side on which both tails are small, so that their difference has digits.
            low, high = (-b, -a) if a > 0 else (a, b)
            ln_high, ln_low = special.log_ndtr(high), special.log_ndtr(low)
            inside = ln_high + math.log1p(-math.exp(ln_low - ln_high))
            return Density(forms.NORMAL, mu, sigma, 1.0, normal - math.log(sigma) - inside)
        case LogNormal(median, sigma):
            constant = normal - math.log(sigma)
            return Density(forms.LOG_NORMAL, math.log(median), sigma, 1.0, constant)
        case LogitNormal(median, sigma):
            constant = normal - math.log(sigma)
            centre = float(special.logit(median))
            return Density(forms.LOGIT_NORMAL, centre, sigma, 1.0, constant)
        case Cauchy(mu, scale):
            return Density(forms.STUDENT, mu, scale, 1.0, -math.log(math.pi * scale))
        case HalfCauchy(scale):
            return Density(forms.STUDENT, 0.0, scale, 1.0, -math.log(math.pi * scale / 2.0))
        case StudentT(df, mu, scale):
            constant = math.lgamma((df + 1.0) / 2.0) - math.lgamma(df / 2.0)
            constant -= 0.5 * math.log(df * math.pi) + math.log(scale)
            return Density(forms.STUDENT, mu, scale, df, constant)
        case Exponential(mean):
            return Density(forms.GAMMA, 1.0, 1.0 / mean, 1.0, -math.log(mean))
        case Gamma(shape, rate):
            constant = shape * math.log(rate) - math.lgamma(shape)
            return Density(forms.GAMMA, shape, rate, 1.0, constant)
        case Beta(a, b):
            return Density(forms.BETA, a, b, 1.0, -float(special.betaln(a, b)))
        case LKJ():
            # Of the partial correlation, which is what is sampled.
            a = prior.partial_shape
            return Density(forms.BETA, a, a, 1.0, -float(special.betaln(a, a)))
        case Uniform(low, high):
            return Density(forms.FLAT, constant=-math.log(high - low))
    raise TypeError(f"no density of {type(prior).__name__}")


def log_density(prior: Prior, x: Any) -> Any:
    """Return ln density of a prior at `x`, −inf outside its bounds.

    Parameters
    ----------
    prior : Prior
        Natural scale.
    x : array_like
        Values of the quantity.
    """
    d, x = density_of(prior), np.asarray(x, dtype=float)
    low, high = prior.bounds
    inside = (x >= low) & (x <= high)
    with np.errstate(all="ignore"):
        return np.where(inside, _kernel(d, x) + d.constant, -np.inf)


def _kernel(d: Density, x: NDArray[np.float64]) -> Any:
    """Return what of a log density depends on the value."""
    z = (x - d.a) / d.b
    match d.form:
        case forms.NORMAL:
            return -0.5 * z * z
        case forms.LOG_NORMAL:
            return -0.5 * ((np.log(x) - d.a) / d.b) ** 2 - np.log(x)
        case forms.LOGIT_NORMAL:
            logit = special.logit(x)
            return -0.5 * ((logit - d.a) / d.b) ** 2 - np.log(x) - np.log1p(-x)
        case forms.STUDENT:
            return -0.5 * (d.c + 1.0) * np.log1p(z * z / d.c)
        case forms.GAMMA:
            return special.xlogy(d.a - 1.0, x) - d.b * x
        case forms.BETA:
            return special.xlogy(d.a - 1.0, x) + special.xlog1py(d.b - 1.0, -x)
    return np.zeros_like(x)


KINDS: Mapping[str, type[Prior]] = MappingProxyType(
    {
        "normal": Normal,
        "lognormal": LogNormal,
        "logitnormal": LogitNormal,
        "halfnormal": HalfNormal,
        "truncatednormal": TruncatedNormal,
        "halfcauchy": HalfCauchy,
        "exponential": Exponential,
        "gamma": Gamma,
        "beta": Beta,
        "uniform": Uniform,
        "cauchy": Cauchy,
        "student_t": StudentT,
        "lkj": LKJ,
    }
)


def prior_from(record: Any) -> Prior:
    """Return a prior from a record such as ``{"kind": "lognormal", "median": 5, "sigma": 1}``.

    Instead of its numbers a record may have quantiles: ``{"kind": "lognormal", "q05": 10, "q95":
    100}`` or ``{"kind": "lognormal", "quantiles": {0.05: 10, 0.95: 100}}``.

    Raises
    ------
    FitError
        If the kind or an argument is not known, or no prior of the kind has the quantiles.
    """
    if isinstance(record, Prior):
        return record
    if isinstance(getattr(record, "prior", None), Prior):
        return record.prior
    # Elicitation needs the kinds of this file.
    from cart_pkpd._stats.elicit import from_record

    given = dict(record)
    kind = known_kind(given.pop("kind", ""))
    quantiles = from_record(kind, given)
    if quantiles is not None:
        return quantiles.prior
    try:
        return KINDS[kind](**given)
    except TypeError as problem:
        known = ", ".join(f.name for f in fields(KINDS[kind]))
        raise FitError(f"prior {kind!r} takes {known}; got {', '.join(given)}.") from problem


def known_kind(kind: str) -> str:
    """Return the name of a kind of prior; FitError if there is no such kind."""
    if not isinstance(kind, str):
        raise FitError(f"kind of a prior: give a name, such as 'lognormal', not {shown(kind)}.")
    if kind not in KINDS:
        raise FitError(
            f"unknown prior kind {kind!r}.{did_you_mean(kind, KINDS)} Known: {', '.join(KINDS)}."
        )
    return kind

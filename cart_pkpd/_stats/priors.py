"""Priors as plain data: they can be printed, sampled and changed without a sampler.

A prior belongs to a quantity on its natural scale; `LogNormal` and `LogitNormal` say so by
their median and the standard deviation of the log or logit.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import did_you_mean


@dataclass(frozen=True)
class Prior(abc.ABC):
    """A prior distribution of one quantity, natural scale."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            positive = name not in ("mu",)
            if not np.isfinite(value) or (positive and not value > 0):
                raise FitError(f"{type(self).__name__}: {name} must be above 0, not {value!r}.")

    @abc.abstractmethod
    def quantile(self, p: Any) -> Any:
        """Return the value below which lies the share `p`."""

    def sample(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` draws, shape (size,)."""
        return np.asarray(self.quantile(rng.uniform(size=size)), dtype=float)

    def __str__(self) -> str:
        arguments = ", ".join(f"{k}={v:.4g}" for k, v in asdict(self).items())
        return f"{type(self).__name__}({arguments})"


@dataclass(frozen=True)
class Normal(Prior):
    """Normal with mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float

    def quantile(self, p: Any) -> Any:
        return self.mu + self.sigma * special.ndtri(p)


@dataclass(frozen=True)
class LogNormal(Prior):
    """Normal on the log scale: `median`, and standard deviation `sigma` of the log."""

    median: float
    sigma: float

    def quantile(self, p: Any) -> Any:
        return self.median * np.exp(self.sigma * special.ndtri(p))


@dataclass(frozen=True)
class LogitNormal(Prior):
    """Normal on the logit scale: `median` in (0, 1), and standard deviation of the logit."""

    median: float
    sigma: float

    def quantile(self, p: Any) -> Any:
        return special.expit(special.logit(self.median) + self.sigma * special.ndtri(p))


@dataclass(frozen=True)
class HalfNormal(Prior):
    """The positive half of a normal with mean 0 and standard deviation `sigma`."""

    sigma: float

    def quantile(self, p: Any) -> Any:
        return self.sigma * special.ndtri((1 + np.asarray(p)) / 2)


@dataclass(frozen=True)
class Beta(Prior):
    """Beta with shape parameters `a` and `b`."""

    a: float
    b: float

    def quantile(self, p: Any) -> Any:
        return special.betaincinv(self.a, self.b, p)


KINDS: Mapping[str, type[Prior]] = MappingProxyType(
    {
        "normal": Normal,
        "lognormal": LogNormal,
        "logitnormal": LogitNormal,
        "halfnormal": HalfNormal,
        "beta": Beta,
    }
)


def prior_from(record: Prior | Mapping[str, Any]) -> Prior:
    """Return a prior from a record such as ``{"kind": "lognormal", "median": 5, "sigma": 1}``.

    Raises
    ------
    FitError
        If the kind or an argument is not known.
    """
    if isinstance(record, Prior):
        return record
    given = dict(record)
    kind = str(given.pop("kind", ""))
    if kind not in KINDS:
        raise FitError(
            f"unknown prior kind {kind!r}.{did_you_mean(kind, KINDS)} Known: {', '.join(KINDS)}."
        )
    try:
        return KINDS[kind](**given)
    except TypeError as problem:
        known = ", ".join(KINDS[kind].__dataclass_fields__)
        raise FitError(f"prior {kind!r} takes {known}; got {', '.join(given)}.") from problem

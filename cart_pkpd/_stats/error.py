"""Residual error and censoring: one record per error model, one likelihood for all.

A measurement is compared with its prediction on a scale where the error is additive (log or
natural): ``z = (g(dv) - f) / s``, where the prediction ``f`` is ln of the level for errors on
the log scale and the level itself, which may be 0 or negative, for the others. Values below the
LLOQ contribute the probability of lying below it (Beal's M3), values above the ULOQ of lying
above it, interval records of lying between. The same functions run on NumPy arrays and PyTensor
variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import special

from cart_pkpd._core.validate import one_of
from cart_pkpd._stats.priors import HalfNormal, Prior
from cart_pkpd.models.math import Value, absolute, log, log1mexp, log1p, log_ndtr, sqrt, where

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Base:
    """A standard symmetric distribution: log density, log lower-tail probability, quantile, SD."""

    logpdf: Callable[[Value], Value]
    logcdf: Callable[[Value], Value]
    quantile: Callable[[Value], Value]
    sd: float = 1.0


def _normal_logpdf(z: Value) -> Value:
    return -0.5 * z * z - _LOG_SQRT_2PI


def _t4_logpdf(z: Value) -> Value:
    return np.log(0.375) - 2.5 * log1p(z * z / 4.0)


def _t4_logcdf(z: Value) -> Value:
    """Student's t with 4 degrees of freedom: with s = z / sqrt(4 + z²), F = (1 + s)² (2 - s) / 4.

    1 + s is written without cancellation for z below 0.
    """
    root = sqrt(4.0 + z * z)
    low = z < 0.0
    one_plus_s = where(low, 4.0 / (root * (root - where(low, z, 0.0))), 1.0 + z / root)
    return 2.0 * log(one_plus_s) + log(2.0 - z / root) - np.log(4.0)


NORMAL = Base(_normal_logpdf, log_ndtr, special.ndtri)
STUDENT_T4 = Base(_t4_logpdf, _t4_logcdf, lambda p: special.stdtrit(4, p), np.sqrt(2.0))


@dataclass(frozen=True)
class Sigma:
    """One parameter of a residual error.

    Attributes
    ----------
    name, label : str
        Name in results and label for people.
    prior : Prior
        Prior, in units of the endpoint where `in_data_units`.
    in_data_units : bool
        The prior scales with a typical quantified value of the data.
    """

    name: str
    label: str
    prior: Prior
    in_data_units: bool = False


@dataclass(frozen=True)
class ErrorModel:
    """A residual error model.

    Attributes
    ----------
    name : str
        Name used by ``fit.population(error=...)``.
    label : str
        For tables and reports.
    on_log : bool
        Whether measurement and prediction are compared on the log scale.
    base : Base
        Distribution of the standardised residual.
    sigmas : tuple of Sigma
        Its parameters.
    scale : callable
        ``scale(prediction, values)`` gives the standard deviation (scale for Student-t).
    positive : bool
        Measurements are known to be above 0, and what is said of them is conditional on that
        (Beal's M4); of use where the error is not on the log scale, which knows it anyhow.
    """

    name: str
    label: str
    on_log: bool
    base: Base
    sigmas: tuple[Sigma, ...]
    scale: Callable[[Value, Mapping[str, Value]], Value]
    positive: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Its functions have no names to send to another process by.
        return _named, (self.name, self.positive)

    def on_scale(self, dv: Value) -> Value:
        """Return a measurement on the scale where the error is additive."""
        return log(dv) if self.on_log else dv

    def z(self, dv: Value, prediction: Value, values: Mapping[str, Value]) -> Value:
        """Return the standardised residual of a measurement or limit `dv`."""
        return (self.on_scale(dv) - prediction) / self.scale(prediction, values)

    def log_above_zero(self, prediction: Value, values: Mapping[str, Value]) -> Value:
        """Return ln probability of a measurement above 0, of errors on the natural scale."""
        return self.base.logcdf(prediction / self.scale(prediction, values))

    def below(self, limit: Any, prediction: Any, values: Mapping[str, Any]) -> Any:
        """Return the probability of a measurement below a limit, of arrays."""
        share = np.exp(self.base.logcdf(self.z(limit, prediction, values)))
        if not self.positive:
            return share
        above = np.exp(self.log_above_zero(prediction, values))
        return np.maximum(share - (1.0 - above), 0.0) / above

    def drawn(self, u: Any, prediction: Any, values: Mapping[str, Any]) -> Any:
        """Return quantiles `u` of a measurement on the scale where the error is additive."""
        if self.positive:
            u = 1.0 - (1.0 - u) * np.exp(self.log_above_zero(prediction, values))
        return prediction + self.scale(prediction, values) * self.base.quantile(u)


_LOG_SD = Sigma("sigma_log", "Residual SD (ln)", HalfNormal(1.0))
_PROP = Sigma("sigma_prop", "Residual CV", HalfNormal(1.0))
_ADD = Sigma("sigma_add", "Residual SD", HalfNormal(1.0), in_data_units=True)

ERRORS: Mapping[str, ErrorModel] = MappingProxyType(
    {
        e.name: e
        for e in (
            ErrorModel(
                "lognormal", "log-normal", True, NORMAL, (_LOG_SD,), lambda f, s: s["sigma_log"]
            ),
            ErrorModel(
                "student_t",
                "Student-t (4 df) on ln",
                True,
                STUDENT_T4,
                (_LOG_SD,),
                lambda f, s: s["sigma_log"],
            ),
            ErrorModel("additive", "additive", False, NORMAL, (_ADD,), lambda f, s: s["sigma_add"]),
            ErrorModel(
                "proportional",
                "proportional",
                False,
                NORMAL,
                (_PROP,),
                lambda f, s: s["sigma_prop"] * absolute(f),
            ),
            ErrorModel(
                "combined",
                "additive and proportional",
                False,
                NORMAL,
                (_ADD, _PROP),
                lambda f, s: sqrt(s["sigma_add"] ** 2 + (s["sigma_prop"] * f) ** 2),
            ),
        )
    }
)


def error_model(name: str) -> ErrorModel:
    """Return the residual error model called `name`."""
    return ERRORS[one_of(name, ERRORS, "residual error")]


def _named(name: str, positive: bool) -> ErrorModel:
    return replace(ERRORS[name], positive=positive)


def quantified_loglik(
    error: ErrorModel, dv: Value, prediction: Value, values: Mapping[str, Value]
) -> Value:
    """Return ln density of quantified measurements, on the natural scale of `dv`."""
    z = error.z(dv, prediction, values)
    density = error.base.logpdf(z) - log(error.scale(prediction, values))
    return density - log(dv) if error.on_log else density


def below_loglik(
    error: ErrorModel, lloq: Value, prediction: Value, values: Mapping[str, Value]
) -> Value:
    """Return ln probability of a measurement below `lloq` (M3)."""
    return error.base.logcdf(error.z(lloq, prediction, values))


def above_loglik(
    error: ErrorModel, uloq: Value, prediction: Value, values: Mapping[str, Value]
) -> Value:
    """Return ln probability of a measurement above `uloq`."""
    return error.base.logcdf(-error.z(uloq, prediction, values))


def between_loglik(
    error: ErrorModel, low: Value, high: Value, prediction: Value, values: Mapping[str, Value]
) -> Value:
    """Return ln probability of a measurement between `low` and `high`."""
    a = error.z(low, prediction, values)
    b = error.z(high, prediction, values)
    # In the upper half the two probabilities are near 1: mirror them to keep their digits.
    mirrored = a + b > 0
    lower, upper = where(mirrored, -b, a), where(mirrored, -a, b)
    log_upper = error.base.logcdf(upper)
    return log_upper + log1mexp(error.base.logcdf(lower) - log_upper)

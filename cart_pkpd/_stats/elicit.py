"""Priors from what an expert or a publication says of their quantiles."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from cart_pkpd._core.errors import FitError, FitWarning
from cart_pkpd._core.validate import as_mapping, shown
from cart_pkpd._stats.priors import KINDS, Prior, known_kind

_EXACT = 1e-8
_TOLD = 0.005
_KEY = re.compile(r"q(\d{2,})")
_STEPS = 2000
_FAR = 30.0

type Array = NDArray[np.float64]


@dataclass(frozen=True)
class Elicited:
    """A prior and how well it has the quantiles that were asked for.

    It stands for its prior wherever a prior is taken.

    Attributes
    ----------
    prior : Prior
        The distribution.
    asked : mapping of float to float
        Probability: value.
    residual : float
        Largest distance between a probability asked for and that of the prior at its value; 0 up to
        rounding where there are as many quantiles as the prior has numbers.
    """

    prior: Prior
    asked: Mapping[float, float]
    residual: float

    def table(self) -> pd.DataFrame:
        """Return what was asked and what the prior has, a row per quantile.

        Returns
        -------
        pandas.DataFrame
            Indexed by probability: value (asked for), quantile (of the prior), reached (the
            prior's probability up to the value).
        """
        p, x = _arrays(self.asked)
        columns = {"value": x, "quantile": self.prior.quantile(p), "reached": self.prior.cdf(x)}
        return pd.DataFrame(columns, index=pd.Index(p, name="probability"))

    def __str__(self) -> str:
        asked = ", ".join(f"{p:g}: {x:g}" for p, x in self.asked.items())
        return f"{self.prior} from quantiles {{{asked}}}, missed by at most {self.residual:.2g}"


@dataclass(frozen=True)
class _Family:
    """How to search for the numbers of a kind: on a line per number, from a start."""

    make: Callable[[Array, Mapping[str, float]], dict[str, float]]
    start: Callable[[Array, Array, Mapping[str, float]], Array]
    score: Callable[[Array, Mapping[str, float]], Array] | None = None
    to_line: Callable[[Array], Array] = np.asarray
    numbers: int = 2
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


def prior_from_quantiles(kind: str, quantiles: Mapping[float, float], **given: float) -> Elicited:
    """Return the prior of a kind whose quantiles are those given.

    Parameters
    ----------
    kind : str
        ``"lognormal"``, ``"normal"``, ``"logitnormal"``, ``"uniform"``, ``"gamma"``, ``"beta"``,
        ``"truncatednormal"``, ``"cauchy"``, ``"student_t"``, ``"halfnormal"``, ``"halfcauchy"`` or
        ``"exponential"``.
    quantiles : mapping of float to float
        Probability: value, natural scale: ``{0.05: 10, 0.5: 100}``.
    **given
        Numbers that quantiles are not asked to give: ``df`` of ``"student_t"`` (needed), ``lower``
        and ``upper`` of ``"truncatednormal"`` (0 and infinity if not given).

    Returns
    -------
    Elicited
        The prior, with how far it misses what was asked. Two quantiles (one for the last three
        kinds) are met exactly; of more, the sum of squared differences between the probabilities
        asked for and those of the prior at their values is least.

    Raises
    ------
    FitError
        If probabilities or values are impossible or too few, or no prior of this kind has them.

    Examples
    --------
    >>> fit.prior_from_quantiles("lognormal", {0.05: 10, 0.5: 100}).prior
    LogNormal(median=100, sigma=1.4)
    """
    if known_kind(kind) not in _FAMILIES:
        raise FitError(
            f"priors: {kind!r} is a distribution of whole correlation matrices, without quantiles "
            "to start from; give its eta, such as fit.LKJ(eta=2)."
        )
    family = _FAMILIES[known_kind(kind)]
    quantiles = as_mapping(
        quantiles, "quantiles", such_as="{0.05: 10, 0.5: 100}, probability: value"
    )
    numbers = _checked_numbers(kind, family, given)
    p, x = _checked(kind, family, numbers, quantiles)
    try:
        prior = _search(kind, family, p, x, numbers)
    except (FloatingPointError, ValueError, ZeroDivisionError) as problem:
        raise FitError(_none_such(kind, p, x)) from problem
    residual = float(np.max(np.abs(prior.cdf(x) - p)))
    if p.size == family.numbers and not residual < _EXACT:
        raise FitError(_none_such(kind, p, x))
    asked = MappingProxyType(dict(zip(p.tolist(), x.tolist(), strict=True)))
    return Elicited(prior, asked, residual)


def from_record(kind: str, record: Mapping[str, Any]) -> Elicited | None:
    """Return the prior that a record gives by quantiles, or None if it gives none.

    A ``FitWarning`` tells where several quantiles are missed by more than half a percent.
    """
    quantiles: dict[float, float] = {}
    given: dict[str, Any] = {}
    for key, value in record.items():
        if key == "quantiles":
            quantiles |= {float(p): x for p, x in dict(value).items()}
        elif found := _KEY.fullmatch(key):
            quantiles[float(f"0.{found[1]}")] = value
        else:
            given[key] = value
    if not quantiles:
        return None
    found_prior = prior_from_quantiles(kind, quantiles, **given)
    if found_prior.residual > _TOLD:
        warnings.warn(f"{found_prior}.", FitWarning, stacklevel=4)
    return found_prior


def _checked_numbers(kind: str, family: _Family, given: Mapping[str, float]) -> dict[str, float]:
    for name in given:
        if name not in (*family.needs, *family.takes):
            takes = ", ".join((*family.needs, *family.takes)) or "nothing"
            raise FitError(
                f"prior {kind!r} from quantiles takes {takes} beside them, not {name!r}."
            )
    for name in family.needs:
        if name not in given:
            raise FitError(f"prior {kind!r} from quantiles needs {name} beside them.")
    defaults = {f.name: f.default for f in fields(KINDS[kind]) if f.name in family.takes}
    return {k: float(v) for k, v in (defaults | dict(given)).items()}  # type: ignore[arg-type]


def _checked(
    kind: str, family: _Family, numbers: Mapping[str, float], quantiles: Mapping[float, float]
) -> tuple[Array, Array]:
    """Return probabilities and values in rising order."""
    p, x = _arrays(quantiles)
    if p.size < family.numbers:
        raise FitError(
            f"prior {kind!r} needs {family.numbers} quantile{'s' * (family.numbers > 1)}, "
            f"{p.size} given."
        )
    if not ((p > 0) & (p < 1)).all():
        raise FitError(
            f"quantiles of {kind!r}: probabilities lie between 0 and 1, not {p.tolist()}."
        )
    if not (np.isfinite(x).all() and (np.diff(x) > 0).all()):
        raise FitError(
            f"quantiles of {kind!r}: values must rise with their probabilities; they are "
            f"{', '.join(f'{b:g} at {a:g}' for a, b in zip(p, x, strict=True))}."
        )
    low, high = numbers.get("lower", _LOWEST.get(kind, -np.inf)), numbers.get("upper", np.inf)
    high = min(high, _HIGHEST.get(kind, np.inf))
    outside = x[(x <= low) | (x >= high)]
    if outside.size:
        raise FitError(
            f"quantiles of {kind!r}: {outside[0]:g} is impossible; values lie between {low:g} and "
            f"{high:g}."
        )
    return p, x


def _arrays(quantiles: Mapping[float, float]) -> tuple[Array, Array]:
    try:
        pairs = sorted((float(p), float(x)) for p, x in quantiles.items())
    except (TypeError, ValueError) as problem:
        raise FitError(
            "quantiles: give numbers, probability: value, such as {0.05: 10, 0.5: 100}, not "
            f"{shown(dict(quantiles))}."
        ) from problem
    p, x = np.array(pairs, dtype=float).reshape(-1, 2).T
    return p, x


def _none_such(kind: str, p: Array, x: Array) -> str:
    asked = ", ".join(f"{b:g} at {a:g}" for a, b in zip(p, x, strict=True))
    return f"no {kind} prior has the quantiles {asked}; ask for others or take another kind."


def _search(kind: str, family: _Family, p: Array, x: Array, numbers: Mapping[str, float]) -> Prior:
    def at(line: Array) -> Prior:
        return KINDS[kind](**family.make(line, numbers), **numbers)

    start = family.start(p, x, numbers)
    if family.score is not None and p.size == family.numbers:
        return at(start)  # a straight line through two points

    def missed(line: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.asarray(at(line).cdf(x), dtype=float), nan=2.0) - p

    # Wide bounds: where no prior has the quantiles the search runs off to where numbers end.
    room = np.full(start.shape, _FAR)
    if start.size > 1:
        room[0] *= max(1.0, float(np.ptp(x)))
    found = optimize.least_squares(
        missed, start, bounds=(start - room, start + room), xtol=1e-15, ftol=1e-15, gtol=1e-15,
        x_scale=np.maximum(np.abs(start), 0.1), max_nfev=_STEPS,
    )  # fmt: skip
    return at(found.x)


def _line(p: Array, x: Array, score: Array) -> Array:
    """Return centre and ln of the scale of the line of values over scores."""
    slope, centre = np.polyfit(score, x, 1)
    return np.array([centre, np.log(slope)])


def _normal_scores(p: Array, _: Mapping[str, float]) -> Array:
    return special.ndtri(p)


def _located(
    names: tuple[str, str],
    score: Callable[[Array, Mapping[str, float]], Array],
    to_line: Callable[[Array], Array] = np.asarray,
    back: Callable[[float], float] = float,
    needs: tuple[str, ...] = (),
) -> _Family:
    """Return a kind that is a centre and a scale times a score, on the values' own line."""
    return _Family(
        make=lambda line, _: {names[0]: back(line[0]), names[1]: float(np.exp(line[1]))},
        start=lambda p, x, given: _line(p, to_line(x), score(p, given)),
        score=score,
        to_line=to_line,
        needs=needs,
    )


def _scaled(name: str, standard: Callable[[Array], Array]) -> _Family:
    """Return a kind with one number, a scale."""
    return _Family(
        make=lambda line, _: {name: float(np.exp(line[0]))},
        start=lambda p, x, _: np.atleast_1d(np.mean(np.log(x / standard(p)))),
        numbers=1,
    )


def _gamma_start(p: Array, x: Array, _: Mapping[str, float]) -> Array:
    """Return ln shape and ln median of the gamma whose ln is as wide as that of the values."""
    centre, ln_sd = _line(p, np.log(x), special.ndtri(p))
    return np.array([-2.0 * ln_sd, centre])


def _gamma(line: Array, _: Mapping[str, float]) -> dict[str, float]:
    shape = float(np.exp(np.clip(line[0], -30.0, 30.0)))
    return {"shape": shape, "rate": float(special.gammaincinv(shape, 0.5) / np.exp(line[1]))}


def _beta_start(p: Array, x: Array, _: Mapping[str, float]) -> Array:
    """Return logit of the mean and ln of a + b, from the normal that the logits would have."""
    centre, ln_sd = _line(p, special.logit(x), special.ndtri(p))
    mean = float(special.expit(centre))
    sd = np.exp(ln_sd) * mean * (1.0 - mean)
    size = max(mean * (1.0 - mean) / sd**2 - 1.0, 0.5)
    return np.array([centre, np.log(size)])


def _beta(line: Array, _: Mapping[str, float]) -> dict[str, float]:
    mean, size = float(special.expit(line[0])), float(np.exp(line[1]))
    return {"a": mean * size, "b": (1.0 - mean) * size}


def _uniform(line: Array, _: Mapping[str, float]) -> dict[str, float]:
    return {"low": float(line[0]), "high": float(line[0] + np.exp(line[1]))}


_LOWEST = {k: 0.0 for k in ("lognormal", "logitnormal", "halfnormal", "halfcauchy", "exponential",
                            "gamma", "beta")}  # fmt: skip
_HIGHEST = {"logitnormal": 1.0, "beta": 1.0}
_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "normal": _located(("mu", "sigma"), _normal_scores),
        "lognormal": _located(
            ("median", "sigma"), _normal_scores, np.log, lambda v: float(np.exp(v))
        ),
        "logitnormal": _located(
            ("median", "sigma"), _normal_scores, special.logit, lambda v: float(special.expit(v))
        ),
        "cauchy": _located(("mu", "scale"), lambda p, _: np.tan(np.pi * (p - 0.5))),
        "student_t": _located(
            ("mu", "scale"), lambda p, given: special.stdtrit(given["df"], p), needs=("df",)
        ),
        "uniform": _Family(
            make=_uniform, start=lambda p, x, _: _line(p, x, p), score=lambda p, _: p
        ),
        "truncatednormal": _Family(
            make=lambda line, _: {"mu": float(line[0]), "sigma": float(np.exp(line[1]))},
            start=lambda p, x, _: _line(p, x, special.ndtri(p)),
            takes=("lower", "upper"),
        ),
        "gamma": _Family(make=_gamma, start=_gamma_start),
        "beta": _Family(make=_beta, start=_beta_start),
        "halfnormal": _scaled("sigma", lambda p: special.ndtri((1.0 + p) / 2.0)),
        "halfcauchy": _scaled("scale", lambda p: np.tan(np.pi / 2.0 * p)),
        "exponential": _scaled("mean", lambda p: -np.log1p(-p)),
    }
)

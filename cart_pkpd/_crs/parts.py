"""The three parts of the layer as declarations: whether, how severe, when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import one_of
from cart_pkpd._crs.terms import Term, level, peak
from cart_pkpd._stats.priors import (
    Cauchy,
    Exponential,
    Gamma,
    HalfNormal,
    LogNormal,
    Normal,
    Prior,
    StudentT,
)

INTERCEPT_PRIOR = Normal(0.0, 2.0)
STEP_PRIOR = LogNormal(1.5, 0.7)
HAZARD_PRIOR = LogNormal(0.05, 1.5)
_REAL, _POSITIVE = (Normal, StudentT, Cauchy), (LogNormal, HalfNormal, Gamma, Exponential)


@dataclass(frozen=True)
class Quantity:
    """One number that is estimated.

    Attributes
    ----------
    name, label, unit : str
        Name in results, meaning in words, unit.
    prior : Prior
        On the natural scale.
    part : str
        ``"occurrence"``, ``"grade"`` or ``"onset"``.
    term : Term or None
        The predictor whose coefficient it is.
    """

    name: str
    label: str
    unit: str
    prior: Prior
    part: str
    term: Term | None = None

    @property
    def positive(self) -> bool:
        """Whether it is sampled on the log scale."""
        return self.prior.bounds[0] == 0.0


def _checked_terms(terms: Sequence[Term | str] | Term | str, part: str) -> tuple[Term, ...]:
    given = (terms,) if isinstance(terms, Term | str) else tuple(terms)
    usual = level if part == "onset" else peak
    found = tuple(usual(t) if isinstance(t, str) else t for t in given)
    for term in found:
        if not isinstance(term, Term):
            raise ModelError(f"{part}: give terms such as crs.peak('il6'), not {term!r}.")
    names = [t.name for t in found]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"{part}: the term {name!r} is there twice; leave one out.")
    return found


def _check_prior(prior: Prior, kinds: tuple[type[Prior], ...], what: str) -> None:
    if not isinstance(prior, kinds):
        allowed = ", ".join(k.__name__ for k in kinds)
        raise ModelError(f"{what}: the prior must be one of {allowed}, not {prior!r}.")


def _coefficients(terms: tuple[Term, ...], part: str, what: str) -> list[Quantity]:
    for t in terms:
        _check_prior(t.prior, _REAL, f"{part}, {t.name}")
    return [
        Quantity(f"{part}_{t.name}", f"change of {what} per 1 of {t.label}", "1", t.prior, part, t)
        for t in terms
    ]


def _no_time(terms: tuple[Term, ...], part: str) -> None:
    for t in terms:
        if t.in_time:
            raise ModelError(
                f"{part}: {t.name} changes with time, but {part} is one outcome per patient; use "
                f"crs.peak({t.variable!r}) or another summary."
            )


@dataclass(frozen=True, init=False)
class Logistic:
    r"""Whether CRS of any grade occurs in the window: logistic regression.

    .. math:: \operatorname{logit} P(\text{CRS}) = a + \sum_j b_j x_j

    Attributes
    ----------
    terms : tuple of Term
        Predictors; a name stands for the ln of that course's peak.
    intercept : Prior
        Of the log odds of CRS where every term is 0.
    """

    terms: tuple[Term, ...]
    intercept: Prior
    name: ClassVar[str] = "occurrence"

    def __init__(
        self, terms: Sequence[Term | str] | Term | str = (), intercept: Prior = INTERCEPT_PRIOR
    ) -> None:
        object.__setattr__(self, "terms", _checked_terms(terms, self.name))
        object.__setattr__(self, "intercept", intercept)
        _no_time(self.terms, self.name)
        _check_prior(intercept, _REAL, "occurrence, intercept")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is estimated."""
        first = Quantity(
            "occurrence_intercept", "log odds of CRS at the reference", "1", self.intercept,
            self.name,
        )  # fmt: skip
        return (first, *_coefficients(self.terms, self.name, "the log odds of CRS"))


@dataclass(frozen=True, init=False)
class ProportionalOdds:
    r"""How severe: cumulative logits with a common slope for every grade.

    .. math:: \operatorname{logit} P(\text{grade} \ge k) = a_k + \sum_j b_j x_j

    Attributes
    ----------
    terms : tuple of Term
        Predictors; a name stands for the ln of that course's peak.
    levels : tuple of int
        Consecutive grades. From 1: severity given CRS, from patients with CRS. From 0: whether
        and how severe in one, from all patients.
    intercept : Prior
        Of :math:`a` of the second level: the log odds of at least that grade at the reference.
    step : Prior
        Of :math:`a_k - a_{k+1} > 0`: how much lower the log odds of the next grade are.

    Notes
    -----
    Intercepts fall by positive steps, so their order needs no constraint. A grade that nobody
    had leaves its step to the prior.
    """

    terms: tuple[Term, ...]
    levels: tuple[int, ...]
    intercept: Prior
    step: Prior
    name: ClassVar[str] = "grade"

    def __init__(
        self,
        terms: Sequence[Term | str] | Term | str = (),
        levels: Sequence[int] = (1, 2, 3, 4),
        intercept: Prior = INTERCEPT_PRIOR,
        step: Prior = STEP_PRIOR,
    ) -> None:
        object.__setattr__(self, "terms", _checked_terms(terms, self.name))
        object.__setattr__(self, "levels", tuple(int(k) for k in levels))
        object.__setattr__(self, "intercept", intercept)
        object.__setattr__(self, "step", step)
        _no_time(self.terms, self.name)
        _check_prior(intercept, _REAL, "grade, intercept")
        _check_prior(step, _POSITIVE, "grade, step")
        wanted = range(self.levels[0], self.levels[0] + len(self.levels)) if self.levels else ()
        if len(self.levels) < 2 or self.levels != tuple(wanted) or self.levels[0] not in (0, 1):
            raise ModelError(
                f"grade: levels must be consecutive grades from 0 or 1, such as (1, 2, 3, 4), not "
                f"{tuple(levels)!r}."
            )

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The grades k of P(grade ≥ k): all but the lowest level."""
        return self.levels[1:]

    @property
    def given_crs(self) -> bool:
        """Whether the part speaks of patients with CRS only."""
        return self.levels[0] == 1

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is estimated."""
        given = " given CRS" if self.given_crs else ""
        first, *later = self.thresholds
        rows = [
            Quantity(
                "grade_intercept", f"log odds of grade ≥ {first}{given} at the reference", "1",
                self.intercept, self.name,
            )
        ]  # fmt: skip
        rows += [
            Quantity(
                f"grade_step_{k}", f"fall of the log odds from grade ≥ {k - 1} to ≥ {k}", "1",
                self.step, self.name,
            )
            for k in later
        ]  # fmt: skip
        odds = f"the log odds of a higher grade{given}"
        return (*rows, *_coefficients(self.terms, self.name, odds))


@dataclass(frozen=True, init=False)
class Hazard:
    r"""When CRS begins: a hazard along the predicted course.

    .. math:: h(t) = h_0 \exp\bigl(\sum_j b_j x_j(t)\bigr)

    Attributes
    ----------
    terms : tuple of Term
        Predictors; a name stands for the ln of that course's level at each time.
    h0 : Prior
        Of the hazard where every term is 0. [1/day]
    among : {"all", "crs"}
        ``"all"``: every patient is at risk, and those without CRS are censored at the end of the
        window. ``"crs"``: only the timing of those with CRS, given that it lies in the window.
    entry : str
        Patient-level variable with the day from which each patient is at risk; by default all
        from the start of the window.
    follow_up : str
        Patient-level variable with the last day on which CRS could have been seen; by default
        the end of the window for all.
    """

    terms: tuple[Term, ...]
    h0: Prior
    among: Literal["all", "crs"]
    entry: str
    follow_up: str
    name: ClassVar[str] = "onset"

    def __init__(
        self,
        terms: Sequence[Term | str] | Term | str = (),
        h0: Prior = HAZARD_PRIOR,
        among: Literal["all", "crs"] = "all",
        entry: str = "",
        follow_up: str = "",
    ) -> None:
        object.__setattr__(self, "terms", _checked_terms(terms, self.name))
        object.__setattr__(self, "h0", h0)
        object.__setattr__(self, "among", one_of(among, ("all", "crs"), "among", error=ModelError))
        object.__setattr__(self, "entry", entry)
        object.__setattr__(self, "follow_up", follow_up)
        _check_prior(h0, _POSITIVE, "onset, h0")
        for t in self.terms:
            if t.of_course and not t.in_time:
                raise ModelError(
                    f"onset: {t.name} is known only after the window, and a hazard may not look "
                    f"ahead; use crs.level({t.variable!r}) or crs.running_max({t.variable!r})."
                )

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is estimated."""
        first = Quantity(
            "onset_h0", "hazard of onset at the reference", "1/day", self.h0, self.name
        )
        return (first, *_coefficients(self.terms, self.name, "the log hazard of onset"))


Part = Logistic | ProportionalOdds | Hazard


def intercepts(part: ProportionalOdds, values: dict[str, np.ndarray]) -> np.ndarray:
    """Return the intercepts of all thresholds, stacked on a new last axis."""
    found = [np.asarray(values["grade_intercept"], dtype=float)]
    for k in part.thresholds[1:]:
        found.append(found[-1] - np.asarray(values[f"grade_step_{k}"], dtype=float))
    return np.stack(np.broadcast_arrays(*found), axis=-1)

"""The chain from dose to DLT as a declaration: every part, and the prior of every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.names import label
from cart_pkpd._core.validate import probability
from cart_pkpd._crs.parts import ProportionalOdds
from cart_pkpd._dose.power import PowerPriors
from cart_pkpd._stats.priors import HalfNormal, Normal, Prior

SCALE, EXPOSURE_EFFECT, DOSE_EFFECT = HalfNormal(1.5), HalfNormal(1.0), HalfNormal(0.5)
PEAK, PEAK_SLOPE, GRADE_EFFECT = Normal(0.0, 10.0), Normal(0.0, 1.0), Normal(0.0, 1.0)


@dataclass(frozen=True)
class Toxicity:
    """``logit P(DLT) = intercept + exposure ln(E / E*) + dose ln(d / d*)``.

    Attributes
    ----------
    intercept : Normal
        Log odds of a DLT at E* and d*. It has no default: it says how toxic the reference dose is
        thought to be.
    exposure : Prior or float
        Change of the log odds per factor e of exposure. A number fixes it: with 0, and a prior of
        `dose`, the curve is the two-parameter logistic one (BLRM).
    dose : Prior or float
        Change per factor e of dose at the same exposure, shrunk towards 0: what dose does, but
        not through this exposure. A number fixes it.
    """

    intercept: Normal
    exposure: Prior | float = EXPOSURE_EFFECT
    dose: Prior | float = DOSE_EFFECT

    def __post_init__(self) -> None:
        if not isinstance(self.intercept, Normal):
            raise ModelError(
                f"toxicity: the intercept's prior must be Normal on the log odds, such as "
                f"Normal(logit(0.25), 1.5), not {self.intercept!r}."
            )
        for name in ("exposure", "dose"):
            value = getattr(self, name)
            if not isinstance(value, Prior) and not np.isfinite(float(value)):
                raise ModelError(f"toxicity: {name} must be a prior or a number, not {value!r}.")


@dataclass(frozen=True)
class PeakPriors:
    """``ln peak = intercept + slope ln(E / E*) + N(0, sigma)`` of each cytokine.

    Attributes
    ----------
    intercept : Normal
        ln of the typical peak at E*, in the unit of the cytokine.
    slope : Normal
        Per factor e of exposure.
    sigma : HalfNormal
        Between patients of the same exposure.
    """

    intercept: Normal = PEAK
    slope: Normal = PEAK_SLOPE
    sigma: HalfNormal = SCALE


@dataclass(frozen=True)
class Number:
    """One estimated number, or one that is held.

    Attributes
    ----------
    name, label, part : str
    prior : Prior or float
        A number is held at its value.
    """

    name: str
    label: str
    part: str
    prior: Prior | float

    @property
    def held(self) -> bool:
        """Whether it is not estimated."""
        return not isinstance(self.prior, Prior)


@dataclass(frozen=True)
class Links:
    """All parts of the chain.

    Attributes
    ----------
    toxicity : Toxicity
    reference : float
        Dose d*. [dose unit]
    exposure_reference : float or None
        E* [unit of the exposure]; None: the typical exposure at d*, so that the intercept of the
        toxicity means a typical patient at the reference dose.
    metric : str
    exposure : PowerPriors
    cytokines : tuple of str
        Which peaks are modelled.
    peaks : PeakPriors
    grade : crs.ProportionalOdds or None
        Grades from 0, with peaks of cytokines of the chain as terms; None to leave CRS out.
    grade_exposure : Prior
        Change of the log odds of a higher grade per factor e of exposure.
    """

    toxicity: Toxicity
    reference: float
    exposure_reference: float | None = None
    metric: str = "cmax"
    exposure: PowerPriors = field(default_factory=PowerPriors)
    cytokines: tuple[str, ...] = ()
    peaks: PeakPriors = field(default_factory=PeakPriors)
    grade: ProportionalOdds | None = None
    grade_exposure: Prior = GRADE_EFFECT

    def __post_init__(self) -> None:
        for name in ("reference", "exposure_reference"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ModelError(f"chain: {name} must be above 0, not {value!r}.")
        if self.grade is None:
            return
        if self.grade.levels[0] != 0:
            raise ModelError(
                "chain: grades must begin at 0, for all patients: "
                "crs.ProportionalOdds(..., levels=(0, 1, 2, 3, 4))."
            )
        for term in self.grade.terms:
            if term.measure != "peak" or term.variable not in self.cytokines:
                known = ", ".join(self.cytokines) or "none"
                raise ModelError(
                    f"chain: the grade depends on {term.name}, which is not the peak of a "
                    f"cytokine of the chain ({known}); add it to cytokines=, or leave it out."
                )

    @property
    def linked(self) -> tuple[str, ...]:
        """Cytokines on whose peaks the grade depends."""
        return () if self.grade is None else tuple(t.variable for t in self.grade.terms)

    def numbers(self) -> tuple[Number, ...]:
        """Return every number with its prior, in the order of the chain."""
        e, t = self.exposure, self.toxicity
        out = [
            Number("intercept", "ln typical exposure at d*", "exposure", e.intercept),
            Number("slope", "power of dose on exposure", "exposure", e.slope),
            Number("sigma", "SD of ln exposure between patients", "exposure", e.sigma),
        ]
        for c in self.cytokines:
            out += [
                Number(f"{c}_intercept", f"ln typical peak of {label(c)} at E*", "peaks",
                       self.peaks.intercept),
                Number(f"{c}_slope", f"power of exposure on the peak of {label(c)}", "peaks",
                       self.peaks.slope),
                Number(f"{c}_sigma", f"SD of the ln peak of {label(c)} at one exposure", "peaks",
                       self.peaks.sigma),
            ]  # fmt: skip
        out += self._grade_numbers()
        out += [
            Number("dlt_intercept", "log odds of a DLT at E* and d*", "toxicity", t.intercept),
            Number("dlt_exposure", "log odds of a DLT per factor e of exposure", "toxicity",
                   t.exposure),
            Number("dlt_dose", "log odds of a DLT per factor e of dose, same exposure",
                   "toxicity", t.dose),
        ]  # fmt: skip
        return tuple(out)

    def _grade_numbers(self) -> list[Number]:
        if self.grade is None:
            return []
        own = [Number(q.name, q.label, "grade", q.prior) for q in self.grade.quantities]
        text = "log odds of a higher grade per factor e of exposure"
        return [*own, Number("grade_exposure", text, "grade", self.grade_exposure)]

    def term_name(self, cytokine: str) -> str:
        """Return the name of the coefficient of a cytokine's peak on the grade."""
        assert self.grade is not None
        return next(
            q.name
            for q in self.grade.quantities
            if q.term is not None and q.term.variable == cytokine
        )


def usual_grade(cytokines: Sequence[str]) -> ProportionalOdds:
    """Return grades 0 to 4 by the peak of IL-6, where it is there, and of exposure."""
    terms = ["il6"] if "il6" in cytokines else []
    return ProportionalOdds(terms, levels=(0, 1, 2, 3, 4))


def log_odds(p: float) -> float:
    """Return ln(p / (1 − p)).

    Parameters
    ----------
    p : float
        A probability above 0 and below 1.

    Returns
    -------
    float
        The logit.
    """
    return float(special.logit(probability(p, "the DLT probability")))

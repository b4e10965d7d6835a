"""Patient-level covariates as columns of numbers, one per coefficient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import did_you_mean, one_of

POWER, EXPONENTIAL, LINEAR, CATEGORY = "power", "exponential", "linear", "category"
FORMS = (EXPONENTIAL, POWER, LINEAR, CATEGORY)
_CENTRES = ("median", "mean")
_SPREADS = {POWER: 0.5, EXPONENTIAL: 0.5, LINEAR: 0.5, CATEGORY: 1.0}


@dataclass(frozen=True)
class Term:
    """A covariate of a parameter, with what is not to be chosen by itself.

    Attributes
    ----------
    covariate : str
        A patient-level variable of the trial.
    form : str or None
        One of `FORMS`; None chooses: a power of numbers above 0, an exponential of other numbers,
        categories of text and of 0/1.
    centre : float, "median", "mean" or None
        Value of the covariate at which the parameter is the typical one; the median by default.
    reference : str or None
        Category whose parameter is the typical one; the most frequent by default, and the lower
        one of a covariate that changes in time.
    baseline : bool
        Of a covariate that changes in time, only the value at the infusion counts.
    """

    covariate: str
    form: str | None = None
    centre: float | str | None = None
    reference: str | None = None
    baseline: bool = False

    def __post_init__(self) -> None:
        if self.form is not None:
            one_of(self.form, FORMS, "form of a covariate", error=FitError)
        if isinstance(self.centre, str):
            one_of(self.centre, _CENTRES, "centre of a covariate", error=FitError)
        elif self.centre is not None and not np.isfinite(self.centre):
            raise FitError(f"centre of covariate {self.covariate!r} must be a finite number.")
        if self.form == CATEGORY and self.centre is not None:
            raise FitError(
                f"covariate {self.covariate!r}: a category has a reference, not a centre; give "
                "reference=."
            )
        if self.form not in (None, CATEGORY) and self.reference is not None:
            raise FitError(
                f"covariate {self.covariate!r}: form {self.form!r} has a centre, not a reference; "
                "give centre=."
            )

    def describe(self) -> dict[str, Any]:
        """Return what is set, as plain data."""
        found: dict[str, Any] = {"covariate": self.covariate, "form": self.form}
        found |= {"centre": self.centre, "reference": self.reference}
        found |= {"baseline": True if self.baseline else None}
        return {k: v for k, v in found.items() if v is not None}


type Named = str | Term


def term_from(given: Named | Mapping[str, Any]) -> Named:
    """Return a covariate as it was given: a name, a term, or the table of a run file.

    Raises
    ------
    FitError
        For a table without a covariate, or with an unknown key.
    """
    if not isinstance(given, Mapping):
        return given
    known = ("covariate", "form", "centre", "reference", "baseline")
    for key in given:
        if key not in known:
            raise FitError(
                f"covariates: unknown key {key!r}.{did_you_mean(str(key), known)} "
                f"Known: {', '.join(known)}."
            )
    if "covariate" not in given:
        raise FitError("covariates: a table needs the key 'covariate', the variable's name.")
    return Term(**given)


def named_terms(given: Any) -> tuple[Named, ...]:
    """Return the covariates of one parameter, which may be one alone."""
    alone = isinstance(given, str | Term | Mapping)
    return tuple(term_from(one) for one in ((given,) if alone else given))


def as_term(named: Named) -> Term:
    """Return a covariate as a term; a name chooses everything by itself."""
    return Term(named) if isinstance(named, str) else named


def covariate(
    name: str,
    *,
    form: str | None = None,
    centre: float | str | None = None,
    reference: str | None = None,
    baseline: bool = False,
) -> Term:
    """Say how a covariate acts on a parameter.

    Parameters
    ----------
    name : str
        A patient-level variable of the trial.
    form : str
        With the covariate x, its centre c and the coefficient b, a parameter above 0 is multiplied
        by: ``"power"`` (x / c)^b, ``"exponential"`` exp(b (x - c)), ``"linear"`` 1 + b (x - c),
        ``"category"`` exp(b) in another category than the reference. On other parameters power,
        exponential and category add on the free scale (logit or identity). By default a power for
        numbers above 0, an exponential for others, categories for text and 0/1.
    centre : float, ``"median"`` or ``"mean"``
        c, over patients; the median by default.
    reference : str
        Category whose parameter is the typical one; the most frequent by default.
    baseline : bool
        Of a covariate that changes in time, only the value at the infusion counts.

    Returns
    -------
    Term
        For ``population(covariates=...)``.

    Raises
    ------
    FitError
        For an unknown form or centre, or a centre of categories.

    Examples
    --------
    >>> population(covariates={"cmax": ["dose_level", covariate("age", form="exponential")]})
    """
    return Term(name, form, centre, reference, baseline)


@dataclass(frozen=True, eq=False)
class Effect:
    """A covariate's effect on one parameter, as a column of numbers per patient.

    Attributes
    ----------
    parameter, covariate : str
        Names.
    kind : str
        ``power``, ``exponential`` or ``category``.
    reference : float or str
        Centre of numbers, or the category of reference.
    column : ndarray, shape (k,)
        What the coefficient multiplies on the free scale of the parameter.
    name : str
        Of the coefficient, after ``beta_``.
    level : str
        Category that the column marks.
    unit : str
        Of the covariate, empty if not known.
    """

    parameter: str
    covariate: str
    kind: str
    reference: float | str
    column: NDArray[np.float64]
    name: str
    level: str = ""
    unit: str = ""

    @property
    def label(self) -> str:
        """What the coefficient means, for people."""
        return coefficient_label(
            self.parameter, self.covariate, self.kind, self.reference, self.level, self.unit
        )

    @property
    def spread(self) -> float:
        """Standard deviation of the coefficient's prior."""
        return coefficient_spread(self.kind, self.column)


def coefficient_label(
    parameter: str, covariate: str, kind: str, reference: float | str, level: str, unit: str
) -> str:
    """Return what a coefficient means, for people."""
    what = covariate.replace("_", " ")
    if kind == CATEGORY:
        return f"{parameter}: shift if {level} instead of {reference} ({what})"
    if kind == POWER:
        return f"{parameter}: exponent of {what} (10^exponent per 10-fold)"
    each = f"per {unit} of {what}" if unit and unit != "1" else f"per unit of {what}"
    share = "relative change" if kind == LINEAR else "change on the free scale"
    return f"{parameter}: {share} {each}"


def coefficient_spread(kind: str, column: NDArray[np.float64]) -> float:
    """Return the standard deviation of a coefficient's prior.

    Wide for effects that a phase 1 trial could show: a ten-fold dose range and an exponent of 1
    change a level ten-fold.
    """
    size = 1.0 if kind in (POWER, CATEGORY) else max(float(np.std(column)), 1e-12)
    return _SPREADS[kind] / size


def effects(
    covariates: Mapping[str, Sequence[Named]],
    subjects: xr.Dataset,
    apart: frozenset[tuple[str, str]] = frozenset(),
) -> tuple[tuple[Effect, ...], list[str]]:
    """Return the effect columns of every covariate, and what was decided on the way.

    Parameters
    ----------
    covariates : mapping of str to sequence of str or Term
        Parameter -> patient-level variables.
    subjects : xr.Dataset
        Patient-level variables, dim id.
    apart : frozenset of (str, str)
        Parameters and covariates whose effect is no column of numbers.

    Raises
    ------
    FitError
        For a variable that is not there or does not vary, or a form that it cannot have.
    """
    columns: list[Effect] = []
    notes: list[str] = []
    for parameter, named in covariates.items():
        for one in named:
            term = as_term(one)
            if (parameter, term.covariate) not in apart:
                found, said = _columns(parameter, term, subjects)
                columns += found
                notes += said
    return tuple(columns), notes


def variable(term: Term, subjects: xr.Dataset) -> xr.DataArray:
    """Return the variable of a term.

    Raises
    ------
    FitError
        If the trial has none of that name.
    """
    if term.covariate not in subjects:
        raise FitError(
            f"covariates: the trial has no patient-level variable {term.covariate!r}."
            f"{did_you_mean(term.covariate, [str(v) for v in subjects])} "
            f"It has: {', '.join(str(v) for v in subjects)}."
        )
    return subjects[term.covariate]


def _columns(parameter: str, term: Term, subjects: xr.Dataset) -> tuple[list[Effect], list[str]]:
    values = variable(term, subjects)
    if values.dtype.kind not in "fiub":
        _check_text(term)
        return _categorical(parameter, term, values)
    x = values.to_numpy().astype(float)
    if form_of(term, x) == CATEGORY:
        return _categorical(parameter, term, values.copy(data=_as_text(x)))
    return _numeric(parameter, term, values)


def _check_text(term: Term) -> None:
    if term.form not in (None, CATEGORY) or term.centre is not None:
        raise FitError(
            f"covariates: {term.covariate!r} is text, which has categories only; leave form and "
            "centre out, or give numbers in the table."
        )


def form_of(term: Term, x: NDArray[np.float64]) -> str:
    """Return the form of a covariate of numbers: the one asked for, or what suits them.

    Parameters
    ----------
    term : Term
        What was asked for.
    x : ndarray
        Its values, NaN where missing.

    Raises
    ------
    FitError
        If there is one value or none, or one without a logarithm for a power.
    """
    known = x[np.isfinite(x)]
    if known.size == 0 or np.ptp(known) == 0:
        raise FitError(
            f"covariates: {term.covariate!r} has one value or none, so it has no effect."
        )
    form = term.form
    if form is None and term.reference is not None:
        form = CATEGORY
    if form is None and term.centre is None and set(np.unique(known)) <= {0.0, 1.0}:
        form = CATEGORY
    if form is None:
        form = POWER if (known > 0).all() else EXPONENTIAL
    if form == POWER and not (known > 0).all():
        raise FitError(
            f"covariates: {term.covariate!r} has the value {float(known.min()):g}, which has no "
            "logarithm; use form='exponential' or 'linear' instead of 'power'."
        )
    return form


def centre_of(term: Term, form: str, x: NDArray[np.float64]) -> float:
    """Return the value at which the parameter is the typical one.

    Raises
    ------
    FitError
        For a centre of 0 or less of a power.
    """
    known = x[np.isfinite(x)]
    if term.centre is None or term.centre == "median":
        return float(np.median(known))
    centre = float(np.mean(known)) if term.centre == "mean" else float(term.centre)
    if form == POWER and not centre > 0:
        raise FitError(
            f"covariates: the centre of {term.covariate!r} is {centre:g}, and a power needs one "
            "above 0."
        )
    return centre


def filled(term: Term, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """Return the values with missing ones at the median, and a sentence if there are any."""
    middle = float(np.median(x[np.isfinite(x)]))
    missing = int((~np.isfinite(x)).sum())
    said = [f"{term.covariate}: {missing} missing set to the median {middle:.4g}"]
    return np.where(np.isfinite(x), x, middle), said if missing else []


def _numeric(parameter: str, term: Term, values: xr.DataArray) -> tuple[list[Effect], list[str]]:
    x = values.to_numpy().astype(float)
    form = form_of(term, x)
    centre = centre_of(term, form, x)
    whole, notes = filled(term, x)
    column = np.log(whole / centre) if form == POWER else whole - centre
    name, unit = f"{parameter}_{term.covariate}", str(values.attrs.get("units", ""))
    return [Effect(parameter, term.covariate, form, centre, column, name, unit=unit)], notes


def _as_text(x: NDArray[np.float64]) -> NDArray[np.str_]:
    return np.array([f"{v:g}" if np.isfinite(v) else "" for v in x])


def _categorical(
    parameter: str, term: Term, values: xr.DataArray
) -> tuple[list[Effect], list[str]]:
    covariate, text = term.covariate, values.to_numpy().astype(str)
    levels, counts = np.unique(text[text != ""], return_counts=True)
    if levels.size < 2:
        raise FitError(f"covariates: {covariate!r} has one value or none, so it has no effect.")
    if term.form != CATEGORY and levels.size > max(2, counts.sum() / 2):
        raise FitError(
            f"covariates: {covariate!r} has {levels.size} categories in {counts.sum()} patients, "
            "about one for each patient, so their effects cannot be told from the variability "
            "between patients; leave it out, or group its categories in the table. "
            f"fit.covariate({covariate!r}, form='category') fits it all the same."
        )
    frequent = str(levels[np.argmax(counts)])
    reference = frequent
    if term.reference is not None:
        known = [str(level) for level in levels]
        reference = one_of(str(term.reference), known, f"value of {covariate}", error=FitError)
    missing = int((text == "").sum())
    notes = [f"{covariate}: {missing} missing set to {frequent!r}"] if missing else []
    text = np.where(text == "", frequent, text)
    effects = [
        Effect(
            parameter,
            covariate,
            CATEGORY,
            reference,
            (text == level).astype(float),
            f"{parameter}_{covariate}_{level}",
            str(level),
        )
        for level in levels
        if level != reference
    ]
    return effects, notes

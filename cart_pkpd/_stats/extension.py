"""What a population asks of a model beyond its declaration: factors and acting covariates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.units import canonical, product
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._engine.expression import symbols_of
from cart_pkpd._engine.program import value_symbol
from cart_pkpd._stats.covariates import (
    CATEGORY,
    LINEAR,
    POWER,
    Named,
    Term,
    as_term,
    centre_of,
    coefficient_label,
    coefficient_spread,
    filled,
    form_of,
    variable,
)
from cart_pkpd._stats.design import Change, Design
from cart_pkpd._stats.priors import Prior, TruncatedNormal
from cart_pkpd.models import ClosedFormModel, Model, Positive, Real
from cart_pkpd.models._extended import Acting, Scaling, extended, moves_a_switch

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extension:
    """A model and design with what the population adds.

    Attributes
    ----------
    model : Model
        With factors and coefficients as parameters.
    design : Design
        With the numbers that act, and how they change.
    apart : frozenset of (str, str)
        Parameters and covariates whose effect the model itself has.
    priors : mapping of str to Prior
        Of coefficients that have bounds.
    notes, words : tuple of str
        What was decided, and what acts, in words.
    scalings, actings : tuple
        What was added to the model.
    """

    model: Model
    design: Design
    apart: frozenset[tuple[str, str]] = frozenset()
    priors: Mapping[str, Prior] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    scalings: tuple[Scaling, ...] = ()
    actings: tuple[Acting, ...] = ()

    def around(self, model: Model) -> Model:
        """Return another model with the same additions."""
        return extended(model, self.scalings, self.actings)


@dataclass(frozen=True, eq=False)
class _Number:
    """A number that acts on a parameter: its value at the start, and its changes."""

    acting: Acting
    start: Array
    changes: tuple[Change, ...]
    prior: Prior | None
    notes: tuple[str, ...]
    words: str


def extend(
    model: Model,
    design: Design,
    scale: Sequence[str],
    covariates: Mapping[str, Sequence[Named]],
) -> Extension:
    """Return model and design with factors of endpoints, and covariates that are no column.

    Those are covariates that change in time, and those with a linear effect.

    Raises
    ------
    FitError
        For an endpoint that is not fitted, a covariate or form that is not possible, or a model
        whose parameters cannot change in time.
    """
    scalings = tuple(_scaling(model, design, name) for name in scale)
    numbers = list(_numbers(model, design, covariates))
    if not scalings and not numbers:
        return Extension(model, design)
    names = [n.acting.covariate for n in numbers]
    others = tuple(c for c in design.changes if c.name not in names)
    actings = tuple(n.acting for n in numbers)
    return Extension(
        model=extended(model, scalings, actings),
        design=replace(
            design,
            known={**design.known, **{n.acting.covariate: n.start for n in numbers}},
            changes=(*others, *(c for n in numbers for c in n.changes)),
        ),
        apart=frozenset((p, t.covariate) for p, t in _terms(covariates) if _is_apart(t, design)),
        priors=MappingProxyType(
            {n.acting.coefficient: n.prior for n in numbers if n.prior is not None}
        ),
        notes=tuple(note for n in numbers for note in n.notes),
        words=tuple(n.words for n in numbers),
        scalings=scalings,
        actings=actings,
    )


def _scaling(model: Model, design: Design, name: str) -> Scaling:
    if name not in design.endpoints:
        raise FitError(
            f"scale: {name!r} is not fitted.{did_you_mean(name, design.endpoints)} "
            f"This fit has: {', '.join(design.endpoints)}."
        )
    measure = design.measures[design.index(name)]
    closed = isinstance(model, ClosedFormModel)
    predicted = next(iter(model.endpoints.values())) if closed else model.endpoints.get(name)
    same = predicted is None or canonical(predicted) == canonical(measure.unit)
    unit = "1" if same else product(measure.unit, str(predicted), -1)
    about = f"scale factor of {measure.label}"
    return Scaling(name, Positive(1.0, unit, about), measure.unit)


def _terms(covariates: Mapping[str, Sequence[Named]]) -> Iterator[tuple[str, Term]]:
    for parameter, named in covariates.items():
        for one in named:
            yield parameter, as_term(one)


def _is_apart(term: Term, design: Design) -> bool:
    return term.form == LINEAR or bool(_changes(term, design))


def _changes(term: Term, design: Design) -> list[Change]:
    """Return how a covariate changes within patients."""
    return [] if term.baseline else [c for c in design.changes if c.name == term.covariate]


def _numbers(
    model: Model, design: Design, covariates: Mapping[str, Sequence[Named]]
) -> Iterator[_Number]:
    for parameter, term in _terms(covariates):
        # Whatever is wrong with the parameter's name is said elsewhere.
        if parameter in model.estimated and _is_apart(term, design):
            yield _number(model, design, parameter, term)


def _number(model: Model, design: Design, parameter: str, term: Term) -> _Number:
    changes = _changes(term, design)
    if changes:
        _check_changing(model, design, parameter, changes[0])
    start, unit, notes = _start(term, design)
    later = np.array([c.value for c in changes])
    form = form_of(term, np.concatenate([start, later]))
    if form == LINEAR and not isinstance(model.parameters[parameter], Positive):
        raise FitError(
            f"covariates: a linear effect multiplies a parameter above 0, and {parameter!r} is "
            f"{model.parameters[parameter].support}; use form='exponential', which adds on its "
            "free scale."
        )
    if form == CATEGORY:
        level, reference = _levels(term, np.concatenate([start, later]))

        def number(x: Array) -> Array:
            return np.where(x == float(level), 1.0, 0.0)

        centre: float | str = reference
        name = f"{parameter}_{term.covariate}_{level}"
    else:
        level, middle = "", centre_of(term, form, start)

        def number(x: Array) -> Array:
            return np.log(x / middle) if form == POWER else x - middle

        centre, name = middle, f"{parameter}_{term.covariate}"
    x, x_later = number(start), number(later)
    every = np.concatenate([x, x_later])
    spread = coefficient_spread(form, every)
    about = coefficient_label(parameter, term.covariate, form, centre, level, unit)
    symbol = f"x_{parameter}_{term.covariate}"
    acting = Acting(
        parameter, f"beta_{name}", Real(0.0, "1", about, spread=spread), symbol, form == LINEAR
    )
    moved = sorted({c.patient for c in changes})
    if changes:
        notes.append(
            f"{term.covariate} changes in {len(moved)} patients; {parameter} follows it from each "
            "change on."
        )
        notes += _only_at_start(model, parameter, term)
    return _Number(
        acting,
        x,
        tuple(
            Change(c.patient, c.time, symbol, float(v))
            for c, v in zip(changes, x_later, strict=True)
        ),
        _bounded(spread, every) if form == LINEAR else None,
        tuple(notes),
        f"{term.covariate} on {parameter} ({form}{', changing in time' if changes else ''})",
    )


def _check_changing(model: Model, design: Design, parameter: str, first: Change) -> None:
    where = (
        f"covariates: {first.name!r} changes within patients (patient "
        f"{str(design.ids[first.patient])!r}, day {first.time:g})"
    )
    how = f"fit.covariate({first.name!r}, baseline=True) takes its value at the infusion only."
    kind = type(model).__name__
    if isinstance(model, ClosedFormModel):
        raise FitError(
            f"{where}, and {kind} is a closed form, whose parameters hold for the whole course. "
            f"Use a model given by differential equations; {how}"
        )
    if moves_a_switch(model, parameter):
        raise FitError(
            f"{where}, and {parameter!r} is when the equations of {kind} jump, which is one time "
            f"for each patient. Let it act on another parameter; {how}"
        )


def _start(term: Term, design: Design) -> tuple[Array, str, list[str]]:
    """Return values at the infusion, their unit, and what was imputed."""
    if term.covariate not in design.subjects and _changes(term, design):
        # An event, such as a co-medication, that is off before it is given.
        return np.zeros(design.n_patients), "", []
    values = variable(term, design.subjects)
    if values.dtype.kind not in "fiub":
        raise FitError(
            f"covariates: {term.covariate!r} is text, and a linear effect or one that changes in "
            "time needs numbers; give numbers in the table."
        )
    x = values.to_numpy().astype(float)
    if not np.isfinite(x).any():
        raise FitError(f"covariates: {term.covariate!r} is missing for everybody.")
    whole, notes = filled(term, x)
    return whole, str(values.attrs.get("units", "")), notes


def _levels(term: Term, x: Array) -> tuple[str, str]:
    """Return the category that is marked and the one of reference."""
    levels = [f"{v:g}" for v in np.unique(x)]
    if len(levels) != 2:
        raise FitError(
            f"covariates: {term.covariate!r} has {len(levels)} categories and changes in time; "
            "give one column of 0 and 1 for each category."
        )
    reference = levels[0] if term.reference is None else str(term.reference)
    if reference not in levels:
        raise FitError(
            f"covariates: {reference!r} is not a value of {term.covariate!r}. Values: "
            f"{', '.join(levels)}."
        )
    return levels[1 - levels.index(reference)], reference


def _only_at_start(model: Model, parameter: str, term: Term) -> list[str]:
    program = model.program
    later = symbols_of((*program.rhs, *program.observe, *program.dose_factor))
    if str(value_symbol(parameter).value) in later:
        return []
    return [
        f"{parameter} is used for the initial state only, so that only the value of "
        f"{term.covariate} at the infusion counts."
    ]


def _bounded(spread: float, x: Array) -> TruncatedNormal:
    """Return the prior of a linear effect: the parameter stays above 0 for all that were seen."""
    high, low = float(x.max()), float(x.min())
    lower = -1.0 / high if high > 0 else -np.inf
    upper = -1.0 / low if low < 0 else np.inf
    return TruncatedNormal(0.0, spread, lower, upper)

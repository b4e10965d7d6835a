"""The population around a model: who varies, with what, and how measurements scatter.

`Population` is what the user writes; :func:`resolve` joins it with a model and the data into
a `Structure`, which holds every array and prior that a sampler needs and no sampler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import did_you_mean, one_of
from cart_pkpd._stats.agreement import (
    check_inputs,
    check_measures,
    check_priors,
    check_units,
    check_values,
)
from cart_pkpd._stats.covariates import Effect
from cart_pkpd._stats.covariates import effects as covariate_effects
from cart_pkpd._stats.design import QUANTIFIED, Design, Measure
from cart_pkpd._stats.error import ERRORS, ErrorModel, Sigma, error_model
from cart_pkpd._stats.occasions import occasion_labels
from cart_pkpd._stats.priors import (
    Beta,
    HalfNormal,
    LogitNormal,
    LogNormal,
    Normal,
    Prior,
    prior_from,
)
from cart_pkpd._stats.random_effects import (
    RandomEffects,
    blocks_of,
    effects_of,
    iov_name,
    shapes_of,
)
from cart_pkpd.models import Model
from cart_pkpd.models._occasions import deviations_of, with_occasions, without_occasions

_DEFAULT_IIV = 0.5
_HALF_NORMAL_MEDIAN = 0.6744897501960817
FREE_NORMAL: Mapping[str, type[LogNormal | LogitNormal | Normal]] = MappingProxyType(
    {"log": LogNormal, "logit": LogitNormal, "identity": Normal}
)
"""The prior that is normal on the free scale, by that scale."""


@dataclass(frozen=True)
class Population:
    """What varies between patients and how measurements scatter.

    Attributes
    ----------
    iiv : tuple of str
        Parameters that vary between patients (omega, a standard deviation on the free scale).
    error : str
        Residual error: one of ``lognormal``, ``student_t``, ``additive``, ``proportional``,
        ``combined``.
    errors : mapping of str to str
        Residual error of the endpoints that have another, by name.
    covariates : mapping of str to tuple of str
        Patient-level covariates of each parameter: positive numbers act as a power of
        covariate / median, other numbers as an exponential of the difference from the
        median, 0/1 and text as a shift against the most frequent value.
    non_expanders : str or None
        Parameter whose distribution is a mixture of expanders and non-expanders.
    priors : mapping of str to Prior
        Priors changed by name (``cmax``, ``omega_cmax``, ``sigma_log`` …).
    centred : tuple of str or None
        Parameters sampled around the population value instead of as standardised
        deviations; None lets the data decide. Changes speed, never the model.
    corr : tuple of tuple of str
        Blocks of parameters whose deviations are correlated.
    iov : tuple of str
        Parameters that also vary from occasion to occasion of a patient.
    """

    iiv: tuple[str, ...] = ()
    error: str = "lognormal"
    errors: Mapping[str, str] = field(default_factory=dict)
    covariates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    non_expanders: str | None = None
    priors: Mapping[str, Prior] = field(default_factory=dict)
    centred: tuple[str, ...] | None = None
    corr: tuple[tuple[str, ...], ...] = ()
    iov: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for error in (self.error, *self.errors.values()):
            one_of(error, ERRORS, "residual error", error=FitError)
        object.__setattr__(self, "errors", MappingProxyType(dict(self.errors)))
        frozen = {
            str(k): (v,) if isinstance(v, str) else tuple(v) for k, v in self.covariates.items()
        }
        object.__setattr__(self, "covariates", MappingProxyType(frozen))
        object.__setattr__(
            self, "priors", MappingProxyType({k: prior_from(v) for k, v in self.priors.items()})
        )
        if len(set(self.iiv)) != len(self.iiv):
            raise FitError(f"iiv names a parameter twice: {', '.join(self.iiv)}.")
        if len(set(self.iov)) != len(self.iov):
            raise FitError(f"iov names a parameter twice: {', '.join(self.iov)}.")
        object.__setattr__(self, "corr", blocks_of(self.corr, self.iiv, self.non_expanders))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            self.iiv,
            self.error,
            dict(self.errors),
            dict(self.covariates),
            self.non_expanders,
            dict(self.priors),
            self.centred,
            self.corr,
            self.iov,
        )

    def describe(self) -> dict[str, Any]:
        """Return the specification as plain data, for files and reports."""
        return {
            "iiv": list(self.iiv),
            "corr": [list(block) for block in self.corr],
            "iov": list(self.iov),
            "error": self.error,
            "errors": dict(self.errors),
            "covariates": {k: list(v) for k, v in self.covariates.items()},
            "non_expanders": self.non_expanders,
            "priors": {k: str(v) for k, v in self.priors.items()},
        }


@dataclass(frozen=True)
class Quantity:
    """One population-level unknown: name, meaning, unit, role and prior.

    Attributes
    ----------
    name, label, unit : str
        As in results and tables.
    role : str
        ``typical``, ``omega``, ``correlation``, ``iov``, ``covariate``, ``mixture`` or
        ``residual``.
    prior : Prior
        On the natural scale.
    parameter : str
        The model parameter it belongs to, empty for residual errors.
    measure : str
        The endpoint whose residual error it belongs to, empty for all others.
    """

    name: str
    label: str
    unit: str
    role: str
    prior: Prior
    parameter: str = ""
    measure: str = ""


@dataclass(frozen=True, eq=False)
class Structure:
    """A model, a population and data joined: everything a sampler needs.

    Attributes
    ----------
    errors : tuple of ErrorModel
        Residual error of each measure of the design.
    quantities : tuple of Quantity
        Typical values, omegas, covariate coefficients, mixture and residual parameters.
    effects : tuple of Effect
        Covariate columns, one per coefficient.
    notes : tuple of str
        What was decided on the way (imputed covariates, reference values).
    """

    model: Model
    population: Population
    design: Design
    errors: tuple[ErrorModel, ...]
    quantities: tuple[Quantity, ...]
    effects: tuple[Effect, ...]
    notes: tuple[str, ...]

    @property
    def error(self) -> ErrorModel:
        """Residual error of the sole measure; FitError if there are several."""
        return self.errors[self.design.index(None)]

    @property
    def log(self) -> tuple[bool, ...]:
        """Whether each measure is compared on the log scale."""
        return tuple(error.on_log for error in self.errors)

    @cached_property
    def random(self) -> RandomEffects:
        """How the patients' deviations are distributed."""
        population = self.population
        return effects_of(population.iiv, population.corr, deviations_of(self.model))

    @cached_property
    def acts(self) -> NDArray[np.bool_]:
        """Whether each random effect acts on a record of each patient, shape (k, r).

        A deviation on an occasion that the patient does not have acts on nothing.
        """
        out = np.ones((self.design.n_patients, self.random.size), dtype=bool)
        there = {(o.patient, o.label) for o in self.design.occasions}
        for name, (_, label) in deviations_of(self.model).items():
            at = self.random.names.index(name)
            out[:, at] = [(i, label) in there for i in range(out.shape[0])]
        return out

    @cached_property
    def located(self) -> tuple[str, ...]:
        """The parameters that have a typical value: all that are estimated but deviations."""
        apart = deviations_of(self.model)
        return tuple(n for n in self.model.estimated if n not in apart)

    def sigmas(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """Return the residual parameters of each measure, as its error names them.

        Parameters
        ----------
        values : mapping of str to array_like
            By name of the quantity; others are ignored.
        """
        return tuple(
            {s.name: values[_sigma_name(s, m, self.design)] for s in error.sigmas}
            for error, m in zip(self.errors, self.design.measures, strict=True)
        )

    def among(self, patients: Sequence[int]) -> Structure:
        """Return the same structure with some of the patients, given in rising order.

        Quantities, priors and reference values of covariates stay those of all patients.
        """
        chosen = np.asarray(patients, dtype=np.int64)
        effects = tuple(replace(e, column=e.column[chosen]) for e in self.effects)
        return replace(self, design=self.design.among(patients), effects=effects)

    def of_role(self, role: str) -> tuple[Quantity, ...]:
        """Return the quantities with this role, in order."""
        return tuple(q for q in self.quantities if q.role == role)

    def sentence(self) -> str:
        """Return what is fitted in words: model, variability, covariates, error, what is held."""
        model, population = without_occasions(self.model), self.population
        said = [f"{model.label or model.name or type(model).__name__}; {self._errors_in_words()}"]
        if population.iiv:
            said.append(f"varying between patients: {', '.join(population.iiv)}")
        if population.corr:
            blocks = (" with ".join(block) for block in population.corr)
            said.append(f"correlated: {'; '.join(blocks)}")
        if population.iov:
            said.append(f"varying between occasions: {', '.join(population.iov)}")
        if self.effects:
            acting = (f"{e.covariate} on {e.parameter} ({e.kind})" for e in self.effects)
            said.append(f"covariates: {', '.join(acting)}")
        if population.non_expanders:
            said.append("a share of patients are non-expanders")
        if model.fixed:
            held = (f"{k} = {v:g} {model.parameters[k].unit}" for k, v in model.fixed.items())
            said.append(f"held fixed: {', '.join(held)}")
        if population.priors:
            changed = (f"{k} {v}" for k, v in population.priors.items())
            said.append(f"priors changed: {', '.join(changed)}")
        return "; ".join(said) + "."

    def _errors_in_words(self) -> str:
        if not self.design.several:
            return f"{self.error.label} error"
        both = zip(self.errors, self.design.measures, strict=True)
        return ", ".join(f"{error.label} error of {m.label}" for error, m in both)

    def quantity(self, name: str) -> Quantity:
        """Return the quantity called `name`."""
        return next(q for q in self.quantities if q.name == name)


def population(
    *,
    iiv: Sequence[str] = (),
    error: str | None = None,
    errors: Mapping[str, str] | None = None,
    covariates: Mapping[str, Sequence[str]] | None = None,
    non_expanders: bool | str | None = None,
    censoring: str = "m3",
    priors: Mapping[str, Prior | Mapping[str, Any]] | None = None,
    centred: Sequence[str] | None = None,
    corr: str | Sequence[Sequence[str]] | None = None,
    iov: Sequence[str] = (),
) -> Population:
    """Say what varies between patients and how measurements scatter.

    Parameters
    ----------
    iiv : sequence of str
        Parameters with between-patient variability; none means one curve for all.
    error : str
        ``"lognormal"`` (default), ``"student_t"``, ``"additive"``, ``"proportional"`` or
        ``"combined"``; of every endpoint.
    errors : mapping of str to str
        The same by endpoint, ``{"transgene": "student_t", "il6": "additive"}``; log-normal for
        those not named.
    covariates : mapping of str to sequence of str
        ``{"cmax": ["dose_level"]}``.
    non_expanders : bool or str
        True for a share of patients whose cells do not expand: the distribution of
        ``cmax`` (or of the parameter named) becomes a mixture of two normals on the free
        scale, the lower one shifted down.
    censoring : str
        ``"m3"``: censored records contribute the probability of lying beyond their limit.
    priors : mapping
        Priors by name, as Prior or as ``{"kind": "halfnormal", "sigma": 1}``.
    centred : sequence of str
        Advanced: sampling parametrisation; the default decides from the data.
    corr : str or sequence of sequence of str
        Which deviations are correlated: ``"full"`` for all of `iiv`, or blocks such as
        ``[["cmax", "alpha"], ["tmax", "beta"]]``; none by default. The prior of each block is
        ``LKJ(eta=2)``; ``priors={"corr": fit.LKJ(eta=1)}`` changes that of all blocks, the name of
        one correlation (``corr_cmax_alpha``) that of its block.
    iov : sequence of str
        Parameters with variability between the occasions of a patient, one standard deviation
        each. Occasions are those of the table (OCC), or the infusions where it has none.

    Returns
    -------
    Population

    Raises
    ------
    FitError
        For names or values that are not known.
    """
    one_of(censoring, ["m3"], "censoring method", error=FitError)
    if errors is not None and error is not None:
        raise FitError("give either error= or errors=: one for all endpoints, or each its own.")
    mixture = "cmax" if non_expanders is True else (non_expanders or None)
    return Population(
        iiv=(iiv,) if isinstance(iiv, str) else tuple(iiv),
        error=error or "lognormal",
        errors=dict(errors or {}),
        covariates={
            k: (v,) if isinstance(v, str) else tuple(v) for k, v in (covariates or {}).items()
        },
        non_expanders=mixture,
        priors={k: prior_from(v) for k, v in (priors or {}).items()},
        centred=None if centred is None else tuple(centred),
        corr=blocks_of(corr, (iiv,) if isinstance(iiv, str) else tuple(iiv), mixture),
        iov=(iov,) if isinstance(iov, str) else tuple(iov),
    )


def resolve(model: Model, population: Population, design: Design) -> Structure:
    """Join model, population and data; check that they fit together.

    Raises
    ------
    FitError
        For a parameter, covariate or prior that does not exist, a unit that differs from the
        data's, or measurements that the residual error cannot describe.
    """
    model = without_occasions(model)
    _check_parameters(model, population)
    check_measures(model, design)
    check_units(model, design)
    errors = error_models(population, design)
    check_values(errors, design)
    effects, notes = covariate_effects(population.covariates, design.subjects)
    said = (*notes, *check_inputs(model, design))
    quantities = (
        *_typical(model),
        *_omegas(model, population),
        *_correlations(population),
        *_between_occasions(model, population),
        *(_coefficient(model, e) for e in effects),
        *_mixture(model, population),
        *_residual(errors, design),
    )
    _check_distinct(quantities)
    quantities = _with_priors(quantities, population)
    check_priors(quantities, model)
    if population.iov:
        model = with_occasions(model, population.iov, occasion_labels(design))
    return Structure(model, population, design, errors, quantities, effects, said)


def error_models(population: Population, design: Design) -> tuple[ErrorModel, ...]:
    """Return the residual error of each measure of a design.

    Raises
    ------
    FitError
        If an error is given for an endpoint that is not fitted.
    """
    for name in population.errors:
        if name not in design.endpoints:
            raise FitError(
                f"errors: {name!r} is not fitted.{did_you_mean(name, design.endpoints)} "
                f"This fit has: {', '.join(design.endpoints)}."
            )
    return tuple(error_model(population.errors.get(e, population.error)) for e in design.endpoints)


def _check_distinct(quantities: tuple[Quantity, ...]) -> None:
    names = [q.name for q in quantities]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise FitError(f"{twice[0]!r} is there twice; name each covariate of a parameter once.")


def _check_parameters(model: Model, population: Population) -> None:
    used = {
        "iiv": population.iiv, "iov": population.iov, "covariates": population.covariates
    }  # fmt: skip
    for what, given in used.items():
        for name in given:
            if name not in model.parameters:
                raise FitError(
                    f"{what}: the model has no parameter {name!r}."
                    f"{did_you_mean(name, model.parameters)} It has: {', '.join(model.parameters)}."
                )
            if name in model.fixed:
                raise FitError(f"{what}: {name!r} is fixed; leave it out or estimate it.")
    for name in population.centred or ():
        if name not in population.iiv:
            raise FitError(f"centred: {name!r} has no between-patient variability.")
    mixture = population.non_expanders
    if mixture is not None and mixture not in population.iiv:
        raise FitError(f"non_expanders: {mixture!r} must vary between patients; add it to iiv.")


def _typical(model: Model) -> list[Quantity]:
    return [
        Quantity(
            name,
            p.about or name,
            p.unit,
            "typical",
            FREE_NORMAL[p.scale](p.typical, p.spread),
            name,
        )
        for name, p in model.parameters.items()
        if name not in model.fixed
    ]


def _omegas(model: Model, population: Population) -> list[Quantity]:
    """Half-normal priors whose median is the published omega."""
    return [
        Quantity(
            f"omega_{name}",
            f"IIV of {name} (SD, {model.parameters[name].scale} scale)",
            "1",
            "omega",
            HalfNormal((model.parameters[name].iiv or _DEFAULT_IIV) / _HALF_NORMAL_MEDIAN),
            name,
        )
        for name in population.iiv
    ]


def _correlations(population: Population) -> list[Quantity]:
    effects = effects_of(population.iiv, population.corr, {})
    priors, _ = shapes_of(effects, population.priors)
    return [
        Quantity(
            name,
            f"correlation of {effects.names[b]} and {effects.names[a]} (free scales)",
            "1",
            "correlation",
            priors[name],
            effects.names[a],
        )
        for name, (a, b) in zip(effects.correlations, effects.pairs, strict=True)
    ]


def _between_occasions(model: Model, population: Population) -> list[Quantity]:
    """Half-normal priors whose median is half the published omega."""
    return [
        Quantity(
            iov_name(name),
            f"IOV of {name} (SD, {model.parameters[name].scale} scale)",
            "1",
            "iov",
            HalfNormal((model.parameters[name].iiv or _DEFAULT_IIV) / 2 / _HALF_NORMAL_MEDIAN),
            name,
        )
        for name in population.iov
    ]


def _coefficient(model: Model, effect: Effect) -> Quantity:
    words = {
        "power": f"exponent of {effect.covariate} / {effect.reference:.4g}"
        if isinstance(effect.reference, float)
        else "",
        "linear": f"effect per unit of {effect.covariate}",
        "category": f"shift if {effect.level} instead of {effect.reference}",
    }
    # Wide for effects that a phase 1 trial could show: a ten-fold dose range and an
    # exponent of 1 change a level ten-fold.
    prior = {"power": 0.5, "linear": 0.5, "category": 1.0}[effect.kind]
    if effect.kind == "linear":
        prior /= max(float(np.std(effect.column)), 1e-12)
    return Quantity(
        f"beta_{effect.name}",
        f"{effect.parameter}: {words[effect.kind]}",
        "1",
        "covariate",
        Normal(0.0, prior),
        effect.parameter,
    )


def _mixture(model: Model, population: Population) -> list[Quantity]:
    if population.non_expanders is None:
        return []
    scale = model.parameters[population.non_expanders].scale
    return [
        Quantity(
            "p_non_expander", "share of non-expanders", "1", "mixture", Beta(1.0, 4.0),
            population.non_expanders,
        ),
        Quantity(
            "non_expander_shift", f"non-expander distance ({scale})", "1", "mixture",
            LogNormal(4.0, 0.35), population.non_expanders,
        ),
    ]  # fmt: skip


def _residual(errors: Sequence[ErrorModel], design: Design) -> list[Quantity]:
    return [
        Quantity(
            _sigma_name(sigma, measure, design),
            f"{sigma.label}, {measure.label}" if design.several else sigma.label,
            measure.unit if sigma.in_data_units else "1",
            "residual",
            HalfNormal(typical_size(design, m)) if sigma.in_data_units else sigma.prior,
            measure=measure.name,
        )
        for m, (error, measure) in enumerate(zip(errors, design.measures, strict=True))
        for sigma in error.sigmas
    ]


def _sigma_name(sigma: Sigma, measure: Measure, design: Design) -> str:
    return f"{sigma.name}_{measure.name}" if design.several else sigma.name


def typical_size(design: Design, measure: int) -> float:
    """Return the median size of what was measured, 0 apart; of quantified records if any."""
    own = (design.measure == measure) & (design.dv != 0)
    quantified = own & (design.code == QUANTIFIED)
    values = design.dv[quantified if quantified.any() else own]
    return float(np.median(np.abs(values))) if values.size else 1.0


def _with_priors(quantities: tuple[Quantity, ...], population: Population) -> tuple[Quantity, ...]:
    known = {q.name for q in quantities}
    # Those of correlations are of whole blocks, and stand there already.
    _, blocks = shapes_of(effects_of(population.iiv, population.corr, {}), population.priors)
    for name in population.priors:
        if name not in known and name not in blocks:
            raise FitError(
                f"priors: no quantity {name!r} in this fit.{did_you_mean(name, known)} "
                f"There are: {', '.join(q.name for q in quantities)}."
            )
    own = {k: v for k, v in population.priors.items() if k not in blocks}
    return tuple(replace(q, prior=own.get(q.name, q.prior)) for q in quantities)

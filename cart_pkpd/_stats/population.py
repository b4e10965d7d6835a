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
from cart_pkpd._core.validate import did_you_mean, one_of, shown
from cart_pkpd._stats import arguments, left_out
from cart_pkpd._stats import censoring as censored
from cart_pkpd._stats import shown as shown_as
from cart_pkpd._stats.agreement import (
    check_inputs,
    check_measures,
    check_priors,
    check_units,
    check_values,
)
from cart_pkpd._stats.covariates import Effect, Named, named_terms
from cart_pkpd._stats.covariates import effects as covariate_effects
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.error import ERRORS, ErrorModel, error_model
from cart_pkpd._stats.extension import extend
from cart_pkpd._stats.occasions import occasion_labels
from cart_pkpd._stats.priors import (
    Prior,
    prior_from,
)
from cart_pkpd._stats.quantities import (
    Quantity,
    coefficient_quantity,
    correlation_quantities,
    mixture_quantities,
    occasion_quantities,
    omega_quantities,
    residual_quantities,
    sigma_name,
    typical_quantities,
)
from cart_pkpd._stats.random_effects import (
    CORRELATION,
    RandomEffects,
    blocks_of,
    effects_of,
    shapes_of,
)
from cart_pkpd.models import Model
from cart_pkpd.models._extended import plain
from cart_pkpd.models._occasions import deviations_of, with_occasions, without_occasions


@dataclass(frozen=True, repr=False)
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
    covariates : mapping of str to tuple of str or Term
        Patient-level covariates of each parameter: positive numbers act as a power of
        covariate / median, other numbers as an exponential of the difference from the
        median, 0/1 and text as a shift against the most frequent value; a Term says otherwise.
    non_expanders : str or None
        Parameter whose distribution is a mixture of expanders and non-expanders.
    priors : mapping of str to Prior
        Priors changed by name (``cmax``, ``omega_cmax``, ``sigma_log`` …).
    centred : tuple of str or None
        Parameters sampled around the population value instead of as standardised
        deviations; None samples each between the two, as the data call for. Changes speed,
        never the model.
    scale : tuple of str
        Endpoints whose prediction is multiplied by an estimated factor.
    censoring : str
        What is done with censored records, a key of ``METHODS`` in ``_stats/censoring.py``.
    corr : tuple of tuple of str
        Blocks of parameters whose deviations are correlated.
    iov : tuple of str
        Parameters that also vary from occasion to occasion of a patient.
    """

    iiv: tuple[str, ...] = ()
    error: str = "lognormal"
    errors: Mapping[str, str] = field(default_factory=dict)
    covariates: Mapping[str, tuple[Named, ...]] = field(default_factory=dict)
    non_expanders: str | None = None
    priors: Mapping[str, Prior] = field(default_factory=dict)
    centred: tuple[str, ...] | None = None
    scale: tuple[str, ...] = ()
    censoring: str = "m3"
    corr: tuple[tuple[str, ...], ...] = ()
    iov: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        censored.check(self.censoring)
        for error in (self.error, *self.errors.values()):
            one_of(error, ERRORS, "residual error", error=FitError)
        object.__setattr__(self, "errors", MappingProxyType(dict(self.errors)))
        frozen = {str(k): named_terms(v) for k, v in self.covariates.items()}
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
            self.scale,
            self.censoring,
            self.corr,
            self.iov,
        )

    def __repr__(self) -> str:
        return shown_as.call(self)

    def _repr_html_(self) -> str:
        return shown_as.as_html(self)

    def describe(self) -> dict[str, Any]:
        """Return the specification as plain data, for files and reports."""
        return {
            "iiv": list(self.iiv),
            "corr": [list(block) for block in self.corr],
            "iov": list(self.iov),
            "error": self.error,
            "errors": dict(self.errors),
            "covariates": {
                k: [c if isinstance(c, str) else c.describe() for c in v]
                for k, v in self.covariates.items()
            },
            "non_expanders": self.non_expanders,
            "priors": {k: str(v) for k, v in self.priors.items()},
            "scale": list(self.scale),
            "censoring": self.censoring,
        }


@dataclass(frozen=True, eq=False, repr=False)
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
        What was decided on the way (imputed covariates, reference values, censored records).
    acting : tuple of str
        Covariates whose effect the model itself has, in words.
    """

    model: Model
    population: Population
    design: Design
    errors: tuple[ErrorModel, ...]
    quantities: tuple[Quantity, ...]
    effects: tuple[Effect, ...]
    notes: tuple[str, ...]
    acting: tuple[str, ...] = ()

    def __repr__(self) -> str:
        design = self.design
        return f"Structure: {self.sentence()} {design.n_patients} patients, {design.n_obs} records."

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
            {s.name: values[sigma_name(s, m, self.design)] for s in error.sigmas}
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
        acting = [f"{e.covariate} on {e.parameter} ({e.kind})" for e in self.effects]
        if acting or self.acting:
            said.append(f"covariates: {', '.join((*acting, *self.acting))}")
        if population.scale:
            said.append(f"scale factors: {', '.join(population.scale)}")
        if population.non_expanders:
            said.append("a share of patients are non-expanders")
        if self.design.given:
            said.append(self.design.given)
        held = {k: v for k, v in model.fixed.items() if k not in self.design.known}
        if held:
            fixed = (f"{k} = {v:g} {model.parameters[k].unit}" for k, v in held.items())
            said.append(f"held fixed: {', '.join(fixed)}")
        if population.priors:
            changed = (f"{k} {v}" for k, v in population.priors.items())
            said.append(f"priors changed: {', '.join(changed)}")
        if population.censoring == "m4" or self.design.treatment:
            how = censored.METHODS[population.censoring]
            said.append(f"censored records {how} ({population.censoring.upper()})")
        return "; ".join(said) + "."

    def _errors_in_words(self) -> str:
        if not self.design.several:
            return f"{self.error.label} error"
        both = zip(self.errors, self.design.measures, strict=True)
        return ", ".join(f"{error.label} error of {m.label}" for error, m in both)

    def role(self, q: Quantity) -> str:
        """Return what a quantity is, for tables.

        Factors of endpoints and coefficients that act along the course are parameters of the
        model that is fitted, as typical values are, and not of the one declared.
        """
        if q.role != "typical" or q.name in plain(without_occasions(self.model)).parameters:
            return q.role
        return "scale" if q.name in {f"scale_{e}" for e in self.population.scale} else "covariate"

    def quantity(self, name: str) -> Quantity:
        """Return the quantity called `name`."""
        return next(q for q in self.quantities if q.name == name)


def population(
    *,
    iiv: Sequence[str] = (),
    error: str | None = None,
    errors: Mapping[str, str] | None = None,
    covariates: Mapping[str, Any] | None = None,
    non_expanders: bool | str | None = None,
    censoring: str = "m3",
    priors: Mapping[str, Prior | Mapping[str, Any]] | None = None,
    centred: Sequence[str] | None = None,
    scale: Sequence[str] = (),
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
        ``{"cmax": ["dose_level"]}``; :func:`covariate` in place of a name says the form, the
        centre or the reference.
    non_expanders : bool or str
        True for a share of patients whose cells do not expand: the distribution of
        ``cmax`` (or of the parameter named) becomes a mixture of two normals on the free
        scale, the lower one shifted down.
    censoring : str
        ``"m3"``: censored records contribute the probability of lying beyond their limit.
        ``"m4"``: the same, given that a measurement is above 0; the same as M3 for errors on the
        log scale. For comparison only, because they bias: ``"m1"`` drops them, ``"m5"`` puts
        those below the LLOQ at LLOQ/2, ``"m6"`` the first of a run there and drops the others,
        ``"m7"`` puts them at 0. By these three, records above the ULOQ stand at the ULOQ, and
        those within an interval at its middle. Names as in Beal (2001).
    priors : mapping
        Priors by name, as Prior or as ``{"kind": "halfnormal", "sigma": 1}``.
    centred : sequence of str
        Advanced: parameters that are sampled themselves, all others as deviations. The default
        is between the two, as far to either side as each patient's records call for.
    scale : sequence of str
        Endpoints whose prediction is multiplied by an estimated factor ``scale_<endpoint>``
        with prior LogNormal(1, 1), such as the copies/µg that a cell/µL is measured as.
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
    if errors is not None and error is not None:
        raise FitError("give either error= or errors=: one for all endpoints, or each its own.")
    varying = arguments.parameters(iiv, "iiv")
    mixture = arguments.mixture_of(non_expanders)
    return Population(
        iiv=varying,
        error="lognormal" if error is None else arguments.error_name(error),
        errors={} if errors is None else arguments.error_names(errors),
        covariates={} if covariates is None else arguments.covariates(covariates),
        non_expanders=mixture,
        priors={} if priors is None else arguments.priors(priors),
        centred=None if centred is None else arguments.parameters(centred, "centred"),
        scale=arguments.endpoints(scale, "scale"),
        censoring=censored.method(censoring),
        corr=blocks_of(corr, varying, mixture),
        iov=arguments.parameters(iov, "iov"),
    )


def as_population(value: Any) -> Population:
    """Return `value` if it is a population; FitError says how to make one."""
    if isinstance(value, Population):
        return value
    example = "fit.population(iiv=['cmax', 'tmax'])"
    if isinstance(value, str) or (isinstance(value, list | tuple) and value):
        names = [value] if isinstance(value, str) else list(value)
        if all(isinstance(name, str) for name in names):
            example = f"fit.population(iiv={names})"
    raise FitError(
        f"population: give what varies between patients as {example}, not {shown(value)}."
    )


def resolve(model: Model, population: Population, design: Design) -> Structure:
    """Join model, population and data; check that they fit together.

    Raises
    ------
    FitError
        For a parameter, covariate or prior that does not exist, a unit that differs from the
        data's, or measurements that the residual error cannot describe.
    """
    declared = without_occasions(plain(model))
    design = censored.treated(design, population.censoring)
    more = extend(declared, design, population.scale, population.covariates)
    exclusions = () if design.treatment else left_out.notes(design)
    model, design = more.model, more.design
    _check_parameters(model, population)
    _check_occasions(declared, population)
    check_measures(model, design)
    check_units(model, design)
    errors = error_models(population, design)
    censored.check_values(design, population.censoring, np.array([e.on_log for e in errors]))
    check_values(errors, design)
    effects, notes = covariate_effects(population.covariates, design.subjects, more.apart)
    quantities = (
        *typical_quantities(model),
        *omega_quantities(model, population),
        *correlation_quantities(population),
        *occasion_quantities(model, population),
        *(coefficient_quantity(e) for e in effects),
        *mixture_quantities(model, population),
        *residual_quantities(errors, design),
    )
    _check_distinct(quantities)
    quantities = tuple(replace(q, prior=more.priors.get(q.name, q.prior)) for q in quantities)
    quantities = _with_priors(quantities, population)
    check_priors(quantities, model)
    said = (
        *exclusions,
        *notes,
        *more.notes,
        *check_inputs(declared, design),
        *censored.notes(design, errors),
    )
    if population.iov:
        model = more.around(with_occasions(declared, population.iov, occasion_labels(design)))
    return Structure(model, population, design, errors, quantities, effects, said, more.words)


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
    found = (error_model(population.errors.get(e, population.error)) for e in design.endpoints)
    m4 = population.censoring == "m4"
    return tuple(replace(e, positive=True) if m4 and not e.on_log else e for e in found)


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


def _check_occasions(declared: Model, population: Population) -> None:
    """Refuse occasions of what is not the model's own, a factor or a coefficient."""
    for name in population.iov:
        if name not in declared.parameters:
            what = "the factor of an endpoint" if name.startswith("scale_") else "a coefficient"
            raise FitError(
                f"iov: {name!r} is {what}, which is the same on all occasions; name it in iiv for "
                "variability between patients, or name in iov a parameter of the model: "
                f"{', '.join(declared.estimated)}."
            )


def _with_priors(quantities: tuple[Quantity, ...], population: Population) -> tuple[Quantity, ...]:
    known = {q.name for q in quantities}
    # Those of correlations are of whole blocks, and stand there already.
    _, blocks = shapes_of(effects_of(population.iiv, population.corr, {}), population.priors)
    for name in population.priors:
        if name not in known and name not in blocks:
            if not population.corr and (name == CORRELATION or name.startswith(f"{CORRELATION}_")):
                raise FitError(
                    f"priors: {name!r} is of correlations, and this population has none; add "
                    "corr='full' or blocks such as corr=[['cmax', 'alpha']], or leave it out."
                )
            raise FitError(
                f"priors: no quantity {name!r} in this fit.{did_you_mean(name, known)} "
                f"There are: {', '.join(q.name for q in quantities)}."
            )
    own = {k: v for k, v in population.priors.items() if k not in blocks}
    return tuple(replace(q, prior=own.get(q.name, q.prior)) for q in quantities)

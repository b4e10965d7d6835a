"""Where virtual patients come from: a declaration, a population with values, or a fit.

All three become the same thing: draws of every population quantity (one draw where there is no
uncertainty), and how a patient's parameters follow from one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError, ModelError
from cart_pkpd._core.validate import did_you_mean, one_of, shown
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd._fit.laplace_result import LaplaceResult
from cart_pkpd._simulate.streams import BLOCK, Floats, Ints, Streams
from cart_pkpd._stats.covariates import CATEGORY, POWER
from cart_pkpd._stats.error import ERRORS, ErrorModel
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.random_effects import RandomEffects, effects_of
from cart_pkpd.models import Model

UNCERTAINTY = ("patient", "trial", "none")
_MIXTURE = ("p_non_expander", "non_expander_shift")


@dataclass(frozen=True)
class Residual:
    """A residual error with its numbers.

    Parameters
    ----------
    error : str
        One of ``lognormal``, ``student_t``, ``additive``, ``proportional``, ``combined``.
    **sigmas : float
        ``sigma_log``, ``sigma_add`` [unit of the endpoint], ``sigma_prop``, as the error has them.

    Raises
    ------
    FitError
        For an unknown error, or other numbers than it has.

    Examples
    --------
    >>> Residual("combined", sigma_add=5.0, sigma_prop=0.2).error
    'combined'
    """

    error: str
    sigmas: Mapping[str, float] = field(default_factory=dict)

    def __init__(self, error: str, **sigmas: float) -> None:
        one_of(error, ERRORS, "residual error", error=FitError)
        needed = [s.name for s in ERRORS[error].sigmas]
        if sorted(sigmas) != sorted(needed):
            raise FitError(
                f"residual error {error!r} has the numbers {', '.join(needed)}; given: "
                f"{', '.join(sigmas) or 'none'}."
            )
        for name, value in sigmas.items():
            if not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
                raise FitError(f"{name} must be 0 or more, not {shown(value)}.")
        object.__setattr__(self, "error", error)
        object.__setattr__(self, "sigmas", MappingProxyType(dict(sigmas)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _residual, (self.error, dict(self.sigmas))


def _residual(error: str, sigmas: Mapping[str, float]) -> Residual:
    return Residual(error, **sigmas)


@dataclass(frozen=True)
class Coefficient:
    """A covariate's effect on a parameter, as it acts on any patient.

    Attributes
    ----------
    parameter, covariate, kind : str
        As of `_stats.covariates.Effect`.
    reference : float or str
        Centre, or category of reference.
    level : str
        Category that is marked.
    quantity : str
        Name of the coefficient.
    """

    parameter: str
    covariate: str
    kind: str
    reference: float | str
    level: str
    quantity: str

    def column(self, values: NDArray[Any]) -> Floats:
        """Return what the coefficient multiplies, for values of the covariate.

        Raises
        ------
        ModelError
            For values that the effect cannot take.
        """
        if self.kind == CATEGORY:
            words = np.array(
                [f"{v:g}" if isinstance(v, float) else str(v) for v in values.tolist()]
            )
            return (words == self.level).astype(float)
        if values.dtype.kind not in "fiub":
            raise ModelError(
                f"covariates: {self.covariate!r} acts on {self.parameter} as a number, and it was "
                "given as text."
            )
        x = values.astype(float)
        if self.kind != POWER:
            return x - float(self.reference)
        if not (x > 0).all():
            raise ModelError(
                f"covariates: {self.covariate!r} acts on {self.parameter} as a power, and its "
                f"value {float(x.min()):g} has no logarithm."
            )
        return np.asarray(np.log(x / float(self.reference)))


@dataclass(frozen=True, eq=False)
class Source:
    """Draws of population quantities, and how patients follow from them.

    Attributes
    ----------
    model : Model
        Whose parameters these are.
    quantities : mapping of str to ndarray, shape (d,)
        Draws by name, natural scale.
    random : RandomEffects
        How patients deviate.
    coefficients : tuple of Coefficient
        Covariate effects.
    mixture : str or None
        Parameter with a mixture of non-expanders.
    residuals : mapping of str to (str, mapping)
        By endpoint: residual error, and the quantity that each of its numbers is.
    about : str
        In words.
    """

    model: Model
    quantities: Mapping[str, Floats]
    random: RandomEffects
    coefficients: tuple[Coefficient, ...] = ()
    mixture: str | None = None
    residuals: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    about: str = ""

    @property
    def draws(self) -> int:
        """Number of draws, d."""
        return int(next(iter(self.quantities.values())).size) if self.quantities else 1

    @property
    def needed(self) -> tuple[str, ...]:
        """Covariates that act."""
        return tuple(dict.fromkeys(c.covariate for c in self.coefficients))

    @cached_property
    def _root(self) -> Floats:
        return self.random.root(self.quantities)

    def parameters(
        self, draw: Ints, covariates: Mapping[str, NDArray[Any]], streams: Streams
    ) -> dict[str, Floats]:
        """Return parameters of a block of patients, natural scale, each shape (BLOCK,).

        Parameters
        ----------
        draw : ndarray of int, shape (BLOCK,)
            Which draw each patient is from.
        covariates : mapping of str to ndarray, shape (BLOCK,)
            At least those that act.
        streams : Streams
            Of the block.
        """
        eta = self._deviations(draw, streams)
        out = {}
        for name in self.model.estimated:
            parameter = self.model.parameters[name]
            free = np.asarray(parameter.to_free(self.quantities[name]))
            free = free[0] if self.draws == 1 else free[draw]
            for c in self.coefficients:
                if c.parameter == name:
                    column = c.column(covariates[c.covariate])
                    free = free + self.quantities[c.quantity][draw] * column
            free = free + eta.get(name, 0.0)
            if name == self.mixture:
                share, shift = (self.quantities[q][draw] for q in _MIXTURE)
                free = free - (streams.uniform("mixture") < share) * shift
            out[name] = np.broadcast_to(np.asarray(parameter.to_natural(free), float), (BLOCK,))
        return out

    def _deviations(self, draw: Ints, streams: Streams) -> dict[str, Floats]:
        if not self.random.size:
            return {}
        z = streams.normal("etas", self.random.size)
        if self.draws == 1:
            eta = z @ self._root.reshape(self.random.size, -1).T
        else:
            eta = np.einsum("kab,kb->ka", self._root[draw], z)
        return dict(zip(self.random.names, eta.T, strict=True))

    def errors(self) -> dict[str, tuple[ErrorModel, dict[str, Floats]]]:
        """Return by endpoint its residual error and draws of its numbers, each shape (d,)."""
        return {
            e: (ERRORS[name], {s: self.quantities[q] for s, q in numbers.items()})
            for e, (name, numbers) in self.residuals.items()
        }

    def with_residuals(self, given: Mapping[str, Residual]) -> Source:
        """Return the same source with these residual errors and no others."""
        quantities, residuals = dict(self.quantities), {}
        for endpoint, residual in given.items():
            named = {s: f"{s} of {endpoint}" for s in residual.sigmas}
            quantities |= {
                named[s]: np.full(self.draws, float(v)) for s, v in residual.sigmas.items()
            }
            residuals[endpoint] = (residual.error, named)
        return Source(
            self.model, quantities, self.random, self.coefficients, self.mixture, residuals,
            self.about,
        )  # fmt: skip


def of_model(model: Model, values: Mapping[str, float]) -> Source:
    """Return patients of a declaration: typical values, declared IIV, and changes by name.

    Raises
    ------
    ModelError
        For an unknown or impossible value.
    """
    spread = {k: p.iiv for k, p in model.parameters.items() if p.iiv and k in model.estimated}
    omegas = {f"omega_{k}": float(v) for k, v in spread.items()}
    for name in values:
        parameter = name.removeprefix("omega_")
        if name.startswith("omega_") and parameter in model.estimated:
            omegas.setdefault(name, 0.0)
    known = {k: p.typical for k, p in model.parameters.items() if k in model.estimated} | omegas
    chosen = _changed(known, values, model)
    iiv = tuple(k.removeprefix("omega_") for k in omegas if chosen[k] > 0)
    return Source(
        model, _as_draws(chosen), effects_of(iiv, (), {}),
        about="declared values and variability between patients",
    )  # fmt: skip


def of_structure(structure: Structure, values: Mapping[str, float]) -> Source:
    """Return patients of a population that has not been fitted.

    Typical values and omegas are the declared ones where `values` does not say otherwise,
    correlations 0; coefficients, mixtures and residual errors must be given.

    Raises
    ------
    ModelError
        For an unknown or impossible value, or one that is missing.
    """
    model = structure.model
    _check_simple(structure)
    known: dict[str, float | None] = {}
    for q in structure.quantities:
        own = model.parameters[q.parameter] if q.parameter else None
        if q.role == "typical" and own is not None:
            known[q.name] = own.typical
        elif q.role == "omega" and own is not None:
            known[q.name] = own.iiv
        else:
            known[q.name] = 0.0 if q.role == "correlation" else None
    chosen = _changed(known, values, model)
    missing = [n for n, v in chosen.items() if v is None]
    residual = [q.name for q in structure.of_role("residual")]
    wanted = [n for n in missing if n not in residual]
    if wanted:
        raise ModelError(
            f"values: {wanted[0]} is not declared anywhere; give "
            f"values={{{', '.join(f'{n!r}: ...' for n in wanted)}}}."
        )
    given = {n: float(v) for n, v in chosen.items() if v is not None}
    residuals = {
        e: r for e, r in _residuals(structure).items() if all(q in given for q in r[1].values())
    }
    return Source(
        model, _as_draws(given), structure.random, _coefficients(structure),
        structure.population.non_expanders, residuals, "a population with given values",
    )  # fmt: skip


def of_fit(fit: PopulationFit, uncertainty: str, values: Mapping[str, float]) -> Source:
    """Return patients of a fit, with the uncertainty of its population quantities.

    Raises
    ------
    FitError
        For what new patients cannot have: occasions, covariates that change in time or act
        linearly, parameters known for each fitted patient.
    """
    structure = fit.structure
    _check_simple(structure)
    named = [q.name for q in structure.quantities]
    if uncertainty != "none":
        stacked = fit.draws().stack(sample=("chain", "draw"))
        quantities = {n: stacked[n].to_numpy().astype(float) for n in named}
    elif isinstance(fit, LaplaceResult):
        quantities = {n: np.array([fit.estimates[n]]) for n in named}
    else:
        quantities = {n: np.array([float(fit.draws()[n].median())]) for n in named}
    # The correlation of an effect that is 0 is not known, and acts on nothing.
    quantities = {n: np.where(np.isnan(v), 0.0, v) for n, v in quantities.items()}
    d = next(iter(quantities.values())).size
    changed = _changed(dict.fromkeys(named), values, structure.model)
    quantities |= {n: np.full(d, v) for n, v in changed.items() if v is not None}
    return Source(
        structure.model, quantities, structure.random, _coefficients(structure),
        structure.population.non_expanders, _residuals(structure), f"fit {fit.label!r}",
    )  # fmt: skip


def _check_simple(structure: Structure) -> None:
    what = ""
    if structure.population.iov:
        what = "variability between occasions"
    elif structure.acting:
        what = f"covariates that act along the course ({structure.acting[0]})"
    elif structure.design.given:
        what = "parameters that are known for each fitted patient"
    if what:
        raise FitError(
            f"simulate: this population has {what}, which new patients do not have; simulate from "
            "a population without, or from values=."
        )


def _coefficients(structure: Structure) -> tuple[Coefficient, ...]:
    return tuple(
        Coefficient(e.parameter, e.covariate, e.kind, e.reference, e.level, f"beta_{e.name}")
        for e in structure.effects
    )


def _residuals(structure: Structure) -> dict[str, tuple[str, dict[str, str]]]:
    names = {q.name: q.name for q in structure.of_role("residual")}
    sigmas = structure.sigmas(names)
    pairs = zip(structure.design.endpoints, structure.errors, sigmas, strict=True)
    return {e: (error.name, dict(own)) for e, error, own in pairs}


def _changed(
    known: Mapping[str, float | None], values: Mapping[str, float], model: Model
) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ModelError(f"values: give numbers by name, such as {{'omega_cmax': 0.5}}, not "
                         f"{shown(values)}.")  # fmt: skip
    out = dict(known)
    for name, value in values.items():
        if name not in known:
            raise ModelError(
                f"values: there is no quantity {name!r}.{did_you_mean(str(name), known)} "
                f"There are: {', '.join(known)}."
            )
        number = isinstance(value, int | float | np.number) and np.isfinite(value)
        if not number or (not _may_be_negative(name) and value < 0):
            raise ModelError(f"values: {name} = {shown(value)} is not possible.")
        if name in model.parameters and not model.parameters[name].contains(float(value)):
            support = model.parameters[name].support
            raise ModelError(f"values: {name} = {value!r} is not possible: it must be {support}.")
        out[name] = float(value)
    return out


def _may_be_negative(name: str) -> bool:
    return not name.startswith(("omega_", "sigma_", "p_non_expander"))


def _as_draws(values: Mapping[str, float]) -> dict[str, Floats]:
    return {k: np.array([float(v)]) for k, v in values.items()}


def residuals_of(given: Any, endpoints: Sequence[str]) -> dict[str, Residual]:
    """Return residual errors by endpoint from what a user gives.

    Parameters
    ----------
    given : float, Residual, or mapping of str to either
        A number is the SD of ln of a log-normal error; one for all endpoints, or by endpoint.
    endpoints : sequence of str
        What is simulated.

    Raises
    ------
    ModelError, FitError
        If it cannot be read, or names an endpoint that is not simulated.
    """
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(endpoints, given)
    out = {}
    for name, one in by_name.items():
        one_of(str(name), endpoints, "endpoint of this simulation", error=ModelError)
        if isinstance(one, Residual):
            out[str(name)] = one
        elif isinstance(one, int | float | np.number) and not isinstance(one, bool):
            out[str(name)] = Residual("lognormal", sigma_log=float(one))
        else:
            raise ModelError(
                "error: give the SD of ln, such as 0.3, or simulate.Residual('combined', "
                f"sigma_add=5, sigma_prop=0.2), alone or by endpoint, not {shown(one)}."
            )
    return out

"""The unknowns of a population: names, meanings, units, roles and usual priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cart_pkpd._stats.covariates import Effect
from cart_pkpd._stats.design import QUANTIFIED, Design, Measure
from cart_pkpd._stats.error import ErrorModel, Sigma
from cart_pkpd._stats.priors import Beta, HalfNormal, LogitNormal, LogNormal, Normal, Prior
from cart_pkpd._stats.random_effects import effects_of, iov_name, shapes_of
from cart_pkpd.models import Model

if TYPE_CHECKING:
    from cart_pkpd._stats.population import Population

DEFAULT_IIV = 0.5
"""Standard deviation between patients where none is declared."""

_HALF_NORMAL_MEDIAN = 0.6744897501960817
FREE_NORMAL: Mapping[str, type[LogNormal | LogitNormal | Normal]] = MappingProxyType(
    {"log": LogNormal, "logit": LogitNormal, "identity": Normal}
)
"""The prior that is normal on the free scale, by that scale."""


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


def typical_quantities(model: Model) -> list[Quantity]:
    """Return the typical values, with priors about the declared ones."""
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


def omega_quantities(model: Model, population: Population) -> list[Quantity]:
    """Half-normal priors whose median is the published omega."""
    return [
        Quantity(
            f"omega_{name}",
            f"IIV of {name} (SD, {model.parameters[name].scale} scale)",
            "1",
            "omega",
            HalfNormal((model.parameters[name].iiv or DEFAULT_IIV) / _HALF_NORMAL_MEDIAN),
            name,
        )
        for name in population.iiv
    ]


def correlation_quantities(population: Population) -> list[Quantity]:
    """Return one correlation for each pair of every block."""
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


def occasion_quantities(model: Model, population: Population) -> list[Quantity]:
    """Half-normal priors whose median is half the published omega."""
    return [
        Quantity(
            iov_name(name),
            f"IOV of {name} (SD, {model.parameters[name].scale} scale)",
            "1",
            "iov",
            HalfNormal((model.parameters[name].iiv or DEFAULT_IIV) / 2 / _HALF_NORMAL_MEDIAN),
            name,
        )
        for name in population.iov
    ]


def coefficient_quantity(effect: Effect) -> Quantity:
    """Return the coefficient of a covariate's effect."""
    return Quantity(
        f"beta_{effect.name}",
        effect.label,
        "1",
        "covariate",
        Normal(0.0, effect.spread),
        effect.parameter,
    )


def mixture_quantities(model: Model, population: Population) -> list[Quantity]:
    """Return share and distance of non-expanders, if there are any."""
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


def residual_quantities(errors: Sequence[ErrorModel], design: Design) -> list[Quantity]:
    """Return the residual parameters of every measure."""
    return [
        Quantity(
            sigma_name(sigma, measure, design),
            f"{sigma.label}, {measure.label}" if design.several else sigma.label,
            measure.unit if sigma.in_data_units else "1",
            "residual",
            HalfNormal(typical_size(design, m)) if sigma.in_data_units else sigma.prior,
            measure=measure.name,
        )
        for m, (error, measure) in enumerate(zip(errors, design.measures, strict=True))
        for sigma in error.sigmas
    ]


def sigma_name(sigma: Sigma, measure: Measure, design: Design) -> str:
    """Return the name of a residual parameter: with its measure if there are several."""
    return f"{sigma.name}_{measure.name}" if design.several else sigma.name


def typical_size(design: Design, measure: int) -> float:
    """Return the median size of what was measured, 0 apart; of quantified records if any."""
    own = (design.measure == measure) & (design.dv != 0)
    quantified = own & (design.code == QUANTIFIED)
    values = design.dv[quantified if quantified.any() else own]
    return float(np.median(np.abs(values))) if values.size else 1.0

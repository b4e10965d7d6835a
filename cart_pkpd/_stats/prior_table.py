"""Every prior of a fit as a table: what it says, and where it is from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core.validate import probability
from cart_pkpd._stats.population import Structure, resolve
from cart_pkpd._stats.priors import TruncatedNormal
from cart_pkpd._stats.quantities import DEFAULT_IIV, Quantity
from cart_pkpd._stats.random_effects import CORRELATION
from cart_pkpd.models import Model, Parameter
from cart_pkpd.models._compose import pieces
from cart_pkpd.models._extended import plain
from cart_pkpd.models._occasions import without_occasions

CHANGED, SCALED, ASSUMED, HELD = (
    "changed by the user",
    "scaled by the data",
    "assumed",
    "held fixed",
)
_GIVEN, _BY_USER = "given", "given by the user"
_READ = ("published", "transcribed")


def prior_table(structure: Structure, prob: float = 0.9) -> pd.DataFrame:
    """Return the table of :func:`cart_pkpd.fit.priors` for a structure.

    Parameters
    ----------
    structure : Structure
        Model, population and data.
    prob : float
        Probability of the equal-tailed intervals.
    """
    probability(prob, "prob")
    usual = _usual(structure)
    rows = {q.name: _row(structure, q, usual[q.name], prob) for q in structure.quantities}
    rows |= {name: _held(structure, name) for name in structure.model.fixed}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")
    table.attrs["prob"] = prob
    return table


def _usual(structure: Structure) -> dict[str, Quantity]:
    """Return the quantities as they would be had the user changed no prior."""
    plain = replace(structure.population, priors={})
    return {q.name: q for q in resolve(structure.model, plain, structure.design).quantities}


def _row(structure: Structure, q: Quantity, usual: Quantity, prob: float) -> dict[str, Any]:
    edges = np.array([0.5, (1 - prob) / 2, (1 + prob) / 2])
    median, lower, upper = (float(v) for v in q.prior.quantile(edges))
    origin, source = _origin(structure, usual)
    if _changed(structure, q):
        origin, source = CHANGED, f"instead of {usual.prior}: {source}"
    return {
        "label": q.label,
        "unit": q.unit,
        "role": structure.role(q),
        "prior": str(q.prior),
        "median": median,
        "lower": lower,
        "upper": upper,
        "origin": origin,
        "source": source,
    }


def _changed(structure: Structure, q: Quantity) -> bool:
    """Return whether the user gave the prior; that of a correlation is of its whole block."""
    given = structure.population.priors
    if q.role != "correlation" or q.name in given:
        return q.name in given
    random = structure.random
    block = next(b for b in random.blocks if random.names.index(q.parameter) in b)
    inside = {random.names[i] for i in block}
    pairs = zip(random.pairs, random.correlations, strict=True)
    names = {name for (a, _), name in pairs if random.names[a] in inside}
    return CORRELATION in given or bool(names & set(given))


def _held(structure: Structure, name: str) -> dict[str, Any]:
    model, value = structure.model, structure.model.fixed[name]
    parameter = model.parameters[name]
    if name in structure.design.known:
        value, where = np.nan, structure.design.given
    else:
        where = _held_at(model, name, value, parameter)
    return {
        "label": parameter.about or name,
        "unit": parameter.unit,
        "role": "fixed",
        "prior": "none",
        "median": value,
        "lower": np.nan,
        "upper": np.nan,
        "origin": HELD,
        "source": where,
    }


def _held_at(model: Model, name: str, value: float, parameter: Parameter) -> str:
    """Return where the one value of a fixed parameter is from."""
    where = _cited(model, name, parameter.source)
    if value != parameter.typical:
        return f"given by the user instead of {parameter.typical:g} ({where})"
    return where


def _origin(structure: Structure, q: Quantity) -> tuple[str, str]:
    """Return where an unchanged prior is from, in a word and in words."""
    parameter = structure.model.parameters.get(q.parameter)
    match structure.role(q):
        case "scale":
            return ASSUMED, "centred at 1; 2.7-fold is one SD on the log scale: default"
        case "covariate" if q.role == "typical":
            return _of_acting(q)
        case "typical" if parameter is not None:
            return _of_typical(structure.model, q.parameter, parameter)
        case "omega" if parameter is not None:
            return _of_omega(structure.model, q.parameter, parameter)
        case "residual" if _in_data_units(structure, q):
            return SCALED, "half-normal with the median size of the quantified records as its SD"
        case "correlation":
            return ASSUMED, "LKJ over the block: draws correlations to 0, default of this package"
        case "iov":
            return ASSUMED, "half-normal with half the median of the IIV's: default of this package"
        case "covariate" if _effect_kind(structure, q) == "exponential":
            return SCALED, "centred at no effect; SD 0.5 for one SD of the covariate"
        case "covariate" if _effect_kind(structure, q) == "power":
            return ASSUMED, "centred at no effect; exponents of 1 are within two SDs"
        case "covariate":
            return ASSUMED, "centred at no effect; a 2.7-fold difference is one SD of a log scale"
        case "mixture":
            return ASSUMED, "default of this package for non-expanders"
        case "residual":
            return ASSUMED, "default of this package: wide for errors of assays"
    return ASSUMED, "default of this package"


def _of_acting(q: Quantity) -> tuple[str, str]:
    """Return where the prior of a coefficient is from that is linear or acts along the course."""
    if isinstance(q.prior, TruncatedNormal):
        return SCALED, (
            "centred at no effect; SD 0.5 for one SD of the covariate, as far as the parameter "
            "stays above 0"
        )
    return ASSUMED, "centred at no effect; as wide as of a covariate that does not change"


def _of_typical(model: Model, name: str, parameter: Parameter) -> tuple[str, str]:
    declared = _declared(model, name)
    median = f"median: {_cited(model, name, parameter.source)}"
    if declared is not None and parameter.confidence == _GIVEN:
        before = f"{declared.typical:g} {declared.unit}".removesuffix(" 1")
        was = _cited(model, name, declared.source)
        median = f"median given by the user instead of {before} ({was})"
    whose = "assumed"
    if declared is not None and declared.spread != parameter.spread:
        whose = f"given by the user instead of {declared.spread:g}"
    width = f"width, SD {parameter.spread:g} on the {parameter.scale} scale, {whose}"
    return parameter.confidence, f"{median}; {width}"


def _of_omega(model: Model, name: str, parameter: Parameter) -> tuple[str, str]:
    if parameter.iiv is None:
        return ASSUMED, f"half-normal with median {DEFAULT_IIV:g}: default of this package"
    where = _cited(model, name, parameter.iiv_source)
    said = f"half-normal whose median is the IIV {parameter.iiv:g}: {where}"
    if parameter.iiv_source in ("assumed", _BY_USER):
        return ASSUMED if parameter.iiv_source == "assumed" else _GIVEN, said
    # How sure the published typical value is says how the table of both was read.
    read = (_declared(model, name) or parameter).confidence
    return read if read in _READ else "published", said


def _declared(model: Model, name: str) -> Parameter | None:
    return pieces(without_occasions(plain(model)))[0].declared.get(name)


def _cited(model: Model, name: str, source: str) -> str:
    """Return a source with the publication whose table or page it is."""
    if source in ("assumed", _BY_USER):
        return "no source" if source == "assumed" else source
    reference = model.reference
    if reference is None or _declared(model, name) is None:
        return source
    author = reference.authors.split(",")[0].split(" ")[0]
    return source if author in source else f"{author} ({reference.year}), {source}"


def _in_data_units(structure: Structure, q: Quantity) -> bool:
    own_of = structure.sigmas({r.name: r for r in structure.of_role("residual")})
    both = zip(structure.errors, own_of, strict=True)
    return any(
        own[s.name].name == q.name and s.in_data_units for error, own in both for s in error.sigmas
    )


def _effect_kind(structure: Structure, q: Quantity) -> str:
    return next((e.kind for e in structure.effects if f"beta_{e.name}" == q.name), "")

"""Sequential fits: individual parameters of an earlier fit as known numbers of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import did_you_mean, one_of
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd._fit.laplace_result import LaplaceResult
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.population import Population
from cart_pkpd.models import Fixed, Model
from cart_pkpd.models._extended import plain

AVERAGES: Mapping[str, str] = MappingProxyType({"median": "medians", "mean": "means"})


def with_given(
    model: Model, design: Design, population: Population, earlier: PopulationFit, average: str
) -> tuple[Model, Design]:
    """Return model and design with the parameters of an earlier fit known for each patient.

    The method of individual PK parameters (IPP; Zhang, Beal & Sheiner 2003, J Pharmacokinet
    Pharmacodyn 30:387): each patient's parameters are held at the posterior median or mean, or at
    the mode of a fit by maximum likelihood, as if they had been measured. Their uncertainty does
    not reach the second fit.

    Parameters
    ----------
    model, design, population
        Of the second fit.
    earlier : PopulationFit
        The first fit, whose parameters are among those of `model`.
    average : str
        ``"median"`` or ``"mean"`` of a Bayesian fit's draws.

    Raises
    ------
    FitError
        If patients, parameters or units do not match.
    """
    one_of(average, AVERAGES, "average", error=FitError)
    first = earlier.structure
    own = plain(first.model)
    who = f"given={earlier.label!r}"
    if first.acting:
        raise FitError(
            f"{who}: its parameters change with {first.acting[0]}, which one number for each "
            "patient cannot say; give a fit without covariates that are linear or change in time."
        )
    if first.population.iov:
        raise FitError(
            f"{who}: {', '.join(first.population.iov)} varies between occasions there, and a "
            "second fit cannot hold deviations of occasions (not supported); fit the cells again "
            "without iov and give that fit, or fit all endpoints together (endpoint=[...])."
        )
    _check_parameters(model, own, population, who)
    places = _places(design, first.design, who)
    values = _individual(earlier, own.estimated, average)
    known = {name: values[name][places] for name in own.estimated}
    held = {name: Fixed(float(np.median(v))) for name, v in known.items()}
    held |= {name: Fixed(value) for name, value in own.fixed.items()}
    return (
        model.with_(**held),
        replace(
            design, known={**design.known, **known}, given=_said(earlier, own.estimated, average)
        ),
    )


def _said(earlier: PopulationFit, names: Iterable[str], average: str) -> str:
    how = "modes" if isinstance(earlier, LaplaceResult) else f"posterior {AVERAGES[average]}"
    return (
        f"sequential, individual parameters known (IPP): {', '.join(names)} of each patient at the "
        f"{how} of the fit {earlier.label!r}"
    )


def _check_parameters(model: Model, own: Model, population: Population, who: str) -> None:
    for name, parameter in own.parameters.items():
        if name not in model.parameters:
            raise FitError(
                f"{who}: its parameter {name!r} is none of {model.label or type(model).__name__}."
                f"{did_you_mean(name, model.parameters)} It has: {', '.join(model.parameters)}. "
                "Give a fit of the cells that this model is made with."
            )
        if model.parameters[name].unit != parameter.unit:
            raise FitError(
                f"{who}: {name!r} is in {parameter.unit} there and in "
                f"{model.parameters[name].unit} in this model; give it the same unit."
            )
        if name in model.fixed and model.fixed[name] != own.fixed.get(name):
            raise FitError(
                f"{who}: {name!r} is fixed at {model.fixed[name]:g} in this model, and the earlier "
                f"fit has it {'estimated' if name in own.estimated else 'at another value'}; "
                "leave it free here."
            )
        for what, names in (
            ("iiv", population.iiv),
            ("iov", population.iov),
            ("covariates", population.covariates),
        ):
            if name in names:
                raise FitError(
                    f"{who}: {name!r} is known for each patient, so it cannot be in {what}; leave "
                    "it out there."
                )


def _places(design: Design, first: Design, who: str) -> NDArray[np.int64]:
    """Return where the patients of a design are in the earlier one."""
    places = {str(name): i for i, name in enumerate(first.ids)}
    missing = [str(i) for i in design.ids if str(i) not in places]
    if missing:
        raise FitError(
            f"{who}: patient {missing[0]!r} was not in that fit ({len(missing)} such patients of "
            f"{design.n_patients}); fit the cells of all these patients first, or leave them out "
            "of the trial."
        )
    return np.array([places[str(i)] for i in design.ids], dtype=np.int64)


def _individual(
    earlier: PopulationFit, names: Iterable[str], average: str
) -> dict[str, NDArray[np.float64]]:
    """Return every patient's parameters, natural scale, shape (k,) each."""
    if isinstance(earlier, LaplaceResult):
        own: xr.Dataset = earlier.individual_estimates()
    else:
        draws = earlier.individual()
        own = (
            draws.median(("chain", "draw"))
            if average == "median"
            else draws.mean(("chain", "draw"))
        )
    return {name: own[name].to_numpy().astype(float) for name in names}

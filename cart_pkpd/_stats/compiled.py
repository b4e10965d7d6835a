"""The likelihood of records as formulas, for the compiled kernels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._engine.expression import Expression
from cart_pkpd._engine.program import Program
from cart_pkpd._engine.schedule import NAMES, Schedule
from cart_pkpd._engine.solve import LOWEST, floors_of, observing_states, options_of
from cart_pkpd._engine.source import DV, LEVEL, LOW, Likelihood, sigma_symbol
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED
from cart_pkpd._stats.error import ErrorModel
from cart_pkpd._stats.likelihood import record_loglik
from cart_pkpd._stats.population import Structure
from cart_pkpd.models import Model
from cart_pkpd.models.math import exp, log, maximum

_CODES = (QUANTIFIED, BELOW, ABOVE, BETWEEN)


def likelihood_of(structure: Structure) -> Likelihood:
    """Return the log-likelihood of one record of every endpoint and kind of censoring."""
    names = [q.name for q in structure.of_role("residual")]
    # By position, so that the same code serves whatever the residual parameters are called.
    places = {n: f"sigma_{i}" for i, n in enumerate(names)}
    own = structure.sigmas(places)
    program = structure.model.program
    # A closed form describes one level, whatever the data call it.
    endpoints = structure.design.endpoints if program.states else program.endpoints
    return _likelihood(
        program,
        endpoints,
        structure.errors,
        tuple(tuple(values.items()) for values in own),
    )


def kernel_of(structure: Structure) -> Any:
    """Return the kernel of the likelihood; of a closed form it takes records side by side."""
    from cart_pkpd._engine.kernel import kernel, records_kernel

    model = structure.model
    chosen = kernel if model.program.states else records_kernel
    return chosen(model.program, model.estimated, likelihood_of(structure))


@lru_cache(maxsize=128)
def _likelihood(
    program: Program,
    endpoints: tuple[str, ...],
    errors: tuple[ErrorModel, ...],
    own: tuple[tuple[tuple[str, str], ...], ...],
) -> Likelihood:
    by_endpoint = {}
    for name, error, pairs in zip(endpoints, errors, own, strict=True):
        values = {k: sigma_symbol(place) for k, place in pairs}
        prediction = _prediction(program, error)
        by_endpoint[name] = tuple(
            record_loglik(error, code, DV, LOW, prediction, values) for code in _CODES
        )
    places = sorted({p for pairs in own for _, p in pairs}, key=lambda p: int(p.split("_")[1]))
    return Likelihood(tuple(by_endpoint.get(e, ()) for e in program.endpoints), tuple(places))


def _prediction(program: Program, error: ErrorModel) -> Expression:
    """Return the prediction on the error's own scale."""
    if program.observe_log:
        return LEVEL if error.on_log else exp(LEVEL)
    # Numerical noise below zero must not become NaN: such a level counts as the lowest.
    return log(maximum(LEVEL, LOWEST)) if error.on_log else LEVEL


def kernel_data(structure: Structure, threads: int = 1) -> dict[str, NDArray[Any]]:
    """Return the arrays that a likelihood kernel reads, by name."""
    design, model = structure.design, structure.model
    plan, base = plan_of(structure)
    return {
        "base": base,
        **_named(plan),
        "code": design.code[plan.order],
        "dv": design.dv[plan.order],
        "low": design.low[plan.order],
        "floors": floors_of(model.program),
        "options": options_of(model.program, model.solver, threads),
    }


def plan_of(structure: Structure) -> tuple[Schedule, NDArray[np.float64]]:
    """Return the schedule of a structure's records, and every known value."""
    design = structure.design
    return structure.model.plan(
        design,
        time=design.time,
        patient=design.patient,
        measure=design.measure,
        endpoint=design.endpoints,
    )


def on_scale(
    program: Program,
    wants_log: NDArray[np.bool_],
    level: NDArray[np.float64],
    slopes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what a kernel observed on the scale of each record's error.

    Parameters
    ----------
    program : Program
        The equations.
    wants_log : ndarray of bool, shape (n,)
        By record: ln of the level, or the level itself.
    level : ndarray, shape (n,)
        What the kernel's equations give: the level, or its ln.
    slopes : ndarray, shape (n, m)
        Its derivatives.
    """
    with np.errstate(all="ignore"):
        if program.observe_log:
            natural = np.exp(level)
            return (
                np.where(wants_log, level, natural),
                np.where(wants_log[:, None], slopes, slopes * natural[:, None]),
            )
        return (
            np.where(wants_log, np.log(np.maximum(level, LOWEST)), level),
            np.where(wants_log[:, None], slopes / level[:, None], slopes),
        )


def _named(plan: Schedule) -> dict[str, NDArray[Any]]:
    return dict(zip(NAMES, plan.arrays, strict=True))


def prepare_predictions(model: Model) -> None:
    """Begin to compile what predictions will need, while something else takes its time."""
    from cart_pkpd._engine.compiling import start
    from cart_pkpd._engine.kernel import kernel

    if model.program.states:  # closed forms are predicted without compiled code
        start(kernel(observing_states(model.program), (), None))

"""Search for the likeliest parameters of one group's records, through lmfit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lmfit import Minimizer, Parameters
from scipy.optimize import minimize_scalar

from cart_pkpd._fit.objective import Matrix, Problem, Vector
from cart_pkpd._fit.slopes import curvature, maximise
from cart_pkpd._fit.start import guessed_measure
from cart_pkpd.models import ClosedFormModel

_MOST_EVALUATIONS = 6000
_MOST_SIMPLEXES, _LEAST_GAIN = 10, 1e-4
_NOTHING_LEFT = 1e-14
_WIDEST = 20.0
_STARTS, _START_SPREAD, _START_SEED = 6, 0.4, 1


def best(problem: Problem) -> tuple[Vector, float]:
    """Return where the likelihood is largest, and −ln likelihood there.

    From the best of several least-squares fits the likelihood itself is searched: with the
    derivatives of the predictions, or by a simplex for closed forms, whose hard switch at the
    peak makes kinks.
    """
    begun = _best_of(_starts(problem), problem)
    closed = isinstance(problem.model, ClosedFormModel)
    return _by_simplex(begun, problem) if closed else _by_gradient(begun, problem)


def hessian(x: Vector, problem: Problem) -> tuple[Matrix, list[int]]:
    """Return the curvature of −ln likelihood, and which of the vector's places it is by."""
    moved = np.flatnonzero(problem.can_move(x)).tolist()
    return curvature(lambda at: problem.with_gradient(at)[1], x, moved), moved


def _by_simplex(start: Vector, problem: Problem) -> tuple[Vector, float]:
    """Return where the simplex ends that no fresh one improves: at a kink it may collapse."""
    x, value = _one_simplex(start, problem)
    for _ in range(_MOST_SIMPLEXES):
        again, lower = _one_simplex(x, problem)
        if not lower < value:
            break
        gained, (x, value) = value - lower, (again, lower)
        if gained < _LEAST_GAIN:
            break
    return x, value


def _one_simplex(start: Vector, problem: Problem) -> tuple[Vector, float]:
    def value(parameters: Parameters) -> Vector:
        return np.array([problem.minus_loglik(_vector(parameters))])

    fitted = Minimizer(value, _parameters(start, problem)).minimize(
        method="nelder", max_nfev=_MOST_EVALUATIONS
    )
    return _vector(fitted.params), float(fitted.residual[0])


def _by_gradient(start: Vector, problem: Problem) -> tuple[Vector, float]:
    """Return the same as `_by_simplex`; the scatter of a start would let the search wander off."""
    x = _with_scatter_left(start, problem)
    jacobian, m = problem.jacobian(x), len(problem.names)
    information = np.diag([2.0 * problem.records.n_obs] * x.size)
    information[:m, :m] = jacobian.T @ jacobian
    found, value = maximise(problem.with_gradient, x, information)
    return np.clip(found, problem.lower, problem.upper), value


def _with_scatter_left(x: Vector, problem: Problem) -> Vector:
    """Return the vector with the scatters that are likeliest at its predictions."""
    out, value = x.copy(), problem.scatter_only(x)
    for place in range(len(problem.names), x.size):
        least = float(problem.lower[place])
        found = minimize_scalar(
            lambda ln, i=place: value(i, ln), bounds=(least, least + _WIDEST), method="bounded"
        )
        out[place] = float(found.x)
    return out


def _best_of(starts: Sequence[Vector], problem: Problem) -> Vector:
    """Return the best fit; where one leaves nothing, the other starts cannot do better."""
    found: Any = None
    for start in starts:
        fitted = _least_squares(start, problem)
        if found is None or fitted.chisqr < found.chisqr:
            found = fitted
        if found.chisqr < _NOTHING_LEFT * problem.records.n_obs:
            break
    return _vector(found.params)


def _least_squares(start: Vector, problem: Problem) -> Any:
    """Return the least-squares fit at the scatter of the start: a good place to begin."""
    held = _parameters(start, problem)
    for name in list(held)[len(problem.names) :]:
        held[name].vary = False
    search = Minimizer(lambda p: problem.residuals(_vector(p)), held, scale_covar=False)
    return search.minimize(
        method="leastsq",
        max_nfev=400 * (len(held) + 1),
        Dfun=lambda p: problem.jacobian(_vector(p)),
    )


def _starts(problem: Problem) -> list[Vector]:
    """Return where to start: the data's own guess, and points around it.

    A hard switch at the peak makes local optima; the same points are tried for everyone.
    """
    model, records, names = problem.model, problem.records, problem.names
    own = records.measure == guessed_measure(model, records)
    seen = problem.quantified & (records.dv > 0) & own
    guess = model.guess(records.time[seen], records.dv[seen]) if seen.any() else {}
    centre = np.array(
        [
            float(model.parameters[n].to_free(guess.get(n, model.parameters[n].typical)))
            for n in names
        ]
    )
    shifts = np.random.default_rng(_START_SEED).standard_normal((_STARTS, len(names)))
    around = [np.zeros(len(names)), *(_START_SPREAD * shifts)]
    return [np.concatenate([centre + shift, problem.scatter_start]) for shift in around]


def _parameters(x: Vector, problem: Problem) -> Parameters:
    """Return a vector as lmfit's parameters; those of scatter have a number for a name."""
    out = Parameters()
    labels = [*problem.names, *(f"ln_{m}_{sigma.name}" for m, sigma in problem.scatters)]
    for name, value, low, high in zip(labels, x, problem.lower, problem.upper, strict=True):
        out.add(name, value=float(value), min=float(low), max=float(high))
    return out


def _vector(parameters: Parameters) -> Vector:
    return np.array([p.value for p in parameters.values()], dtype=float)

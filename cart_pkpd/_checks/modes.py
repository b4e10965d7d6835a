"""The most probable deviations of every patient, and predictions linearised there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize

from cart_pkpd._checks.shrinkage import share_low
from cart_pkpd._fit.draws import patient_means
from cart_pkpd._fit.posterior import Evaluation, Posterior
from cart_pkpd._fit.start import Start
from cart_pkpd._stats.population import Structure

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_STEP, _LEAST_SD = 1e-6, 1e-8
_WORST = 1e10

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Modes:
    """Individual modes of k patients in p varying parameters, free (log, logit) scale.

    Attributes
    ----------
    names : tuple of str
        The varying parameters.
    free : ndarray, shape (k, p)
        Most probable individual values at the posterior medians of the population.
    centre : ndarray, shape (k, p)
        Population means for each patient's covariates and, in a mixture, group.
    covariance : ndarray, shape (p, p)
        Of the deviations, at posterior medians.
    prediction : ndarray, shape (n,)
        Of every record of the fit, on the scale of its error.
    slopes : ndarray, shape (n, p)
        Derivatives of the predictions by the free values.
    """

    names: tuple[str, ...]
    free: Array
    centre: Array
    covariance: Array
    prediction: Array
    slopes: Array

    @property
    def eta(self) -> Array:
        """Deviations, shape (k, p)."""
        return self.free - self.centre


def medians(result: FitResult) -> xr.Dataset:
    """Return the posterior medians of the population quantities, natural scale."""
    return result.draws().median(("chain", "draw"))


def individual_modes(result: FitResult) -> Modes:
    """Return the modes, found with the gradient of the compiled posterior.

    The population is held at its posterior medians, and the search begins at each patient's
    posterior median, so that of several modes the one where the draws are is found.
    """
    structure = result.structure
    names = structure.random.names
    at = medians(result)
    # Sampled around the population value: each block then holds individual values themselves.
    # What does not vary stands at its centre: there standardised deviations are moved.
    varies = np.array([float(at[sd]) > 0 for sd in structure.random.sds], dtype=bool)
    posterior = Posterior(structure, tuple(np.array(names)[varies].tolist()))
    function = posterior.function()
    point = _highest(posterior.start(_start(result, at)), len(structure.quantities), function)
    k, p = structure.design.n_patients, len(names)
    free = point[len(structure.quantities) :].reshape(p, k).T.copy()
    for j in np.flatnonzero(~varies):
        free[:, j] = patient_means(structure, names[j], at).to_numpy()
    prediction, by_natural = function.linearised(point)
    columns = [structure.model.estimated.index(n) for n in names]
    slopes = by_natural[:, columns] * _natural_slopes(structure, free)[structure.design.patient]
    covariance = structure.random.covariance({str(k): v.item() for k, v in at.items()})
    return Modes(names, free, _centres(structure, at, free), covariance, prediction, slopes)


def _start(result: FitResult, at: xr.Dataset) -> Start:
    structure = result.structure
    parameters = structure.model.parameters
    values = result.individual().median(("chain", "draw"))
    free = {
        n: np.asarray(parameters[n].to_free(values[n].to_numpy()), dtype=float)
        if float(at[sd]) > 0
        else patient_means(structure, n, at).to_numpy()
        for n, sd in zip(structure.random.names, structure.random.sds, strict=True)
    }
    return Start(
        typical={n: float(parameters[n].to_free(at[n])) for n in structure.located},
        individual=free,
        omega={
            (q.parameter if q.role == "omega" else q.name): max(float(at[q.name]), _LEAST_SD)
            for q in (*structure.of_role("omega"), *structure.of_role("iov"))
        },
        sigma={q.name: float(at[q.name]) for q in structure.of_role("residual")},
        others={
            q.name: float(at[q.name])
            for q in structure.quantities
            if q.role in ("covariate", "mixture")
        }
        | _partial(structure, at),
    )


def _partial(structure: Structure, at: xr.Dataset) -> dict[str, float]:
    """Return canonical partial correlations of the median correlations, by name."""
    names = structure.random.correlations
    partial = structure.random.partial(np.array([float(at[n]) for n in names]))
    return dict(zip(names, partial.tolist(), strict=True))


def _highest(start: Array, n_quantities: int, function: Evaluation) -> Array:
    """Return the point with the individual values moved to where the density is highest."""
    if start.size == n_quantities:
        return start

    def minus(tail: Array) -> tuple[float, Array]:
        value, gradient = function(np.concatenate([start[:n_quantities], tail]))
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return _WORST, np.zeros_like(tail)
        return -value, -gradient[n_quantities:]

    # Patients are independent given the population, so one search finds all modes.
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-14, "gtol": 1e-6, "maxcor": 30}
    found = minimize(minus, start[n_quantities:], jac=True, method="L-BFGS-B", options=options)
    return np.concatenate([start[:n_quantities], found.x])


def _natural_slopes(structure: Structure, free: Array) -> Array:
    """Return d natural / d free at the modes, shape (k, p)."""
    out = np.empty_like(free)
    for j, name in enumerate(structure.random.names):
        natural, at = structure.model.parameters[name].to_natural, free[:, j]
        out[:, j] = (natural(at + _STEP) - natural(at - _STEP)) / (2 * _STEP)
    return out


def _centres(structure: Structure, at: xr.Dataset, free: Array) -> Array:
    """Return where each patient's values are centred; non-expanders at the lower normal."""
    out = np.empty_like(free)
    for j, name in enumerate(structure.random.names):
        out[:, j] = patient_means(structure, name, at).to_numpy()
        if name == structure.population.non_expanders:
            eta = xr.DataArray(free[:, j] - out[:, j], dims="id")
            low = share_low(eta, at, name).to_numpy() > 0.5
            out[:, j] -= low * float(at["non_expander_shift"])
    return out

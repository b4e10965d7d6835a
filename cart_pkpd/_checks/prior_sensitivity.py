"""How much a posterior depends on its priors: power-scaling instead of refits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.draws import log_prior_draws
from cart_pkpd._fit.laplace_result import LaplaceResult

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

THRESHOLD = 0.05
_STEP = (0.99, 1.01)
_MAX_K = 0.7
_SAMPLE = ("chain", "draw")

DIAGNOSES: Mapping[tuple[bool, bool], str] = MappingProxyType(
    {
        (True, True): "possible prior-data conflict",
        (True, False): "weak likelihood",
        (False, True): "data decide",
        (False, False): "neither matters",
    }
)
"""In words, by whether the prior and whether the likelihood matter."""
MEANING: Mapping[str, str] = MappingProxyType(
    {
        "possible prior-data conflict": "prior and data both move the posterior: they may "
        "disagree, or the prior is as informative as the data",
        "weak likelihood": "the prior moves the posterior and the data hardly do: the posterior "
        "is mostly the prior",
        "data decide": "the data move the posterior and the prior hardly does",
        "neither matters": "small changes of neither move the posterior",
    }
)


def prior_sensitivity(
    result: FitResult,
    *,
    threshold: float = THRESHOLD,
    strengths: Sequence[float] = (0.5, 2.0),
    by_prior: bool = False,
) -> xr.Dataset:
    """Return how much each quantity's posterior depends on the priors and on the data.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    threshold : float
        From which sensitivity on something matters; 0.05 is where moving the strength by a factor
        of 2 moves a normal posterior by about a quarter of its standard deviation.
    strengths : sequence of float
        Powers of all priors at which medians are told: 0.5 halves what the priors say, 2 doubles
        it.
    by_prior : bool
        Also scale each prior alone.

    Returns
    -------
    xr.Dataset
        Dim quantity: ``prior`` and ``likelihood`` (sensitivities), ``diagnosis`` (one of
        "possible prior-data conflict", "weak likelihood", "data decide", "neither matters",
        "unknown") and ``reason`` (why a number is NaN). Dims quantity, component: ``by_prior``, the
        sensitivity to the prior of one quantity alone, where asked for. Dims strength, quantity:
        ``median``, the posterior median were all priors that strong. Dim strength: ``pareto_k`` of
        the weights; medians are NaN where it is above 0.7.

    Raises
    ------
    FitError
        If the threshold or a strength is not above 0, or the fit has no priors.

    Notes
    -----
    The density of the priors, or of the data, is raised to a power near 1; draws are weighted
    anew by Pareto smoothed importance sampling, and the sensitivity is the cumulative
    Jensen–Shannon distance from the posterior per doubling of the power [1]_. Only priors of
    population quantities are scaled: how patients vary is a part of the model.

    References
    ----------
    .. [1] Kallioinen, Paananen, Bürkner & Vehtari (2024), Statistics and Computing 34:57.
    """
    if isinstance(result, LaplaceResult):
        raise FitError(
            f"prior sensitivity: no priors act in fit.laplace, so {result.label!r} cannot depend "
            "on them; fit the same model with fit.bayes."
        )
    powers = np.asarray(strengths, dtype=float)
    if not threshold > 0 or not (powers > 0).all():
        raise FitError("prior sensitivity: threshold and strengths must be above 0.")
    draws, log_prior = result.draws(), _log_prior(result)
    loglik = result.tree["log_likelihood"].to_dataset()
    names = [str(n) for n in draws.data_vars]
    tree = xr.DataTree.from_dict(
        {"posterior": draws, "log_prior": log_prior, "log_likelihood": loglik}
    )
    reason = _reason(log_prior, loglik)
    prior = _sensitivity(tree, "prior", names, None) if not reason else _unknown(names)
    likelihood = _sensitivity(tree, "likelihood", names, None) if not reason else _unknown(names)
    each = names if by_prior else []
    alone = [_sensitivity(tree, "prior", names, n) if not reason else _unknown(names) for n in each]
    medians, k = _medians(draws, _total(log_prior), powers)
    return xr.Dataset(
        {
            "prior": ("quantity", prior, {"long_name": "sensitivity to the priors"}),
            "likelihood": ("quantity", likelihood, {"long_name": "sensitivity to the data"}),
            "diagnosis": ("quantity", _diagnoses(prior, likelihood, threshold)),
            "reason": ("quantity", np.full(len(names), reason)),
            "by_prior": (
                ("quantity", "component"),
                np.array(alone).reshape(len(each), len(names)).T,
            ),
            "median": (("strength", "quantity"), medians),
            "pareto_k": ("strength", k),
        },
        coords={
            "quantity": np.array(names),
            "component": np.array(each, dtype=str),
            "strength": powers,
            "units": ("quantity", np.array([q.unit for q in result.structure.quantities])),
        },
        attrs={
            "fit": result.label,
            "converged": int(result.verdict.ok),
            "threshold": threshold,
        },
    )


def _log_prior(result: FitResult) -> xr.Dataset:
    """Return the ln prior densities of a fit; computed for files from before they were kept."""
    if "log_prior" in result.tree.children:
        return result.tree["log_prior"].to_dataset()
    return log_prior_draws(result.structure, result.draws())


def _reason(log_prior: xr.Dataset, loglik: xr.Dataset) -> str:
    for what, found in (("prior density", log_prior), ("likelihood", loglik)):
        bad = int((~np.isfinite(_total(found))).sum())
        if bad:
            return f"the {what} is not a number at {bad} draws"
    return ""


def _unknown(names: Sequence[str]) -> NDArray[np.float64]:
    return np.full(len(names), np.nan)


def _sensitivity(
    tree: xr.DataTree, group: str, names: Sequence[str], component: str | None
) -> NDArray[np.float64]:
    import arviz as az

    scaled = tree["log_likelihood" if group == "likelihood" else "log_prior"].to_dataset()
    if not np.ptp(_total(scaled if component is None else scaled[[component]])) > 0:
        return np.zeros(len(names))  # the same at every draw, so that no power changes a weight
    found = az.psense(tree, group=group, alphas=_STEP, group_var_names=component)
    return np.array([float(found[n]) for n in names])


def _diagnoses(
    prior: NDArray[np.float64], likelihood: NDArray[np.float64], threshold: float
) -> NDArray[np.str_]:
    known = np.isfinite(prior) & np.isfinite(likelihood)
    return np.array(
        [
            DIAGNOSES[bool(p >= threshold), bool(v >= threshold)] if k else "unknown"
            for p, v, k in zip(prior, likelihood, known, strict=True)
        ]
    )


def _total(log_density: xr.Dataset) -> NDArray[np.float64]:
    """Return the sum over everything but draws, shape (chains × draws,)."""
    each = [v.transpose(*_SAMPLE, ...).to_numpy() for v in log_density.data_vars.values()]
    return np.sum([v.reshape(v.shape[0] * v.shape[1], -1).sum(axis=1) for v in each], axis=0)


def _medians(
    draws: xr.Dataset, log_prior: NDArray[np.float64], powers: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return medians under priors of each strength, shape (s, q), and Pareto k, shape (s,)."""
    from arviz_stats import base

    psislw: Any = base.array_stats.psislw  # type: ignore[attr-defined]

    columns = [v.transpose(*_SAMPLE).to_numpy().ravel() for v in draws.data_vars.values()]
    out, k = np.full((powers.size, len(columns)), np.nan), np.full(powers.size, np.nan)
    if not np.isfinite(log_prior).all():
        return out, k
    for i, power in enumerate(powers):
        log_weight, k[i] = np.zeros_like(log_prior), -np.inf
        if np.ptp((1.0 - power) * log_prior) > 0:
            # It takes what is to be left out and turns its sign itself.
            log_weight, k[i] = psislw((1.0 - power) * log_prior)
        if k[i] <= _MAX_K:
            weight = np.exp(log_weight - np.max(log_weight))
            out[i] = [_weighted_median(column, weight) for column in columns]
    return out, k


def _weighted_median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2.0)])

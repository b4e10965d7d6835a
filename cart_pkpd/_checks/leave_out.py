"""How well a fit predicts all records of a patient it has not seen, without fitting again."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.marginal import LOW_SHARE, MIN_ESS, Marginal, integrated, proposals, sampled
from cart_pkpd._core.errors import FitError
from cart_pkpd._core.progress import listener
from cart_pkpd._core.validate import one_of, positive_int
from cart_pkpd._stats.design import Design

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._fit.sample import OnProgress

_FEWEST_DRAWS = 50
_SHARE_OF_SE, _SMALL_ERROR = 0.25, 0.5
_CONDITIONAL = (
    "likelihood='conditional' cannot leave a patient out: the log-likelihoods of a patient's "
    "records given the patient's own etas sum to what the fit says of records that it has "
    "seen, because those etas were drawn from them; the importance weights have no finite "
    "variance and PSIS returns a number that is far too good. Use likelihood='marginal', which "
    "integrates the etas out, or checks.k_fold, which fits again."
)


def leave_one_patient_out(
    result: FitResult,
    *,
    seed: int = 1,
    n_draws: int = 500,
    n_samples: int = 100,
    likelihood: str = "marginal",
    progress: OnProgress | bool | None = None,
) -> xr.Dataset:
    """Return the expected log predictive density of every patient, left out in turn.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    seed : int
        Of the points over which etas are integrated.
    n_draws : int
        Posterior draws of the population used, evenly spaced and equally many from each chain;
        all where there are fewer. More make Pareto k and its limit steadier.
    n_samples : int
        Points per patient and draw; patients for whom they turn out too few get four, or
        sixteen, times as many.
    likelihood : str
        ``"marginal"``; ``"conditional"`` is refused with the reason.
    progress : callable or bool, optional
        A function that hears a ``Progress`` now and then; True for a bar, in a notebook or
        a terminal; False for none. By default a notebook shows a bar.

    Returns
    -------
    xr.Dataset
        Dim id: ``elpd``, ln density of all the patient's records given the other patients';
        ``mcse``, its Monte-Carlo standard error; ``pareto_k``; ``inner_ess``, effective number
        of points of the integral (5 % quantile over draws); ``inner_mcse``, error of the ln
        marginal likelihood (root mean square over draws); ``points`` per draw; ``unsolved``,
        points without a solution; ``reason``, why the elpd is not to be trusted, or empty.
        Dims chain, draw, id: ``loglik``, the marginal log-likelihoods. Attributes: ``elpd``,
        ``se`` (over patients), ``mcse``, ``p`` (effective number of population parameters),
        ``good_k``, ``reliable`` and ``sentence``, which says so or why not.

    Raises
    ------
    FitError
        If the conditional likelihood is asked for, or there are fewer than two patients, 50
        draws or 10 points.

    Notes
    -----
    A patient's records depend on each other through the etas, so that they are left out
    together and the etas integrated out (Merkle, Furr & Rabe-Hesketh 2019, Psychometrika
    84:802): ln p(y_i | population) by importance sampling, then PSIS over the draws (Vehtari et
    al. 2024, JMLR 25(72)). ``mcse`` has the error of the draws, and of the integrals.

    Examples
    --------
    >>> loo = checks.leave_one_patient_out(result, seed=1)
    >>> loo.attrs["sentence"]
    """
    one_of(likelihood, ("marginal", "conditional"), "likelihood", error=FitError)
    if likelihood == "conditional":
        raise FitError(_CONDITIONAL)
    design = result.structure.design
    if design.n_patients < 2:
        raise FitError("one patient cannot be left out of one; this needs at least two patients.")
    draws = thinned(result.draws(), positive_int(n_draws, "n_draws"))
    size = draws.sizes["chain"] * draws.sizes["draw"]
    if size < _FEWEST_DRAWS:
        raise FitError(
            f"{size} draws are too few to fit a Pareto tail to; use {_FEWEST_DRAWS} or more."
        )
    found = integrated(
        result.structure,
        sampled(draws),
        proposals(result),
        n_samples=positive_int(n_samples, "n_samples"),
        seed=seed,
        on_share=heard(listener(progress, result.label), design.n_patients),
    )
    settings = {"seed": seed, "n_draws": size, "n_samples": n_samples}
    return _dataset(result, draws, found, settings)


def thinned(draws: xr.Dataset, n: int) -> xr.Dataset:
    """Return about `n` draws, evenly spaced and equally many from each chain."""
    chains, length = draws.sizes["chain"], draws.sizes["draw"]
    each = min(length, max(1, n // chains))
    rows = np.floor((np.arange(each) + 0.5) * length / each).astype(int)
    return draws.isel(draw=rows)


def heard(progress: OnProgress | None, total: int) -> Any:
    """Return a function of the share that is done, or None."""
    if progress is None:
        return None
    from cart_pkpd._fit.sample import Progress

    return lambda share: progress(Progress("integrating", round(share * total), total))


def _dataset(
    result: FitResult, draws: xr.Dataset, found: Marginal, settings: dict[str, Any]
) -> xr.Dataset:
    shape = (draws.sizes["chain"], draws.sizes["draw"], -1)
    loglik = xr.DataArray(
        found.loglik.reshape(shape),
        dims=("chain", "draw", "id"),
        coords={"chain": draws["chain"], "draw": draws["draw"], "id": result.structure.design.ids},
        name="patient",
    )
    out = inner(result.structure.design, found).assign(loglik=loglik)
    return out.assign(_left_out(loglik, found)).pipe(_judged, result, settings)


def inner(design: Design, found: Marginal) -> xr.Dataset:
    """Return how well the integrals of each patient are known."""
    with np.errstate(invalid="ignore"):
        error = np.sqrt((found.error**2).mean(axis=0))
    coords: dict[str, Any] = {"id": design.ids}
    if "dose_level" in design.subjects:
        dose = design.subjects["dose_level"]
        coords["dose_level"] = ("id", dose.to_numpy(), dose.attrs)
    return xr.Dataset(
        {
            "inner_ess": ("id", np.quantile(found.ess, LOW_SHARE, axis=0), {"units": "1"}),
            "inner_mcse": ("id", error, {"units": "1"}),
            "points": ("id", found.points, {"units": "1"}),
            "unsolved": ("id", found.unsolved, {"units": "1"}),
        },
        coords=coords,
    )


def _left_out(loglik: xr.DataArray, found: Marginal) -> dict[str, Any]:
    """Return elpd, mcse and Pareto k of every patient; NaN where a likelihood is 0."""
    known = np.isfinite(found.loglik).all(axis=0)
    elpd, k, p = (np.full(known.size, np.nan) for _ in range(3))
    influence = np.full(found.loglik.shape, np.nan)
    bias = np.full(known.size, np.nan)
    good_k = np.nan
    if known.any():
        one = psis(loglik.isel(id=known))
        elpd[known], k[known] = one.elpd_i.to_numpy(), one.pareto_k.to_numpy()
        good_k = float(one.good_k)
        log_weight = one.log_weights.transpose("chain", "draw", "id").to_numpy()
        log_weight = log_weight.reshape(found.loglik.shape[0], -1)
        weight = np.exp(log_weight - log_weight.max(axis=0))
        weight /= weight.sum(axis=0)
        ratio = np.exp(found.loglik[:, known] - elpd[known])
        influence[:, known] = weight * (ratio - 1) / np.sqrt(relative_efficiency(loglik))
        bias[known] = (weight * found.error[:, known] ** 2).sum(axis=0)
        p[known] = _log_mean(found.loglik[:, known]) - elpd[known]
    return {
        "elpd": ("id", elpd, {"units": "1", "long_name": "Expected log predictive density"}),
        "mcse": ("id", np.sqrt((influence**2).sum(axis=0) + bias**2), {"units": "1"}),
        "pareto_k": ("id", k, {"units": "1", "long_name": "Pareto k", "good": good_k}),
        "_p": ("id", p),
        "_total_error": float(np.sqrt((influence.sum(axis=1) ** 2).sum() + bias.sum() ** 2)),
    }


def psis(loglik: xr.DataArray) -> Any:
    """Return ArviZ's PSIS-LOO of log-likelihoods, dims chain, draw and what is left out."""
    import arviz as az

    tree = xr.DataTree.from_dict({"log_likelihood": loglik.to_dataset(name="patient")})
    # Large Pareto k are reported by patient; the warning would only repeat it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return az.loo(tree, pointwise=True, reff=relative_efficiency(loglik))


def relative_efficiency(values: xr.DataArray) -> float:
    """Return the effective share of independent draws, at most 1."""
    import arviz as az

    finite = values.where(np.isfinite(values))
    size = values.sizes["chain"] * values.sizes["draw"]
    if values.sizes["draw"] < 4:
        return 1.0
    ess = az.ess(finite.to_dataset(name="x"), method="mean")["x"].to_numpy()
    share = ess[np.isfinite(ess)] / size
    return float(np.clip(share.mean(), 0.01, 1.0)) if share.size else 1.0


def _log_mean(loglik: NDArray[np.float64]) -> NDArray[np.float64]:
    most = loglik.max(axis=0)
    return np.asarray(np.log(np.exp(loglik - most).mean(axis=0)) + most)


def _judged(found: xr.Dataset, result: FitResult, settings: dict[str, Any]) -> xr.Dataset:
    """Add the totals, the reasons and the verdict."""
    elpd = found["elpd"].to_numpy()
    good_k = float(found["pareto_k"].attrs["good"])
    total = {
        "elpd": float(elpd.sum()),
        "se": standard_error(elpd),
        "mcse": float(found["_total_error"]),
        "p": float(found["_p"].to_numpy().sum()),
        "good_k": good_k,
    }
    reasons = np.array([_reason(found.isel(id=i), good_k) for i in range(elpd.size)], dtype=str)
    failed = [] if result.verdict.ok else ["the fit did not converge"]
    failed += _failures(found, total)
    sentence = (
        "Not reliable: " + "; ".join(failed) + "; checks.k_fold fits again without patients."
        if failed
        else _praise(found, total)
    )
    out = found.drop_vars(["_p", "_total_error"]).assign(reason=("id", reasons))
    return out.assign_attrs(
        **total, reliable=int(not failed), sentence=sentence, fit=result.label,
        converged=int(result.verdict.ok), **settings,
    )  # fmt: skip


def standard_error(elpd: NDArray[np.float64]) -> float:
    """Return the standard error of a sum over patients."""
    return float(np.sqrt(elpd.size) * elpd.std(ddof=1))


def _reason(one: xr.Dataset, good_k: float) -> str:
    said = []
    if not np.isfinite(one["elpd"]):
        return "at some draws no point of the integral has a solution or a density above 0"
    if float(one["pareto_k"]) > good_k:
        said.append(
            f"Pareto k {float(one['pareto_k']):.3f} above {good_k:.3f}: without this patient the "
            "posterior lies too far from that with"
        )
    if float(one["inner_ess"]) < MIN_ESS and float(one["inner_mcse"]) > 0:
        said.append(
            f"only {float(one['inner_ess']):.1f} effective points in the integral over the etas; "
            "raise n_samples"
        )
    return "; ".join(said)


def _failures(found: xr.Dataset, total: dict[str, float]) -> list[str]:
    k, elpd = found["pareto_k"].to_numpy(), found["elpd"].to_numpy()
    ids = found["id"].to_numpy()
    said = []
    if not np.isfinite(elpd).all():
        said.append(f"no elpd for {named(ids[~np.isfinite(elpd)])}")
    if (k > total["good_k"]).any():
        said.append(
            f"Pareto k above {total['good_k']:.3f} for {named(ids[k > total['good_k']])} "
            f"(up to {np.nanmax(k):.3f})"
        )
    few = few_points(found)
    if few.any():
        said.append(
            f"fewer than {MIN_ESS:.0f} effective points in the integral over the etas "
            f"for {named(ids[few])}"
        )
    if total["mcse"] > max(_SHARE_OF_SE * total["se"], _SMALL_ERROR):
        said.append(
            f"Monte-Carlo error {total['mcse']:.2f} beside a standard error of {total['se']:.2f}"
        )
    return said


def few_points(found: xr.Dataset) -> NDArray[np.bool_]:
    """Return for which patients the integral rests on too few points."""
    few = (found["inner_ess"] < MIN_ESS) & (found["inner_mcse"] > 0)
    return np.asarray(few.to_numpy())


def named(ids: Sequence[Any] | NDArray[Any]) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(str(i) for i in ids[:4])
    return shown if len(ids) <= 4 else f"{shown} and {len(ids) - 4} more"


def _praise(found: xr.Dataset, total: dict[str, float]) -> str:
    integrated = bool((found["inner_mcse"] > 0).any())
    points = (
        f"at least {float(found['inner_ess'].min()):.0f} effective points in the integrals over "
        "the etas, "
        if integrated
        else ""
    )
    return (
        f"Reliable: Pareto k at most {float(found['pareto_k'].max()):.2f} (limit "
        f"{total['good_k']:.2f}), {points}Monte-Carlo error {total['mcse']:.2f} beside a standard "
        f"error of {total['se']:.2f}."
    )

"""Compare fits: first whether each converged, then how well it predicts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import as_mapping, one_of

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._fit.sample import OnProgress
    from cart_pkpd._stats.design import Design

_COLUMNS = (
    "rank", "converged", "verdict", "reliable", "note", "elpd", "se", "elpd_diff", "dse",
    "weight", "p", "mcse", "pareto_k_bad", "n_obs", "n_patients", "seconds",
)  # fmt: skip
_OF_PATIENTS = ("elpd", "mcse", "pareto_k", "inner_ess", "reason")
_TOTALS = ("elpd", "se", "mcse", "p", "good_k", "reliable", "sentence")


def models(
    fits: Mapping[str, FitResult],
    *,
    by: str = "patient",
    patients: xr.Dataset | None = None,
    seed: int = 1,
    n_draws: int = 500,
    n_samples: int = 100,
    progress: OnProgress | None = None,
) -> pd.DataFrame:
    """Rank fits of the same records by how well they predict what they have not seen.

    Parameters
    ----------
    fits : mapping of str to FitResult
        By the name that the table shows; all on the same records.
    by : str
        What is left out: ``"patient"``, all records of a patient (the default), or
        ``"record"``, one record of a patient whose other records are known.
    patients : xr.Dataset, optional
        From :func:`patients` on the same fits, which then is not computed again.
    seed, n_draws, n_samples, progress
        As for ``checks.leave_one_patient_out``; only by patient.

    Returns
    -------
    pandas.DataFrame
        Indexed by name, best first, fits that did not converge last and without a rank:

        - ``rank``, ``converged``, ``verdict``
        - ``reliable`` whether elpd can be trusted, ``note`` why or why not
        - ``elpd`` expected log predictive density (higher is better), ``se`` its standard error
        - ``elpd_diff`` difference from the best, ``dse`` its standard error, of differences
          patient by patient (or record by record)
        - ``weight`` stacking weight, ``p`` effective number of parameters
        - ``mcse`` Monte-Carlo standard error of ``elpd``, only by patient
        - ``pareto_k_bad`` patients or records whose Pareto k is too large
        - ``n_obs`` records, ``n_patients``, ``seconds`` compile and sampling time

    Raises
    ------
    FitError
        If there is no fit, one is not Bayesian, or the fits use different records.

    Notes
    -----
    By patient is the default because the question that a population model answers is about
    the next patient, because the records of one patient are not independent given the
    population, which ``dse`` over records supposes, and because a record is easily predicted
    by a flexible individual curve through its neighbours. By record asks how well the curve of
    a patient known already is interpolated. Either is PSIS-LOO (Vehtari, Gelman & Gabry 2017,
    Stat Comput 27:1413). The density of every quantified record is on the natural scale of the
    measurement, so fits with log-normal and additive errors compare. With fewer than about 20
    patients ``dse`` itself is uncertain.

    Examples
    --------
    >>> compare.models({"stein": a, "joint": b})
    >>> compare.models({"stein": a, "joint": b}, by="record")
    """
    one_of(by, ("patient", "record"), "way to leave out", error=FitError)
    _check_fits(fits)
    rows: dict[str, dict[str, Any]] = {name: _basics(fit) for name, fit in fits.items()}
    ranked = {name: fit for name, fit in fits.items() if fit.verdict.ok}
    if by == "record":
        found = _by_record(ranked)
    else:
        if patients is None and ranked:
            patients = _patients(ranked, seed, n_draws, n_samples, progress)
        found = _by_patient(ranked, patients)
    for name, numbers in found.items():
        rows[name].update(numbers)
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=list(_COLUMNS))
    table = table.sort_values("rank", na_position="last", kind="stable")
    table.index.name = "fit"
    table.attrs["by"] = by
    return table


def patients(
    fits: Mapping[str, FitResult],
    *,
    seed: int = 1,
    n_draws: int = 500,
    n_samples: int = 100,
    progress: OnProgress | None = None,
) -> xr.Dataset:
    """Return what each fit that converged predicts of every patient left out.

    Parameters
    ----------
    fits : mapping of str to FitResult
        All on the same records.
    seed, n_draws, n_samples, progress
        As for ``checks.leave_one_patient_out``.

    Returns
    -------
    xr.Dataset
        Dims fit, id: ``elpd``, ``mcse``, ``pareto_k``, ``inner_ess``, ``reason``; dim fit: the
        totals ``total_elpd``, ``total_se``, ``total_mcse``, ``total_p``, ``total_good_k``,
        ``total_reliable`` and ``total_sentence``. Attribute ``left_out``: fits that did not
        converge. Drawn by ``plots.patient_elpd``.

    Raises
    ------
    FitError
        If there is no fit, none converged, or the fits use different records.
    """
    _check_fits(fits)
    good = {name: fit for name, fit in fits.items() if fit.verdict.ok}
    if not good:
        raise FitError("none of the fits converged, so that none can be compared; see verdict.")
    found = _patients(good, seed, n_draws, n_samples, progress)
    return found.assign_attrs(left_out=", ".join(n for n in fits if n not in good))


def _patients(
    fits: Mapping[str, FitResult],
    seed: int,
    n_draws: int,
    n_samples: int,
    progress: OnProgress | None,
) -> xr.Dataset:
    from cart_pkpd.checks import leave_one_patient_out

    each = []
    for fit in fits.values():
        loo = leave_one_patient_out(
            fit, seed=seed, n_draws=n_draws, n_samples=n_samples, progress=progress
        )
        totals = {f"total_{k}": loo.attrs[k] for k in _TOTALS}
        own = loo[list(_OF_PATIENTS)].drop_vars(["chain", "draw"], errors="ignore")
        each.append(own.drop_attrs(deep=False).assign(totals))
    names = xr.DataArray(list(fits), dims="fit", name="fit")
    out = xr.concat(each, dim=names, join="exact")
    return out.assign_attrs(seed=seed, n_draws=n_draws, n_samples=n_samples)


def _basics(fit: FitResult) -> dict[str, Any]:
    seconds = fit.provenance["compile_seconds"] + fit.provenance["sample_seconds"]
    return {
        "rank": np.nan,
        "converged": fit.verdict.ok,
        "verdict": fit.verdict.sentence,
        "reliable": False,
        "note": "" if fit.verdict.ok else "not compared: the fit did not converge",
        "n_obs": fit.structure.design.n_obs,
        "n_patients": fit.structure.design.n_patients,
        "seconds": seconds,
    }


def _check_fits(fits: Mapping[str, FitResult]) -> None:
    fits = as_mapping(fits, "fits by name", such_as="{'stein': first, 'joint': second}")
    if not fits:
        raise FitError("no fit to compare.")
    from cart_pkpd._fit.fitted import as_fit  # reading a table must not wait

    for name, fit in fits.items():
        as_fit(fit, repr(name))
    _check_bayesian(fits)
    _check_same_records(fits)


def _check_bayesian(fits: Mapping[str, FitResult]) -> None:
    from cart_pkpd._fit.laplace_result import LaplaceResult  # reading a table must not wait

    for name, fit in fits.items():
        if isinstance(fit, LaplaceResult):
            raise FitError(
                f"{name!r} has no draws of the likelihood of its records; compare fits of "
                "fit.laplace by their ofv, aic or bic, or fit it by fit.bayes."
            )


def _check_same_records(fits: Mapping[str, FitResult]) -> None:
    (first, reference), *others = fits.items()
    mine = reference.structure.design
    for name, fit in others:
        design = fit.structure.design
        same = (
            design.endpoints == mine.endpoints
            and np.array_equal(design.measure, mine.measure)
            and np.array_equal(design.row, mine.row)
            and np.array_equal(design.dv, mine.dv)
            and np.array_equal(design.code, mine.code)
        )
        if not same:
            how = [f.structure.population.censoring.upper() for f in (reference, fit)]
            why = (
                f" They differ in what was done with censored records ({how[0]} and {how[1]}): "
                "fit them by the same censoring method."
                if how[0] != how[1]
                else ""
            )
            raise FitError(
                f"{first!r} and {name!r} were fitted to different records "
                f"({_said(mine)} and {_said(design)}); "
                f"only fits of the same data can be compared.{why}"
            )


def _said(design: Design) -> str:
    return f"{', '.join(design.endpoints)}: {design.n_obs}"


def _by_patient(
    fits: Mapping[str, FitResult], patients: xr.Dataset | None
) -> dict[str, dict[str, Any]]:
    """Return the predictive columns of every fit, patients left out; those without elpd apart."""
    if not fits or patients is None:
        return {}
    known = [str(n) for n in patients["fit"].to_numpy()]
    missing = [name for name in fits if name not in known]
    if missing:
        raise FitError(
            f"patients= holds no fit {missing[0]!r}; compute it with compare.patients on these "
            "fits."
        )
    ids = next(iter(fits.values())).structure.design.ids
    if not np.array_equal(patients["id"].to_numpy().astype(str), ids):
        raise FitError("patients= is of other patients than the fits; compute it again.")
    elpds, out = {}, {}
    for name in fits:
        one = patients.sel(fit=name)
        out[name] = _totals(one)
        if np.isfinite(one["total_elpd"]):
            elpds[name] = _pointwise(one)
    for name, numbers in _ranks(elpds).items():
        out[name] |= numbers
    return out


def _totals(one: xr.Dataset) -> dict[str, Any]:
    bad = one["pareto_k"].to_numpy() > float(one["total_good_k"])
    return {
        **{k: float(one[f"total_{k}"]) for k in ("elpd", "se", "mcse", "p")},
        "reliable": bool(one["total_reliable"]),
        "note": str(one["total_sentence"].item()),
        "pareto_k_bad": int(bad.sum()),
    }


def _pointwise(one: xr.Dataset) -> Any:
    """Return elpd by patient in the form that ArviZ compares."""
    from arviz_stats.utils import ELPDDataLOO

    good_k = float(one["total_good_k"])
    return ELPDDataLOO(
        elpd=float(one["total_elpd"]),
        se=float(one["total_se"]),
        p=float(one["total_p"]),
        n_samples=1,
        n_data_points=one.sizes["id"],
        scale="log",
        warning=False,
        good_k=good_k,
        elpd_i=one["elpd"].drop_vars([c for c in one.coords if c != "id"]),
        pareto_k=one["pareto_k"],
        approx_posterior=False,
    )


def _by_record(fits: Mapping[str, FitResult]) -> dict[str, dict[str, Any]]:
    """Return the predictive columns of every fit, records left out."""
    if not fits:
        return {}
    import arviz as az

    elpds = {name: _quietly(az.loo, fit.tree, pointwise=True) for name, fit in fits.items()}
    ranks = _ranks(elpds)
    out = {}
    for name, elpd in elpds.items():
        bad = int((elpd.pareto_k.to_numpy() > elpd.good_k).sum())
        note = (
            f"Not reliable: Pareto k above {elpd.good_k:.2f} for {bad} of {elpd.n_data_points} "
            "records."
            if bad
            else f"Reliable: Pareto k at most {float(elpd.pareto_k.max()):.2f}."
        )
        out[name] = {
            "elpd": float(elpd.elpd),
            "se": float(elpd.se),
            "p": float(elpd.p),
            "pareto_k_bad": bad,
            "reliable": not bad,
            "note": note,
            **ranks[name],
        }
    return out


def _ranks(elpds: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return rank, paired difference, its standard error and stacking weight of each."""
    import arviz as az

    if len(elpds) < 2:
        alone = {"rank": 1, "elpd_diff": 0.0, "dse": 0.0, "weight": 1.0}
        return {name: dict(alone) for name in elpds}
    compared = _quietly(az.compare, dict(elpds), round_to="none")
    out = {}
    for name in elpds:
        row = compared.loc[name]
        out[name] = {k: float(row[k]) for k in ("elpd_diff", "dse", "weight")}
        out[name]["rank"] = int(row["rank"]) + 1
    return out


def _quietly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    # Large Pareto k are counted in the table; the warning would only repeat it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*args, **options)

"""Compare fits, and search for the population that describes a trial best.

>>> from cart_pkpd import compare
>>> found = compare.models({"stein": first, "joint": second})
>>> found.sentence
>>> compare.search(model, trial, population, candidates=compare.candidates(iiv=["beta"]))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._compare import exposure as _exposure
from cart_pkpd._compare import likelihood as _likelihood
from cart_pkpd._compare import predictive as _predictive
from cart_pkpd._compare.candidates import Candidates as Candidates
from cart_pkpd._compare.candidates import candidates as candidates
from cart_pkpd._compare.read import fits_of as fits_of
from cart_pkpd._compare.records import BAYES as _BAYES
from cart_pkpd._compare.records import LEAST_SQUARES as _LEAST_SQUARES
from cart_pkpd._compare.records import LIKELIHOOD as _LIKELIHOOD
from cart_pkpd._compare.records import by_kind as _by_kind
from cart_pkpd._compare.result import Comparison as Comparison
from cart_pkpd._compare.search import search as search
from cart_pkpd._compare.searched import Search as Search
from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import as_seed, one_of, positive_int

if TYPE_CHECKING:
    from cart_pkpd._fit.sample import OnProgress

__all__ = [
    "CRITERIA", "Candidates", "Comparison", "Search", "candidates", "fits_of", "models",
    "patients", "search",
]  # fmt: skip

CRITERIA = _likelihood.CRITERIA
"""Criteria of likelihood fits, lower is better, with their names for people."""

_SHARED = ("rank", "kind", "converged", "verdict", "reliable", "note")
_OF_BAYES = (
    "elpd", "se", "elpd_diff", "dse", "weight", "p", "mcse", "pareto_k_bad", "pareto_k_max",
    "inner_ess_min",
)  # fmt: skip
_OF_LIKELIHOOD = (
    "ofv", "bic_mixed", "bic", "bic_patients", "aic", "difference", "weight", "n_estimated",
)  # fmt: skip
_LAST = ("n_obs", "n_patients", "seconds")


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


def models(
    fits: Mapping[str, Any],
    *,
    by: str = "patient",
    criterion: str = "bic_mixed",
    patients: xr.Dataset | None = None,
    exposure: bool = True,
    endpoint: str | None = None,
    window: tuple[float, float] = (0.0, 28.0),
    n_sims: int = _exposure.N_SIMS,
    seed: int = 1,
    n_draws: int = 500,
    n_samples: int = 100,
    progress: OnProgress | None = None,
) -> Comparison:
    """Compare fits of the same records: which converged, then how well each predicts.

    Parameters
    ----------
    fits : mapping of str to FitResult, LaplaceResult or xr.Dataset
        By the name that the table shows, from ``fit.bayes``, ``fit.laplace`` or
        ``fit.least_squares``; all on the same records. Each kind is ranked by itself.
    by : str
        What is left out to rank Bayesian fits: ``"patient"``, all records of a patient (the
        default), or ``"record"``, one record of a patient whose other records are known.
    criterion : str
        What ranks likelihood fits: ``"bic_mixed"``, ``"bic"``, ``"bic_patients"``, ``"aic"`` or
        ``"ofv"``. Least squares have ``"bic"``, ``"aic"`` and ``"ofv"``; ``"bic"`` by default.
    patients : xr.Dataset, optional
        From :func:`patients` on the same fits, which then is not computed again.
    exposure : bool
        Whether the predictive errors of Cmax and the area are computed.
    endpoint : str, optional
        Whose exposure; the first endpoint by default.
    window : tuple of float
        Start and end of the area. [day]
    n_sims : int
        Simulated trials for the exposure.
    seed, n_draws, n_samples, progress
        As for ``checks.leave_one_patient_out``; only by patient.

    Returns
    -------
    Comparison
        Its ``table`` is indexed by name, best first within each kind, fits that did not converge
        last and without a rank:

        - ``rank``, ``kind``, ``converged``, ``verdict``
        - ``reliable`` whether what ranks can be trusted, ``note`` why or why not
        - of Bayesian fits: ``elpd`` expected log predictive density (higher is better), ``se`` its
          standard error, ``elpd_diff`` difference from the best, ``dse`` its standard error, of
          differences patient by patient (or record by record), ``weight`` stacking weight, ``p``
          effective number of parameters, ``mcse`` Monte-Carlo standard error of ``elpd`` and
          ``inner_ess_min`` fewest effective points of a patient's integral (only by patient),
          ``pareto_k_bad`` patients or records whose Pareto k is too large, ``pareto_k_max``; the
          same of the way that does not rank with ``_record`` or ``_patient`` behind (by patient
          only if `patients` is given)
        - of likelihood fits and least squares: ``ofv`` -2 ln L, the criteria (lower is better),
          ``difference`` from the best by the one that ranks, ``weight`` exp(-difference / 2) as a
          share, ``n_estimated``
        - ``cmax_error`` median error [%], ``cmax_rmse`` root mean square error [ln units],
          ``cmax_coverage`` share of patients within the 90 % interval; the same of the area,
          such as ``auc0_28_error``; ``exposure_note`` what is not in them
        - ``n_obs`` records, ``n_patients``, ``seconds`` run time of the fit

    Raises
    ------
    FitError
        If there is no fit, one is none, or the fits use different records.

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

    ``bic_mixed`` counts ln patients for every quantity of parameters that vary between patients
    and ln records for the others (Delattre, Lavielle & Poursat 2014, Electron J Stat 8:456).

    Errors of exposure are of new patients with the doses, covariates, sampling times and limits of
    the real ones, predicted from the population alone, against the NCA of the real profiles;
    simulated profiles go through the same NCA. The patients were in the fit: this is no prediction
    of patients left out.

    Examples
    --------
    >>> compare.models({"stein": a, "joint": b})
    >>> compare.models({"stein": a, "joint": b}, by="record")
    """
    one_of(by, _predictive.WAYS, "way to leave out", error=FitError)
    one_of(criterion, CRITERIA, "criterion", error=FitError)
    kinds = _by_kind(fits)
    rows: dict[str, dict[str, Any]] = {}
    for kind, own in kinds.items():
        rows |= {name: {"kind": kind} | _basics(kind, fit) for name, fit in own.items()}
    good = {kind: {n: f for n, f in own.items() if rows[n]["converged"]} for kind, own in
            kinds.items()}  # fmt: skip
    sizes: dict[str, Any] = {"seed": as_seed(seed), "n_draws": n_draws, "n_samples": n_samples}
    bayes, likely = good.get(_BAYES, {}), good.get(_LIKELIHOOD, {})
    if by == _predictive.PATIENT and patients is None and bayes:
        patients = _predictive.left_out_patients(bayes, progress=progress, **sizes)
    least = {name: rows[name] for name in good.get(_LEAST_SQUARES, {})}
    found = [
        _predictive.columns(bayes, by, patients),
        _likelihood.columns(likely, criterion),
        _likelihood.ranked(least, _likelihood.of_least_squares(criterion)),
    ]
    if exposure:
        n_sims = positive_int(n_sims, "n_sims")
        asked: Any = {"endpoint": endpoint, "window": window, "n_sims": n_sims, "seed": seed}
        found.append(_exposure.columns({**bayes, **likely}, **asked))
    for numbers in found:
        for name, own in numbers.items():
            rows[name] = {**rows[name], **own}
    table = _table(rows, kinds)
    table.attrs |= {"by": by, "criterion": criterion}
    return Comparison(table, by, criterion)


def patients(
    fits: Mapping[str, Any],
    *,
    seed: int = 1,
    n_draws: int = 500,
    n_samples: int = 100,
    progress: OnProgress | None = None,
) -> xr.Dataset:
    """Return what each Bayesian fit that converged predicts of every patient left out.

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
        If there is no fit, none converged, one is not Bayesian, or the fits use different records.
    """
    for kind, own in _by_kind(fits).items():
        if kind != _BAYES:
            raise FitError(
                f"{next(iter(own))!r} has no draws of the likelihood of its records, which leaving "
                "patients out needs; fit it by fit.bayes, or compare its criteria by "
                "compare.models."
            )
    good = {name: fit for name, fit in fits.items() if fit.verdict.ok}
    if not good:
        raise FitError("none of the fits converged, so that none can be compared; see verdict.")
    found = _predictive.left_out_patients(
        good, seed=seed, n_draws=n_draws, n_samples=n_samples, progress=progress
    )
    return found.assign_attrs(left_out=", ".join(n for n in fits if n not in good))


def _basics(kind: str, fit: Any) -> dict[str, Any]:
    """Return what every fit has: whether it converged, how many records, how long it took."""
    if kind == _LEAST_SQUARES:
        return {"rank": np.nan} | _likelihood.totals(fit)
    seconds = [fit.provenance.get(k) for k in ("compile_seconds", "sample_seconds", "seconds")]
    known = [s for s in seconds if s is not None]
    return {
        "rank": np.nan,
        "converged": fit.verdict.ok,
        "verdict": fit.verdict.sentence,
        "reliable": False,
        "note": "" if fit.verdict.ok else "not compared: the fit did not converge",
        "n_obs": fit.structure.design.n_obs,
        "n_patients": fit.structure.design.n_patients,
        "seconds": sum(known) if known else np.nan,
    }


def _table(
    rows: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    table = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="fit"))
    own = dict.fromkeys(_SHARED)
    if _BAYES in kinds:
        own |= dict.fromkeys(_OF_BAYES)
    if kinds.keys() - {_BAYES}:
        own |= dict.fromkeys(_OF_LIKELIHOOD)
    others = [c for c in table if c not in own and c not in _LAST]
    table = table.reindex(columns=[*own, *others, *_LAST])
    order = {kind: i for i, kind in enumerate(kinds)}
    table = table.sort_values("rank", na_position="last", kind="stable")
    table = table.sort_values("kind", key=lambda k: k.map(order), kind="stable")
    for words in {"note", "exposure_note"} & set(table):
        table[words] = table[words].fillna("")
    return table

"""Fit the chain from dose to DLT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from cart_pkpd import nca
from cart_pkpd._core.errors import DataError
from cart_pkpd._crs.parts import ProportionalOdds
from cart_pkpd._dose.chained import CAUTION, ChainResult
from cart_pkpd._dose.followed import followed
from cart_pkpd._dose.from_trial import from_trial
from cart_pkpd._dose.joint import PEAK_VECTORS, sample
from cart_pkpd._dose.links import GRADE_EFFECT, Links, PeakPriors, Toxicity, usual_grade
from cart_pkpd._dose.measured import Partial, measured, with_doses
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.peaks import peaks
from cart_pkpd._dose.power import PowerPriors
from cart_pkpd._stats.priors import Prior

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

USUAL: Literal["usual"] = "usual"


def chain(
    trial: xr.Dataset,
    *,
    toxicity: Toxicity,
    reference: float,
    source: xr.Dataset | FitResult | None = None,
    metric: Literal["cmax", "auc0_28"] = "cmax",
    endpoint: str | None = None,
    data: DoseData | None = None,
    exposure_reference: float | None = None,
    exposure: PowerPriors | None = None,
    cytokines: Sequence[str] | None = None,
    peak_priors: PeakPriors | None = None,
    grade: ProportionalOdds | Literal["usual"] | None = USUAL,
    grade_exposure: Prior = GRADE_EFFECT,
    crs_grade: str = "crs_grade",
    partial: Partial = "censor",
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float = 0.95,
    n_draws: int = 400,
    seed: int = 1,
) -> ChainResult:
    """Fit dose → exposure → cytokine peaks → CRS grade, and exposure and dose → DLT, as one model.

    Parameters
    ----------
    trial : xr.Dataset
    toxicity : Toxicity
        ``logit P(DLT) = a + c ln(E / E*) + g ln(d / d*)``; its intercept has no default prior.
    reference : float
        Dose d*. [dose unit]
    source : xr.Dataset or FitResult, optional
        Exposures: an NCA table, or a Bayesian fit, whose uncertainty is carried. By default NCA of
        `endpoint`.
    metric : {"cmax", "auc0_28"}
    endpoint : str, optional
        Measure of the cells; needed only if there are several.
    data : DoseData, optional
        From ``dose.data``: doses, levels and DLTs that count; by default ``dose.data(trial)``.
    exposure_reference : float, optional
        E*; by default the typical exposure at d*. [exposure unit]
    exposure : PowerPriors, optional
    cytokines : sequence of str, optional
        By default those of the nine that the trial has; ``()`` for none.
    peak_priors : PeakPriors, optional
    grade : crs.ProportionalOdds, None or "usual"
        How the CRS grade depends on peaks; "usual" takes grades 0 to 4 and the peak of IL-6 beside
        exposure; None leaves CRS out.
    grade_exposure : Prior
        Change of the log odds of a higher grade per factor e of exposure.
    crs_grade : str
        Patient-level variable with the grade.
    partial : {"censor", "keep", "drop"}
        Of partial exposures by NCA, see ``dose.exposure``.
    draws, tune, chains, cores, target_accept, seed
        Of the sampler (nutpie).
    n_draws : int
        Draws of a fit that make its patients' exposures.

    Returns
    -------
    ChainResult

    Raises
    ------
    DataError
        If no DLT outcome counts, or the trial lacks what is asked for.
    ModelError
        If the parts contradict each other.

    Notes
    -----
    With ``Toxicity(intercept, exposure=0.0, dose=prior)`` the DLT curve is the two-parameter
    logistic model with that intercept and slope. Where patients of one dose hardly differ in
    exposure it is one with slope c·b + g. Peaks of different cytokines are taken as independent at
    one exposure.
    """
    known = data if data is not None else from_trial(
        trial, window=28.0, as_of=None, levels=None, unit=None
    )  # fmt: skip
    _same_patients(known, trial)
    cells = source if source is not None else _table(trial, endpoint)
    found = measured(
        cells, trial, metric, endpoint=endpoint, partial=partial, n_draws=n_draws, seed=seed
    )
    found, there = with_doses(found, known), peaks(trial, cytokines)
    if not found.informative.any():
        raise DataError(
            f"no patient of data has both a dose and a {found.label}, so the chain cannot begin; "
            "look at the reasons in dose.exposure(trial) or nca.table(trial)."
        )
    links = Links(
        toxicity, float(reference), exposure_reference, metric, exposure or PowerPriors(),
        there.names, peak_priors or PeakPriors(),
        usual_grade(there.names) if isinstance(grade, str) else grade, grade_exposure,
    )  # fmt: skip
    rows, notes = followed(known, found, there, trial, links, grade=crs_grade)
    settings: dict[str, Any] = {
        "draws": draws, "tune": tune, "chains": chains, "seed": seed,
        "target_accept": target_accept,
    }  # fmt: skip
    return fitted(rows, links, (*notes, *CAUTION), cores=cores, **settings)


def fitted(
    rows: xr.Dataset, links: Links, notes: tuple[str, ...], *, cores: int | None, **settings: Any
) -> ChainResult:
    """Sample the chain of patients already arranged."""
    from cart_pkpd._crs.sampling import provenance
    from cart_pkpd._fit.verdict import judge

    raw, stats = sample(rows, links, cores=cores, **settings)
    tree = xr.DataTree.from_dict(
        {"posterior": named(raw, links), "sample_stats": _kept(stats), "patients": rows}
    )
    return ChainResult(
        links=links, tree=tree, verdict=judge(raw, stats), notes=notes,
        provenance=provenance(**settings),
    )  # fmt: skip


def exposure_chain(result: FitResult, trial: xr.Dataset, **options: Any) -> ChainResult:
    """Fit the chain with exposures from a population fit, their uncertainty carried.

    Parameters
    ----------
    result : FitResult
        From ``fit.bayes``.
    trial : xr.Dataset
    **options
        Those of `chain`; ``toxicity`` and ``reference`` are needed.

    Returns
    -------
    ChainResult
        As from `chain`.
    """
    return chain(trial, source=result, **options)


def _same_patients(known: DoseData, trial: xr.Dataset) -> None:
    """Raise if data are of patients whom the trial does not have."""
    ids = set(trial["id"].values.astype(str))
    strangers = [p.id for p in known.patients if p.id not in ids]
    if strangers:
        more = ", …" if len(strangers) > 8 else ""
        raise DataError(
            f"data have patients who are not in the trial: {', '.join(strangers[:8])}{more}; make "
            "both of the same trial with dose.data(trial, ...)."
        )


def _table(trial: xr.Dataset, endpoint: str | None) -> xr.Dataset:
    table = nca.table(trial, endpoint, window=(0, 28))
    if "endpoint" in table.dims:
        known = ", ".join(str(e) for e in table["endpoint"].values)
        raise DataError(f"cells are measured in several ways ({known}); choose with endpoint=.")
    return table


def named(raw: xr.Dataset, links: Links) -> xr.Dataset:
    """Return one variable per number, dims chain, draw; held numbers as constants."""
    size = (raw.sizes["chain"], raw.sizes["draw"])
    out = {}
    for n in links.numbers():
        if n.part == "peaks":
            cytokine, what = n.name.rsplit("_", 1)
            vector = raw[PEAK_VECTORS[("intercept", "slope", "sigma").index(what)]]
            values = vector.to_numpy()[:, :, links.cytokines.index(cytokine)]
        elif n.held:
            values = np.full(size, float(n.prior))  # type: ignore[arg-type]
        else:
            values = raw[n.name].to_numpy()
        out[n.name] = (("chain", "draw"), values, {"long_name": n.label, "part": n.part})
    return xr.Dataset(out, coords={"chain": raw["chain"].values, "draw": raw["draw"].values})


def _kept(stats: xr.Dataset) -> xr.Dataset:
    """Return the statistics that files can hold and people look at."""
    names = ("diverging", "energy", "maxdepth_reached", "depth", "n_steps", "logp", "step_size")
    return stats[[n for n in names if n in stats]]

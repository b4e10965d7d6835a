"""Exposure–response: what doubling the exposure does to an outcome, beside dose and burden."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from scipy.stats import norm

from cart_pkpd._core import display, words
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.names import GRADES, HIGHEST_GRADE
from cart_pkpd._core.validate import number, one_of, positive_int, probability, shown, yes_or_no
from cart_pkpd._crs.arrange import arrange
from cart_pkpd._crs.compare import along, described, response
from cart_pkpd._crs.density import LayerDensity
from cart_pkpd._crs.layer import Layer
from cart_pkpd._crs.likelihood import GradeData, OccurrenceData
from cart_pkpd._crs.maximum import covariance
from cart_pkpd._crs.outcomes import names_of
from cart_pkpd._crs.parts import Logistic, ProportionalOdds
from cart_pkpd._crs.predictors import GRADE
from cart_pkpd._crs.terms import Term
from cart_pkpd._endpoints.aft import SurvivalFit, survival_bayes
from cart_pkpd._endpoints.brant import brant
from cart_pkpd._endpoints.cox import Cox, cox, ratio_table
from cart_pkpd._endpoints.groups import Patients, per_patient, variable
from cart_pkpd._endpoints.landmark_analysis import from_landmark
from cart_pkpd._endpoints.predictors import Given, columns_of, listed_of, terms_of
from cart_pkpd._endpoints.survival import KaplanMeier, kaplan_meier

Floats = NDArray[np.float64]
Kind = Literal["logistic", "ordinal", "survival"]
Method = Literal["ml", "bayes"]


@dataclass(frozen=True, eq=False)
class ExposureResponse:
    """An exposure–response analysis.

    Attributes
    ----------
    kind : {"logistic", "ordinal", "survival"}
    method : {"ml", "bayes"}
    outcome : str
        In words: ``"crs_grade ≥ 2"``.
    exposure : Term
    terms : tuple of Term
        Exposure first, then covariates.
    ratios : DataFrame
        Odds or hazard ratios of every term: ``term``, ``label``, ``change`` (``"2-fold"`` is per
        doubling), ``kind``, ``estimate``, ``lower``, ``upper``, ``p_value`` (ML) or ``p_above_1``
        (Bayes), ``reason``.
    sensitivity : DataFrame
        The ratio per doubling with and without the patients whose exposure is truncated; empty
        where there are none.
    separate : DataFrame
        For ordinal outcomes: the ratio per doubling from a logistic regression at each threshold,
        and Brant's test that they are equal; else empty.
    curve : xr.Dataset or None
        Probability along the exposure with observed shares, for ``plots.exposure_response``.
    survival : KaplanMeier or None
        For survival: curves of groups of patients by exposure.
    n, events : int
        Patients used, and those with the outcome.
    truncated : tuple of str
        Patients whose exposure ends before the window.
    landmark : float or None
        Day from which survival counts.
    notes : tuple of str
        Who was not used, and what the data do not tell.
    fit : object
        ``crs`` layer result (Bayes), its maximum-likelihood table, `Cox` or `SurvivalFit`.
    """

    kind: Kind
    method: Method
    outcome: str
    exposure: Term
    terms: tuple[Term, ...]
    ratios: pd.DataFrame
    sensitivity: pd.DataFrame
    separate: pd.DataFrame
    curve: xr.Dataset | None
    survival: KaplanMeier | None
    n: int
    events: int
    truncated: tuple[str, ...]
    landmark: float | None
    notes: tuple[str, ...]
    fit: Any

    def _repr_html_(self) -> str:
        return display.block("Exposure–response.", repr(self), self.ratios, notes=self.notes)

    def __repr__(self) -> str:
        row = self.ratios.iloc[0]
        found = (
            row["reason"] if np.isnan(row["estimate"])
            else f"{row['estimate']:.2f} ({100 * row['prob']:g} % interval {row['lower']:.2f}–"
            f"{row['upper']:.2f})"
        )  # fmt: skip
        return (
            f"{self.outcome} on {self.exposure.quantity}: {row['kind']}, {row['change']} change: "
            f"{found}; {self.events} of {self.n} patients."
        )


def exposure_response(
    patients: Patients,
    outcome: str | pd.DataFrame,
    exposure: Given,
    *,
    kind: Kind = "logistic",
    at_least: int = 1,
    highest: int | None = None,
    covariates: Sequence[Given] | Given = (),
    death_day: str | None = None,
    window_end: float = 28.0,
    exclude_truncated: bool = False,
    landmark: float | None = None,
    method: Method = "ml",
    prob: float = 0.95,
    groups: int = 4,
    **sampler: Any,
) -> ExposureResponse:
    """Relate an outcome to the logarithm of an exposure.

    Parameters
    ----------
    patients : xr.Dataset or DataFrame
        Exposures, covariates and outcomes per patient, such as the trial merged with
        ``nca.table``; units are kept.
    outcome : str or DataFrame
        Patient-level variable, or for ``kind="survival"`` a time-to-event table.
    exposure : str or Term
        ``"cmax"``, ``"auc0_28"``, or ``crs.covariate(...)`` with a reference of your own.
    kind : {"logistic", "ordinal", "survival"}
        Logistic regression of outcome ≥ `at_least`; proportional odds of an outcome 0, 1, 2, …; or
        Cox regression (Weibull with ``method="bayes"``).
    at_least : int
        Smallest value that counts as the outcome of a logistic regression.
    highest : int, optional
        Higher values of an ordinal outcome count as this one; the highest seen by default.
    covariates : sequence of str or Term
        Dose, tumour burden and others; a name stands for the logarithm.
    death_day : str, optional
        Variable with the day of death or last sample: an exposure whose window it cuts short is
        flagged. [day]
    window_end : float
        Last day of the exposure. [day]
    exclude_truncated : bool
        Leave flagged patients out.
    landmark : float, optional
        For survival: count from this day, on which the exposure is known. [day]
    method : {"ml", "bayes"}
        Maximum likelihood with Wald intervals, or weakly informative priors (Normal(0, 1) per
        factor e).
    prob : float
        Level of the intervals; ``ratios["prob"]`` repeats it.
    groups : int
        Groups by exposure, for observed shares and survival curves.
    **sampler
        draws, tune, chains, cores, seed, target_accept.

    Returns
    -------
    ExposureResponse

    Raises
    ------
    DataError
        If a variable is unknown, an outcome is none of 0, 1, 2, …, or nobody can be used.

    Notes
    -----
    Exposure is measured after treatment, and treatment of toxicity may change it: a ratio here is
    an association. An area cut short by an early death is too low, and the death is not
    independent of the outcome; ``sensitivity`` shows what these patients do to the ratio.
    """
    one_of(kind, ("logistic", "ordinal", "survival"), "kind of exposure–response")
    one_of(method, ("ml", "bayes"), "method")
    probability(prob, "prob")
    if sampler and method == "ml":
        raise DataError(f"{next(iter(sampler))}= is an option of the sampler; pass method='bayes'.")
    if (kind == "survival") != isinstance(outcome, pd.DataFrame):
        raise DataError(
            "a time-to-event table and kind='survival' belong together; for other kinds name a "
            "patient-level variable."
        )
    if kind != "survival" and not isinstance(outcome, str):
        raise DataError(f"outcome= must be the name of a variable, not {shown(outcome)}.")
    for name, value in (("at_least", at_least), ("highest", highest), ("landmark", landmark),
                        ("window_end", window_end)):  # fmt: skip
        if value is not None:
            number(value, name)
    yes_or_no(exclude_truncated, "exclude_truncated")
    found = per_patient(patients)
    cut = _truncated(found, death_day, window_end)
    if exclude_truncated and cut:
        found = found.sel(id=[i for i in found["id"].values if i not in cut])
    if isinstance(exposure, list | tuple):
        raise DataError("exposure= is one name or term; further ones are covariates=.")
    terms = terms_of((exposure, *listed_of(covariates)), found)
    values = columns_of(terms[:1], found)[:, 0]
    known = values[np.isfinite(values)]
    if kind != "survival" and known.size > 1 and np.ptp(known) == 0:
        raise DataError(f"{terms[0].source} is the same in every patient: no effect to tell.")
    task = _Task(found, outcome, terms, kind, at_least, highest, landmark, method, prob,
                 positive_int(groups, "groups"), sampler)  # fmt: skip
    made = _survival(task) if kind == "survival" else _layer(task)
    notes = (*_of_truncation(cut, window_end, exclude_truncated), *_immortal(task, window_end))
    if method == "bayes" and not made.fit.verdict.ok:
        notes = (made.fit.verdict.sentence, *notes)
    made = replace(made, ratios=made.ratios.assign(prob=prob))
    made = _labelled(replace(made, truncated=cut, notes=(*notes, *made.notes)), found)
    if cut and not exclude_truncated:
        made = replace(made, sensitivity=_sensitivity(task, made, cut))
    return made


@dataclass(frozen=True, eq=False)
class _Task:
    found: xr.Dataset
    outcome: str | pd.DataFrame
    terms: tuple[Term, ...]
    kind: Kind
    at_least: int
    highest: int | None
    landmark: float | None
    method: Method
    prob: float
    groups: int
    sampler: dict[str, Any]


def _truncated(found: xr.Dataset, death_day: str | None, end: float) -> tuple[str, ...]:
    if death_day is None:
        return ()
    day = variable(found, death_day).values.astype(float)
    return tuple(str(i) for i in found["id"].values[day < end])


def _of_truncation(cut: tuple[str, ...], end: float, excluded: bool) -> tuple[str, ...]:
    if not cut:
        return ()
    done = "left out" if excluded else "kept; see .sensitivity"
    return (
        f"the exposure of {names_of(cut)} ends before day {end:g} with death or the last sample, "
        f"so an area over the window is too low: {done}.",
    )


def _immortal(task: _Task, end: float) -> tuple[str, ...]:
    if task.kind != "survival" or (task.landmark is not None and task.landmark >= end):
        return ()
    return (
        f"the exposure is known on day {end:g} only, and patients with earlier events had less "
        f"time for it; landmark={end:g} avoids this.",
    )


def _sensitivity(task: _Task, made: ExposureResponse, cut: tuple[str, ...]) -> pd.DataFrame:
    rest = [i for i in task.found["id"].values if i not in cut]
    rows = [{"patients": "all", "n": made.n, **_first(made.ratios)}]
    try:
        less = replace(task, found=task.found.sel(id=rest))
        other = _survival(less) if task.kind == "survival" else _layer(less)
        rows.append({"patients": "without truncated", "n": other.n, **_first(other.ratios)})
    except DataError as problem:
        empty = {"estimate": np.nan, "lower": np.nan, "upper": np.nan, "reason": str(problem)}
        rows.append({"patients": "without truncated", "n": len(rest), **empty})
    return pd.DataFrame(rows)


def _first(ratios: pd.DataFrame) -> dict[str, Any]:
    row = ratios.iloc[0]
    return {"estimate": row["estimate"], "lower": row["lower"], "upper": row["upper"],
            "reason": row.get("reason", "")}  # fmt: skip


# --- logistic and ordinal, by the parts of the CRS layer -----------------------------------------


def _values(task: _Task) -> Floats:
    """Return the outcome as whole numbers from 0, NaN where unknown."""
    assert isinstance(task.outcome, str)
    column = variable(task.found, task.outcome)
    if column.dtype.kind not in "fiub":
        raise DataError(f"the outcome {task.outcome!r} holds text; code it as 0, 1, 2, ….")
    values = column.values.astype(float)
    wrong = np.isfinite(values) & ((values < 0) | (values != np.round(values)))
    if wrong.any():
        who, value = str(task.found["id"].values[wrong][0]), values[wrong][0]
        raise DataError(
            f"patient {who!r} has {task.outcome} {value:g}; an outcome must be 0, 1, 2, …."
        )
    high = values > HIGHEST_GRADE
    if task.outcome in GRADES and high.any():
        who, value = str(task.found["id"].values[high][0]), values[high][0]
        raise DataError(
            f"patient {who!r} has {task.outcome} {value:g}, but grades end at {HIGHEST_GRADE}; "
            "correct the grade, or make it NaN where it is not known."
        )
    return values


def _declared(task: _Task, values: Floats) -> tuple[Layer, Floats, str]:
    """Return the layer, the outcome as it takes it, and the outcome in words."""
    if task.kind == "logistic":
        words = (
            f"{task.outcome}" if task.at_least == 1 and np.nanmax(values) <= 1
            else f"{task.outcome} ≥ {task.at_least}"
        )  # fmt: skip
        yes = np.where(np.isnan(values), np.nan, (values >= task.at_least).astype(float))
        return Layer(occurrence=Logistic(task.terms)), yes, words
    top = int(np.nanmax(values)) if task.highest is None else task.highest
    if top < 2:
        raise DataError(
            f"{task.outcome} has no value above {top}, so it is not ordinal; use kind='logistic'."
        )
    levels = tuple(range(top + 1))
    capped = np.where(np.isnan(values), np.nan, np.minimum(values, top))
    return Layer(grade=ProportionalOdds(task.terms, levels=levels)), capped, str(task.outcome)


def _predictors(task: _Task, layer: Layer, outcome: Floats) -> xr.Dataset:
    """Return what ``Layer.predictors`` would, without courses."""
    columns = {
        t.name: t.column(variable(task.found, t.source)).assign_attrs(units="1", long_name=t.label)
        for t in task.terms
    }
    sources = {t.source: variable(task.found, t.source) for t in task.terms}
    start, end = layer.window
    made = xr.Dataset({**sources, **columns}, coords={"id": task.found["id"].values})
    made[GRADE] = ("id", outcome)
    return made.assign_attrs(window_start=start, window_end=end, crs_predictors=1)


_HEAVY = "priors weigh heavily in what follows"
_ROUGH = "Wald intervals are rough"


def _renamed(notes: Sequence[str], words: str, method: Method) -> tuple[str, ...]:
    """Return the layer's notes with the outcome's name instead of CRS."""
    plain = [re.sub(r"^(occurrence|grade): ", "", n) for n in notes if not n.startswith("courses")]
    if method == "ml":
        plain = [n.replace(_HEAVY, _ROUGH) for n in plain]
    return tuple(re.sub(r"\bCRS grade\b|\bCRS\b", words, n) for n in plain)


def _label(column: xr.DataArray, term: Term) -> str:
    """Return a variable's label; one that only repeats the header of the source is none."""
    text = str(column.attrs.get("long_name") or "")
    return text if text and text != column.attrs.get("column") else term.quantity


def _labelled(made: ExposureResponse, found: xr.Dataset) -> ExposureResponse:
    """Return the result with the variables' own labels, where the table has some."""
    labels = {t.name: _label(found[t.source], t) for t in made.terms}
    ratios = made.ratios.assign(label=[labels[t] for t in made.ratios["term"]])
    if made.curve is None:
        return replace(made, ratios=ratios)
    x = made.curve["x"].assign_attrs(long_name=labels[made.exposure.name])
    others = ", ".join(labels[t.name] for t in made.terms[1:])
    curve = made.curve.assign_coords(x=x).assign_attrs(others=others)
    return replace(made, ratios=ratios, curve=curve)


def _layer(task: _Task) -> ExposureResponse:
    layer, outcome, words = _declared(task, _values(task))
    predictors = _predictors(task, layer, outcome)
    arranged = arrange(predictors, layer.parts, layer.window)
    data = arranged.data[0]
    assert isinstance(data, OccurrenceData | GradeData)
    fit: Any
    if task.method == "bayes":
        fit = layer.bayes(predictors, **task.sampler)
        ratios = _bayes_ratios(fit.odds_ratios(task.prob))
        curve = response(fit, data.part.name, groups=task.groups, prob=task.prob)
    else:
        fit = layer.maximum_likelihood(predictors, prob=task.prob)
        ratios, curve = _ml(task, data, fit)
    curve.attrs["outcome"] = words
    y = data.y if isinstance(data, OccurrenceData) else data.category
    return ExposureResponse(
        kind=task.kind, method=task.method, outcome=words, exposure=task.terms[0],
        terms=task.terms, ratios=ratios, sensitivity=pd.DataFrame(),
        separate=_separate(task, data) if isinstance(data, GradeData) else pd.DataFrame(),
        curve=curve, survival=None, n=data.rows.size, events=int((y > 0).sum()),
        truncated=(), landmark=None,
        notes=_renamed(arranged.notes, words, task.method), fit=fit,
    )  # fmt: skip


def _bayes_ratios(table: pd.DataFrame) -> pd.DataFrame:
    kept = table.rename(columns={"median": "estimate"})
    kept["reason"] = ""
    return kept[["term", "label", "change", "kind", "estimate", "lower", "upper", "p_above_1",
                 "prior_lower", "prior_upper", "reason"]]  # fmt: skip


def _ml(
    task: _Task, data: OccurrenceData | GradeData, table: pd.DataFrame
) -> tuple[pd.DataFrame, xr.Dataset]:
    slopes = table.loc[[f"{data.part.name}_{t.name}" for t in task.terms]]
    z = slopes["estimate"] / slopes["se_free"]
    held = pd.DataFrame(
        {"term": [t.name for t in task.terms], "estimate": slopes["estimate"].to_numpy(),
         "se": slopes["se_free"].to_numpy(), "p_value": 2 * norm.sf(np.abs(z)),
         "reason": slopes["reason"].to_numpy()}
    )  # fmt: skip
    ratios = ratio_table(task.terms, held, "odds ratio", task.prob)
    at = along(data, task.terms[0])
    curve, each = _delta(data, table, at, task.prob), _delta(data, table, data.x, task.prob)
    return ratios, described(
        data, task.terms[0], at, curve, each[..., 0].T, groups=task.groups, prob=task.prob,
        converged=not slopes["reason"].iloc[0],
    )  # fmt: skip


def _delta(data: OccurrenceData | GradeData, table: pd.DataFrame, x: Floats, prob: float) -> Floats:
    """Return probabilities with intervals taken on the logit scale, shape (grades, x, 3)."""
    density = LayerDensity(data.part.quantities, (data,), with_priors=False)
    values = {str(k): float(v) for k, v in table["estimate"].items()}
    k = 1 if isinstance(data, OccurrenceData) else len(data.part.thresholds)
    if np.isnan(list(values.values())).any():
        return np.full((k, len(x), 3), np.nan)
    variance = covariance(density, density.free(values))
    steps = np.array([values[f"grade_step_{t}"] for t in data.part.thresholds[1:]]) if (
        isinstance(data, GradeData)
    ) else np.zeros(0)  # fmt: skip
    first = data.part.quantities[0].name
    slopes = np.array([values[f"{data.part.name}_{t.name}"] for t in data.part.terms])
    out = []
    for j in range(k):
        eta = values[first] - steps[:j].sum() + x @ slopes
        # The free scale of a step is its ln, so its slope is the step itself.
        fall = np.where(np.arange(steps.size) < j, -steps, 0.0)
        g = np.column_stack([np.ones(len(x)), np.tile(fall, (len(x), 1)), x])
        half = ndtri(0.5 + prob / 2) * np.sqrt(np.einsum("ni,ij,nj->n", g, variance, g))
        out.append(expit(np.stack([eta, eta - half, eta + half], axis=-1)))
    return np.array(out)


def _separate(task: _Task, data: GradeData) -> pd.DataFrame:
    """Return the odds ratio per doubling at every threshold, and Brant's test."""
    rows = []
    outcome = np.full(task.found.sizes["id"], np.nan)
    outcome[data.rows] = data.category
    for k in data.part.thresholds:
        yes = np.where(np.isnan(outcome), np.nan, (outcome >= k).astype(float))
        layer = Layer(occurrence=Logistic(task.terms))
        predictors = _predictors(task, layer, yes)
        table = layer.maximum_likelihood(predictors, prob=task.prob)
        single = arrange(predictors, layer.parts, layer.window).data[0]
        assert isinstance(single, OccurrenceData)
        ratios, _ = _ml(task, single, table)
        rows.append(
            {"threshold": k, "events": int(single.y.sum()), "n": single.rows.size,
             **_first(ratios)}
        )  # fmt: skip
    statistic, dof, p, why = brant(data.x, data.category, len(data.part.levels))
    table = pd.DataFrame(rows)
    table.attrs |= {"brant": statistic, "dof": dof, "p_value": p, "reason": why}
    return table


# --- survival ----------------------------------------------------------------------------------


def _survival(task: _Task) -> ExposureResponse:
    assert isinstance(task.outcome, pd.DataFrame)
    table = task.outcome[task.outcome["id"].astype(str).isin(task.found["id"].values)]
    notes: tuple[str, ...] = ()
    if task.landmark is not None:
        table = from_landmark(table, task.landmark)
        notes = table.attrs["notes"]
    fit: Cox | SurvivalFit
    if task.method == "bayes":
        fit = survival_bayes(table, task.terms, patients=task.found, **task.sampler)
        ratios = fit.ratios(task.prob).assign(reason="")
        n = fit.patients.sizes["id"]
        events = int(fit.patients["event"].sum())
    else:
        fit = cox(table, task.terms, patients=task.found)
        ratios, n, events = fit.ratios(task.prob), fit.n, fit.events
    name = str(table["endpoint"].iloc[0]) if "endpoint" in table else "time to event"
    return ExposureResponse(
        kind="survival", method=task.method, outcome=name, exposure=task.terms[0],
        terms=task.terms, ratios=ratios, sensitivity=pd.DataFrame(), separate=pd.DataFrame(),
        curve=None, survival=_by_exposure(task, table), n=n, events=events,
        truncated=(), landmark=task.landmark,
        notes=(*notes, *fit.notes), fit=fit,
    )  # fmt: skip


def _by_exposure(task: _Task, table: pd.DataFrame) -> KaplanMeier:
    """Return survival of groups of about equal size in order of the exposure."""
    term = task.terms[0]
    held = variable(task.found, term.source).to_series()
    held.index = held.index.astype(str)
    own = table["id"].astype(str).map(held).astype(float)
    known = table[own.notna()].assign(exposure=own[own.notna()])
    edges = np.unique(known["exposure"].quantile(np.linspace(0, 1, task.groups + 1)[1:-1]))
    place = np.searchsorted(edges, known["exposure"], side="left")
    names = [_range(known["exposure"][place == g], term.unit) for g in range(edges.size + 1)]
    grouped = known.assign(exposure_group=[names[g] for g in place])
    order = [n for n in names if n]
    made = kaplan_meier(grouped, "exposure_group", confidence=task.prob)
    rank = {n: i for i, n in enumerate(order)}
    tables = {
        k: getattr(made, k).sort_values("group", key=lambda c: c.map(rank), kind="stable",
                                        ignore_index=True)
        for k in ("curve", "summary", "estimates")
    }  # fmt: skip
    return replace(made, **tables)


def _range(values: pd.Series, unit: str) -> str:
    if not len(values):
        return ""
    low, high = (words.exact(float(f"{v:.3g}")) for v in (values.min(), values.max()))
    return f"{low}–{high} {words.unit(unit)}".strip()

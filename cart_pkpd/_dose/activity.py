"""Activity beside toxicity by dose: what a dose gives, next to what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from cart_pkpd._core import display
from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import did_you_mean, probability, shown
from cart_pkpd._dose.measured import BELOW, EXACT, Measured
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.peaks import Peaks, peaks
from cart_pkpd._endpoints.survival import NOT_REACHED, KaplanMeier, kaplan_meier
from cart_pkpd._endpoints.tables import require

type Floats = NDArray[np.float64]

RESPONDERS = ("CR", "PR")
KNOWN = ("CR", "PR", "SD", "NON-CR/NON-PD", "PD", "NE", "")


@dataclass(frozen=True, eq=False)
class Activity:
    """Toxicity, response, exposure and cytokines by planned dose.

    Attributes
    ----------
    by_dose : pandas.DataFrame
        One row per planned dose, as `table` returns.
    patients : pandas.DataFrame
        One row per patient: what was counted.
    prob : float
        Probability of the exact intervals.
    unit : str
        Of the doses.
    notes : tuple of str
    """

    by_dose: pd.DataFrame
    patients: pd.DataFrame
    prob: float
    unit: str
    notes: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per planned dose.

        Columns: ``infused``, ``evaluable``; for each of ``dlt``, ``crs2`` (grade ≥ 2), ``crs3``,
        ``icans1``, ``icans3``, ``response``: ``n_…`` with a known outcome, the count, ``…_rate``,
        ``…_lower`` and ``…_upper`` (exact, Clopper–Pearson); where PFS was given ``n_pfs``,
        ``pfs_events``, ``pfs_median``, ``pfs_lower``, ``pfs_upper`` [month], NaN where not reached,
        with ``pfs_reason``; geometric means ``cmax``, ``auc0_28`` and of every cytokine's peak.
        """
        return self.by_dose

    def counts(self) -> pd.DataFrame:
        """Return ``"2/17 (11.8 %; 1.5–36.4)"`` of every outcome, for reading."""
        out = pd.DataFrame(index=self.by_dose.index)
        out["infused"] = self.by_dose["infused"]
        for name in _OUTCOMES:
            if name in self.by_dose:
                out[name] = [_said(row, name) for _, row in self.by_dose.iterrows()]
        if "pfs_median" in self.by_dose:
            out["pfs"] = [_said_pfs(row) for _, row in self.by_dose.iterrows()]
        return out

    def _repr_html_(self) -> str:
        title = f"Activity by dose ({self.unit})."
        return display.block(title, "", self.counts(), notes=self.notes)

    def __repr__(self) -> str:
        return f"Activity by dose ({self.unit}):\n{self.counts().to_string()}"


_OUTCOMES = ("dlt", "crs2", "crs3", "icans1", "icans3", "response")


def _said(row: pd.Series[Any], name: str) -> str:
    n = int(row[f"n_{name}"])
    if not n:
        return "—"
    rate, low, high = (100 * row[f"{name}_{k}"] for k in ("rate", "lower", "upper"))
    return f"{int(row[name])}/{n} ({rate:.0f} %; {low:.0f}–{high:.0f})"


def _said_pfs(row: pd.Series[Any]) -> str:
    """Return ``"5.1 months (2.0–not reached), 3/6 events"``."""
    if not row["n_pfs"]:
        return "—"
    middle, low, high = (
        NOT_REACHED if np.isnan(row[f"pfs_{k}"]) else f"{row[f'pfs_{k}']:.1f}"
        for k in ("median", "lower", "upper")
    )
    known = not np.isnan(row["pfs_median"])
    said = f"{middle} months ({low}–{high})" if known else middle
    return f"{said}, {int(row['pfs_events'])}/{int(row['n_pfs'])} events"


def activity(
    trial: xr.Dataset,
    data: DoseData,
    *,
    exposures: Sequence[Measured] = (),
    response: Mapping[str, Any] | pd.Series[Any] | pd.DataFrame | str | None = None,
    responders: Sequence[str] = RESPONDERS,
    pfs: pd.DataFrame | None = None,
    cytokines: Sequence[str] | None = None,
    crs_grade: str = "crs_grade",
    icans_grade: str = "icans_grade",
    prob: float = 0.95,
) -> Activity:
    """Return toxicity beside response, exposure and cytokines for every planned dose.

    Parameters
    ----------
    trial : xr.Dataset
    data : DoseData
        From ``dose.data``: who counts for a DLT, and at which planned dose.
    exposures : sequence of Measured, optional
        ``dose.exposure(...).measured`` of Cmax, AUC0–28d.
    response : mapping, Series, DataFrame or str, optional
        Best response by patient: a mapping or Series id → response; a DataFrame indexed by id (or
        with a column ``id``) with a column ``best_response``; or the name of a patient-level
        variable of the trial. ``"NE"`` counts as no response; a patient without an entry, or with
        an empty one, is not counted.
    responders : sequence of str
        Responses that count.
    pfs : DataFrame, optional
        From ``endpoints.pfs``: ``id``, ``time`` [day], ``event``. The median of each dose is that
        of Kaplan and Meier.
    cytokines : sequence of str, optional
        As in ``dose.chain``.
    crs_grade, icans_grade : str
        Patient-level variables; left out where the trial has none.
    prob : float
        Probability of the exact intervals.

    Returns
    -------
    Activity

    Raises
    ------
    DataError
        If a response is not known, or response or PFS are of a patient whom the trial has not.

    Notes
    -----
    Everything but DLT counts all patients infused at the planned dose, evaluable for DLT or not.
    """
    probability(prob, "prob")
    frame = data.frame()
    ids = frame.index.astype(str)
    out = pd.DataFrame({"dose": frame["planned"].to_numpy()}, index=ids)
    complete = frame["evaluable"] & ~frame["pending"]
    out["dlt"] = np.where(complete, frame["dlt"].astype(float), np.nan)
    for name, variable, least in (
        ("crs2", crs_grade, 2), ("crs3", crs_grade, 3), ("icans1", icans_grade, 1),
        ("icans3", icans_grade, 3),
    ):  # fmt: skip
        if variable in trial.variables:
            grade = trial[variable].reindex(id=list(ids)).values.astype(float)
            out[name] = np.where(np.isfinite(grade), (grade >= least).astype(float), np.nan)
    notes: list[str] = []
    if response is not None:
        best = _responses(response, trial, ids)
        out["best_response"] = best
        out["response"] = np.where(best == "", np.nan, best.isin(responders).astype(float))
        missing = int((best == "").sum())
        if missing:
            notes.append(f"{missing} patients have no best response and are not in the ORR.")
    survival = None
    if pfs is not None:
        survival = _survival(pfs, out["dose"], prob)
        notes += [f"PFS: {note}" for note in survival.notes]
    found = peaks(trial, cytokines).of(list(ids))
    logs = _logs(exposures, found, ids)
    blq = (found.status == BELOW).sum(axis=0)
    notes += [
        f"{label}: {k} patients without a quantifiable sample are not in the geometric mean."
        for label, k in zip(found.labels, blq, strict=True)
        if k
    ]
    return Activity(
        _by_dose(out, logs, survival, data, prob), out.join(logs.apply(np.exp)), prob,
        data.levels.unit, tuple(notes),
    )  # fmt: skip


def _responses(given: Any, trial: xr.Dataset, ids: pd.Index[str]) -> pd.Series[str]:
    """Return the best response of every patient in capitals, "" where there is none."""
    if isinstance(given, str):
        if given not in trial.variables:
            known = [str(v) for v in trial.data_vars if trial[v].dims == ("id",)]
            raise DataError(
                f"the trial has no patient-level variable {given!r}.{did_you_mean(given, known)}"
            )
        values = pd.Series(trial[given].values, index=trial["id"].values.astype(str))
    elif isinstance(given, pd.DataFrame):
        if "best_response" not in given:
            has = ", ".join(str(c) for c in given.columns)
            raise DataError(f"the responses have no column 'best_response'; they have: {has}.")
        values = _indexed(given)["best_response"].copy()
    else:
        values = pd.Series(given)
    values.index = values.index.astype(str)
    if values.index.has_duplicates:
        twice = values.index[values.index.duplicated()][0]
        raise DataError(f"patient {twice!r} has two best responses; give one.")
    strangers = [i for i in values.index if i not in set(trial["id"].values.astype(str))]
    if strangers:
        raise DataError(
            f"there is a best response of patient {strangers[0]!r}, whom the trial does not have "
            f"({len(strangers)} such patients); correct the id."
        )
    text = values.where(values.notna(), "").astype(str).str.strip().str.upper()
    for who, word in text.items():
        if word not in KNOWN:
            raise DataError(
                Problem(
                    "best_response",
                    f"patient {who!r} has the best response {word!r}; known are "
                    f"{', '.join(k for k in KNOWN if k)}.",
                    str(who), column="best_response", value=word,
                )
            )  # fmt: skip
    return text.reindex(ids).fillna("")


def _indexed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index("id") if "id" in frame else frame


def _survival(pfs: Any, dose: pd.Series[float], prob: float) -> KaplanMeier:
    """Return progression-free survival by planned dose."""
    if not isinstance(pfs, pd.DataFrame):
        raise DataError(f"pfs= takes the table of endpoints.pfs(...), not {shown(pfs)}.")
    require(pfs, ("id", "time", "event"), "times to event", "endpoints.pfs")
    who = pfs["id"].astype(str)
    strangers = who[~who.isin(dose.index)]
    if len(strangers):
        raise DataError(
            f"there is a PFS of patient {strangers.iloc[0]!r}, who is not in data "
            f"({len(strangers)} such patients); correct the id, or leave the row out."
        )
    planned = dose.reindex(who).to_numpy()
    return kaplan_meier(pfs.assign(dose_level=planned), "dose_level", confidence=prob)


def _logs(exposures: Sequence[Measured], found: Peaks, ids: pd.Index[str]) -> pd.DataFrame:
    """Return ln of exposures and peaks that were measured, NaN elsewhere."""
    out = pd.DataFrame(index=ids)
    for m in exposures:
        known = pd.Series(np.where(m.status == EXACT, m.value, np.nan), index=m.ids)
        out[m.metric] = known.reindex(ids).to_numpy()
    for j, name in enumerate(found.names):
        out[name] = np.where(found.status[:, j] == EXACT, found.value[:, j], np.nan)
    return out


def _by_dose(
    patients: pd.DataFrame,
    logs: pd.DataFrame,
    survival: KaplanMeier | None,
    data: DoseData,
    prob: float,
) -> pd.DataFrame:
    rows = []
    for k, dose in enumerate(data.levels.doses):
        here = np.isclose(patients["dose"].to_numpy(), dose)
        row: dict[str, Any] = {"infused": int(here.sum()), "evaluable": int(data.n[k])}
        for name in _OUTCOMES:
            if name in patients:
                row.update(_outcome(name, patients.loc[here, name].dropna().to_numpy(), prob))
        if survival is not None:
            row |= _median_pfs(survival.summary, dose)
        for column in logs:
            known = logs[column][here].dropna()
            row[str(column)] = float(np.exp(known.mean())) if len(known) else np.nan
        rows.append(row)
    out = pd.DataFrame(rows, index=pd.Index(data.levels.array, name="dose"))
    out.attrs.update(prob=prob, unit=data.levels.unit)
    return out


def _median_pfs(summary: pd.DataFrame, dose: float) -> dict[str, Any]:
    """Return the median PFS of one dose, NaN with a reason where there is none."""
    names = {
        "n_pfs": "n", "pfs_events": "events", "pfs_median": "median", "pfs_lower": "median_lower",
        "pfs_upper": "median_upper", "pfs_reason": "reason",
    }  # fmt: skip
    here = summary[np.isclose(summary["group"].to_numpy(dtype=float), dose)]
    if here.empty:
        nothing = dict.fromkeys(("pfs_median", "pfs_lower", "pfs_upper"), np.nan)
        return {"n_pfs": 0, "pfs_events": 0, **nothing, "pfs_reason": "nobody with a time"}
    return {mine: here[theirs].iloc[0] for mine, theirs in names.items()}


def _outcome(name: str, values: Floats, prob: float) -> dict[str, Any]:
    n, events = values.size, int(values.sum())
    rate = low = high = np.nan
    if n:
        interval = stats.binomtest(events, n).proportion_ci(prob, method="exact")
        rate, low, high = events / n, float(interval.low), float(interval.high)
    return {
        f"n_{name}": n, name: events, f"{name}_rate": rate, f"{name}_lower": low,
        f"{name}_upper": high,
    }  # fmt: skip

"""What a trial holds, at a glance: a sentence, its dose levels and its endpoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core import display, names, words

_COUNTS = ("patients", "records", "quantified", "below_lloq", "above_uloq", "interval")
_HEADS = {
    "label": "endpoint", "unit": "unit", "patients": "patients", "records": "records",
    "below_lloq": "below LLOQ", "above_uloq": "above ULOQ", "interval": "within an interval",
    "first_time": "first day", "last_time": "last day",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrialDescription:
    """A trial at a glance; shows itself in a notebook, ``print`` gives text.

    Attributes
    ----------
    sentence : str
        Patients, records, infusions, follow-up.
    doses : pandas.DataFrame
        Patients by dose level; empty if the trial has no levels.
    endpoints : pandas.DataFrame
        By endpoint: label, unit, patients, records, quantified, below_lloq, above_uloq, interval,
        first_time and last_time [day].
    covariates : tuple of str
        Patient-level variables.
    dose_unit : str
        Unit of the dose levels, empty where they are labels.
    source : str
        Where the trial was read from.
    """

    sentence: str
    doses: pd.DataFrame
    endpoints: pd.DataFrame
    covariates: tuple[str, ...]
    dose_unit: str
    source: str

    def __str__(self) -> str:
        tables = [t.to_string(index=False) for t in self._tables()]
        return "\n\n".join([self.sentence, *tables, self._note()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return display.block("Trial.", self.sentence, *self._tables(), notes=[self._note()])

    def _tables(self) -> list[pd.DataFrame]:
        """Return the tables for people: doses written out, columns of zeros left out."""
        rare = [c for c in ("above_uloq", "interval") if not self.endpoints[c].any()]
        heads = {k: v for k, v in _HEADS.items() if k not in rare}
        shown = self.endpoints.reset_index(drop=True)[list(heads)].rename(columns=heads)
        if self.doses.empty:
            return [shown]
        levels = self.doses.copy()
        levels["dose"] = [_dose(level, self.dose_unit) for level in levels["dose"]]
        return [levels, shown]

    def _note(self) -> str:
        listed = ", ".join(self.covariates) or "none"
        return f"Patient-level variables: {listed}. Source: {self.source or 'not known'}."


def describe(trial: xr.Dataset, counted: pd.DataFrame) -> TrialDescription:
    """Return a trial at a glance.

    Parameters
    ----------
    trial : xr.Dataset
        A checked trial.
    counted : DataFrame
        From ``data.summary``.
    """
    days = trial["time"].to_numpy()
    infused = trial.sizes.get("dosing", 0)
    last = f"; day {np.nanmin(days):.3g} to {np.nanmax(days):.4g}" if days.size else ""
    sentence = ", ".join([
        words.count(trial.sizes["id"], "patient"), words.count(trial.sizes["obs"], "record"),
        words.count(infused, "infusion"), words.count(trial.sizes.get("event", 0), "other event"),
    ])  # fmt: skip
    of_patients = [str(v) for v in trial.data_vars if trial[v].dims == ("id",)]
    return TrialDescription(
        f"{sentence}{last}.",
        _doses(trial),
        _endpoints(trial, counted),
        tuple(v for v in of_patients if v != "dose_level"),
        _dose_unit(trial),
        str(trial.attrs.get("source", "")),
    )


def _endpoints(trial: xr.Dataset, counted: pd.DataFrame) -> pd.DataFrame:
    """Return counts by endpoint, in the order of the trial; each patient has one dose level."""
    how = {**dict.fromkeys(_COUNTS, "sum"), "first_time": "min", "last_time": "max"}
    found = counted.groupby("endpoint", sort=False).agg({"label": "first", **how})
    order = [str(m) for m in trial["measure"].to_numpy() if str(m) in found.index]
    found = found.loc[order]
    units = dict(zip(trial["measure"].to_numpy(), trial["unit"].to_numpy(), strict=True))
    found.insert(1, "unit", [words.unit(str(units[e])) for e in found.index])
    return found


def _doses(trial: xr.Dataset) -> pd.DataFrame:
    if "dose_level" not in trial:
        return pd.DataFrame()
    counts = pd.Series(trial["dose_level"].to_numpy()).value_counts().sort_index()
    return pd.DataFrame({"dose": counts.index, "patients": counts.to_numpy()})


def _dose_unit(trial: xr.Dataset) -> str:
    if "dose_level" not in trial:
        return ""
    level = trial["dose_level"]
    amounts = str(trial["amount"].attrs.get("units", "")) if "amount" in trial else ""
    return names.level_unit(str(level.attrs.get("units", "")), level.to_numpy(), amounts)


def _dose(level: object, unit: str) -> str:
    return words.dose(float(level), unit) if isinstance(level, int | float) else str(level)

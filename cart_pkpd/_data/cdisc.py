"""Trials in CDISC form: SDTM domains and ADaM data sets become the trial and tables in days."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.names import recognise
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._data.build import with_infusion_day
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import MISSING
from cart_pkpd._data.read import read
from cart_pkpd._data.xpt import Source, read_dataset

SDTM = ("dm", "ex", "pc", "lb", "ae", "tu", "tr", "rs", "vs", "cm", "pr", "ds", "ss")
ADAM = ("adsl", "adpc", "adnca", "adpp", "adrs", "adtte")
Codes = Mapping[str, str]
_BELOW = re.compile(r"^(<|BLQ|BQL|BLOQ|LLOQ|<\s*LLOQ)", re.IGNORECASE)
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, eq=False)
class Cdisc:
    """A trial read from CDISC data sets.

    Attributes
    ----------
    standard : {"SDTM", "ADaM"}
    trial : xr.Dataset or None
        As from ``data.read_table``; None without concentrations.
    tables : mapping of str to DataFrame
        Every data set by lower-case name; those with dates or study days have ``DAY``, counted
        from the infusion (day 0).
    notes : tuple of str
        What was not used, and how days were found.
    """

    standard: Literal["SDTM", "ADaM"]
    trial: xr.Dataset | None
    tables: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Return one data set.

        Raises
        ------
        DataError
            If it was not there.
        """
        if name not in self.tables:
            raise DataError(
                f"there is no data set {name!r}.{did_you_mean(name, self.tables)} "
                f"It has: {', '.join(self.tables) or 'none'}."
            )
        return self.tables[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tables

    def __repr__(self) -> str:
        sizes = ", ".join(f"{k} ({len(v)})" for k, v in self.tables.items())
        return f"{self.standard}: {sizes}."


def collect(
    source: str | PathLike[str] | Mapping[str, Source], known: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Return the data sets of a folder, or of a mapping, by lower-case name.

    Raises
    ------
    DataError
        If the folder has none of them, holds one twice, or a name is unknown.
    """
    if isinstance(source, Mapping):
        for name in source:
            if name.lower() not in known:
                raise DataError(
                    f"unknown data set {name!r}.{did_you_mean(name, known)} "
                    f"Known: {', '.join(known)}."
                )
        return {k.lower(): read_dataset(v) for k, v in source.items()}
    folder = Path(source)
    if not folder.is_dir():
        raise DataError(
            f"{str(folder)!r} is no folder; pass the folder of the data sets, or a dict such as "
            f"{{{known[0]!r}: '{known[0]}.xpt'}}."
        )
    paths: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.stem.lower()
        if name in known and path.suffix.lower() in (".xpt", ".csv"):
            if name in paths:
                raise DataError(f"{name} is there twice, as {paths[name].name} and {path.name}.")
            paths[name] = path
    if not paths:
        raise DataError(f"{str(folder)!r} has none of {', '.join(f'{k}.xpt' for k in known)}.")
    return {name: read_dataset(path) for name, path in paths.items()}


# --- SDTM --------------------------------------------------------------------------------------


def read_sdtm(
    source: str | PathLike[str] | Mapping[str, Source],
    codes: Codes | None,
    infusion: str | None,
    covariates: Sequence[str] | None,
) -> Cdisc:
    """Read SDTM domains; see `data.read_sdtm`."""
    tables = collect(source, SDTM)
    notes: list[str] = []
    starts, doses = _infusions(tables, infusion, notes)
    tables = {name: _with_day(name, table, starts, notes) for name, table in tables.items()}
    records = [
        _records(name, tables[name], codes, notes) for name in ("pc", "lb") if name in tables
    ]
    found = pd.concat(records, ignore_index=True) if records else pd.DataFrame()
    trial = _with_infusion_day(_trial(found, doses, tables.get("dm"), covariates), starts)
    return Cdisc("SDTM", trial, tables, tuple(notes))


def _need(table: pd.DataFrame, names: Sequence[str], what: str) -> None:
    missing = [n for n in names if n not in table]
    if missing:
        raise DataError(f"{what} has no column {missing[0]}; it has: {', '.join(table.columns)}.")


def _infusions(
    tables: Mapping[str, pd.DataFrame], infusion: str | None, notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return each patient's first infusion (date and study day), and all doses of cells."""
    if "ex" not in tables:
        notes.append("No EX: study day 1 is taken to be the day of infusion.")
        return pd.DataFrame(columns=["date", "dy"]), pd.DataFrame()
    ex = tables["ex"]
    _need(ex, ("USUBJID", "EXTRT", "EXDOSE"), "EX")
    chosen = ex if infusion is None else ex[_matches(ex["EXTRT"], infusion)]
    treatments = sorted(set(ex["EXTRT"]))
    if infusion is None and len(treatments) > 1:
        raise DataError(
            f"EX has several treatments ({', '.join(treatments)}); say which are the cells: "
            f"infusion={treatments[0]!r}."
        )
    if not len(chosen):
        raise DataError(
            f"EX has no treatment {infusion!r}.{did_you_mean(str(infusion), treatments)} "
            f"It has: {', '.join(treatments)}."
        )
    made = pd.DataFrame(
        {
            "USUBJID": chosen["USUBJID"],
            "date": _dates(chosen.get("EXSTDTC"), len(chosen)),
            "dy": _numbers(chosen.get("EXSTDY"), len(chosen)),
            "amount": _numbers(chosen["EXDOSE"], len(chosen)),
            "unit": chosen["EXDOSU"].to_numpy() if "EXDOSU" in chosen else "cells",
        }
    ).sort_values(["USUBJID", "date", "dy"], kind="stable")
    first = made.groupby("USUBJID", sort=False).first()[["date", "dy"]]
    made["DAY"] = _days(made["USUBJID"], made["date"], made["dy"], first)
    return first, made


def _with_infusion_day(trial: xr.Dataset | None, starts: pd.DataFrame) -> xr.Dataset | None:
    if trial is None or not len(starts):
        return trial
    dates = starts["date"].dt.floor("D").reindex(trial["id"].values)
    return with_infusion_day(trial, ((dates - dates.min()) / pd.Timedelta(days=1)).to_numpy(float))


def _matches(column: pd.Series, text: str) -> pd.Series:
    return column.astype(str).str.lower().str.contains(re.escape(text.lower()))


def _dates(column: pd.Series | None, size: int) -> Any:
    if column is None:
        return pd.Series([pd.NaT] * size, dtype="datetime64[ns]").to_numpy()
    whole = column.astype(str).where(column.astype(str).str.match(_DATE))
    # A date without a time counts from midnight; the offset of a time zone is not used.
    plain = whole.str.slice(0, 19)
    return pd.to_datetime(plain, format="ISO8601", errors="coerce").to_numpy("datetime64[ns]")


def _numbers(column: pd.Series | None, size: int) -> Any:
    """Return a column as numbers, NaN where it is empty.

    Raises
    ------
    DataError
        For a cell that is neither.
    """
    if column is None:
        return np.full(size, np.nan)
    found = pd.to_numeric(column, errors="coerce")
    empty = column.isna() | column.astype(str).str.strip().isin(MISSING)
    wrong = np.flatnonzero((found.isna() | np.isinf(found)) & ~empty)
    if wrong.size:
        raise DataError(
            f"{column.name} is {str(column.iloc[wrong[0]])!r} in record {wrong[0] + 1} and "
            f"{wrong.size - 1} others, which is no number. Correct it."
        )
    return found.to_numpy(float)


def _days(ids: pd.Series, date: Any, dy: Any, starts: pd.DataFrame) -> Any:
    """Return days since the infusion, from dates where both have them, else from study days."""
    start = ids.map(starts["date"]) if len(starts) else pd.Series(pd.NaT, index=ids.index)
    start = pd.to_datetime(start)
    seen = pd.Series(pd.to_datetime(np.asarray(date)), index=ids.index)
    # Without a clock time on either side whole days are compared.
    clock = (seen != seen.dt.normalize()) & (start != start.dt.normalize())
    exact = (seen - start).dt.total_seconds() / 86_400
    whole = (seen.dt.normalize() - start.dt.normalize()).dt.days.astype(float)
    by_date = np.where(clock, exact, whole)
    first = ids.map(starts["dy"]).astype(float) if len(starts) else pd.Series(1.0, index=ids.index)
    by_day = _straight(np.asarray(dy, float)) - _straight(first.fillna(1.0).to_numpy(float))
    return np.where(np.isnan(by_date), by_day, by_date)


def _straight(dy: Any) -> Any:
    """Return study days, which have no day 0, as a scale without a gap."""
    return np.where(dy >= 1, dy - 1, dy)


def _with_day(
    name: str, table: pd.DataFrame, starts: pd.DataFrame, notes: list[str]
) -> pd.DataFrame:
    prefix = name.upper()
    if name == "dm":
        return _with_death(table, starts)
    for date, day in ((f"{prefix}STDTC", f"{prefix}STDY"), (f"{prefix}DTC", f"{prefix}DY")):
        if date in table or day in table:
            seen, dy = _dates(table.get(date), len(table)), _numbers(table.get(day), len(table))
            made = table.assign(DAY=_days(table["USUBJID"], seen, dy, starts))
            lost = int(made["DAY"].isna().sum())
            if lost:
                notes.append(f"{prefix}: {lost} of {len(table)} records have no day.")
            if f"{prefix}ENDTC" in table or f"{prefix}ENDY" in table:
                end = _dates(table.get(f"{prefix}ENDTC"), len(table))
                last = _numbers(table.get(f"{prefix}ENDY"), len(table))
                made["END_DAY"] = _days(table["USUBJID"], end, last, starts)
            return made
    return table


def _with_death(table: pd.DataFrame, starts: pd.DataFrame) -> pd.DataFrame:
    """Return DM with the day of death, where it has its date."""
    if "DTHDTC" not in table:
        return table
    n = len(table)
    seen = _dates(table["DTHDTC"], n)
    return table.assign(DTH_DAY=_days(table["USUBJID"], seen, np.full(n, np.nan), starts))


def _records(name: str, table: pd.DataFrame, codes: Codes | None, notes: list[str]) -> pd.DataFrame:
    """Return the records of one findings domain as a long table."""
    p = name.upper()
    _need(table, ("USUBJID", f"{p}TESTCD", f"{p}STRESN", "DAY"), p)
    done = table.get(f"{p}STAT", pd.Series("", index=table.index)).astype(str).str.upper()
    code = table[f"{p}TESTCD"].astype(str)
    endpoint = code.map(lambda c: _endpoint(c, codes))
    known = endpoint.notna() & (done != "NOT DONE") & table["DAY"].notna()
    skipped = sorted(set(code[endpoint.isna()]))
    if skipped:
        notes.append(f"{p}: tests not used: {', '.join(skipped)}; codes= says what they are.")
    if (done == "NOT DONE").any():
        notes.append(f"{p}: {int((done == 'NOT DONE').sum())} records not done.")
    own = table[known]
    value = own[f"{p}STRESN"]
    limit = _numbers(own.get(f"{p}LLOQ"), len(own))
    text = own.get(f"{p}STRESC", pd.Series("", index=own.index)).astype(str)
    return pd.DataFrame(
        {
            "ID": own["USUBJID"].astype(str), "TIME": own["DAY"],
            "DV": _cells(value, text, limit), "DVID": endpoint[known],
            "UNIT": own[f"{p}STRESU"].astype(str) if f"{p}STRESU" in own else "",
            "LLOQ": limit,
        }
    )  # fmt: skip


def _endpoint(code: str, codes: Codes | None) -> str | None:
    given = {k.upper(): v for k, v in (codes or {}).items()}
    return given.get(code.upper()) or recognise(code)


def _cells(value: pd.Series, text: pd.Series, limit: Any) -> list[str]:
    """Return values as text: a number, or ``<`` the limit where the text says so.

    Text in the column of numbers is left for the reader to take, as it does ``<50``, or refuse.
    """
    out = []
    for raw, number, said, lloq in zip(
        value, pd.to_numeric(value, errors="coerce"), text, limit, strict=True
    ):
        if np.isfinite(number):
            out.append(repr(float(number)))
        elif not pd.isna(raw) and str(raw).strip() not in MISSING:
            out.append(str(raw))
        elif _BELOW.match(said.strip()):
            has_number = re.search(r"\d", said) is not None
            out.append(said if has_number else f"<{lloq:.12g}" if np.isfinite(lloq) else "BLQ")
        else:
            out.append(".")
    return out


def _trial(
    records: pd.DataFrame,
    doses: pd.DataFrame,
    subjects: pd.DataFrame | None,
    covariates: Sequence[str] | None,
) -> xr.Dataset | None:
    if not len(records):
        return None
    frame = records.assign(EVID=0, AMT=np.nan, AMTUNIT="")
    if len(doses):
        given = pd.DataFrame(
            {
                "ID": doses["USUBJID"].astype(str), "TIME": doses["DAY"], "DV": ".",
                "DVID": "", "UNIT": "", "LLOQ": np.nan, "EVID": 1, "AMT": doses["amount"],
                "AMTUNIT": doses["unit"],
            }
        )  # fmt: skip
        frame = pd.concat([given, frame], ignore_index=True)
    frame = frame.sort_values(["ID", "TIME", "EVID"], ascending=[True, True, False], kind="stable")
    options = Options(
        time_unit="day", sort=True, align_to_dose=bool(len(doses)), covariates=covariates
    )
    return read(frame, _subjects(subjects, set(frame["ID"])), options)


def _subjects(table: pd.DataFrame | None, ids: set[str]) -> pd.DataFrame | None:
    """Return the columns of DM or ADSL that describe patients, without dates."""
    if table is None:
        return None
    own = table[table["USUBJID"].astype(str).isin(ids)]
    dropped = [
        c for c in own.columns
        if c in ("STUDYID", "DOMAIN", "SUBJID", "SITEID", "INVID", "INVNAM", "DAY", "END_DAY",
                 "DTH_DAY", "DTHFL")
        or c.endswith(("DTC", "DT", "DTM", "TM"))
    ]  # fmt: skip
    return own.drop(columns=dropped).rename(columns={"USUBJID": "ID"})


# --- ADaM --------------------------------------------------------------------------------------


def read_adam(
    source: str | PathLike[str] | Mapping[str, Source],
    codes: Codes | None,
    dose: str | None,
    time_unit: str | None,
    covariates: Sequence[str] | None,
) -> Cdisc:
    """Read ADaM data sets; see `data.read_adam`."""
    tables = collect(source, ADAM)
    notes: list[str] = []
    for name, table in tables.items():
        _need(table, ("USUBJID",), name.upper())
        if "ADY" in table:
            day = _straight(_numbers(table["ADY"], len(table)))
            tables[name] = table.assign(DAY=day)
    held = [n for n in ("adnca", "adpc") if n in tables]
    if not held:
        return Cdisc("ADaM", None, tables, tuple(notes))
    name = held[0]
    if {"adnca", "adpc"} <= set(tables):
        notes.append("Concentrations are taken from ADNCA; ADPC holds them too.")
    records = _analysis_records(name, tables[name], codes, time_unit, notes)
    doses = _analysis_doses(tables[name], tables.get("adsl"), dose, notes)
    trial = _trial(records, doses, tables.get("adsl"), covariates)
    return Cdisc("ADaM", trial, tables, tuple(notes))


_PER_DAY = {"H": 24.0, "HOURS": 24.0, "HOUR": 24.0, "HR": 24.0, "DAYS": 1.0, "DAY": 1.0, "D": 1.0,
            "MIN": 1440.0, "MINUTES": 1440.0, "WEEKS": 1 / 7, "WEEK": 1 / 7}  # fmt: skip


def _analysis_records(
    name: str, table: pd.DataFrame, codes: Codes | None, time_unit: str | None, notes: list[str]
) -> pd.DataFrame:
    p = name.upper()
    _need(table, ("PARAMCD", "AVAL"), p)
    hours = next((c for c in ("AFRLT", "ARRLT") if c in table), None)
    if hours is None and "DAY" not in table:
        raise DataError(f"{p} has neither AFRLT nor ADY, so its records have no time.")
    endpoint = table["PARAMCD"].astype(str).map(lambda c: _endpoint(c, codes))
    day = table["DAY"].to_numpy(float) if hours is None else (
        _numbers(table[hours], len(table)) / _per_day(table, hours, time_unit, p)
    )  # fmt: skip
    skipped = sorted(set(table.loc[endpoint.isna(), "PARAMCD"].astype(str)) - {"DOSE"})
    if skipped:
        notes.append(f"{p}: parameters not used: {', '.join(skipped)}; codes= says what they are.")
    known = (endpoint.notna() & np.isfinite(day)).to_numpy()
    own = table[known]
    limit = _numbers(own.get("ALLOQ", own.get("PCLLOQ")), len(own))
    text = own.get("AVALC", pd.Series("", index=own.index)).astype(str)
    value = own["AVAL"]
    unit = next((c for c in ("AVALU", "PCSTRESU") if c in own), None)
    return pd.DataFrame(
        {
            "ID": own["USUBJID"].astype(str), "TIME": day[known],
            "DV": _cells(value, text, limit), "DVID": endpoint[known],
            "UNIT": "" if unit is None else own[unit].astype(str), "LLOQ": limit,
        }
    )  # fmt: skip


def _per_day(table: pd.DataFrame, column: str, time_unit: str | None, p: str) -> float:
    """Return how many units of time a day has."""
    header = next((c for c in (f"{column}U", "RRLTU", "FRLTU") if c in table), None)
    words = {time_unit} if time_unit else set(table[header].astype(str)) - {""} if header else set()
    if len(words) != 1 or str(next(iter(words))).upper() not in _PER_DAY:
        said = f"the units {', '.join(sorted(map(str, words)))}" if words else "no unit"
        raise DataError(f"{p}: {column} has {said}; say which: time_unit='h' or time_unit='day'.")
    return _PER_DAY[str(words.pop()).upper()]


def _analysis_doses(
    table: pd.DataFrame, adsl: pd.DataFrame | None, dose: str | None, notes: list[str]
) -> pd.DataFrame:
    """Return one infusion per patient at day 0, with the amount of the named column."""
    where = [t for t in (table, adsl) if t is not None]
    names = [dose] if dose else ["DOSEA", "TRTDOSEA", "DOSE01A"]
    for name in names:
        for held in where:
            if name.upper() in held:
                first = held.groupby("USUBJID", sort=False)[name.upper()].first()
                unit = next((c for c in ("DOSEU", "DOSU", "DOSE01U") if c in held), None)
                by = held.groupby("USUBJID", sort=False)
                units = by[unit].first().to_numpy() if unit else "cells"
                return pd.DataFrame(
                    {"USUBJID": first.index.astype(str), "DAY": 0.0,
                     "amount": _numbers(first, len(first)), "unit": units}
                )  # fmt: skip
    if dose:
        raise DataError(f"neither the concentrations nor ADSL have a column {dose!r}.")
    notes.append("No dose: neither DOSEA nor TRTDOSEA; dose= names the column.")
    return pd.DataFrame()

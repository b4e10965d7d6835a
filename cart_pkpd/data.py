"""Tables of a trial: read, checked, counted, and written again.

`read_table` turns a long table as NONMEM, Monolix and CDISC use it into the trial Dataset
that every other part of the package takes. Nothing is dropped silently: its import report
lists what was guessed, what was converted, and every record left out with the reason.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.names import label, recognise
from cart_pkpd._core.validate import as_patients, as_trial, did_you_mean
from cart_pkpd._data.cdisc import Cdisc
from cart_pkpd._data.cdisc import read_adam as _read_adam
from cart_pkpd._data.cdisc import read_sdtm as _read_sdtm
from cart_pkpd._data.describe import TrialDescription
from cart_pkpd._data.describe import describe as _describe
from cart_pkpd._data.options import Duplicates, Limits, Options
from cart_pkpd._data.read import read
from cart_pkpd._data.report import ColumnUse, EndpointCount, Exclusion, ImportReport
from cart_pkpd._data.write import save, to_frame
from cart_pkpd._data.xpt import Source, read_dataset, write_dataset

__all__ = [
    "Cdisc",
    "ColumnUse",
    "EndpointCount",
    "Exclusion",
    "ImportReport",
    "TrialDescription",
    "describe",
    "endpoint",
    "endpoints",
    "import_report",
    "patients",
    "read_adam",
    "read_dataset",
    "read_sdtm",
    "read_table",
    "select",
    "summary",
    "write_dataset",
    "write_table",
]


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


def read_table(
    source: str | PathLike[str] | pd.DataFrame,
    *,
    columns: Mapping[str, str | None] | None = None,
    subjects: str | PathLike[str] | pd.DataFrame | None = None,
    endpoints: str | Mapping[str | int, str] | None = None,
    units: Mapping[str, str] | None = None,
    lloq: Limits = None,
    uloq: Limits = None,
    time_unit: str | None = None,
    dose_unit: str | None = None,
    day_one: bool = False,
    align_to_dose: bool = True,
    covariates: Sequence[str] | None = None,
    missing: Sequence[str | float] = (),
    sort: bool = False,
    duplicates: Duplicates = "error",
    sep: str | None = None,
    decimal: str | None = None,
    echo: bool = True,
) -> xr.Dataset:
    """Read a long table (one row per patient, time and endpoint) as a trial.

    Parameters
    ----------
    source : path or DataFrame
        CSV or TSV file, plain or gzipped, or a DataFrame.
    columns : dict, optional
        Headers by role, where they are not recognised: ``{"TIME": "Day post infusion"}``; None
        for a role says that the table has no such column. Roles: ID, TIME, INFUSION, NTIME, DV,
        DVTEXT, DVID, UNIT, CENS, LIMIT, BLQ, LLOQ, ULOQ, AMT, AMTUNIT, TIMEUNIT, EVID, MDV, EVENT,
        CMT, OCC, RATE, DURATION, II, ADDL, SS. DOSELEVEL names the column of the planned dose.
    subjects : path or DataFrame, optional
        Table with one row per patient, whose columns become covariates.
    endpoints : str or dict, optional
        Name of the only endpoint, or names by what the table calls them:
        ``{"car_abs": "car_cells", 1: "transgene"}``.
    units : dict, optional
        Unit by endpoint. Without it the UNIT column counts, or else the usual unit is
        guessed. Values whose unit differs are converted if the kind is the same.
    lloq, uloq : float or dict, optional
        Limits of quantification, one number or by endpoint, in the endpoint's unit; for
        records whose own column or text (``<50``) gives none.
    time_unit : str, optional
        Unit of the times; from the header or day by default.
    dose_unit : str, optional
        Unit of the amounts; from the AMTUNIT column or cells by default.
    day_one : bool
        Whether the table calls the day of infusion day 1. Days from 1 on are moved by one; the
        day before, -1, stays unless the table also uses day 0.
    align_to_dose : bool
        Shift the times of each patient so that the first dose record is day 0.
    covariates : list of str, optional
        Headers of the columns to keep as covariates; all that are left over by default. Numbers
        that change within a patient are kept too: the value at the infusion is the patient's, and
        each change is an event under the covariate's name.
    missing : list of str or float
        Cells that stand for a missing value, beside ``.``, blank, NA and their like.
    sort : bool
        Accept records that are not in order of time.
    duplicates : {"error", "first", "last", "mean"}
        What to do with values of the same patient, endpoint and time.
    sep, decimal : str, optional
        Separator of cells and decimal sign; found from the table by default.
    echo : bool
        Write the import report to standard output.

    Returns
    -------
    xr.Dataset
        Dimensions ``obs`` (records: dv, censoring, lloq, uloq, limit), ``dosing`` (amount,
        and duration if a column gives it), ``id`` (dose_level and covariates), ``event``
        (co-medication) and ``measure`` (the endpoints with unit, label and kind). Times
        are in days since the first infusion.

    Raises
    ------
    DataError
        With every problem of the table in ``.problems``, each with patient, row, column
        and value.

    Notes
    -----
    A value below its LLOQ, 0 included, is left-censored, and its ``dv`` is the LLOQ; a value
    equal to it is quantified. CENS and LIMIT are read as Monolix does. Records with EVID 1 or
    4 (or an amount and no EVID) are doses; EVID 2 with a name (in EVENT or DVID) is
    co-medication. ADDL and II are written out as doses.

    Where times are dates (2026-03-09, 09.03.2026, 09-Mar-2026, with or without a time of day), days
    count from the patient's date of infusion: that of the INFUSION column, of a column "Infusion
    date" in `subjects`, or of the first dose record. They are whole unless both have a time of day.
    ``infusion_day`` says on which day each patient was infused, counted from the first patient's
    infusion; the dates themselves are not kept.

    The length of an infusion comes from DUR (or DURATION, TINF), in the unit of the times, or from
    RATE, in amounts per unit of time, as AMT/RATE; a unit in the header counts instead. Empty
    or 0 is a bolus. Both may be given if they agree within 1 %; then DUR counts. Negative rates,
    which ask NONMEM to estimate them, are refused, as are lengths on observations. Models given
    by differential equations use the lengths (``duration`` [day]); closed forms and
    non-compartmental analysis take every dose as instantaneous.

    Examples
    --------
    >>> table = pd.DataFrame({"ID": [1, 1], "TIME": [0, 7], "DV": ["<50", 1200.0]})
    >>> trial = read_table(table, units={"transgene": "copies/ug"}, echo=False)
    >>> trial.dv.values.tolist(), trial.censoring.values.tolist()
    ([50.0, 1200.0], ['left', 'none'])
    """
    options = Options(
        columns=columns,
        units=units,
        lloq=lloq,
        uloq=uloq,
        time_unit=time_unit,
        dose_unit=dose_unit,
        day_one=day_one,
        align_to_dose=align_to_dose,
        endpoints=endpoints,
        covariates=covariates,
        missing=missing,
        sort=sort,
        duplicates=duplicates,
        sep=sep,
        decimal=decimal,
    )
    trial = read(source, subjects, options)
    if echo:
        sys.stdout.write(f"{import_report(trial)}\n")
    return trial


def write_table(
    trial: xr.Dataset, path: str | PathLike[str] | None = None, *, sep: str = ","
) -> pd.DataFrame:
    """Return a trial as one long table, and write it to `path` if there is one.

    Parameters
    ----------
    trial : xr.Dataset
        What `read_table` returned.
    path : path, optional
        File to write; it appears complete or not at all.
    sep : str
        Separator of cells.

    Returns
    -------
    DataFrame
        Columns ID, TIME [day], NTIME [day], DV, DVID, UNIT, CENS, LIMIT, LLOQ, ULOQ, AMT,
        AMTUNIT, EVID, MDV, OCC and the covariates, for NONMEM and Monolix. DUR [day] follows
        AMTUNIT if the trial has the lengths of infusions; NONMEM does not read it by itself.

    Raises
    ------
    DataError
        If the file can not be written.

    Notes
    -----
    `read_table` reads it back to an equal Dataset, but for the line numbers and the report.
    A patient without records, or whose place in the order would be lost, gets a row with
    EVID 2 that carries only the covariates.
    """
    frame = to_frame(as_trial(trial))
    if path is not None:
        save(frame, path, sep)
    return frame


def read_sdtm(
    source: str | PathLike[str] | Mapping[str, Source],
    *,
    codes: Mapping[str, str] | None = None,
    infusion: str | None = None,
    covariates: Sequence[str] | None = None,
    echo: bool = False,
) -> Cdisc:
    """Read SDTM domains: PC and LB as the trial, EX as its doses, the others as tables in days.

    Parameters
    ----------
    source : path or dict
        Folder with ``pc.xpt``, ``ex.csv`` and so on, or paths or DataFrames by domain. Known
        are DM, EX, PC, LB, AE, TU, TR, RS, VS, CM, PR, DS and SS; only what is there is read.
    codes : dict, optional
        Endpoint by PCTESTCD or LBTESTCD: ``{"CARTQ": "transgene"}``. Codes that spell a known
        endpoint (IL6, FERRITIN) need none; other tests are named in the notes.
    infusion : str, optional
        Part of the EXTRT of the cells, where EX also holds lymphodepletion.
    covariates : list of str, optional
        Columns of DM to keep; all that describe patients by default.
    echo : bool
        Write the import report to standard output.

    Returns
    -------
    Cdisc
        ``trial``, ``tables`` with ``DAY`` since the infusion, ``notes``.

    Raises
    ------
    DataError
        If a needed column is missing, EX has several treatments and none is named, or the records
        cannot be read as a trial.

    Notes
    -----
    Days are differences of dates to the first infusion, with clock times where both have one;
    where a date is missing or partial, study days are used. Reference day 1 may be the start of
    lymphodepletion, so that study days alone can be shifted; the infusion's own study day corrects
    that.
    """
    found = _read_sdtm(source, codes, infusion, covariates)
    if echo and found.trial is not None:
        sys.stdout.write(f"{import_report(found.trial)}\n")
    return found


def read_adam(
    source: str | PathLike[str] | Mapping[str, Source],
    *,
    codes: Mapping[str, str] | None = None,
    dose: str | None = None,
    time_unit: str | None = None,
    covariates: Sequence[str] | None = None,
    echo: bool = False,
) -> Cdisc:
    """Read ADaM data sets: ADPC or ADNCA as the trial, with ADSL as covariates, others as tables.

    Parameters
    ----------
    source : path or dict
        Folder with ``adsl.xpt``, ``adpc.csv`` and so on, or paths or DataFrames by name. Known
        are ADSL, ADPC, ADNCA, ADPP, ADRS and ADTTE.
    codes : dict, optional
        Endpoint by PARAMCD: ``{"CARTQ": "transgene"}``.
    dose : str, optional
        Column of the amount given, in the concentrations or ADSL; DOSEA or TRTDOSEA by default.
    time_unit : str, optional
        Unit of AFRLT, where no column says it.
    covariates : list of str, optional
        Columns of ADSL to keep; all that describe patients by default.
    echo : bool
        Write the import report to standard output.

    Returns
    -------
    Cdisc
        ``endpoints.from_adtte`` and ``nca.from_adpp`` take its tables.

    Raises
    ------
    DataError
        If a needed column is missing, or the records cannot be read as a trial.
    """
    found = _read_adam(source, codes, dose, time_unit, covariates)
    if echo and found.trial is not None:
        sys.stdout.write(f"{import_report(found.trial)}\n")
    return found


def import_report(trial: xr.Dataset) -> ImportReport:
    """Return the report of how a trial was read.

    Parameters
    ----------
    trial : xr.Dataset
        From `read_table`.

    Returns
    -------
    ImportReport
        What was read, guessed and left out.

    Raises
    ------
    DataError
        If the Dataset does not come from `read_table`.
    """
    text = as_trial(trial).attrs.get("import_report")
    if text is None:
        raise DataError(
            Problem("no_report", "the Dataset has no import report: read it with data.read_table.")
        )
    return ImportReport.from_json(text)


def endpoints(trial: xr.Dataset) -> list[str]:
    """Return the names of the endpoints of a trial, in order of first appearance.

    Parameters
    ----------
    trial : xr.Dataset
        From `read_table`.

    Returns
    -------
    list of str
        Such as ``["transgene", "il6"]``.
    """
    return [str(name) for name in as_trial(trial)["measure"].values]


def patients(trial: xr.Dataset) -> list[str]:
    """Return the patients of a trial, in order of first appearance.

    Parameters
    ----------
    trial : xr.Dataset
        From `read_table`.

    Returns
    -------
    list of str
        Their identifiers, as text.
    """
    return [str(name) for name in as_trial(trial)["id"].values]


def endpoint(trial: xr.Dataset, name: str) -> xr.Dataset:
    """Return the observations of one endpoint.

    Parameters
    ----------
    trial : xr.Dataset
        What `read_table` returned.
    name : str
        Endpoint, as in ``endpoints(trial)``.

    Returns
    -------
    xr.Dataset
        The trial with only the ``obs`` of that endpoint; ``dv``, ``lloq``, ``uloq`` and ``limit``
        carry its unit in ``attrs["units"]`` and its label in ``attrs["long_name"]``.

    Raises
    ------
    DataError
        If the trial has no such endpoint.
    """
    known = endpoints(trial)
    if name not in known:
        near = recognise(str(name))
        hint = f" Did you mean {near!r}?" if near in known else did_you_mean(str(name), known)
        raise DataError(
            Problem(
                "unknown_endpoint",
                f"the trial has no endpoint {name!r}.{hint} It has: {', '.join(known)}.",
                value=str(name),
            )
        )
    chosen = trial.isel(obs=np.flatnonzero(trial["endpoint"].values == name))
    row = trial.sel(measure=name)
    unit, title = str(row["unit"].item()), str(row["label"].item())
    for variable, long_name in (
        ("dv", title),
        ("lloq", f"LLOQ of {title}"),
        ("uloq", f"ULOQ of {title}"),
        ("limit", f"lower edge of {title}"),
    ):
        chosen[variable] = chosen[variable].assign_attrs(units=unit, long_name=long_name)
    chosen.attrs = {**trial.attrs, "endpoint": name}
    return chosen


def select(trial: xr.Dataset, patients: Sequence[str]) -> xr.Dataset:
    """Return a trial with some of its patients only.

    Parameters
    ----------
    trial : xr.Dataset
        What `read_table` returned.
    patients : sequence of str
        Who stays, as in ``data.patients(trial)``; in the order of the trial.

    Returns
    -------
    xr.Dataset
        The trial with only the records, doses and events of these patients.

    Raises
    ------
    DataError
        If one of them is not in the trial, or nobody is given.

    Examples
    --------
    >>> high = trial["id"].values[trial["dose_level"].values >= 1e7]
    >>> data.select(trial, high)
    """
    known, wanted = as_trial(trial)["id"].values, as_patients(patients, "patients")
    if not wanted:
        raise DataError("patients= names nobody; give at least one patient.")
    for name in wanted:
        if name not in known:
            raise DataError(
                Problem(
                    "unknown_patient",
                    f"the trial has no patient {name!r}.{did_you_mean(name, known)}",
                    patient=name,
                )
            )
    owners = {"obs": "patient", "dosing": "dose_patient", "event": "event_patient", "id": "id"}
    kept = {d: np.isin(trial[who].values, wanted) for d, who in owners.items() if d in trial.dims}
    return trial.isel({d: np.flatnonzero(chosen) for d, chosen in kept.items()})


def describe(trial: xr.Dataset) -> TrialDescription:
    """Return a trial at a glance: counts by dose level and by endpoint.

    A trial is an xarray Dataset and shows itself as one; this is what a person wants to see of it.

    Parameters
    ----------
    trial : xr.Dataset
        From `read_table`.

    Returns
    -------
    TrialDescription
        Shows itself in a notebook; ``print`` gives text; ``.doses`` and ``.endpoints`` are tables.

    Raises
    ------
    DataError
        If `trial` is no trial.
    """
    return _describe(trial, summary(trial))


def summary(trial: xr.Dataset) -> pd.DataFrame:
    """Return the counts of a trial by dose level and endpoint.

    Parameters
    ----------
    trial : xr.Dataset
        From `read_table`.

    Returns
    -------
    DataFrame
        One row per dose level (where known) and endpoint: patients, records, quantified,
        below_lloq, above_uloq, interval, first_time and last_time [day].
    """
    ids = pd.Index(as_trial(trial)["id"].values)
    frame = pd.DataFrame(
        {
            "patient": trial["patient"].values,
            "endpoint": trial["endpoint"].values,
            "time": trial["time"].values,
            "censoring": trial["censoring"].values,
        }
    )
    by = ["endpoint"]
    if "dose_level" in trial:
        level = trial["dose_level"].values
        frame["dose_level"] = level[ids.get_indexer(pd.Index(frame["patient"]))]
        by = ["dose_level", "endpoint"]
    for column, word in (
        ("quantified", "none"),
        ("below_lloq", "left"),
        ("above_uloq", "right"),
        ("interval", "interval"),
    ):
        frame[column] = (frame["censoring"] == word).astype(int)
    groups = frame.groupby(by, dropna=False, sort=True)
    counted = groups.agg(
        patients=("patient", "nunique"),
        records=("time", "size"),
        quantified=("quantified", "sum"),
        below_lloq=("below_lloq", "sum"),
        above_uloq=("above_uloq", "sum"),
        interval=("interval", "sum"),
        first_time=("time", "min"),
        last_time=("time", "max"),
    ).reset_index()
    counted.insert(len(by), "label", [label(str(e)) for e in counted["endpoint"]])
    return counted

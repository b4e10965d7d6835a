"""Endpoints in CDISC form: ADRS written; ADTTE, ADRS, RS, TU, TR and AE read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import as_text, did_you_mean
from cart_pkpd._endpoints.lesions import read_lesions
from cart_pkpd._endpoints.tables import (
    BEST,
    DAYS_PER_MONTH,
    NON,
    RESPONSES,
    TIME_TO_EVENT,
    TIMEPOINTS,
    require,
    shape,
    tabled,
)

_BEST = (
    ("BOR", "Best Overall Response", "best"),
    ("CBOR", "Confirmed Best Overall Response", "confirmed"),
)
_TO_DAY = {"DAYS": 1.0, "DAY": 1.0, "MONTHS": DAYS_PER_MONTH, "MONTH": DAYS_PER_MONTH,
           "WEEKS": 7.0, "WEEK": 7.0, "YEARS": 365.25, "YEAR": 365.25}  # fmt: skip
_SPELLINGS = {
    "CR": "CR", "PR": "PR", "SD": "SD", "PD": "PD", "NE": "NE", "NON-CR/NON-PD": NON,
    "INEVALUABLE": "NE", "COMPLETE RESPONSE": "CR",
    "PARTIAL RESPONSE": "PR", "STABLE DISEASE": "SD", "PROGRESSIVE DISEASE": "PD", "": "",
    "NOT EVALUABLE": "NE", "ND": "NE", "MISSING": "MISSING", "NA": "", "UNKNOWN": "NE",
}  # fmt: skip


_MISSING = ("", ".", "nan", "none", "<na>")


def adrs(
    points: pd.DataFrame | None = None, best: pd.DataFrame | None = None, *, study: str = ""
) -> pd.DataFrame:
    """Return responses in the shape of the CDISC ADaM data set ADRS.

    Parameters
    ----------
    points : DataFrame, optional
        From ``endpoints.recist``: parameters OVR, TRGRESP, NTRGRESP at every assessment.
    best : DataFrame, optional
        From ``endpoints.best_response``: parameters BOR and CBOR (confirmed), RSP and CRSP
        (responded, Y or N).
    study : str
        STUDYID.

    Returns
    -------
    DataFrame
        STUDYID, USUBJID, PARAMCD, PARAM, AVISIT, ADY (the day of infusion is 1), AVALC, AVAL (1 CR
        to 7 MISSING; 1 or 0 for Y or N), RULE.

    Raises
    ------
    DataError
        If neither is given, or a table lacks a column.
    """
    as_text(study, "study")
    if points is None and best is None:
        raise DataError("pass the time points, the best responses, or both.")
    rows: list[dict[str, Any]] = []
    if points is not None:
        points = tabled(points, TIMEPOINTS, "time-point responses", "endpoints.recist")
        rows += _time_points(points)
    if best is not None:
        best = tabled(best, BEST, "best responses", "endpoints.best_response")
        rows += _best(best)
    columns = ["STUDYID", "USUBJID", "PARAMCD", "PARAM", "AVISIT", "ADY", "AVALC", "AVAL", "RULE"]
    table = pd.DataFrame([{"STUDYID": study, **r} for r in rows], columns=columns)
    table.attrs["labels"] = {
        "STUDYID": "Study Identifier", "USUBJID": "Unique Subject Identifier",
        "PARAMCD": "Parameter Code", "PARAM": "Parameter", "AVISIT": "Analysis Visit",
        "ADY": "Analysis Relative Day", "AVALC": "Analysis Value (C)", "AVAL": "Analysis Value",
        "RULE": "Rule That Decided",
    }  # fmt: skip
    return table


def _study_day(day: float) -> float:
    return day + 1 if day >= 0 else day


def _row(who: str, code: str, name: str, visit: str, day: float, value: str, rule: str) -> Any:
    number = RESPONSES.index(value) + 1 if value in RESPONSES else {"Y": 1, "N": 0}.get(value)
    return {
        "USUBJID": who, "PARAMCD": code, "PARAM": name, "AVISIT": visit, "ADY": _study_day(day),
        "AVALC": value, "AVAL": np.nan if number is None else float(number), "RULE": rule,
    }  # fmt: skip


def _time_points(points: pd.DataFrame) -> list[dict[str, Any]]:
    parameters = (
        ("OVR", "Overall Response", "overall"),
        ("TRGRESP", "Target Response", "target"),
        ("NTRGRESP", "Non-target Response", "non_target"),
    )
    rows = []
    for p in points[~points["baseline"]].to_dict("records"):
        for code, name, column in parameters:
            rule = p["reason"] if code == "OVR" else ""
            if p[column]:
                rows.append(_row(p["id"], code, name, p["visit"], p["day"], p[column], rule))
    return rows


def _best(best: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for b in best.to_dict("records"):
        for code, name, column in _BEST:
            day, rule = b[f"{column}_day"], b[f"{column}_reason"]
            rows.append(_row(b["id"], code, name, "", day, b[column], rule))
            said = "Y" if b[column] in ("CR", "PR") else "N"
            short, word = ("RSP", "Response") if code == "BOR" else ("CRSP", "Confirmed Response")
            began = b["response_day" if code == "BOR" else "confirmed_response_day"]
            rows.append(_row(b["id"], short, word, "", began if said == "Y" else np.nan, said, ""))
    return rows


def from_adtte(table: pd.DataFrame, parameter: str | None = None) -> pd.DataFrame:
    """Return an ADTTE data set as times to event.

    Parameters
    ----------
    table : DataFrame
        USUBJID, PARAMCD, AVAL, CNSR (0 event; any other number is a kind of censoring); AVALU
        (days by default), ADY, EVNTDESC and CNSDTDSC are used where they are.
    parameter : str, optional
        PARAMCD to take; all by default.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("time_to_event")`` says.

    Raises
    ------
    DataError
        If a column is missing, the parameter or a unit is unknown, or AVAL, ADY or CNSR is not a
        number.
    """
    require(table, ("USUBJID", "PARAMCD", "AVAL", "CNSR"), "records of ADTTE", "data.read_adam")
    known = sorted({str(v) for v in table["PARAMCD"]})
    if parameter is not None and as_text(parameter, "parameter") not in known:
        raise DataError(
            f"ADTTE has no parameter {parameter!r}.{did_you_mean(parameter, known)} It has: "
            f"{', '.join(known)}."
        )
    own = table if parameter is None else table[table["PARAMCD"] == parameter]
    return shape([_time_to_event(r) for r in own.to_dict("records")], TIME_TO_EVENT)


def _time_to_event(r: Mapping[Any, Any]) -> dict[str, Any]:
    who, unit = str(r["USUBJID"]), str(r.get("AVALU") or "DAYS").upper()
    if unit not in _TO_DAY:
        raise DataError(
            Problem("adtte_unit", f"patient {who!r}: AVALU is {unit!r}; known are "
                    f"{', '.join(sorted(_TO_DAY))}.", who, column="AVALU", value=unit)
        )  # fmt: skip
    censored = pd.to_numeric(str(r["CNSR"]), errors="coerce")
    if np.isnan(censored):
        raise DataError(
            Problem("adtte_cnsr", f"patient {who!r}: CNSR is {r['CNSR']!r}; it must be 0 for an "
                    "event and 1 or more for a censoring.", who, column="CNSR",
                    value=str(r["CNSR"]))
        )  # fmt: skip
    days, ady = _number(r, "AVAL", "adtte") * _TO_DAY[unit], _number(r, "ADY", "adtte")
    day = ady - 1 if ady >= 1 else ady
    return {
        "id": who, "endpoint": str(r["PARAMCD"]), "time": days, "months": days / DAYS_PER_MONTH,
        "event": censored == 0, "reason": str(r.get("EVNTDESC", "")).lower(),
        "date_source": str(r.get("CNSDTDSC", "")).lower(), "rule": "as ADTTE says",
        "day": day, "start_day": day - days + 1,
    }  # fmt: skip


def _number(r: Mapping[Any, Any], column: str, source: str) -> float:
    """Return a number of a record, NaN where the cell is empty."""
    who, said = str(r["USUBJID"]), str(r.get(column, "")).strip()
    if said.lower() in _MISSING:
        return np.nan
    number = pd.to_numeric(said, errors="coerce")
    if np.isnan(number):
        raise DataError(
            Problem(f"{source}_number", f"patient {who!r}: {column} is {said!r}; write a number, "
                    "or leave it empty.", who, column=column, value=said)
        )  # fmt: skip
    return float(number)


def from_adrs(
    table: pd.DataFrame, parameter: str = "OVR", *, evaluator: str | None = None
) -> pd.DataFrame:
    """Return the time-point responses of an ADRS data set.

    Parameters
    ----------
    table : DataFrame
        USUBJID, PARAMCD, AVALC and ADY (or DAY, as ``data.read_adam`` adds it).
    parameter : str
        PARAMCD of the overall response at an assessment.
    evaluator : str, optional
        Whose responses: a value of PARQUAL, RSEVAL or RSEVALID, where there are several.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("timepoints")`` says, without sums; `best_response` takes it.

    Raises
    ------
    DataError
        If a column or the parameter is missing, a response is unknown, or a patient has several
        of one day.
    """
    require(table, ("USUBJID", "PARAMCD", "AVALC"), "records of ADRS", "data.read_adam")
    if "DAY" not in table:
        require(table, ("ADY",), "records of ADRS", "data.read_adam")
    table = _by_evaluator(table, evaluator, "ADRS")
    own = table[table["PARAMCD"].astype(str) == as_text(parameter, "parameter")]
    if not len(own):
        known = sorted({str(v) for v in table["PARAMCD"]})
        raise DataError(
            f"ADRS has no parameter {parameter!r}.{did_you_mean(parameter, known)} It has: "
            f"{', '.join(known)}."
        )
    return _points(own.assign(RESULT=own["AVALC"], VISIT=own.get("AVISIT", "")), "ADRS")


def from_rs(table: pd.DataFrame, *, evaluator: str | None = None) -> pd.DataFrame:
    """Return the time-point responses of an SDTM domain RS (tests OVRLRESP, TRGRESP, NTRGRESP).

    Parameters
    ----------
    table : DataFrame
        USUBJID, RSTESTCD, RSSTRESC and DAY, as ``data.read_sdtm`` adds it.
    evaluator : str, optional
        Whose responses: a value of RSEVAL or RSEVALID, where there are several.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("timepoints")`` says, without sums.

    Raises
    ------
    DataError
        If a column or the overall response is missing, a response is unknown, or a patient has
        several of one day.
    """
    require(table, ("USUBJID", "RSTESTCD", "RSSTRESC", "DAY"), "records of RS", "data.read_sdtm")
    table = _by_evaluator(table, evaluator, "RS")
    own = table[table["RSTESTCD"] == "OVRLRESP"]
    if not len(own):
        raise DataError("RS has no test OVRLRESP, so there is no overall response.")
    made = _points(own.assign(RESULT=own["RSSTRESC"]), "RS")
    for code, column in (("TRGRESP", "target"), ("NTRGRESP", "non_target")):
        part = table[table["RSTESTCD"] == code]
        held = {
            (str(r["USUBJID"]), _number(r, "DAY", "rs")): _response(
                r["USUBJID"], r["RSSTRESC"], "RS"
            )
            for r in part.to_dict("records")
        }
        keys = zip(made["id"], made["day"], strict=True)
        made[column] = [held.get(k, "") for k in keys]
    return made


_EVALUATOR = ("RSEVAL", "RSEVALID", "PARQUAL")


def _by_evaluator(table: pd.DataFrame, evaluator: str | None, source: str) -> pd.DataFrame:
    if evaluator is None:
        return table
    columns = [c for c in _EVALUATOR if c in table]
    said = {c: table[c].astype(str).str.strip().str.upper() for c in columns}
    wanted = as_text(evaluator, "evaluator").strip().upper()
    for column in columns:
        if (said[column] == wanted).any():
            return table[said[column] == wanted]
    known = sorted({v for c in columns for v in table[c].astype(str) if v not in ("", "nan")})
    raise DataError(
        f"{source} has no evaluator {evaluator!r}.{did_you_mean(evaluator, known)} "
        f"It has: {', '.join(known) or 'none'}."
    )


def _one_a_day(made: pd.DataFrame, table: pd.DataFrame, source: str) -> None:
    """Refuse several overall responses of one patient and day, as of several evaluators."""
    twice = made[made.duplicated(["id", "day"])]
    if not len(twice):
        return
    who, day = str(twice["id"].iloc[0]), float(twice["day"].iloc[0])
    said = [
        f"{c} ({', '.join(sorted(set(table[c].astype(str))))})"
        for c in _EVALUATOR if c in table and table[c].nunique() > 1
    ]  # fmt: skip
    todo = (
        f"choose one of {' or '.join(said)} with evaluator=." if said
        else "keep one (the evaluator would be in RSEVAL or PARQUAL)."
    )  # fmt: skip
    raise DataError(
        Problem("several_responses", f"patient {who!r} has several overall responses on day "
                f"{day:g} in {source}; {todo}", who, column="DAY", value=f"{day:g}")
    )  # fmt: skip


def _points(table: pd.DataFrame, source: str) -> pd.DataFrame:
    rows = []
    for r in table.to_dict("records"):
        value = _response(r["USUBJID"], r["RESULT"], source)
        day = _number(r, "DAY", source.lower())
        if "DAY" not in r:
            ady = _number(r, "ADY", source.lower())
            day = ady - 1 if ady >= 1 else ady
        if np.isnan(day):
            raise DataError(
                Problem("no_day", f"patient {str(r['USUBJID'])!r} has the response {value} without "
                        f"a day in {source}; fill it in.", str(r["USUBJID"]), column="DAY")
            )  # fmt: skip
        rows.append(
            {"id": str(r["USUBJID"]), "visit": str(r.get("VISIT", "")), "day": day,
             "complete": True, "overall": value, "reason": f"as {source} says"}
        )  # fmt: skip
    made = shape(rows, TIMEPOINTS)
    _one_a_day(made, table, source)
    return made.sort_values(["id", "day"], kind="stable", ignore_index=True)


def _response(who: Any, text: Any, source: str) -> str:
    word = str(text).strip().upper()
    if word not in _SPELLINGS:
        raise DataError(
            Problem("unknown_response", f"patient {str(who)!r} has the response {text!r} in "
                    f"{source}; known are {', '.join(RESPONSES)}.", str(who), value=str(text))
        )  # fmt: skip
    return _SPELLINGS[word]


def lesions_from_sdtm(tu: pd.DataFrame, tr: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Return lesion records from the SDTM domains TU (identification) and TR (results).

    Parameters
    ----------
    tu : DataFrame
        USUBJID, TULNKID, TUSTRESC or TUORRES (TARGET, NON-TARGET, NEW), TULOC.
    tr : DataFrame
        USUBJID, TRLNKID, TRTESTCD (LDIAM, SAXIS, TUMSTATE), TRSTRESN, TRSTRESU (mm or cm),
        TRSTRESC, DAY (as ``data.read_sdtm`` adds it), VISIT, TRBLFL or TRLOBXFL. The baseline is
        what is flagged, else the visit so called, else the last one by the infusion.
    **options
        As for ``endpoints.read_lesions``.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("lesions")`` says.

    Raises
    ------
    DataError
        If a column is missing, a result belongs to no lesion of TU, sizes have several units or
        an unknown one, or ``read_lesions`` refuses the records.
    """
    require(tu, ("USUBJID", "TULNKID"), "records of TU", "data.read_sdtm")
    require(tr, ("USUBJID", "TRLNKID", "TRTESTCD", "DAY"), "records of TR", "data.read_sdtm")
    what = next((c for c in ("TUSTRESC", "TUORRES") if c in tu), None)
    if what is None:
        raise DataError("TU has neither TUSTRESC nor TUORRES, so the kind of lesion is not known.")
    held = {
        (str(r["USUBJID"]), str(r["TULNKID"])): (str(r[what]), str(r.get("TULOC", "")))
        for r in tu.to_dict("records")
    }
    rows = []
    for r in tr[tr["TRTESTCD"].isin(("LDIAM", "SAXIS", "TUMSTATE"))].to_dict("records"):
        key = (str(r["USUBJID"]), str(r["TRLNKID"]))
        if key not in held:
            raise DataError(
                Problem("unknown_lesion", f"patient {key[0]!r}: TR has results of the lesion "
                        f"{key[1]!r}, which TU does not have.", key[0], column="TRLNKID",
                        value=key[1])
            )  # fmt: skip
        rows.append(_lesion(r, key, *held[key]))
    if not rows:
        raise DataError("TR has no test LDIAM, SAXIS or TUMSTATE, so there is no lesion record.")
    unknown = set(options) - set(inspect.signature(read_lesions).parameters)
    if unknown:
        raise DataError(f"{sorted(unknown)[0]}= is no option of endpoints.read_lesions.")
    unit = _unit(tr)
    if unit and options.setdefault("unit", unit) != unit:
        raise DataError(f"unit= is {options['unit']!r}, and TR says that its sizes are in {unit}.")
    return read_lesions(pd.DataFrame(rows), **options)


_UNITS = {"MM": "mm", "MILLIMETER": "mm", "MILLIMETRE": "mm", "CM": "cm", "CENTIMETER": "cm",
          "CENTIMETRE": "cm"}  # fmt: skip


def _unit(tr: pd.DataFrame) -> str:
    """Return the one unit of the sizes in TR, "" where it has no column of units."""
    column = next((c for c in ("TRSTRESU", "TRORRESU") if c in tr), None)
    if column is None or "TRSTRESN" not in tr:
        return ""
    sized = tr[tr["TRTESTCD"].isin(("LDIAM", "SAXIS"))]
    sized = sized[pd.to_numeric(sized["TRSTRESN"], errors="coerce").notna()]
    seen: dict[str, str] = {}
    for r in sized.to_dict("records"):
        who, said = str(r["USUBJID"]), str(r[column]).strip()
        if said.upper() not in _UNITS:
            raise DataError(
                Problem("tr_unit", f"patient {who!r}: {column} of the lesion {str(r['TRLNKID'])!r} "
                        f"is {said!r}; write mm or cm.", who, column=column, value=said)
            )  # fmt: skip
        seen.setdefault(_UNITS[said.upper()], who)
    if len(seen) > 1:
        (one, first), (other, then) = list(seen.items())[:2]
        raise DataError(
            Problem("tr_units", f"{column} is {one} (patient {first!r}) and {other} (patient "
                    f"{then!r}); bring all sizes to one unit.", then, column=column, value=other)
        )  # fmt: skip
    return next(iter(seen), "")


def _lesion(r: Mapping[Any, Any], key: tuple[str, str], kind: str, site: str) -> dict[str, Any]:
    size = pd.to_numeric(str(r.get("TRSTRESN", "")), errors="coerce")
    measured = not np.isnan(size)
    said = "" if measured else str(r.get("TRSTRESC", "")).lower()
    return {
        "id": key[0], "visit": str(r.get("VISIT", "")), "day": _number(r, "DAY", "tr"),
        "lesion": key[1],
        "kind": kind.lower(), "site": site.lower(),
        "BLFL": next((r[c] for c in ("TRBLFL", "TRLOBXFL") if r.get(c)), ""),
        "node": int(r["TRTESTCD"] == "SAXIS" or "LYMPH NODE" in site.upper()),
        "diameter": float(size) if measured else np.nan, "status": said,
    }  # fmt: skip


_GRADE = re.compile(r"(?:CTCAE\s*)?(?:GRADE|GR\.?|G)?\s*([0-5])(?:\.0)?", re.IGNORECASE)


def _grade(r: Mapping[Any, Any]) -> float:
    """Return the grade of an event, NaN where it has none; ``GRADE 4`` is 4."""
    said = str(r["AETOXGR"]).strip()
    if said.lower() in _MISSING:
        return np.nan
    found = _GRADE.fullmatch(said)
    if found is None:
        who = str(r["USUBJID"])
        raise DataError(
            Problem("ae_grade", f"patient {who!r}: AETOXGR is {said!r}; write a grade from 1 to 5, "
                    "or leave it empty.", who, column="AETOXGR", value=said)
        )  # fmt: skip
    return float(found[1])


def from_ae(table: pd.DataFrame) -> pd.DataFrame:
    """Return adverse events of the SDTM domain AE, as `dlt` takes them.

    Parameters
    ----------
    table : DataFrame
        USUBJID, AEDECOD or AETERM, AETOXGR, DAY and END_DAY (as ``data.read_sdtm`` adds them).

    Returns
    -------
    DataFrame
        ``id``, ``term``, ``grade``, ``start_day``, ``end_day`` (NaN while ongoing), ``serious``,
        ``relation``.

    Raises
    ------
    DataError
        If a column is missing, or a grade is none.
    """
    require(table, ("USUBJID", "AETOXGR", "DAY"), "records of AE", "data.read_sdtm")
    term = next((c for c in ("AEDECOD", "AETERM") if c in table), None)
    if term is None:
        raise DataError("AE has neither AEDECOD nor AETERM, so the events have no name.")
    empty, rows = pd.Series("", index=table.index), table.to_dict("records")
    return pd.DataFrame(
        {
            "id": table["USUBJID"].astype(str),
            "term": table[term].astype(str),
            "grade": [_grade(r) for r in rows],
            "start_day": [_number(r, "DAY", "ae") for r in rows],
            "end_day": [_number(r, "END_DAY", "ae") for r in rows],
            "serious": table.get("AESER", empty).astype(str).str.upper() == "Y",
            "relation": table.get("AEREL", empty).astype(str),
        }
    )

"""SDTM domains as the records that grades and survival take: VS, CM, PR; DS, DM, SS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import number, one_of, shown
from cart_pkpd._endpoints.astct import OXYGEN, VITALS
from cart_pkpd._endpoints.tables import FOLLOWUP, require, shape

TESTS: Mapping[str, str] = {
    "TEMP": "temperature", "OXYFLOW": "oxygen_flow", "O2FLOW": "oxygen_flow", "SYSBP": "systolic",
}  # fmt: skip
"""What a VSTESTCD is."""

VASOPRESSOR = "vasopressor"
DRUGS: Mapping[str, str] = {
    **dict.fromkeys(("norepinephrine", "noradrenaline", "epinephrine", "adrenaline",
                     "phenylephrine", "dopamine", "angiotensin ii"), VASOPRESSOR),
    **dict.fromkeys(("vasopressin", "argipressin", "terlipressin"), "vasopressin"),
    **dict.fromkeys(("tocilizumab", "siltuximab", "anakinra", "sarilumab"), "tocilizumab"),
    **dict.fromkeys(("dexamethasone", "methylprednisolone", "prednisolone", "prednisone",
                     "hydrocortisone"), "steroid"),
    **dict.fromkeys(("paracetamol", "acetaminophen", "metamizole", "ibuprofen"), "antipyretic"),
    "mechanical ventilation": "ventilation", "intubation": "ventilation",
    "invasive ventilation": "ventilation", "bilevel positive airway pressure": "bipap",
    "continuous positive airway pressure": "cpap", "bipap": "bipap", "cpap": "cpap",
    "high flow nasal cannula": "high-flow nasal cannula", "high flow oxygen":
    "high-flow nasal cannula", "nasal cannula": "nasal cannula", "nasal prongs": "nasal cannula",
    "non rebreather": "non-rebreather", "venturi": "venturi", "face mask": "face mask",
    "oxygen mask": "face mask", "blow by": "blow-by",
}  # fmt: skip
"""What words in the name of a drug or procedure stand for, the more special first."""

LOCAL = ("topical", "inhal", "nasal", "ophthalmic", "intra-articular", "otic", "rectal")
"""Routes by which a steroid or vasopressor does not count."""

_FLAGS = ("vasopressin", "tocilizumab", "steroid", "antipyretic")
_ONCE = ("tocilizumab", "steroid", "antipyretic")  # what matters is that they were given
_MEANINGS = (VASOPRESSOR, *_FLAGS, *OXYGEN)
_CELSIUS = {"C": 0, "°C": 0, "CELSIUS": 0, "F": 1, "°F": 1, "FAHRENHEIT": 1}
_OPEN = ("ONGOING", "AFTER", "CONTINUING")


@dataclass(frozen=True)
class Given:
    """One intervention: what it stands for, and from when to when, in days."""

    patient: str
    name: str
    meaning: str
    start: float
    end: float
    flow: float


def vitals_from_sdtm(
    vs: pd.DataFrame,
    cm: pd.DataFrame | None = None,
    pr: pd.DataFrame | None = None,
    *,
    tests: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
    systolic_below: float | None = None,
    every_hours: float = 24.0,
) -> pd.DataFrame:
    """Return vital signs and interventions of SDTM domains as `crs_grade` takes them.

    Parameters
    ----------
    vs : DataFrame
        USUBJID, VSTESTCD, VSSTRESN, DAY (as ``data.read_sdtm`` adds it); VSSTRESU tells °C from °F.
    cm, pr : DataFrame, optional
        Drugs and procedures: USUBJID, DAY, END_DAY, and the name in CMDECOD or CMTRT (PRDECOD or
        PRTRT); the flow of a cannula is PRDOSE or CMDOSE in L/min.
    tests : mapping, optional
        What a VSTESTCD is, beside TEMP: ``{"TEMPAX": "temperature", "HYPOTEN": "hypotension"}``.
    words : mapping, optional
        What words in a name stand for, beside the usual ones: ``{"optiflow": "high-flow nasal
        cannula", "dobutamine": "vasopressor"}``; "" for what is not to count.
    systolic_below : float, optional
        Systolic pressure below which it is hypotension; by default none, as the consensus names no
        limit. [mmHg]
    every_hours : float
        Length of one record: the worst of the vital signs and all interventions of that time. [h]

    Returns
    -------
    DataFrame
        As ``endpoints.columns("vitals")`` says; ``day`` is the beginning of each record.
        ``attrs["notes"]`` says what was not used.

    Raises
    ------
    DataError
        If a column is missing, a unit or meaning unknown, a value no number, or a vasopressor or
        oxygen has no end and is not marked as ongoing (CMENRTPT, CMENRF).

    Notes
    -----
    Drugs by local routes (topical, inhaled, nasal) do not count. Of what is given once, such as
    tocilizumab, the first day counts where there is no end.
    """
    require(vs, ("USUBJID", "VSTESTCD", "VSSTRESN", "DAY"), "records of VS", "data.read_sdtm")
    step = number(every_hours, "every_hours", above=0.0) / 24.0
    if systolic_below is not None:
        number(systolic_below, "systolic_below", above=0.0)
    problems: list[Problem] = []
    notes: list[str] = []
    meanings = {**TESTS, **_mapping(tests, "tests", [c.name for c in VITALS[2:]] + ["systolic"])}
    signs = list(_signs(vs, {k.upper(): v for k, v in meanings.items()}, notes, problems))
    asked = {_plain(k): v for k, v in _mapping(words, "words", [*_MEANINGS, ""]).items()}
    known = {**asked, **{k: v for k, v in DRUGS.items() if k not in asked}}
    given = [
        g for prefix, table in (("CM", cm), ("PR", pr)) if table is not None
        for g in _interventions(prefix, table, known, notes, problems)
    ]  # fmt: skip
    if problems:
        raise DataError(problems)
    table = shape(_records(signs, given, step, systolic_below), VITALS)
    table.attrs["notes"] = tuple(notes)
    return table


def _mapping(given: Any, what: str, known: Iterable[str]) -> Mapping[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DataError(f"{what}= must be a dict, not {shown(given)}.")
    for value in given.values():
        one_of(value, known, f"meaning in {what}=", error=DataError)
    return {str(k): str(v) for k, v in given.items()}


def _plain(text: Any) -> str:
    return " ".join(re.sub(r"[^a-z0-9]+", " ", str(text).lower()).split())


def _number(text: Any) -> float:
    return float(pd.to_numeric(str(text).strip(), errors="coerce"))


def _signs(
    vs: pd.DataFrame, meanings: Mapping[str, str], notes: list[str], problems: list[Problem]
) -> Iterator[tuple[str, float, str, float]]:
    """Yield patient, day, what it is, and the value, of every vital sign that is used."""
    codes = [str(c).upper().strip() for c in vs["VSTESTCD"]]
    skipped = sorted(set(codes) - set(meanings))
    if skipped:
        notes.append(f"VS: tests not used: {', '.join(skipped)}; tests= says what they are.")
    no_day = 0
    for code, r in zip(codes, vs.to_dict("records"), strict=True):
        done = str(r.get("VSSTAT", "")).upper() != "NOT DONE"
        said, day, who = str(r["VSSTRESN"]).strip(), _number(r["DAY"]), str(r["USUBJID"])
        if code not in meanings or not done or said in ("", ".", "nan", "None"):
            continue
        if np.isnan(day):
            no_day += 1
            continue
        value, name = _number(said), meanings[code]
        if name == "temperature":
            value = _celsius(value, r, problems)
        if np.isnan(value):
            problems.append(
                _problem(
                    "vs_number",
                    who,
                    "VSSTRESN",
                    said,
                    f"{code} on day {day:g} is {said!r}; write a number",
                )
            )
            continue
        yield who, day, name, value
    if no_day:
        notes.append(f"VS: {no_day} records without a day were not used.")


def _celsius(value: float, r: Mapping[Any, Any], problems: list[Problem]) -> float:
    unit = str(r.get("VSSTRESU", "") or "C").strip().upper()
    if unit not in _CELSIUS:
        problems.append(
            _problem(
                "vs_unit",
                str(r["USUBJID"]),
                "VSSTRESU",
                unit,
                f"the temperature is in {unit!r}; it must be C or F",
            )
        )
    value = (value - 32) / 1.8 if _CELSIUS.get(unit) else value
    if not np.isnan(value) and not 25 <= value <= 45:
        problems.append(
            _problem(
                "vs_temperature",
                str(r["USUBJID"]),
                "VSSTRESN",
                f"{value:g}",
                f"the temperature is {value:.4g} °C; look at value and unit",
            )
        )
    return value


def _problem(code: str, who: str, column: str, value: str, said: str) -> Problem:
    return Problem(code, f"patient {who!r}: {said}.", who, column=column, value=value)


def _interventions(
    prefix: str, table: pd.DataFrame, known: Mapping[str, str], notes: list[str],
    problems: list[Problem],
) -> Iterator[Given]:  # fmt: skip
    require(table, ("USUBJID", "DAY"), f"records of {prefix}", "data.read_sdtm")
    named = next((c for c in (f"{prefix}DECOD", f"{prefix}TRT") if c in table), None)
    if named is None:
        raise DataError(f"{prefix} has neither {prefix}DECOD nor {prefix}TRT: nothing has a name.")
    unknown: set[str] = set()
    local = 0
    for r in table.to_dict("records"):
        name = str(r[named]) or str(r.get(f"{prefix}TRT", ""))
        meaning = _meaning(name, known)
        if str(r.get(f"{prefix}OCCUR", "")).upper() == "N" or (
            str(r.get(f"{prefix}STAT", "")).upper() == "NOT DONE"
        ):
            continue
        if meaning is None:
            unknown.add(name)
        elif meaning and meaning not in OXYGEN and _is_local(r.get(f"{prefix}ROUTE", "")):
            local += 1
        elif meaning:
            found = _spell(prefix, name, meaning, r, problems)
            if found is not None:
                yield found
    if unknown:
        notes.append(
            f"{prefix}: not used: {', '.join(sorted(unknown))}; words= says what they are."
        )
    if local:
        notes.append(f"{prefix}: {local} records by a local route were not used.")


def _meaning(name: str, known: Mapping[str, str]) -> str | None:
    plain = f" {_plain(name)} "
    return next((v for k, v in known.items() if f" {k} " in plain), None)


def _is_local(route: Any) -> bool:
    return any(word in str(route).lower() for word in LOCAL)


def _spell(
    prefix: str, name: str, meaning: str, r: Mapping[Any, Any], problems: list[Problem]
) -> Given | None:
    who = str(r["USUBJID"])
    start, end = _number(r["DAY"]), _number(r.get("END_DAY", ""))
    if np.isnan(start):
        problems.append(
            _problem(
                f"{prefix.lower()}_start",
                who,
                "DAY",
                name,
                f"{name} has no start ({prefix}STDTC); fill it in",
            )
        )
        return None
    ongoing = any(str(r.get(f"{prefix}{c}", "")).upper() in _OPEN for c in ("ENRTPT", "ENRF"))
    if np.isnan(end) and (meaning in _ONCE or ongoing):
        end = np.inf if ongoing and meaning not in _ONCE else start
    if np.isnan(end):
        problems.append(
            _problem(f"{prefix.lower()}_end", who, "END_DAY", name, f"{name} from day {start:g} "
                     f"has no end ({prefix}ENDTC); fill it in, or say ONGOING in {prefix}ENRTPT")
        )  # fmt: skip
    elif end < start:
        problems.append(
            _problem(
                f"{prefix.lower()}_order",
                who,
                "END_DAY",
                name,
                f"{name} ends on day {end:g}, before its start on {start:g}",
            )
        )
    return Given(who, _plain(name), meaning, start, end, _flow(prefix, r))


def _flow(prefix: str, r: Mapping[Any, Any]) -> float:
    unit = str(r.get(f"{prefix}DOSU", "")).upper().replace(" ", "")
    return _number(r.get(f"{prefix}DOSE", "")) if unit in ("L/MIN", "LPM", "L/MINUTE") else np.nan


def _records(
    signs: list[tuple[str, float, str, float]], given: list[Given], step: float,
    systolic_below: float | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return one record per patient and stretch of time in which anything is known."""
    places: dict[tuple[str, int], list[tuple[str, float]]] = {}
    for who, day, name, value in signs:
        places.setdefault((who, int(np.floor(day / step + 1e-9))), []).append((name, value))
    last: dict[str, int] = {}
    for who, place in places:
        last[who] = max(place, last.get(who, place))
    for g in given:
        first = int(np.floor(g.start / step + 1e-9))
        end = max(last.get(g.patient, first), first)
        # An end on the edge of a stretch, as of dates without a time, belongs to that day.
        until = end if np.isinf(g.end) else int(np.floor(g.end / step + 1e-9))
        for place in range(first, until + 1):
            places.setdefault((g.patient, place), [])
    own: dict[str, list[Given]] = {}
    for g in given:
        own.setdefault(g.patient, []).append(g)
    return [
        {"id": who, "day": place * step,
         **_record(found, own.get(who, []), place, step, systolic_below)}
        for (who, place), found in sorted(places.items())
    ]  # fmt: skip


def _record(
    found: list[tuple[str, float]], given: list[Given], place: int, step: float,
    systolic_below: float | None,
) -> dict[str, Any]:  # fmt: skip
    start = place * step
    now = [g for g in given if g.start < start + step - 1e-9 and g.end >= start - 1e-9]
    flows = [v for n, v in found if n == "oxygen_flow"] + [g.flow for g in now]
    devices = [g.meaning for g in now if g.meaning in OXYGEN]
    low = systolic_below is not None and any(n == "systolic" and v < systolic_below
                                             for n, v in found)  # fmt: skip
    flagged = {n for n, v in found if v > 0 and n not in ("temperature", "systolic", "oxygen_flow")}
    temperatures = [v for n, v in found if n == "temperature"]
    return {
        "temperature": max(temperatures, default=np.nan),
        "hypotension": low or "hypotension" in flagged,
        # Different drugs at the same time; the same one twice is one.
        "vasopressors": float(len({g.name for g in now if g.meaning == VASOPRESSOR})),
        "oxygen": max(devices, key=lambda d: OXYGEN[d], default=""),
        "oxygen_flow": max((f for f in flows if not np.isnan(f)), default=np.nan),
        **{f: f in flagged or any(g.meaning == f for g in now) for f in _FLAGS},
        "other_cause": "other_cause" in flagged, "death": "death" in flagged,
    }  # fmt: skip


# --- follow-up ---------------------------------------------------------------------------------

DISPOSITION: Mapping[str, str] = {
    "DEATH": "death", "DIED": "death", "LOST TO FOLLOW-UP": "lost", "LOST TO FOLLOW UP": "lost",
    "PROGRESSIVE DISEASE": "progression", "DISEASE PROGRESSION": "progression",
}  # fmt: skip
"""What a DSDECOD is; every other record shows that the patient was alive."""

THERAPY = ("subsequent", "new anti", "post study anti", "follow up anti")
"""Beginnings of a CMCAT or PRCAT that is anti-cancer treatment after the study's."""


def followup_from_sdtm(
    dm: pd.DataFrame,
    ds: pd.DataFrame | None = None,
    ss: pd.DataFrame | None = None,
    *,
    cm: pd.DataFrame | None = None,
    pr: pd.DataFrame | None = None,
    words: Mapping[str, str] | None = None,
    therapy: Iterable[str] = THERAPY,
    cutoff: float | None = None,
) -> pd.DataFrame:
    """Return the follow-up from SDTM domains, as `read_followup` gives it.

    Parameters
    ----------
    dm : DataFrame
        All patients: USUBJID, and DTH_DAY (as ``data.read_sdtm`` adds it from DTHDTC).
    ds : DataFrame, optional
        Disposition: USUBJID, DSDECOD, DAY: death, loss to follow-up, progression as called.
    ss : DataFrame, optional
        Survival status: USUBJID, SSTESTCD (SURVSTAT), SSSTRESC (ALIVE, DEAD), DAY.
    cm, pr : DataFrame, optional
        Anti-cancer treatment after the study's, by CMCAT or PRCAT.
    words : mapping, optional
        What a DSDECOD is, beside the usual ones: "death", "lost", "progression", or "" for none.
    therapy : iterable of str
        Beginnings of the categories of treatment after the study's.
    cutoff : float, optional
        Data cut-off of all patients. [day]

    Returns
    -------
    DataFrame
        As ``endpoints.columns("followup")`` says.

    Raises
    ------
    DataError
        If a column is missing, a death has no day or two, or `read_followup` refuses the records.
    """
    from cart_pkpd._endpoints.followup import read_followup

    require(dm, ("USUBJID",), "records of DM", "data.read_sdtm")
    if cutoff is not None:
        number(cutoff, "cutoff")
    meanings = {**DISPOSITION, **{k.upper(): v for k, v in _mapping(
        words, "words", ("death", "lost", "progression", "")).items()}}  # fmt: skip
    people: dict[str, dict[str, Any]] = {
        str(i): {c.name: "" if c.kind == "text" else np.nan for c in FOLLOWUP}
        | {"id": str(i), "lost": False, "cut_off_day": np.nan if cutoff is None else cutoff}
        for i in dm["USUBJID"]
    }
    problems: list[Problem] = []
    for r in dm.to_dict("records"):
        _death(people, str(r["USUBJID"]), _number(r.get("DTH_DAY", "")), problems)
        if str(r.get("DTHFL", "")).upper() == "Y":
            people[str(r["USUBJID"])]["dead"] = True
    for event in _events(ds, ss, meanings):
        _take(people, event, problems)
    for prefix, table in (("CM", cm), ("PR", pr)):
        if table is not None:
            _therapies(people, prefix, table, tuple(therapy))
    problems += [
        _problem("death_without_day", who, "DTHDTC", "", "is said to have died on no day; fill it "
                 "in (DTHDTC, or the DSSTDTC of the death)")
        for who, p in people.items() if p.pop("dead", False) and np.isnan(p["death_day"])
    ]  # fmt: skip
    if problems:
        raise DataError(problems)
    return read_followup(pd.DataFrame(list(people.values())))


def _events(
    ds: pd.DataFrame | None, ss: pd.DataFrame | None, meanings: Mapping[str, str]
) -> Iterator[tuple[str, str, float]]:
    """Yield patient, what happened (death, lost, progression, alive), and the day."""
    if ds is not None:
        require(ds, ("USUBJID", "DSDECOD", "DAY"), "records of DS", "data.read_sdtm")
        for r in ds.to_dict("records"):
            what = meanings.get(str(r["DSDECOD"]).strip().upper(), "alive")
            yield str(r["USUBJID"]), what, _number(r["DAY"])
    if ss is not None:
        require(ss, ("USUBJID", "SSSTRESC", "DAY"), "records of SS", "data.read_sdtm")
        for r in ss.to_dict("records"):
            said = str(r["SSSTRESC"]).strip().upper()
            if said in ("ALIVE", "LOST TO FOLLOW-UP"):
                yield str(r["USUBJID"]), "alive" if said == "ALIVE" else "lost", _number(r["DAY"])
            elif said in ("DEAD", "DEATH", "DIED"):
                # The day of a status is when it was asked, which may be long after the death.
                yield str(r["USUBJID"]), "dead", np.nan


def _take(
    people: dict[str, dict[str, Any]], event: tuple[str, str, float], problems: list[Problem]
) -> None:
    who, what, day = event
    if who not in people:
        problems.append(_problem("unknown_patient", who, "USUBJID", who, "is not in DM"))
        return
    own = people[who]
    match what:
        case "death":
            own["dead"] = True
            _death(people, who, day, problems)
        case "dead":
            own["dead"] = True
        case "lost":
            own["lost"] = True
        case "progression":
            own["pd_day"] = np.fmin(own["pd_day"], day)
            own["last_contact_day"] = np.fmax(own["last_contact_day"], day)
        case "alive":
            own["last_contact_day"] = np.fmax(own["last_contact_day"], day)


def _death(
    people: dict[str, dict[str, Any]], who: str, day: float, problems: list[Problem]
) -> None:
    known = people[who]["death_day"]
    if np.isnan(day):
        return
    if not np.isnan(known) and np.floor(known) != np.floor(day):
        problems.append(
            _problem(
                "two_deaths",
                who,
                "DTHDTC",
                f"{day:g}",
                f"died on day {known:g} by one domain and on day {day:g} by another",
            )
        )
    people[who]["death_day"] = day


def _therapies(
    people: dict[str, dict[str, Any]], prefix: str, table: pd.DataFrame, begins: tuple[str, ...]
) -> None:
    require(table, ("USUBJID", f"{prefix}CAT", "DAY"), f"records of {prefix}", "data.read_sdtm")
    named = next((c for c in (f"{prefix}DECOD", f"{prefix}TRT") if c in table), None)
    for r in table.to_dict("records"):
        own, day = people.get(str(r["USUBJID"])), _number(r["DAY"])
        after = _plain(r[f"{prefix}CAT"]).startswith(tuple(_plain(b) for b in begins))
        if (
            own is None
            or not after
            or np.isnan(day)
            or day >= np.fmin(own["new_therapy_day"], np.inf)
        ):
            continue
        own["new_therapy_day"] = day
        own["new_therapy"] = str(r[named]) if named else ""

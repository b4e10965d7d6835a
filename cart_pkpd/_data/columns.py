"""Which column is which: headers recognised, mapped by the user, or kept as covariates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.names import recognise
from cart_pkpd._core.units import canonical
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._data.log import Log
from cart_pkpd._data.parse import vocabulary
from cart_pkpd._data.report import ColumnUse

# Role -> headers it is known by, the likeliest first, upper case without blanks and signs.
ROLES: Mapping[str, tuple[str, ...]] = {
    "ID": ("ID", "USUBJID", "SUBJID", "SUBJECTID", "SUBJECT", "SUBJ", "PATIENTID", "PATIENT",
           "PATID", "PTID", "PAT", "PATIENTNO", "PATIENTNUMBER", "PATIENTNR", "PATNO", "PATNR",
           "SUBJECTNO", "SUBJECTNUMBER"),
    "TIME": ("TIME", "AFRLT", "TAFD", "TIMEDAYS", "TIMEDAY", "TIMED", "TIMEHOURS", "TIMEHOUR",
             "TIMEHR", "TIMEH", "TIMEWEEKS", "DAYS", "DAY", "HOURS", "HOUR", "DAYPOSTINFUSION",
             "DAYSPOSTINFUSION", "DAYSAFTERINFUSION", "DAYAFTERINFUSION", "DAYSSINCEINFUSION",
             "TIMEAFTERINFUSION", "TIMESINCEINFUSION", "TIMEAFTERFIRSTDOSE"),
    "INFUSION": ("INFUSIONDATE", "DATEOFINFUSION", "INFUSIONDT", "INFDATE", "INFDT",
                 "DATEOFFIRSTINFUSION", "FIRSTINFUSIONDATE"),
    "NTIME": ("NTIME", "NOMTIME", "NFRLT", "NOMINALTIME", "TIMENOM", "NTAFD", "NOMINALDAY",
              "NOMDAY"),
    "DV": ("DV", "AVAL", "PCSTRESN", "LBSTRESN", "CONC", "CONCENTRATION", "OBSERVATION", "OBS",
           "VALUE", "RESULT", "MEASUREMENT", "Y"),
    "DVTEXT": ("AVALC", "PCSTRESC", "LBSTRESC", "DVTEXT"),
    "DVID": ("DVID", "YTYPE", "PARAMCD", "PCTESTCD", "LBTESTCD", "ENDPOINT", "ANALYTE", "PARAM",
             "PARAMETER", "TEST", "MEASURE", "ASSAY"),
    "UNIT": ("UNIT", "UNITS", "DVUNIT", "DVU", "AVALU", "PCSTRESU", "LBSTRESU", "PARAMU"),
    "CENS": ("CENS", "CENSORING", "CENSORED"),
    "LIMIT": ("LIMIT",),
    "BLQ": ("BLQ", "BQL", "BLOQ", "BLQFL", "BLQFLAG", "BLQFN", "ISBLQ"),
    "LLOQ": ("LLOQ", "PCLLOQ", "LBLLOQ", "ALLOQ", "LOQ"),
    "ULOQ": ("ULOQ", "PCULOQ", "LBULOQ", "AULOQ"),
    "AMT": ("AMT", "AMOUNT", "DOSEAMT", "DOSEAMOUNT", "EXDOSE", "DOSEA"),
    "AMTUNIT": ("AMTUNIT", "AMTU", "DOSEUNIT", "DOSEU", "EXDOSU"),
    "TIMEUNIT": ("TIMEUNIT", "TIMEU", "AFRLTU", "RRLTU"),
    "EVID": ("EVID",),
    "MDV": ("MDV",),
    "EVENT": ("EVENT", "EVENTNAME", "COMED", "COMEDICATION", "CMTRT"),
    "CMT": ("CMT", "ADM", "COMPARTMENT"),
    "OCC": ("OCC", "OCCASION"),
    "RATE": ("RATE",),
    "DURATION": ("DUR", "DURATION", "TINF"),
    "II": ("II",),
    "ADDL": ("ADDL",),
    "SS": ("SS",),
}  # fmt: skip

REQUIRED = ("ID", "TIME", "DV")

OF_PATIENTS = ("AMT", "AMTUNIT", "INFUSION")
"""Roles that a column of the table of patients may have."""

PLANNED = "DOSELEVEL"
"""Not a role: `columns=` may name the header of the planned dose by it."""

# These mean something only beside another column; alone they are covariates.
_NEEDS = {
    "RATE": "AMT", "DURATION": "AMT", "II": "AMT", "ADDL": "AMT", "SS": "AMT", "EVENT": "EVID",
}  # fmt: skip

_IMPLIED_UNIT = {
    "HOURS": "h", "HOUR": "h", "TIMEHOURS": "h", "TIMEHOUR": "h", "TIMEHR": "h", "TIMEH": "h",
    "TIMEWEEKS": "week", "DAYS": "day", "DAY": "day", "TIMEDAYS": "day", "TIMEDAY": "day",
    "TIMED": "day", "NOMDAY": "day", "NOMINALDAY": "day", "DAYPOSTINFUSION": "day",
    "DAYSPOSTINFUSION": "day", "DAYSAFTERINFUSION": "day", "DAYAFTERINFUSION": "day",
    "DAYSSINCEINFUSION": "day",
}  # fmt: skip

# Columns that describe a record, not a patient, and that the package has no use for.
_PER_RECORD = vocabulary(
    "VISIT VISITNUM VISITDY AVISIT AVISITN DATE ADT ADTM ADTC DTC PCDTC LBDTC CLOCK CLOCKTIME TAD "
    "ARRLT NRRLT MRRLT ADY PCDY LBDY ASEQ PCSEQ LBSEQ SEQ PCORRES PCORRESU LBORRES LBORRESU LNDV "
    "LOGDV PARAMN PCTEST LBTEST PCSTAT PCREASND ATPT ATPTN COMMENT COMMENTS C IGNORE SAMPLEID "
    "DVNAME ROW ROWNUM LINE"
)

# CDISC: such columns of any findings or exposure domain (PCSEQ, LBTPT, EXSTDTC), and of ADaM.
_CDISC = re.compile(
    r"(PC|PP|LB|IS|CP|GF|MB|BE|EX|EC|VS)(SEQ|GRPID|REFID|SPID|LNKID|TPT|TPTNUM|TPTREF|ELTM|RFTDTC"
    r"|DTC|STDTC|ENDTC|DY|STDY|ENDY|TEST|CAT|SCAT|ORRES|ORRESU|STRESC|STRESN|STRESU|ORNRLO|ORNRHI"
    r"|STNRLO|STNRHI|NRIND|STAT|REASND|NAM|SPEC|SPCCND|METHOD|ANMETH|BLFL|LOBXFL|DRVFL|LOC|LAT|FAST"
    r"|EVINTX|RUNID|TRT|ROUTE|DOSFRM|DOSFRQ)"
)
_ADAM = vocabulary(
    "ATM ADTF ATMF ASTDT ASTDTM AENDT AENDTM ASTDY AENDY ATPTREF APHASE APERIOD APERIODC AWTARGET "
    "AWTDIFF AWRANGE DTYPE ABLFL ANL01FL ANL02FL CHG PCHG BASETYPE PARCAT1 PARCAT2 CRIT1 "
    "CRIT1FL SRCDOM SRCVAR SRCSEQ EPOCH VISITDT TPT TPTNUM EPOCHN PCRFTDTM NRRLT MRRLT"
)
_STUDY_DAY = re.compile(r"ADY|ASTDY|(PC|LB|IS|CP|GF|MB|BE|VS)DY")

DOSE_LEVEL = vocabulary(
    "DOSELEVEL DOSELVL DL DOSE DOSEGROUP DOSEGRP PLANNEDDOSE PLANNEDDOSELEVEL DOSEP NOMDOSE "
    "NOMINALDOSE DOSECOHORT COHORTDOSE ASSIGNEDDOSE TARGETDOSE PROTOCOLDOSE"
)

_EVENTS = {
    "dlt_day": ("DLT", "DLTONSET"),
    "crs_day": ("CRS", "CRSONSET"),
    "icans_day": ("ICANS", "ICANSONSET"),
    "last_contact_day": ("LASTCONTACT",),
}
"""Variable -> how headers call what happened on its day."""

DATED = {
    form.format(event): name
    for name, events in _EVENTS.items()
    for event in events
    for form in ("{}DATE", "{}DT", "DATEOF{}", "{}DAY", "DAYOF{}")
}
"""Headers, as `key` writes them, that mean a day -> the variable that holds it."""

# Free text of a laboratory about a sample: "Lab comment", "QC remarks".
_REMARK = re.compile(r".*(COMMENT|REMARK|FOOTNOTE)S?")

_CODED = re.compile(r"\s*[(\[](y/n|n/y|yes/no|no/yes|0/1|1/0|0, ?1|m/f|f/m)[)\]]$", re.IGNORECASE)
"""How headers say what the cells of a column hold: "DLT (Y/N)"."""

_BRACKET = re.compile(r"^(?P<name>.*?)\s*[(\[](?P<unit>[^)\]]*)[)\]]$")


def key(header: str) -> str:
    """Return a header in upper case, without its bracketed unit, blanks and signs."""
    return re.sub(r"[^A-Z0-9]", "", split_unit(header)[0].upper())


def split_unit(header: str) -> tuple[str, str | None]:
    """Return ``("Time", "h")`` for ``"Time (h)"``; the unit is None if it is not one.

    What says how cells are coded is left out: ``("DLT", None)`` for ``"DLT (Y/N)"``.
    """
    header = _CODED.sub("", header)
    match = _BRACKET.match(header.strip())
    if not match or not match["name"] or not match["unit"].strip():
        return header, None
    try:
        return match["name"], canonical(match["unit"])
    except UnitError:
        return header, None


def snake(text: str) -> str:
    """Return a name in lower snake case: ``"Tumour burden"`` becomes ``"tumour_burden"``."""
    words = re.sub(r"[^\w]+", "_", text.strip().lower().replace("+", "_pos"))
    return re.sub(r"_+", "_", words).strip("_")


_BY_HEADER = {name: role for role, names in ROLES.items() for name in names}


def role_of(header: str) -> str | None:
    """Return the role that a header is known to have, or None."""
    return _BY_HEADER.get(key(header))


def is_special(header: str) -> bool:
    """Say whether a header can not be the name of a covariate."""
    return role_of(header) is not None or describes_records(header)


def describes_records(header: str) -> bool:
    """Say whether a header is known to describe records and not patients."""
    name = key(header)
    return (
        name in _PER_RECORD
        or name in _ADAM
        or bool(_CDISC.fullmatch(name) or _REMARK.fullmatch(name))
    )


def is_study_day(header: str) -> bool:
    """Say whether a header is CDISC's for a study day, where the first day is 1."""
    return bool(_STUDY_DAY.fullmatch(key(header)))


def is_header(cells: Iterable[str]) -> bool:
    """Say whether a line looks like a header: it names at least two of the required columns."""
    return len({role_of(c) for c in cells} & set(REQUIRED)) > 1


@dataclass
class Columns:
    """The role of every column of a table.

    Attributes
    ----------
    header : dict of str to str
        Role -> header in the file.
    how : dict of str to str
        Role -> ``"exact"``, ``"guessed"`` or ``"columns="``.
    covariates : list of str
        Headers of the columns that may be covariates.
    unused : dict of str to str
        Header -> why the column is not used.
    subjects : dict of str to str
        Header -> name of the subjects table that it comes from.
    planned : str
        Header of the planned dose, where `columns=` names it.
    elsewhere : dict of str to str
        Role -> header in the subjects table.
    off : set of str
        Roles that the user has switched off with None.
    """

    header: dict[str, str] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    covariates: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    planned: str = ""
    elsewhere: dict[str, str] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)

    def unit(self, role: str) -> str | None:
        """Return the unit that the header of `role` states, in brackets or by its words."""
        header = self.header.get(role)
        if header is None:
            return None
        return split_unit(header)[1] or _IMPLIED_UNIT.get(key(header))

    def set_aside(self, role: str, why: str) -> None:
        """Move the column of a role to those not used."""
        self.unused[self.header.pop(role)] = why
        del self.how[role]

    def uses(self) -> tuple[ColumnUse, ...]:
        """Return the lines of the import report."""
        roles = [ColumnUse(role, self.header[role], self.how[role]) for role in self.header]
        covariates = [ColumnUse("covariate", h, "kept by name") for h in self.covariates]
        unused = [ColumnUse("not used", h, why) for h, why in self.unused.items()]
        joined = [ColumnUse("covariate", h, f"from {name}") for h, name in self.subjects.items()]
        return (*roles, *covariates, *joined, *unused)


def assign(
    headers: Sequence[str],
    mapping: Mapping[str, str | None] | None,
    log: Log,
    subjects: Sequence[str] = (),
) -> Columns:
    """Give every header its role; what cannot be told is a DataError.

    `subjects` are the headers of the table of patients, which may have the infusions.
    """
    columns = Columns()
    _apply_mapping(headers, mapping or {}, columns, log, subjects)
    log.stop_if_any()
    taken = set(columns.header.values())
    free = [h for h in headers if h not in taken]
    for role in ROLES:
        if role not in columns.header and role not in columns.off:
            _guess_role(role, free, columns, log)
    for role, other in _NEEDS.items():
        if columns.how.get(role) in ("exact", "guessed") and other not in columns.header:
            del columns.header[role], columns.how[role]
    _require(headers, columns, log)
    _place_others(headers, columns, log)
    return columns


def _apply_mapping(
    headers: Sequence[str],
    mapping: Mapping[str, str | None],
    columns: Columns,
    log: Log,
    subjects: Sequence[str],
) -> None:
    """Use `columns=`."""
    used: dict[str, str] = {}
    for name, header in mapping.items():
        role = str(name).upper()
        if role not in (*ROLES, PLANNED):
            _unknown_role(str(name), header, headers, log)
        elif header is None:
            columns.off.add(role)
        elif role == PLANNED and header in (*headers, *subjects):
            columns.planned = header
        elif role in OF_PATIENTS and header not in headers and header in subjects:
            columns.elsewhere[role] = header
        elif header not in headers:
            log.problem(
                "column_not_in_file",
                f"columns= names the header {header!r} for {role}, which is not in the table."
                f"{did_you_mean(header, headers)} Its headers: {', '.join(headers)}."
                + _of_patients(role, subjects),
                column=header,
                value=header,
            )
        elif header in used:
            log.problem(
                "column_mapped_twice",
                f"columns= maps the header {header!r} twice, to {used[header]} and to {role}. "
                "A column can have one role.",
                column=header,
                value=header,
            )
        else:
            used[header] = role
            columns.header[role], columns.how[role] = header, "columns="


def _of_patients(role: str, subjects: Sequence[str]) -> str:
    """Return what the table of patients has, for a role that it may have."""
    if not subjects or role not in (*OF_PATIENTS, PLANNED):
        return ""
    return f" Those of the table of patients: {', '.join(subjects)}."


def _unknown_role(name: str, header: str | None, headers: Sequence[str], log: Log) -> None:
    if name in headers and str(header).upper() in ROLES:
        hint = f" It goes from role to header: columns={{{str(header).upper()!r}: {name!r}}}."
    else:
        hint = did_you_mean(name, (*ROLES, PLANNED))
    log.problem(
        "unknown_role",
        f"columns= names {name!r}, which is not a column the package knows.{hint} "
        f"Known: {', '.join((*ROLES, PLANNED))}.",
        column=name,
        value=name,
    )


def _guess_role(role: str, free: list[str], columns: Columns, log: Log) -> None:
    known = ROLES[role]
    found = sorted((h for h in free if key(h) in known), key=lambda h: known.index(key(h)))
    if not found:
        return
    exact = [h for h in found if h.upper() == role]
    best = exact[0] if exact else found[0]
    if not exact and len(found) > 1 and role in ("TIME", "DV"):
        log.problem(
            "ambiguous_column",
            f"both {found[0]!r} and {found[1]!r} could be {role}. "
            f"Say which: columns={{{role!r}: {found[0]!r}}}.",
            column=found[0],
        )
    columns.header[role] = best
    columns.how[role] = "exact" if exact else "guessed"
    if not exact:
        log.guess(f"Column {best!r} is {role}; columns={{{role!r}: …}} says otherwise.")


def _require(headers: Sequence[str], columns: Columns, log: Log) -> None:
    if "DV" not in columns.header:
        wide = [h for h in headers if recognise(h)]
        if len(wide) > 1:
            raise log.fatal(
                "wide_table",
                f"the table has one column per endpoint ({', '.join(wide)}). Give it one row per "
                "measurement, with the columns DVID and DV (pandas.melt does this).",
            )
    for role in REQUIRED:
        if role not in columns.header:
            log.problem(
                f"no_{role.lower()}_column",
                f"the table has no {role} column.{_near(role, headers)} "
                f"Its headers: {', '.join(headers)}. "
                f"Name the right one with columns={{{role!r}: …}}.",
                column=role,
            )
    log.stop_if_any()


def _near(role: str, headers: Sequence[str]) -> str:
    for header in headers:
        if role == "TIME" and is_study_day(header):
            return (
                f" {header!r} would do if its day 1 is the day of infusion: pass "
                f"columns={{'TIME': {header!r}}} and day_one=True."
            )
        if role == "TIME" and "DATE" in key(header) and role_of(header) is None:
            return f" Did you mean {header!r}? Dates are counted from the infusion."
    for name in ROLES[role]:
        near = get_close_matches(name, [key(h) for h in headers], n=1, cutoff=0.7)
        if near:
            header = next(h for h in headers if key(h) == near[0])
            return f" Did you mean {header!r}?"
    return ""


_ASIDE = "describes records, not patients"


def _place_others(headers: Sequence[str], columns: Columns, log: Log) -> None:
    taken = set(columns.header.values())
    for header in headers:
        if header in taken:
            continue
        role = role_of(header)
        if role in columns.header:
            columns.unused[header] = f"{columns.header[role]} is {role}"
        elif describes_records(header):
            columns.unused[header] = _ASIDE
        else:
            columns.covariates.append(header)
    aside = [h for h, why in columns.unused.items() if why == _ASIDE]
    if aside:
        log.note(f"Set aside, because they describe records and not patients: {', '.join(aside)}.")

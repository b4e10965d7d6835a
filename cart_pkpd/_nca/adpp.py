"""Parameters in the shape of the CDISC ADaM data set ADPP, written and read."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import DataError
from cart_pkpd._nca.longform import long
from cart_pkpd._nca.tables import parameters

_LABELS = {
    "STUDYID": "Study Identifier", "USUBJID": "Unique Subject Identifier",
    "PARCAT1": "Parameter Category 1 (Analyte)", "PARAMCD": "Parameter Code",
    "PARAM": "Parameter", "AVAL": "Analysis Value", "AVALU": "Analysis Value Unit",
    "PPSTINT": "Planned Start of Assessment Interval",
    "PPENINT": "Planned End of Assessment Interval", "PPREASND": "Reason Not Done",
}  # fmt: skip


def adpp(params: xr.Dataset, *, study: str = "") -> pd.DataFrame:
    """Return a table of parameters in the shape of the CDISC ADaM data set ADPP.

    Parameters
    ----------
    params : xarray.Dataset
        As returned by `table`.
    study : str
        STUDYID.

    Returns
    -------
    pandas.DataFrame
        STUDYID, USUBJID, PARCAT1 (the endpoint), PARAMCD, PARAM, AVAL, AVALU, PPSTINT, PPENINT (ISO
        8601), PPREASND (why there is no value). Parameters without a CDISC code are left out;
        ``attrs["left_out"]`` names them.
    """
    rows = long(params)
    coded = rows[rows["PPTESTCD"] != ""].reset_index(drop=True)
    made = pd.DataFrame(
        {
            "STUDYID": study,
            "USUBJID": coded["id"].astype(str),
            "PARCAT1": coded["endpoint"],
            "PARAMCD": coded["PPTESTCD"],
            "PARAM": coded["label"],
            "AVAL": coded["value"],
            "AVALU": coded["unit"],
            "PPSTINT": coded["PPSTINT"],
            "PPENINT": coded["PPENINT"],
            "PPREASND": coded["reason"].where(coded["value"].isna(), ""),
        }
    )
    left_out = dict.fromkeys(rows.loc[rows["PPTESTCD"] == "", "parameter"])
    made.attrs = {"labels": dict(_LABELS), "left_out": tuple(left_out)}
    return made


def from_adpp(table: pd.DataFrame, endpoint: str | None = None) -> pd.DataFrame:
    """Return parameters of an ADPP data set, one row per patient, under this package's names.

    Parameters
    ----------
    table : DataFrame
        USUBJID, PARAMCD and AVAL; AVALU, PARCAT1 (analyte), PPSTINT and PPENINT are used where
        they are.
    endpoint : str, optional
        PARCAT1 to take, where there are several.

    Returns
    -------
    pandas.DataFrame
        ``id`` and one column per parameter; areas over an interval are named by it
        (``auc0_28``), unknown codes keep theirs in lower case. ``attrs["units"]`` holds units.

    Raises
    ------
    DataError
        If a column is missing, there are several analytes, or a patient has a parameter twice.
    """
    for name in ("USUBJID", "PARAMCD", "AVAL"):
        if name not in table:
            raise DataError(f"ADPP has no column {name}; it has: {', '.join(map(str, table))}.")
    own = table if endpoint is None else table[table["PARCAT1"] == endpoint]
    if "PARCAT1" in own and own["PARCAT1"].nunique() > 1:
        known = ", ".join(sorted(own["PARCAT1"].astype(str).unique()))
        raise DataError(f"ADPP holds several analytes ({known}); choose one with endpoint=.")
    if not len(own):
        raise DataError(f"ADPP has no records of {endpoint!r}.")
    codes = parameters()["cdisc"]
    named = {code: str(name) for name, code in codes.items() if code and code != "AUCINT"}
    own = own.assign(name=[_name(r, named) for r in own.to_dict("records")])
    twice = own.duplicated(["USUBJID", "name"])
    if twice.any():
        row = own[twice].iloc[0]
        raise DataError(f"patient {row['USUBJID']!r} has the parameter {row['PARAMCD']} twice.")
    wide = own.pivot(index="USUBJID", columns="name", values="AVAL")
    wide = wide.reindex(index=own["USUBJID"].drop_duplicates(), columns=own["name"].unique())
    made = wide.astype(float).rename_axis(index="id", columns=None).reset_index()
    made["id"] = made["id"].astype(str)
    if "AVALU" in own:
        units = own.drop_duplicates("name").set_index("name")["AVALU"].astype(str)
        made.attrs["units"] = {k: v for k, v in units.items() if v}
    return made


def _name(row: Mapping[Hashable, object], named: Mapping[str, str]) -> str:
    code = str(row["PARAMCD"])
    if code == "AUCINT":
        start, end = (_days(row.get(k)) for k in ("PPSTINT", "PPENINT"))
        if np.isfinite([start, end]).all():
            return f"auc{start:g}_{end:g}"
    return named.get(code, code.lower())


def _days(text: object) -> float:
    """Return the days of an ISO 8601 duration such as ``P28D`` or ``PT672H``."""
    match = re.fullmatch(r"P(?:(\d+(?:\.\d+)?)D)?(?:T(\d+(?:\.\d+)?)H)?", str(text or ""))
    if not match or not any(match.groups()):
        return float("nan")
    return float(match[1] or 0) + float(match[2] or 0) / 24

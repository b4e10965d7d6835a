"""Who was free of an event at a landmark, and the times as CDISC writes them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cart_pkpd._core.validate import as_text, number
from cart_pkpd._endpoints.fields import events
from cart_pkpd._endpoints.tables import DAYS_PER_MONTH, TIME_TO_EVENT, tabled

_PARAMETERS = {
    "PFS": "Progression-Free Survival",
    "OS": "Overall Survival",
    "DOR": "Duration of Response",
    "TTR": "Time to Response",
}


def landmark(times: pd.DataFrame, months: float = 12.0) -> pd.DataFrame:
    """Return each patient's state at a landmark.

    Parameters
    ----------
    times : DataFrame
        From `pfs`, `os` or `duration_of_response`.
    months : float
        The landmark, from the start. [month]

    Returns
    -------
    DataFrame
        ``id``, ``endpoint``, ``state`` ("event-free", "event", "unknown" if censored before it, or
        "" where the endpoint does not apply), ``time`` [day], ``reason``.

    Raises
    ------
    DataError
        If `times` is no table of times to event, or `months` is not above 0.

    Notes
    -----
    An event on the day of the landmark has happened by then. The share that is event-free among
    those whose state is known is biased; a Kaplan–Meier estimate is not.
    """
    times = tabled(times, TIME_TO_EVENT, "times to event", "endpoints.pfs or os", raw=("event",))
    number(months, "months", above=0.0)
    day = months * DAYS_PER_MONTH
    time, event = times["time"].to_numpy(float), events(times)
    state = np.select(
        [np.isnan(time), event & (time <= day), time > day], ["", "event", "event-free"], "unknown"
    )
    out = times[["id", "endpoint", "time", "reason"]].copy()
    out.insert(2, "state", state)
    return out


def adtte(times: pd.DataFrame, *, study: str = "") -> pd.DataFrame:
    """Return times to event in the shape of the CDISC ADaM data set ADTTE.

    Parameters
    ----------
    times : DataFrame
        From `pfs`, `os`, `duration_of_response` or `time_to_response`, or several concatenated.
    study : str
        STUDYID.

    Returns
    -------
    DataFrame
        STUDYID, USUBJID, PARAMCD, PARAM, AVAL, AVALU (DAYS), ADY (the day of infusion is 1),
        CNSR (0 event, 1 censored), EVNTDESC (event, or reason of censoring), CNSDTDSC (what the
        date of censoring is; empty for an event). Patients to whom a parameter does not apply
        have no record.

    Raises
    ------
    DataError
        If `times` is no table of times to event.
    """
    times = tabled(times, TIME_TO_EVENT, "times to event", "endpoints.pfs or os", raw=("event",))
    own = times[times["time"].notna()].reset_index(drop=True)
    own = own.assign(event=events(own))
    day = own["day"].to_numpy()
    return pd.DataFrame(
        {
            "STUDYID": as_text(study, "study"),
            "USUBJID": own["id"],
            "PARAMCD": own["endpoint"],
            "PARAM": own["endpoint"].map(_PARAMETERS),
            "AVAL": own["time"],
            "AVALU": "DAYS",
            "ADY": np.where(day >= 0, day + 1, day),
            "CNSR": (~own["event"]).astype(int),
            "EVNTDESC": own["reason"].str.capitalize(),
            "CNSDTDSC": own["date_source"].str.capitalize().where(~own["event"], ""),
        }
    )

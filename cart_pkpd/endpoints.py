"""Clinical endpoints from raw records: RECIST 1.1, best response, PFS and OS.

::

    lesions = endpoints.read_lesions(datasets.load("fast01", table="lesions"))
    followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
    points = endpoints.recist(lesions)                        # response at every assessment
    best = endpoints.best_response(points, followup)          # unconfirmed and confirmed
    rates = endpoints.orr(best, trial, by="dose_level")       # ORR, DCR with intervals
    pfs = endpoints.pfs(points, followup, censoring="fda")    # time, event, the rule in words
    os = endpoints.os(followup)

Every table's columns are declared, with unit and meaning: ``endpoints.columns("timepoints")``.
Days count from the infusion (day 0); times to event start at 1.
"""

from __future__ import annotations

import pandas as pd

from cart_pkpd._core.validate import one_of
from cart_pkpd._endpoints import tables
from cart_pkpd._endpoints.tables import DAYS_PER_MONTH as DAYS_PER_MONTH
from cart_pkpd._endpoints.tables import RESPONSES as RESPONSES

__all__ = ["DAYS_PER_MONTH", "RESPONSES", "columns"]

_TABLES = {
    "lesions": tables.LESIONS,
    "followup": tables.FOLLOWUP,
    "timepoints": tables.TIMEPOINTS,
    "best": tables.BEST,
    "rates": tables.RATES,
    "time_to_event": tables.TIME_TO_EVENT,
}


def columns(table: str) -> pd.DataFrame:
    """Return what a table of this module holds.

    Parameters
    ----------
    table : {"lesions", "followup", "timepoints", "best", "rates", "time_to_event"}

    Returns
    -------
    DataFrame
        ``name``, ``kind`` (text, number or flag), ``unit``, ``about``; one row per column.

    Examples
    --------
    >>> columns("time_to_event").set_index("name").loc["time", "unit"]
    'day'
    """
    chosen = _TABLES[one_of(table, _TABLES, "table of endpoints")]
    return pd.DataFrame([vars(c) for c in chosen])

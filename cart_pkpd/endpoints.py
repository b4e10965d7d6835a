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
from cart_pkpd._endpoints.followup import read_followup as read_followup
from cart_pkpd._endpoints.landmarks import adtte as adtte
from cart_pkpd._endpoints.landmarks import landmark as landmark
from cart_pkpd._endpoints.lesions import read_lesions as read_lesions
from cart_pkpd._endpoints.rates import response_rates as orr
from cart_pkpd._endpoints.recist import recist as recist
from cart_pkpd._endpoints.response import best_response as best_response
from cart_pkpd._endpoints.tables import DAYS_PER_MONTH as DAYS_PER_MONTH
from cart_pkpd._endpoints.tables import RESPONSES as RESPONSES
from cart_pkpd._endpoints.time_to_event import duration_of_response as duration_of_response
from cart_pkpd._endpoints.time_to_event import overall_survival as os
from cart_pkpd._endpoints.time_to_event import progression_free_survival as pfs
from cart_pkpd._endpoints.time_to_event import time_to_response as time_to_response

__all__ = [
    "DAYS_PER_MONTH",
    "RESPONSES",
    "adtte",
    "best_response",
    "columns",
    "duration_of_response",
    "landmark",
    "orr",
    "os",
    "pfs",
    "read_followup",
    "read_lesions",
    "recist",
    "time_to_response",
]

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

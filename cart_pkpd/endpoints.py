"""Clinical endpoints from raw records: RECIST 1.1, response, survival, CRS and ICANS grades.

::

    lesions = endpoints.read_lesions(datasets.load("fast01", table="lesions"))
    followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
    points = endpoints.recist(lesions)                        # response at every assessment
    best = endpoints.best_response(points, followup)          # unconfirmed and confirmed
    rates = endpoints.orr(best, trial, by="dose_level")       # ORR, DCR with intervals
    pfs = endpoints.pfs(points, followup, censoring="fda")    # time, event, the rule in words
    os = endpoints.os(followup)
    endpoints.kaplan_meier(pfs, "dose_level", patients=trial)  # medians, milestones, follow-up
    endpoints.cox(pfs, ["tumour_burden"], patients=trial)     # hazard ratio per doubling
    endpoints.crs_grade(vitals)                               # ASTCT, by record, day and patient
    endpoints.exposure_response(params, "crs_grade", "cmax", at_least=2)

Every table's columns are declared, with unit and meaning: ``endpoints.columns("timepoints")``.
Days count from the infusion (day 0); times to event start at 1.
"""

from __future__ import annotations

import pandas as pd

from cart_pkpd._core.validate import one_of
from cart_pkpd._endpoints import tables
from cart_pkpd._endpoints.aft import Aft as Aft
from cart_pkpd._endpoints.aft import SurvivalFit as SurvivalFit
from cart_pkpd._endpoints.aft import aft as aft
from cart_pkpd._endpoints.aft import carry as carry
from cart_pkpd._endpoints.aft import survival_bayes as survival_bayes
from cart_pkpd._endpoints.astct import NEUROLOGY as _NEUROLOGY
from cart_pkpd._endpoints.astct import VITALS as _VITALS
from cart_pkpd._endpoints.at_infusion import baseline_at_infusion as baseline_at_infusion
from cart_pkpd._endpoints.cdisc import adrs as adrs
from cart_pkpd._endpoints.cdisc import from_adrs as from_adrs
from cart_pkpd._endpoints.cdisc import from_adtte as from_adtte
from cart_pkpd._endpoints.cdisc import from_ae as from_ae
from cart_pkpd._endpoints.cdisc import from_rs as from_rs
from cart_pkpd._endpoints.cdisc import lesions_from_sdtm as lesions_from_sdtm
from cart_pkpd._endpoints.cox import Cox as Cox
from cart_pkpd._endpoints.cox import cox as cox
from cart_pkpd._endpoints.dlt import DltRule as DltRule
from cart_pkpd._endpoints.dlt import adverse_event_at_least as adverse_event_at_least
from cart_pkpd._endpoints.dlt import crs_at_least as crs_at_least
from cart_pkpd._endpoints.dlt import dlt as dlt
from cart_pkpd._endpoints.dlt import icans_at_least as icans_at_least
from cart_pkpd._endpoints.exposure import ExposureResponse as ExposureResponse
from cart_pkpd._endpoints.exposure import exposure_response as exposure_response
from cart_pkpd._endpoints.followup import read_followup as read_followup
from cart_pkpd._endpoints.grading import Grades as Grades
from cart_pkpd._endpoints.grading import crs_grade as crs_grade
from cart_pkpd._endpoints.grading import icans_grade as icans_grade
from cart_pkpd._endpoints.joint_result import JointFit as JointFit
from cart_pkpd._endpoints.joint_result import joint_bayes as joint_bayes
from cart_pkpd._endpoints.landmark_analysis import from_landmark as from_landmark
from cart_pkpd._endpoints.landmarks import adtte as adtte
from cart_pkpd._endpoints.landmarks import landmark as landmark
from cart_pkpd._endpoints.lesions import read_lesions as read_lesions
from cart_pkpd._endpoints.rates import response_rates as orr
from cart_pkpd._endpoints.recist import recist as recist
from cart_pkpd._endpoints.response import best_response as best_response
from cart_pkpd._endpoints.sdtm import followup_from_sdtm as followup_from_sdtm
from cart_pkpd._endpoints.sdtm import vitals_from_sdtm as vitals_from_sdtm
from cart_pkpd._endpoints.survival import KaplanMeier as KaplanMeier
from cart_pkpd._endpoints.survival import LogRank as LogRank
from cart_pkpd._endpoints.survival import kaplan_meier as kaplan_meier
from cart_pkpd._endpoints.survival import logrank as logrank
from cart_pkpd._endpoints.tables import DAYS_PER_MONTH as DAYS_PER_MONTH
from cart_pkpd._endpoints.tables import RESPONSES as RESPONSES
from cart_pkpd._endpoints.time_to_event import duration_of_response as duration_of_response
from cart_pkpd._endpoints.time_to_event import overall_survival as os
from cart_pkpd._endpoints.time_to_event import progression_free_survival as pfs
from cart_pkpd._endpoints.time_to_event import time_to_response as time_to_response

__all__ = [
    "DAYS_PER_MONTH",
    "RESPONSES",
    "Aft",
    "Cox",
    "DltRule",
    "ExposureResponse",
    "Grades",
    "JointFit",
    "KaplanMeier",
    "LogRank",
    "SurvivalFit",
    "adrs",
    "adtte",
    "adverse_event_at_least",
    "aft",
    "baseline_at_infusion",
    "best_response",
    "carry",
    "columns",
    "cox",
    "crs_at_least",
    "crs_grade",
    "dlt",
    "duration_of_response",
    "exposure_response",
    "followup_from_sdtm",
    "from_adrs",
    "from_adtte",
    "from_ae",
    "from_landmark",
    "from_rs",
    "icans_at_least",
    "icans_grade",
    "joint_bayes",
    "kaplan_meier",
    "landmark",
    "lesions_from_sdtm",
    "logrank",
    "orr",
    "os",
    "pfs",
    "read_followup",
    "read_lesions",
    "recist",
    "survival_bayes",
    "time_to_response",
    "vitals_from_sdtm",
]


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


_TABLES = {
    "lesions": tables.LESIONS,
    "followup": tables.FOLLOWUP,
    "timepoints": tables.TIMEPOINTS,
    "best": tables.BEST,
    "rates": tables.RATES,
    "time_to_event": tables.TIME_TO_EVENT,
    "vitals": _VITALS,
    "neurology": _NEUROLOGY,
}


def columns(table: str) -> pd.DataFrame:
    """Return what a table of this module holds.

    Parameters
    ----------
    table : str
        "lesions", "followup", "timepoints", "best", "rates", "time_to_event", "vitals" or
        "neurology".

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

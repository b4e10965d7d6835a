"""What no argument of ``endpoints`` may be is refused in a sentence of the package."""

import inspect

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import datasets, endpoints, nca
from cart_pkpd._core.errors import CartError
from cart_pkpd.endpoints import crs_at_least

NOTHING = [None, "x", 5, -1, np.nan, np.inf, [], {}, ["zz"], True, "", object(), pd.DataFrame(),
           pd.DataFrame({"a": [1]})]  # fmt: skip
OF_VALIDATE = "validate.py"  # its functions raise plain ValueErrors where arguments are no data


@pytest.fixture(scope="module")
def sound():
    """One good call of every function, by name."""
    trial = datasets.load("fast01")
    trial = trial.isel(id=slice(4), obs=np.isin(trial["patient"], trial["id"][:4]))
    known = trial["id"].values
    followup, lesions = (datasets.load("fast01", name) for name in ("followup", "lesions"))
    followup = endpoints.read_followup(followup[followup["ID"].isin(known)])
    lesions = endpoints.read_lesions(lesions[lesions["ID"].isin(known)])
    points = endpoints.recist(lesions)
    best, pfs = endpoints.best_response(points, followup), endpoints.pfs(points, followup)
    vitals = pd.DataFrame({"id": ["1"], "day": [1], "temperature": [39.0]})
    tests = pd.DataFrame({"USUBJID": ["1"], "DAY": [1.0], "VSTESTCD": ["TEMP"], "VSSTRESN": [38.0]})
    events = pd.DataFrame({"id": ["1"], "term": ["x"], "grade": [3], "start_day": [1],
                           "end_day": [2]})  # fmt: skip
    regression = {"tte": pfs, "predictors": "tumour_burden", "patients": trial}
    return {
        "read_lesions": {"table": lesions},
        "read_followup": {"table": followup},
        "recist": {"lesions": lesions},
        "best_response": {"timepoints": points, "followup": followup},
        "orr": {"best": best, "trial": trial},
        "pfs": {"timepoints": points, "followup": followup},
        "os": {"followup": followup, "timepoints": points},
        "duration_of_response": {"timepoints": points, "best": best, "followup": followup},
        "time_to_response": {"best": best, "followup": followup},
        "landmark": {"times": pfs},
        "from_landmark": {"tte": pfs, "day": 28},
        "kaplan_meier": {"tte": pfs},
        "logrank": {"tte": pfs, "by": "dose_level", "patients": trial},
        "cox": regression,
        "aft": regression,
        "crs_grade": {"vitals": vitals},
        "icans_grade": {"records": vitals.assign(ice=9)},
        "dlt": {"dlt_rules": [crs_at_least(3)], "crs": endpoints.crs_grade(vitals),
                "adverse_events": events},
        "crs_at_least": {"grade": 3},
        "adverse_event_at_least": {"grade": 3},
        "exposure_response": {
            "patients": nca.table(trial, endpoint="transgene", window=(0, 28)),
            "outcome": "crs_grade", "exposure": "cmax", "at_least": 1,
        },
        "adrs": {"points": points, "best": best},
        "adtte": {"times": pfs},
        "from_adrs": {"table": endpoints.adrs(points, best)},
        "from_adtte": {"table": endpoints.adtte(pfs)},
        "from_ae": {"table": pd.DataFrame({"USUBJID": ["1"], "AEDECOD": ["x"], "AETOXGR": ["3"],
                                           "DAY": [2.0]})},
        "from_rs": {"table": pd.DataFrame({"USUBJID": ["1"], "RSTESTCD": ["OVRLRESP"],
                                           "RSSTRESC": ["PR"], "DAY": [28]})},
        "vitals_from_sdtm": {"vs": tests},
        "followup_from_sdtm": {"dm": pd.DataFrame({"USUBJID": ["1"]})},
        "columns": {"table": "best"},
    }  # fmt: skip


def broken(value):
    """Return what an argument must not be: of a table also some of its columns spoilt."""
    out = list(NOTHING)
    if isinstance(value, pd.DataFrame):
        out.append(value.iloc[:0])
        for column in value.columns[:: max(1, len(value.columns) // 5)]:
            out += [value.assign(**{column: "zz"}), value.assign(**{column: None})]
    return out


def strange(error):
    """Return whether an error is none of the package's."""
    if isinstance(error, CartError):
        return False
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    where = last.tb_frame.f_code.co_filename
    return not (isinstance(error, ValueError) and where.endswith(OF_VALIDATE))


NAMES = [
    "read_lesions",
    "read_followup",
    "recist",
    "best_response",
    "orr",
    "pfs",
    "os",
    "duration_of_response",
    "time_to_response",
    "landmark",
    "from_landmark",
    "kaplan_meier",
    "logrank",
    "cox",
    "aft",
    "crs_grade",
    "icans_grade",
    "dlt",
    "crs_at_least",
    "adverse_event_at_least",
    "exposure_response",
    "adrs",
    "adtte",
    "from_adrs",
    "from_adtte",
    "from_ae",
    "from_rs",
    "vitals_from_sdtm",
    "followup_from_sdtm",
    "columns",
]


QUICK = ["columns", "crs_at_least", "adverse_event_at_least", "crs_grade", "icans_grade", "from_ae",
         "from_rs", "landmark", "vitals_from_sdtm", "followup_from_sdtm"]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_no_argument_ends_in_a_foreign_error(sound, name):
    function, good = getattr(endpoints, name), sound[name]
    found = []
    for argument, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        for value in broken(good.get(argument)):
            try:
                function(**{**good, argument: value})
            except Exception as error:  # every class: that is what is asked
                if strange(error):
                    found.append(f"{argument}={value!r:.40}: {type(error).__name__}: {error}")
    assert not found

"""Best overall response and response rates."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats
from scipy.special import expit, logit

from cart_pkpd import datasets, endpoints
from cart_pkpd._core.errors import DataError
from cart_pkpd._endpoints.tables import TIMEPOINTS, shape


def timepoints(courses):
    """Time-point responses of patients: {id: [(day, response), …]}, after a baseline of 100 mm."""
    rows = []
    for who, course in courses.items():
        rows.append({"id": who, "visit": "baseline", "day": -7, "baseline": True, "sum": 100})
        rows += [
            {"id": who, "visit": f"V{i}", "day": day, "overall": r, "target": r}
            for i, (day, r) in enumerate(course, 1)
        ]
    return shape(rows, TIMEPOINTS)


def best(course, **options):
    return endpoints.best_response(timepoints({"1": course}), **options).iloc[0]


# Eisenhauer et al. (2009), Eur J Cancer 45:228, table 3, with 28 days to confirm and 42 days of SD.
# Early: the first assessment is before the least time of SD; the second too where "both" stands.
TABLE_3 = [
    ("CR", "CR", "late", "CR"),
    ("CR", "PR", "late", "SD"),  # or PD or PR: its footnote
    ("CR", "SD", "late", "SD"),
    ("CR", "SD", "both", "PD"),
    ("CR", "PD", "late", "SD"),
    ("CR", "PD", "early", "PD"),
    ("CR", "NE", "late", "SD"),
    ("CR", "NE", "early", "NE"),
    ("PR", "CR", "late", "PR"),
    ("PR", "PR", "late", "PR"),
    ("PR", "SD", "late", "SD"),
    ("PR", "PD", "late", "SD"),
    ("PR", "PD", "early", "PD"),
    ("PR", "NE", "late", "SD"),
    ("PR", "NE", "early", "NE"),
    ("NE", "NE", "late", "NE"),
]
DAYS = {"late": (45, 80), "early": (30, 60), "both": (10, 38)}


@pytest.mark.parametrize(("first", "second", "when", "expected"), TABLE_3)
def test_table_3_of_eisenhauer_2009(first, second, when, expected):
    a, b = DAYS[when]
    found = best([(a, first), (b, second)])
    assert found["confirmed"] == expected
    assert found["confirmed_reason"]


# Responses and results of the tests of admiralonco (pharmaverse, Apache-2.0, commit 14bfe089,
# test-derive_param_confirmed_bor.R, tests 1 and 2), days counted from the start of treatment.
COURSES = {
    "1": [(0, "PR"), (31, "CR"), (46, "NE"), (60, "CR"), (91, "SD")],
    "2": [(20, "SD"), (51, "PR"), (80, "SD"), (92, "CR")],
    "3": [(1, "CR"), (21, "CR"), (51, "SD")],
    "4": [(2, "PR"), (62, "SD"), (93, "SD"), (123, "PR"), (137, "NON-CR/NON-PD")],
    "5": [(0, "PR"), (9, "SD"), (19, "PR"), (135, "NON-CR/NON-PD")],
    "6": [(4, "PR"), (14, "CR"), (57, "PR")],
    "7": [(4, "PR"), (14, "CR"), (59, "NE")],
    "9": [(15, "PD"), (34, "SD")],
}
ADMIRAL_1 = {
    "1": ("CR", 31), "2": ("SD", 51), "3": ("SD", 51), "4": ("SD", 62), "5": ("NON-CR/NON-PD", 135),
    "6": ("SD", 57), "7": ("NE", 4), "8": ("MISSING", np.nan), "9": ("PD", 15),
}  # fmt: skip
ADMIRAL_2 = {
    "1": ("PR", 0), "2": ("PR", 51), "3": ("CR", 1), "4": ("SD", 62), "5": ("PR", 0),
    "6": ("SD", 57), "9": ("PD", 15),
}  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (ADMIRAL_1, {"confirmation_days": 28, "allow_ne": 1, "allow_sd": 0}),
        (ADMIRAL_2, {"confirmation_days": 14, "allow_ne": 0, "allow_sd": 1}),
    ],
)
def test_confirmation_as_in_admiralonco(expected, options):
    found = endpoints.best_response(
        timepoints(COURSES), min_sd_days=28, patients=["8"], **options
    ).set_index("id")
    for who, (response, day) in expected.items():
        assert found.loc[who, "confirmed"] == response, who
        assert_allclose(found.loc[who, "confirmed_day"], day)


@pytest.mark.parametrize(
    ("course", "unconfirmed", "day"),
    [
        ([(30, "SD"), (60, "PR"), (90, "CR")], "CR", 90),
        ([(30, "PR"), (60, "PR")], "PR", 30),  # the earliest of equals
        ([(30, "PD"), (60, "CR")], "PD", 30),  # nothing counts after progression
        ([(30, "SD"), (60, "PD")], "PD", 60),  # SD before day 42
        ([(30, "SD"), (60, "NE")], "NE", 30),
        ([(42, "SD"), (60, "PD")], "SD", 42),
        ([(50, "NON-CR/NON-PD"), (80, "PD")], "NON-CR/NON-PD", 50),
        ([(30, "NE")], "NE", 30),
        ([], "MISSING", np.nan),
    ],
)
def test_unconfirmed_best_response(course, unconfirmed, day):
    found = best(course)
    assert found["best"] == unconfirmed
    assert_allclose(found["best_day"], day)


def test_new_therapy_cut_off_and_until_end_what_counts():
    course = [(45, "SD"), (80, "PR"), (120, "PR")]
    assert best(course)["confirmed"] == "PR"
    assert best(course, new_therapy={"1": 79})["best"] == "SD"
    assert best(course, new_therapy={"1": 80})["best"] == "PR"  # on the day itself
    assert best(course, new_therapy={"1": 80})["confirmed"] == "SD"
    assert best(course, until=100)["confirmed"] == "SD"
    cut = pd.DataFrame({"ID": ["1"], "CUT_OFF_DAY": [50]})
    assert best(course, followup=cut)["n_assessments"] == 1
    late = best([(45, "SD"), (80, "PD")], new_therapy={"1": 60})
    assert (late["best"], late["pd_day"]) == ("SD", 80)


def test_a_missing_patient_is_told_why():
    followup = pd.DataFrame({"ID": ["1", "2"], "DEATH_DAY": [None, 20]})
    found = endpoints.best_response(timepoints({"1": [(45, "SD")], "2": []}), followup)
    assert found["best_reason"].iloc[1] == "no assessment after the baseline; death on day 20"
    with pytest.raises(DataError, match="the follow-up has no row for patient 3"):
        endpoints.best_response(timepoints({"3": []}), followup)
    with pytest.raises(DataError, match=r"pass the table of endpoints.recist"):
        endpoints.best_response(followup)


def naive_confirmed(course, start=0, confirm=28, least=42):
    """The definition once more, by what each pair of assessments allows."""
    upto = next((i for i, (_, r) in enumerate(course) if r == "PD"), len(course) - 1)
    course = course[: upto + 1]
    days = [d for d, _ in course]
    text = [r for _, r in course]
    n = len(course)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if days[j] - days[i] >= confirm]
    between = {(i, j): text[i + 1 : j] for i, j in pairs}
    for i, j in pairs:
        ok = text[i] == text[j] == "CR" and all(r in ("CR", "NE") for r in between[i, j])
        if ok and between[i, j].count("NE") <= 1:
            return "CR"
    for i, j in pairs:
        run = [*between[i, j], text[j]]
        ok = text[i] == "PR" and text[j] in ("PR", "CR")
        ok &= all(r in ("PR", "CR", "NE") for r in run) and run.count("NE") <= 1
        fell = any(a == "CR" and "PR" in run[k:] for k, a in enumerate(run))
        if ok and not fell:
            return "PR"
    late = {r for d, r in course if d - start >= least}
    if late & {"CR", "PR", "SD"}:
        return "SD"
    if "NON-CR/NON-PD" in late:
        return "NON-CR/NON-PD"
    after_cr = text[text.index("CR") :] if "CR" in text else []
    if "PD" in text or {"PR", "SD"} & set(after_cr):
        return "PD"
    return "NE" if text else "MISSING"


RESPONSE = st.sampled_from(["CR", "PR", "SD", "NE", "PD", "NON-CR/NON-PD", "PR", "CR"])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(8, 35), RESPONSE), max_size=6), min_size=12, max_size=12
    )
)
def test_random_courses_agree_with_the_definition(steps):
    courses = {}
    for k, given_steps in enumerate(steps):
        days = np.cumsum([gap for gap, _ in given_steps])
        courses[str(k)] = [(int(d), r) for d, (_, r) in zip(days, given_steps, strict=True)]
    found = endpoints.best_response(timepoints(courses)).set_index("id")["confirmed"]
    assert dict(found) == {who: naive_confirmed(course) for who, course in courses.items()}


# --- fast01 ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast01():
    followup = endpoints.read_followup(datasets.load("fast01", "followup"))
    points = endpoints.recist(datasets.load("fast01", "lesions"))
    return points, followup, endpoints.best_response(points, followup)


def test_fast01_best_responses_by_hand(fast01):
    """Read off lesions.csv: who fell by 30 % and stayed there 28 days later."""
    found = fast01[2].set_index("id")
    responders = ["F01-002", "F01-009", "F01-019", "F01-027", "F01-028", "F01-030"]
    assert list(found.index[found["confirmed"] == "PR"]) == responders
    assert not found["confirmed"].eq("CR").any()
    assert found.loc["F01-009", "confirmation_day"] == 95  # day 57 is 25 days after day 32
    assert found.loc["F01-010", "best"] == "MISSING"  # died on day 20
    assert found.loc["F01-020", "best"] == "NE"  # SD on day 31 alone
    assert found.loc["F01-015", "pd_by"] == "new lesion"
    assert_allclose(found.loc["F01-028", "best_pct"], 100 * (42 / 159 - 1))


def test_an_early_first_assessment_can_count_as_stable(fast01):
    points, followup, _ = fast01
    found = endpoints.best_response(points, followup, min_sd_days=28).set_index("id")
    assert found.loc["F01-020", "best"] == "SD"


# --- rates -------------------------------------------------------------------------------------


def test_exact_intervals_are_those_of_the_beta_distribution(fast01):
    """Clopper and Pearson (1934) by quantiles of the beta distribution."""
    trial = datasets.load("fast01")
    rates = endpoints.orr(fast01[2], trial, by="dose_level").set_index(["group", "measure"])
    assert list(rates.loc[(slice(None), "ORR"), "n"]) == [3, 3, 18, 6, 30]
    assert list(rates.loc[(slice(None), "ORR"), "x"]) == [1, 0, 5, 0, 6]
    x, n = 6, 30
    row = rates.loc[("all", "ORR")]
    ends = stats.beta.ppf(0.025, x, n - x + 1), stats.beta.ppf(0.975, x + 1, n - x)
    assert_allclose((row["lower"], row["upper"]), ends, rtol=1e-9)
    none = rates.loc[("3e+07", "ORR")]
    assert_allclose((none["lower"], none["upper"]), (0, 1 - 0.025 ** (1 / 6)), rtol=1e-9)


def test_denominators(fast01):
    trial = datasets.load("fast01")
    n = {
        d: endpoints.orr(fast01[2], trial, denominator=d)["n"].iloc[0]
        for d in ("infused", "dlt_evaluable", "response_evaluable")
    }
    evaluable = int(np.nansum(trial["dlt_evaluable"].values))
    assert n == {"infused": 30, "dlt_evaluable": evaluable, "response_evaluable": 29}
    fewer = fast01[2].iloc[:10]  # patients without a best response still count as treated
    assert endpoints.orr(fewer, trial)["n"].iloc[0] == 30


def test_beta_binomial_intervals(fast01):
    row = endpoints.orr(fast01[2], interval="beta-binomial", prior=(0.5, 0.5), prob=0.9).iloc[0]
    posterior = stats.beta(6.5, 24.5)
    assert_allclose(row["rate"], 6.5 / 31)
    assert_allclose((row["lower"], row["upper"]), posterior.interval(0.9), rtol=1e-9)


def test_hierarchical_rates_agree_with_weighted_draws_from_the_prior(fast01):
    """Importance sampling with 400,000 draws; its error is below 0.004."""
    trial = datasets.load("fast01")
    found = endpoints.orr(fast01[2], trial, by="dose_level", interval="hierarchical")
    found = found[found["measure"] == "ORR"]
    rng = np.random.default_rng(1)
    mu = logit(0.2) + 1.5 * rng.standard_normal(400_000)
    tau = np.abs(rng.standard_normal(mu.size))
    p = expit(mu + tau * rng.standard_normal((4, mu.size)))
    x, n = np.array([1, 0, 5, 0]), np.array([3, 3, 18, 6])
    weight = np.prod(stats.binom.pmf(x[:, None], n[:, None], p), axis=0)
    drawn = [*p, expit(mu)]
    for row, values in zip(found.itertuples(), drawn, strict=True):
        order = np.argsort(values)
        share = np.cumsum(weight[order]) / weight.sum()
        low, high = values[order][np.searchsorted(share, [0.025, 0.975])]
        assert_allclose(row.rate, np.average(values, weights=weight), atol=0.004)
        assert_allclose((row.lower, row.upper), (low, high), atol=0.012)


def test_without_spread_between_groups_all_have_the_pooled_rate(fast01):
    """One common logit: its posterior by adaptive quadrature."""
    trial = datasets.load("fast01")
    found = endpoints.orr(fast01[2], trial, by="dose_level", interval="hierarchical", between=1e-4)

    def density(m):
        return stats.norm.pdf(m, logit(0.2), 1.5) * stats.binom.pmf(6, 30, expit(m))

    whole, _ = integrate.quad(density, -10, 8)
    mean, _ = integrate.quad(lambda m: expit(m) * density(m), -10, 8)
    assert_allclose(found.loc[found["measure"] == "ORR", "rate"], mean / whole, atol=2e-4)


def test_questions_about_rates_that_make_no_sense(fast01):
    trial = datasets.load("fast01")
    with pytest.raises(DataError, match=r"does not hold 'dose_lvl' for its patients.*dose_level"):
        endpoints.orr(fast01[2], trial, by="dose_lvl")
    with pytest.raises(DataError, match="has a best response and is not in the trial"):
        endpoints.orr(fast01[2], pd.DataFrame({"ID": ["X"]}))
    with pytest.raises(DataError, match="needs groups"):
        endpoints.orr(fast01[2], trial, interval="hierarchical")
    with pytest.raises(ValueError, match="unknown denominator 'treated'"):
        endpoints.orr(fast01[2], trial, denominator="treated")

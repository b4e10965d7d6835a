"""BOIN, mTPI, keyboard, TPI, CRM and 3+3 against published tables and other programs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit
from scipy.stats import beta, norm

from cart_pkpd import dose
from cart_pkpd._core.errors import DataError
from cart_pkpd._dose.isotonic import isotonic

ORACLES = Path(__file__).parent / "oracles"
FIVE = (1.0, 2.0, 3.0, 4.0, 5.0)


def outcomes(text: str, levels=FIVE, **more) -> dose.DoseData:
    """Data from "1NNN 2NTN": level, and T or N per patient."""
    parts = [(int(p[0]) - 1, p[1:]) for p in text.split()]
    found = dose.counts({}, levels=levels, **more)
    from cart_pkpd._dose.scenarios import with_cohort

    for level, seen in parts:
        found = with_cohort(found, level, len(seen), seen.count("T"))
    return found


def next_level(design, text: str) -> int | None:
    """The level that follows, from 1; None where the trial ends without a dose."""
    found = design.recommend(outcomes(text)).dose
    return None if found is None else int(found)


# --- BOIN --------------------------------------------------------------------------------------


def test_boin_rates_are_the_published_ones():
    # λe and λd of the BOIN papers to three decimals, as the tests of mdanderson_stats list them.
    printed = {
        0.15: (0.118, 0.179), 0.20: (0.157, 0.238), 0.25: (0.197, 0.298), 0.30: (0.236, 0.359),
        0.35: (0.276, 0.419), 0.40: (0.316, 0.480),
    }  # fmt: skip
    for target, rates in printed.items():
        assert_allclose(dose.BOIN(target).rates, rates, atol=5.1e-4)


@pytest.mark.parametrize("target", [0.20, 0.25, 0.30, 0.35, 0.40])
def test_boin_boundaries_to_30_are_those_of_the_package(target):
    oracle = pd.read_csv(ORACLES / "dose_boin_boundaries.csv", comment="#")
    theirs = oracle[oracle["target"] == target].set_index("patients")
    design = dose.BOIN(target)
    assert_allclose(design.rates, theirs[["lambda_e", "lambda_d"]].iloc[0], atol=6e-8)
    ours = design.boundaries(30)
    assert len(theirs) == len(ours) == 30
    for column in ("escalate", "de_escalate", "eliminate"):
        assert_allclose(ours[column], theirs[column], rtol=0)  # NaN where there is none


def test_boin_boundaries_for_target_30_are_those_of_the_protocol_template():
    # Template for protocol preparation of the BOIN software (trialdesign.org), table 1: target
    # 0.30, cohorts of 3 to 30 patients.
    table = dose.BOIN(0.30).boundaries(30).loc[range(3, 31, 3)]
    assert table["escalate"].tolist() == [0, 1, 2, 2, 3, 4, 4, 5, 6, 7]
    assert table["de_escalate"].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert table["eliminate"].tolist() == [3, 4, 5, 7, 8, 9, 10, 11, 12, 14]


@pytest.mark.parametrize("target", [0.20, 0.25, 0.30, 0.35, 0.40])
def test_boin_boundaries_to_30_follow_the_likelihoods(target):
    # Independent transcription: λe is where the likelihoods of φ1 and φ agree, λd where those of φ
    # and φ2 do, so the comparison of binomial log likelihoods decides, number by number.
    low, high = 0.6 * target, 1.4 * target
    table = dose.BOIN(target).boundaries(30)
    for n in range(1, 31):
        y = np.arange(n + 1)

        def log(p, y=y, n=n):
            return y * np.log(p) + (n - y) * np.log(1 - p)

        up = y[log(low) >= log(target) - 1e-12]
        down = y[log(high) >= log(target) - 1e-12]
        over = y[1 - beta.cdf(target, 1 + y, 1 + n - y) > 0.95] if n >= 3 else []
        row = table.loc[n]
        assert row["escalate"] == up.max()
        assert row["de_escalate"] == down.min()
        assert row["eliminate"] == (min(over) if len(over) else pytest.approx(np.nan, nan_ok=True))


def test_boin_follows_the_published_trial():
    # Han, Pan, Zhang, Liu & Yuan (2019), p. 25, as in escalation's test_boin.R (add4557).
    design = dose.BOIN(0.3)
    steps = ["1NNN", "2NNN", "3NTT", "2NTN", "3NNN", "3NNN", "4TTT", "3NTN", "3NNT", "3TNN"]
    expected = [2, 3, 2, 3, 3, 4, 3, 3, 3, 3]
    for k, level in enumerate(expected, 1):
        assert next_level(design, " ".join(steps[:k])) == level


def test_boin_selects_the_mtd_of_the_published_example():
    # Yan, Zhang, Zhou, Pan, Liu & Yuan (2020), J Stat Softw 94(13): select.mtd(0.3, n, y) is 3.
    seen = dose.counts({1: (0, 3), 2: (0, 3), 3: (4, 15), 4: (4, 9)}, levels=FIVE)
    found = dose.BOIN(0.3).mtd(seen)
    assert found.dose == 3
    assert found.action == "select"
    # BOIN 2.7.2, select.mtd(0.3, c(0, 3, 0, 0, 3), c(0, 1, 0, 0, 3)), in escalation's tests.
    assert dose.BOIN(0.3).mtd(outcomes("2NNT 5TTT")).dose == 2


def test_the_mtd_may_be_toxic_without_a_bound_and_not_with_one():
    # At target 0.30 an estimate of 0.48 beats one of 0.10 (0.18 against 0.20 away).
    seen = dose.counts({1: (1, 10), 2: (12, 25)}, levels=FIVE)
    free = dose.BOIN(0.3, eliminate=0.999)
    assert free.mtd(seen).dose == 2
    bound = dose.BOIN(0.3, eliminate=0.999, bound=free.rates[1])
    assert bound.mtd(seen).dose == 1


def test_of_equal_estimates_the_higher_dose_wins_below_the_target():
    seen = dose.counts({1: (0, 3), 2: (0, 3)}, levels=FIVE)
    assert dose.BOIN(0.3).mtd(seen).dose == 2
    above = dose.counts({1: (3, 6), 2: (3, 6)}, levels=FIVE)
    assert dose.BOIN(0.3).mtd(above).dose == 1


def test_boin_stops_when_the_lowest_dose_is_eliminated_and_at_its_cap():
    stop = dose.BOIN(0.25).recommend(outcomes("1TTT"))
    assert (stop.action, stop.dose) == ("stop", None)
    assert "lowest dose is eliminated" in stop.reason
    assert dose.BOIN(0.25).mtd(outcomes("1TTT")).dose is None
    # one DLT of three at the lowest dose asks to go down, but there is nothing below
    stay = dose.BOIN(0.25).recommend(outcomes("1NNT"))
    assert (stay.action, stay.dose) == ("stay", 1)
    assert "no lower dose" in stay.reason
    cap = dose.BOIN(0.25, stop_at=9).recommend(outcomes("1NNN 2NNT 2NNN 2NTN"))
    assert (cap.action, cap.dose) == ("stop", 2)
    assert "9 patients" in cap.reason


def test_an_eliminated_dose_is_not_given_again():
    design = dose.BOIN(0.25)
    found = design.recommend(outcomes("1NNN 2NNN 3TTT 2NNN"))
    assert (found.action, found.dose) == ("stay", 2)
    assert "3 cells and above are eliminated" in found.reason
    assert found.table["eliminated"].tolist() == [False, False, True, True, True]


def test_extra_safety_stops_earlier():
    # P(p > 0.25 | 2 of 3) = 0.949 under Beta(3, 2): below 0.95, above 0.90.
    assert beta.sf(0.25, 3, 2) == pytest.approx(0.949, abs=1e-3)
    assert dose.BOIN(0.25).recommend(outcomes("1NTT")).action == "stay"
    assert dose.BOIN(0.25, extra_safe=0.05).recommend(outcomes("1NTT")).action == "stop"


@pytest.mark.parametrize("seed", range(4))
def test_isotonic_regression_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.random((20, 6)), rng.random((20, 6)) + 0.1
    weights[rng.random((20, 6)) < 0.3] = 0
    found = isotonic(values, weights)
    for row in range(20):
        used = weights[row] > 0
        assert np.isnan(found[row][~used]).all()
        if used.any():
            expected = isotonic_regression(values[row][used], weights=weights[row][used]).x
            assert_allclose(found[row][used], expected, atol=1e-12)


def test_batches_of_boin_agree_with_single_trials():
    rng = np.random.default_rng(8)
    design = dose.BOIN(0.25, stop_at=12)
    n = 3 * rng.integers(0, 5, (60, 5))
    y = rng.binomial(n, 0.3)
    current = np.where(n.any(axis=1), 4 - (n[:, ::-1] > 0).argmax(axis=1), -1)
    many, mtd = design.decide_many(n, y, current), design.mtd_many(n, y)
    for t in range(60):
        seen = dose.counts({FIVE[k]: (int(y[t, k]), int(n[t, k])) for k in range(5) if n[t, k]},
                           levels=FIVE)  # fmt: skip
        one = design.recommend(seen)
        assert (one.action == "stop") == (many.action[t] == 1)
        assert (0 if one.dose is None else one.dose) == many.level[t] + 1
        best = design.mtd(seen).dose
        assert (0 if best is None else best) == mtd[t] + 1


# --- late toxicity -----------------------------------------------------------------------------


def test_tite_boin_without_pending_patients_is_boin():
    rng = np.random.default_rng(2)
    n = 3 * rng.integers(1, 5, (300, 4))
    y, current = rng.binomial(n, 0.3), rng.integers(0, 4, 300)
    plain, late = dose.BOIN(0.3), dose.TITEBOIN(0.3)
    assert (plain.decide_many(n, y, current).level == late.decide_many(n, y, current).level).all()


@pytest.mark.parametrize(
    ("dlts", "complete", "days", "expected"),
    [
        # Worked by hand, φ = 0.3, λe = 0.2365, λd = 0.3585. p̂ = (s + 0.15)/(n − c + 1).
        # n 3, c 1, s 0: p̂ = 0.05; total 0.0526 (1 − 0.5) = 0.026 ≤ 0.71: escalate
        (0, 2, [14], "escalate"),
        # n 6, c 3, s 1, STFT 0.3: p̂ = 0.2875, odds 0.4035; 1 + 0.4035 · 2.7 = 2.09 < 2.15: stay
        (1, 3, [0, 2.8, 5.6], "stay"),
        # the same with no follow-up: 1 + 0.4035 · 3 = 2.21 ≥ 2.15: de-escalate
        (1, 3, [0, 0, 0], "de-escalate"),
        # STFT 2: 1 + 0.4035 · 1 = 1.40 ≤ 1.42: escalate
        (1, 3, [14, 21, 21], "escalate"),
        # c 4 of 6 pending, 1 DLT: too many pending
        (1, 2, [20, 20, 20, 20], "wait"),
        # c 4 of 6 pending, but 3 DLTs of 6 already ask to go down
        (3, 3, [1, 1, 1, 1], "de-escalate"),
    ],
)
def test_tite_boin_decides_by_the_expected_dlts(dlts, complete, days, expected):
    seen = dose.counts({1: (0, 3), 2: (dlts, complete)}, levels=FIVE, pending={2: days})
    assert dose.TITEBOIN(0.3).recommend(seen).action == expected


def test_a_design_without_follow_up_decides_only_what_pending_patients_cannot_change():
    # 0 of 3 with three pending: 0 or 1 DLT escalate, 2 and 3 de-escalate: wait
    seen = dose.counts({1: (0, 3)}, levels=FIVE, pending={1: [3, 3, 3]})
    wait = dose.BOIN(0.25).recommend(seen)
    assert (wait.action, wait.dose) == ("wait", 1)
    assert "0: escalate, 1: escalate, 2: stay" in wait.reason
    # 3 of 5 at dose 2 with one pending: 3 or 4 of 6 go down either way
    sure = dose.counts({1: (0, 3), 2: (3, 5)}, levels=FIVE, pending={2: [3]})
    assert dose.BOIN(0.25).recommend(sure).action == "de-escalate"


# --- mTPI, mTPI-2, keyboard, TPI ---------------------------------------------------------------

# Decisions at dose 2 of 5 for 3, 6 and 9 patients, from escalation's tests (add4557):
# Ji et al. (2010) figure 2, Guo et al. (2017) figure 3, Ji et al. (2007) table 1; target 0.3.
PUBLISHED = {
    "mTPI": ("ESDU", "EESSUUU", "EESSSUUUUU"),
    "mTPI-2": ("ESDU", "EESDUUU", "EEESDUUUUU"),
    "TPI": ("ESDU", "ESSDUUU", "EESSSDUUUU"),
}
DESIGNS = {
    "mTPI": dose.MTPI(0.3, 0.05, 0.05),
    "mTPI-2": dose.MTPI2(0.3, 0.05, 0.05),
    "keyboard": dose.Keyboard(0.3, 0.05, 0.05),
    "TPI": dose.TPI(0.3, 1, 1.5, (0.005, 0.005)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_interval_designs_print_the_published_tables(name):
    table = DESIGNS[name].decision_table(9)
    for n, letters in zip((3, 6, 9), PUBLISHED[name], strict=True):
        assert "".join(table[n][: n + 1]) == letters


@pytest.mark.parametrize("target", [0.2, 0.25, 0.3])
def test_the_keyboard_is_the_strongest_key_written_out(target):
    # Independent transcription: keys of width 0.1 walking out from the target key, incomplete
    # ones at the ends scaled up to full width (the Keyboard package 0.1.3 does so).
    table = dose.Keyboard(target, 0.05, 0.05).decision_table(30)
    same = dose.MTPI2(target, 0.05, 0.05).decision_table(30)
    assert table.equals(same)
    low, high = target - 0.05, target + 0.05
    left = [(max(low - 0.1 * (i + 1), 0), low - 0.1 * i) for i in range(int(low / 0.1) + 1)]
    right = [
        (high + 0.1 * i, min(high + 0.1 * (i + 1), 1)) for i in range(int((1 - high) / 0.1) + 1)
    ]
    keys = [(a, b, -1) for a, b in left] + [(low, high, 0)] + [(a, b, 1) for a, b in right]
    keys = [(a, b, side) for a, b, side in keys if b - a > 1e-9]
    for n in range(1, 31):
        for y in range(n + 1):
            if table.loc[y, n] == "U":
                assert n >= 3
                assert beta.sf(target, 1 + y, 1 + n - y) > 0.95
                continue
            mass = [np.diff(beta.cdf([a, b], 1 + y, 1 + n - y))[0] / (b - a) for a, b, _ in keys]
            side = keys[int(np.argmax(mass))][2]
            assert table.loc[y, n] == {-1: "E", 0: "S", 1: "D"}[side], (n, y)


def test_margins_that_leave_the_unit_interval_are_refused():
    with pytest.raises(ValueError, match="narrow the margins"):
        dose.MTPI(0.3, 0.35, 0.05)
    with pytest.raises(ValueError, match="rise between"):
        dose.BOIN(0.3, under=0.4)


# --- CRM ---------------------------------------------------------------------------------------

SD = 1.34**0.5


def test_skeletons_are_those_of_getprior():
    # trialr's docs (A300): dfcrm::getprior(0.05, 0.3, 5, 10), printed to two decimals.
    printed = [0.03, 0.06, 0.12, 0.20, 0.30, 0.40, 0.50, 0.59, 0.67, 0.74]
    assert_allclose(dose.skeleton(0.05, 0.3, 5, 10), printed, atol=0.005)


@pytest.mark.parametrize("model", ["empiric", "logistic"])
def test_skeletons_have_their_indifference_interval(model):
    # Where the model's parameter makes one level target − δ, the next is target + δ.
    found = np.array(dose.skeleton(0.05, 0.25, 3, 6, model=model))
    assert found[2] == pytest.approx(0.25)
    link = np.log if model == "empiric" else (lambda p: logit(p) - 3)
    back = np.exp if model == "empiric" else (lambda x: expit(x + 3))
    for k in range(5):
        scale = link(0.20) / link(found[k])
        assert back(scale * link(found[k + 1])) == pytest.approx(0.30)


def test_crm_agrees_with_dfcrm_where_escalation_prints_it():
    # escalation's docs A205 (add4557): get_dfcrm(c(0.05, 0.12, 0.25, 0.40, 0.55), 0.25, 'logistic',
    # intcpt 3, scale sqrt(1.34)) fitted to "3N 5N 5T 3N 4N": plug-in probabilities, next dose 4.
    design = dose.CRM((0.05, 0.12, 0.25, 0.40, 0.55), 0.25, SD, model="logistic")
    found = design.recommend(outcomes("3N 5N 5T 3N 4N"))
    assert_allclose(found.table["plug_in"], [0.00768, 0.0265, 0.0817, 0.182, 0.331], rtol=4e-3)
    assert found.dose == 4
    # the empiric model of the same page
    empiric = dose.CRM((0.05, 0.12, 0.25, 0.40, 0.55), 0.25, SD)
    table = empiric.recommend(outcomes("3N 5N 5T 3N 4N")).table
    assert_allclose(table["plug_in"], [0.00701, 0.0299, 0.101, 0.219, 0.372], rtol=6e-3)
    # trialr's posterior means there, with the error of 4,000 draws
    assert_allclose(table["mean"], [0.0311, 0.0670, 0.142, 0.248, 0.380], atol=0.012)


def test_tite_crm_agrees_with_dfcrm_where_escalation_prints_it():
    # escalation's docs A280: dfcrm::titecrm, logistic, weights 1, 1, 1, 0.9, 1, 0.5 on levels
    # 1, 1, 2, 2, 3, 3, a DLT of the fifth patient: next dose 3.
    design = dose.TITECRM((0.05, 0.12, 0.25, 0.40, 0.55), 0.25, SD, model="logistic")
    seen = dose.counts({1: (0, 2), 2: (0, 1), 3: (1, 1)}, levels=FIVE, window=10,
                       pending={2: [9], 3: [5]}, current=3)  # fmt: skip
    found = design.recommend(seen)
    assert_allclose(found.table["plug_in"], [0.0748, 0.164, 0.310, 0.460, 0.599], atol=6e-4)
    assert found.dose == 3


@pytest.mark.parametrize("model", ["empiric", "logistic"])
def test_one_parameter_models_are_integrals_done_by_quad(model):
    guess, seen = np.array([0.05, 0.15, 0.25, 0.4, 0.6]), {2: (0, 2), 3: (0, 2), 4: (2, 2)}
    x = logit(guess) - 3

    def curve(b):
        return guess ** np.exp(b) if model == "empiric" else expit(3 + np.exp(b) * x)

    def weight(b):
        p = curve(b)
        return norm.pdf(b, 0, SD) * (1 - p[1]) ** 2 * (1 - p[2]) ** 2 * p[3] ** 2

    def total(f):
        return integrate.quad(lambda b: f(b) * weight(b), -9, 9, epsabs=1e-13, limit=400)[0]

    whole = total(lambda b: 1.0)
    mean_b = total(lambda b: b) / whole
    design = dose.CRM(tuple(guess), 0.25, SD, model=model) & dose.EWOC(0.35, 0.5)
    table = design.recommend(dose.counts(seen, levels=FIVE)).table
    assert_allclose(table["plug_in"], curve(mean_b), atol=1e-7)
    assert_allclose(table["mean"], [total(lambda b, k=k: curve(b)[k]) / whole for k in range(5)],
                    atol=1e-7)  # fmt: skip
    for k in range(5):
        if model == "empiric":
            at = np.log(np.log(0.25) / np.log(guess[k]))
        else:
            at = np.log((logit(0.25) - 3) / x[k])
        over = integrate.quad(weight, -9, at, epsabs=1e-13, limit=400)[0] / whole
        assert table["over"][k + 1] == pytest.approx(over, abs=1e-6)


def test_one_parameter_models_agree_with_trialr():
    # trialr's docs A200 (cbb43628): stan_crm('2NN 3NN 4TT', seed = 123), means of 4,000 draws,
    # whose Monte-Carlo error at an effective size near 1,300 is up to 0.006; tolerance 2.5 times.
    seen = dose.counts({2: (0, 2), 3: (0, 2), 4: (2, 2)}, levels=FIVE)
    guess = (0.05, 0.15, 0.25, 0.4, 0.6)
    drawn = {
        "empiric": [0.108, 0.216, 0.310, 0.444, 0.624],
        "logistic": [0.119, 0.235, 0.328, 0.455, 0.624],
    }
    for model, means in drawn.items():
        table = dose.CRM(guess, 0.25, SD, model=model).recommend(seen).table
        assert_allclose(table["mean"], means, atol=0.015)
    two = dose.CRM(guess, 0.25, model="logistic2", estimate="mean",
                   prior=dose.BivariateNormal((0, 0), (1, 1), 0))  # fmt: skip
    found = two.recommend(seen)
    assert_allclose(found.table["mean"], [0.066, 0.139, 0.230, 0.427, 0.692], atol=0.015)
    assert found.dose == 3
    # Neuenschwander's critique: their skeleton sends the CRM two doses up after 2 DLTs of 2.
    flat = (0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.10, 0.17, 0.30)
    ten = tuple(range(1, 11))
    after = dose.counts({1: (0, 3), 2: (0, 4), 3: (0, 4), 4: (0, 4), 7: (2, 2)}, levels=ten)
    one = dose.CRM(flat, 0.3, 1.34, estimate="mean").recommend(after)
    assert one.dose == 9
    assert_allclose(one.table["mean"], [0.0754, 0.0924, 0.1071, 0.1201, 0.1321, 0.1538, 0.1733,
                                        0.2533, 0.3419, 0.4763], atol=0.012)  # fmt: skip
    sane = (0.03, 0.06, 0.12, 0.20, 0.30, 0.40, 0.50, 0.59, 0.67, 0.74)
    assert dose.CRM(sane, 0.3, 1.34, estimate="mean").recommend(after).dose == 6


def test_every_path_of_the_viola_trial():
    # Dose transition pathways of the VIOLA trial (Yap et al. 2017, Clin Cancer Res 23:7440): all
    # 4,693 distinct paths of 7 cohorts of 3, by dtpcrm 0.1.1 and dfcrm 0.2-2.1, as cached in
    # precautionary 0.2.6 (viola_dtp). Each line: D0 T1 D1 … T7 D7, 0 where the trial has ended.
    file = ORACLES / "dose_viola_paths.txt.gz"
    lines = gzip.decompress(file.read_bytes()).decode().split()
    expected = np.array([[int(c) for c in line] for line in lines])
    guess, sd, target = (0.03, 0.07, 0.12, 0.20, 0.30, 0.40, 0.52), 0.75**0.5, 0.2
    design = (
        dose.CRM(guess, target, sd)
        & dose.NoSkip()
        & dose.Coherence(target + 1e-9, "dose")
        & dose.StopIfToxic(target + 0.1, 0.72)
        & dose.StopWhen(at_dose=12)
    )
    table = dose.paths(design, range(1, 8), cohorts=7, size=3, start=3)
    columns = [c for k in range(1, 8) for c in (f"dose_{k}", f"dlts_{k}")] + ["dose_8"]
    found = table[columns].fillna(0).to_numpy(int)
    found = found[np.lexsort(found.T[::-1])]
    assert found.shape == expected.shape
    differ = np.flatnonzero((found != expected).any(axis=1))
    # They judge the toxicity of the lowest dose by a normal approximation of the posterior of b:
    # in 11 paths that and the exact probability lie on different sides of 0.72, at the end.
    assert len(differ) == 11
    assert (found[differ, :-1] == expected[differ, :-1]).all()
    for path in found[differ]:
        exact, approximate = lowest_too_toxic(path, np.array(guess), sd, 0.3)
        assert (exact > 0.72) != (approximate > 0.72)


def lowest_too_toxic(path, guess, sd, limit) -> tuple[float, float]:
    """P(DLT probability of the lowest dose > limit), exactly and with b taken as normal."""
    b = np.linspace(-8 * sd, 8 * sd, 40_001)
    logs = -0.5 * (b / sd) ** 2
    for level, dlts in zip(path[0:14:2], path[1:14:2], strict=True):
        if level:
            log_p = np.exp(b) * np.log(guess[level - 1])
            logs += dlts * log_p + (3 - dlts) * np.log(-np.expm1(log_p))
    f = np.exp(logs - logs.max())
    f /= f.sum()
    mean = f @ b
    spread = np.sqrt(f @ (b - mean) ** 2)
    at = np.log(np.log(limit) / np.log(guess[0]))
    return float(f[b < at].sum()), float(norm.cdf((at - mean) / spread))


def test_the_decision_follows_the_estimate_that_is_asked_for():
    # "2NN 3NN 4TT": plug-in 0.293 at level 3 is closer to 0.25 than 0.186; the means are 0.302
    # and 0.209, of which 0.209 is closer.
    seen = dose.counts({2: (0, 2), 3: (0, 2), 4: (2, 2)}, levels=FIVE)
    guess = (0.05, 0.15, 0.25, 0.4, 0.6)
    assert dose.CRM(guess, 0.25, SD).recommend(seen).dose == 3
    assert dose.CRM(guess, 0.25, SD, estimate="mean").recommend(seen).dose == 2


def test_adaptive_weights_share_the_window_between_observed_dlts():
    onset = dose.Onset.adaptive([5, 10, 10], 28)
    assert onset(np.array([5.0, 10.0, 28.0])).tolist() == [0.25, 0.75, 1.0]
    assert dose.Onset.adaptive([], 28)(7.0) == 0.25


def test_a_skeleton_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="rises between 0 and 1"):
        dose.CRM((0.1, 0.1), 0.25, SD)
    with pytest.raises(ValueError, match="needs sd="):
        dose.CRM((0.1, 0.2), 0.25)
    with pytest.raises(ValueError, match="needs prior="):
        dose.CRM((0.1, 0.2), 0.25, model="logistic2")
    with pytest.raises(DataError, match="one guess per planned dose"):
        dose.CRM((0.1, 0.2), 0.25, SD).recommend(dose.counts({}, levels=FIVE))


# --- 3+3 ---------------------------------------------------------------------------------------

# From escalation's test_three_plus_three.R (add4557): outcomes, next dose or None, goes on.
STOP_DIALECT = [
    ("1N", 1, True), ("1NN", 1, True), ("1NNN", 2, True), ("1NNT", 1, True), ("1NTT", None, False),
    ("1TTT", None, False), ("1NNN 2NT", 2, True), ("1NNN 2NNN", 3, True), ("1NNN 2NNT", 2, True),
    ("1NNN 2NTT", 1, False), ("1NNN 2TTT", 1, False), ("1NNN 2NNT 2N", 2, True),
]  # fmt: skip
FIVE_UP = "1NNN 2NNN 3NNN 4NNN 5NNN"[:19]
DOWN_DIALECT = [
    ("1NTT", None, False), ("1NNN 2NTT", 1, True), ("1NNN 2TTT", 1, True),
    ("1NNN 2NNT 2NNN", 3, True), ("1NNN 2NNT 2NNT", 1, True), ("1NNN 2NNT 2NTT", 1, True),
    (f"{FIVE_UP} 5NNN", 5, False), (f"{FIVE_UP} 5NNT", 5, True), (f"{FIVE_UP} 5NTT", 4, True),
    (f"{FIVE_UP} 5NNT 5NNN", 5, False), (f"{FIVE_UP} 5NNT 5NNT", 4, True),
    (f"{FIVE_UP} 5NNT 5TTT 4N", 4, True), (f"{FIVE_UP} 5NNT 5TTT 4NNN", 4, False),
    (f"{FIVE_UP} 5NNT 5TTT 4NNT", 4, False), (f"{FIVE_UP} 5NNT 5TTT 4NTT", 3, True),
    (f"{FIVE_UP} 5NNT 5TTT 4NTT 3NNT", 3, False), (f"{FIVE_UP} 5NNT 5TTT 4NTT 3NTT", 2, True),
    (f"{FIVE_UP} 5NNT 5TTT 4NTT 3TTT 2NTT 1NTT", None, False),
    ("1NNN 2NNN 2NNN 3NTT", 2, False), ("1NTN 1NNN 2NNN 3NTT", 2, True),
    ("1NTN 1NTN 2NTN 2NNN 3NTT", 2, False), ("1NTN 1NTN 2NTN 2NTN 3NTT", None, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "text", "level", "going"),
    [("stop", *row) for row in STOP_DIALECT] + [("de-escalate", *row) for row in DOWN_DIALECT],
)
def test_three_plus_three_does_as_escalation_does(dialect, text, level, going):
    found = dose.ThreePlusThree(dialect, early=False).recommend(outcomes(text))
    assert (None if found.dose is None else int(found.dose), found.action != "stop") == (
        level, going,
    )  # fmt: skip


def test_a_protocol_stops_a_cohort_at_its_second_dlt():
    assert dose.ThreePlusThree("stop", early=True).recommend(outcomes("1NNN 2TT")).dose == 1
    assert dose.ThreePlusThree("stop", early=False).recommend(outcomes("1NNN 2TT")).dose == 2


def test_three_plus_three_fills_a_dose_before_it_is_the_mtd():
    # Korn's definition: the highest dose at which six were treated with at most one DLT.
    found = dose.ThreePlusThree("de-escalate").recommend(outcomes("2NNT 2NTT 1NNN"))
    assert (found.action, found.dose) == ("stay", 1)
    with pytest.raises(TypeError, match="takes no others"):
        dose.ThreePlusThree("stop") & dose.NoSkip()


# --- speed -------------------------------------------------------------------------------------


def test_ten_thousand_boin_trials_take_less_than_two_seconds():
    import time

    design, rng = dose.BOIN(0.25), np.random.default_rng(1)
    true, trials = np.array([0.05, 0.1, 0.2, 0.35, 0.5]), 10_000
    n, y = np.zeros((trials, 5), int), np.zeros((trials, 5), int)
    current, going = np.full(trials, -1), np.ones(trials, bool)
    start = time.process_time()
    for _ in range(10):
        at = np.flatnonzero(going)
        found = design.decide_many(n[at], y[at], current[at])
        going[at] = found.action == 0
        rows, level = at[found.action == 0], found.level[found.action == 0]
        current[rows] = level
        n[rows, level] += 3
        y[rows, level] += rng.binomial(3, true[level])
    mtd = design.mtd_many(n, y)
    assert time.process_time() - start < 2
    # BOIN 2.7.2 selects the dose at 0.2 most often in such a scenario.
    assert np.bincount(mtd + 1, minlength=6).argmax() == 3

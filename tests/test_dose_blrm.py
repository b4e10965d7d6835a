"""The BLRM against published fits, brute-force integration, and its own sampler."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate
from scipy.special import expit, logit
from scipy.stats import multivariate_normal

from cart_pkpd import dose
from cart_pkpd._core.errors import DataError
from cart_pkpd._dose.state import state_of

NBG_DOSES = (1, 2.5, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 250)
NBG_PRIOR = dose.BivariateNormal((2.15, 0.52), (0.84, 0.80), 0.134 / (0.84 * 0.80))
LEVELS = (1e6, 3e6, 1e7, 3e7)
WIDE = dose.BivariateNormal((-0.85, 0.2), (2.0, 1.0), -0.3)


def nbg(prior=NBG_PRIOR) -> dose.BLRM:
    return dose.BLRM(NBG_DOSES, reference=250, prior=prior, intervals=(0.16, 0.33))


def cells(**more) -> dose.BLRM:
    return dose.BLRM(LEVELS, reference=1e7, prior=WIDE, intervals=(0.16, 0.33), **more)


def brute(design, observed, doses, cutoffs, nodes=(1001, 701)):
    """Mean and exceedances by a plain midpoint sum over a very fine, uniform grid.

    `observed`: rows of dose, patients, DLTs, weight of each patient without a DLT.
    """
    (m, k), (s, t) = design.prior.mean, design.prior.sd
    cov = [[s * s, s * t * design.prior.corr], [s * t * design.prior.corr, t * t]]
    a = m + s * np.linspace(-7, 7, nodes[0])
    b = k + t * np.linspace(-6.5, 6.5, nodes[1])
    aa, bb = np.meshgrid(a, b, indexing="ij")
    logs = multivariate_normal([m, k], cov).logpdf(np.stack([aa, bb], axis=-1))
    for d, n, y, w in observed:
        p = expit(aa + np.exp(bb) * np.log(d / design.reference))
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = logs + np.where(y > 0, y * np.log(np.maximum(p, 1e-300)), 0.0)
            logs = logs + (n - y) * np.log(np.maximum(1 - w * p, 1e-300))
    f = np.exp(logs - logs.max())
    f /= f.sum()
    h = a[1] - a[0]
    out = []
    for d in doses:
        slope = np.exp(bb) * np.log(d / design.reference)
        row = [float((f * expit(aa + slope)).sum())]
        for c in cutoffs:
            # Each node stands for a cell of width h in a; the share of it beyond the cut counts.
            share = np.clip((aa + h / 2 + slope - logit(c)) / h, 0, 1)
            row.append(float((f * share).sum()))
        out.append(row)
    return np.array(out)


# --- published ---------------------------------------------------------------------------------


def test_the_example_of_neuenschwander_2008_as_fitted_by_bcrm():
    # escalation (commit add4557) tests/testthat/test_trialr_nbg.R quotes the posterior means of
    # bcrm 0.5.4, bcrm(ff = "logit2", prior.alpha = list(4, c(2.15, 0.52), Sigma)), by MCMC on
    # doses 1, 2.5, 5, 10, 25 with 3, 4, 5, 4, 2 patients and 2 DLTs at 25. Tolerance: the
    # Monte-Carlo error of both digits shown there and posterior sds up to 0.15.
    published = [0.01276366, 0.03170250, 0.06454400, 0.13103260, 0.19505604, 0.25486603,
                 0.30990977, 0.36015142, 0.44716663, 0.51852928, 0.64632144, 0.72710146,
                 0.81804596, 0.86567496, 0.89421686]  # fmt: skip
    seen = dose.counts(
        {1: (0, 3), 2.5: (0, 4), 5: (0, 5), 10: (0, 4), 25: (2, 2)}, levels=NBG_DOSES
    )
    table = nbg().recommend(seen).table
    assert_allclose(table["mean"], published, atol=0.006)


def test_the_same_example_as_fitted_by_trialr():
    # trialr (commit cbb43628) docs/articles/A300: stan_nbg("1NNN 2NNNN 3NNNN 4NNNN 7TT",
    # alpha 2.15 (0.84), beta 0.52 (0.8), seed = 2020): means and medians of 4,000 draws.
    mean = [0.0126, 0.0325, 0.0675, 0.1385, 0.2064, 0.2692, 0.3264, 0.3780, 0.4661, 0.5371,
            0.6616, 0.7390, 0.8259, 0.8717, 0.8993]  # fmt: skip
    median = [0.00563, 0.01967, 0.04934, 0.11863, 0.18937, 0.25641, 0.31878, 0.37409, 0.46884,
              0.54698, 0.67700, 0.75753, 0.84691, 0.89297, 0.91986]  # fmt: skip
    seen = dose.counts(
        {1: (0, 3), 2.5: (0, 4), 5: (0, 4), 10: (0, 4), 25: (2, 2)}, levels=NBG_DOSES
    )
    independent = dose.BivariateNormal((2.15, 0.52), (0.84, 0.80), 0.0)
    table = nbg(independent).recommend(seen).table
    assert_allclose(table["mean"], mean, atol=0.008)
    assert_allclose(table["q50"], median, atol=0.011)


def test_weights_of_pending_patients_as_fitted_by_trialr():
    # escalation (add4557) docs A280, get_trialr_nbg_tite(alpha 2.15 (0.84), beta 0.52 (0.8), seed
    # 2020): levels 1, 1, 2, 2, 3, 3, weights 1, 1, 1, 0.9, 1, 0.5, a DLT of the fifth patient.
    mean = [0.0969, 0.163, 0.241, 0.346, 0.420, 0.476, 0.522, 0.559, 0.618, 0.662, 0.735, 0.781,
            0.834, 0.865, 0.885]  # fmt: skip
    median = [0.0585, 0.125, 0.213, 0.335, 0.419, 0.483, 0.534, 0.573, 0.636, 0.681, 0.757, 0.804,
              0.858, 0.889, 0.908]  # fmt: skip
    seen = dose.counts({1: (0, 2), 2.5: (0, 1), 5: (1, 1)}, levels=NBG_DOSES, window=10,
                       pending={2.5: [9], 5: [5]})  # fmt: skip
    independent = dose.BivariateNormal((2.15, 0.52), (0.84, 0.80), 0.0)
    table = nbg(independent).recommend(seen).table
    assert_allclose(table["mean"], mean, atol=0.008)
    assert_allclose(table["q50"], median, atol=0.012)


# --- brute force -------------------------------------------------------------------------------

CASES = {
    "no patient": [],
    "no DLT": [(1e6, 3, 0, 1.0), (3e6, 3, 0, 1.0)],
    "usual": [(1e6, 3, 0, 1.0), (3e6, 3, 0, 1.0), (1e7, 6, 1, 1.0), (3e7, 6, 2, 1.0)],
    "conflict": [(1e6, 6, 4, 1.0), (3e7, 3, 0, 1.0)],
    "expansion": [(1e6, 3, 0, 1.0), (1e7, 60, 9, 1.0)],
}


@pytest.mark.parametrize("case", CASES)
def test_every_probability_is_within_1e4_of_a_very_fine_sum(case):
    design = cells() & dose.EWOC(0.4, 0.3)
    rows = CASES[case]
    seen = dose.counts({d: (y, n) for d, n, y, _ in rows}, levels=LEVELS)
    table = design.recommend(seen).table
    fine = brute(design, rows, LEVELS, (0.16, 0.33, 0.4))
    assert_allclose(table["mean"], fine[:, 0], atol=1e-4)
    assert_allclose(table["under"], 1 - fine[:, 1], atol=1e-4)
    assert_allclose(table["over"], fine[:, 2], atol=1e-4)
    assert_allclose(table["target"], fine[:, 1] - fine[:, 2], atol=1e-4)
    assert_allclose(table["above_0.4"], fine[:, 3], atol=1e-4)
    batch = design._summary(state_of(seen.n, seen.dlts, -1), (0.16, 0.33))
    assert_allclose(batch.mean[0], fine[:, 0], atol=1e-4)
    assert_allclose(batch.above[0.33][0], fine[:, 2], atol=1e-4)


def test_one_probability_by_adaptive_integration():
    # scipy.integrate.dblquad, its own error below 1e-7, for the case "usual" at 1e7.
    design, rows = cells(), CASES["usual"]
    (m, k), (s, t), r = WIDE.mean, WIDE.sd, WIDE.corr
    normal = multivariate_normal([m, k], [[s * s, r * s * t], [r * s * t, t * t]])

    def density(a, b):
        x = np.array([np.log(d / 1e7) for d, *_ in rows])
        p = expit(a + np.exp(b) * x)
        n, y = (np.array([row[i] for row in rows]) for i in (1, 2))
        return normal.pdf([a, b]) * np.prod(p**y * (1 - p) ** (n - y)) * 1e3

    span = (k - 6 * t, k + 6 * t)
    whole = integrate.dblquad(density, *span, m - 7 * s, m + 7 * s, epsabs=1e-6, epsrel=1e-5)[0]
    # at the reference dose the event π ≥ 0.33 is log α ≥ logit 0.33
    over = integrate.dblquad(density, *span, logit(0.33), m + 7 * s, epsabs=1e-6, epsrel=1e-5)[0]
    seen = dose.counts({d: (y, n) for d, n, y, _ in rows}, levels=LEVELS)
    assert design.recommend(seen).table["over"][3] == pytest.approx(over / whole, abs=2e-5)


def test_quantiles_are_those_of_a_very_fine_sum():
    design, rows = cells(), CASES["usual"]
    seen = dose.counts({d: (y, n) for d, n, y, _ in rows}, levels=LEVELS)
    table = design.recommend(seen).table
    for k, d in list(enumerate(LEVELS))[1:3]:
        cuts = [float(table[q][k + 1]) for q in ("q2.5", "q25", "q50", "q75", "q97.5")]
        above = brute(design, rows, [d], cuts)[0, 1:]
        assert_allclose(1 - above, [0.025, 0.25, 0.5, 0.75, 0.975], atol=1e-4)


def test_batches_agree_with_single_trials_and_with_the_fine_grid():
    design = cells() & dose.EWOC(0.33, 0.25) & dose.NoSkip()
    rng = np.random.default_rng(3)
    n = 3 * rng.integers(0, 4, (15, 4))
    y = rng.binomial(n, [0.05, 0.1, 0.25, 0.45])
    current = np.where(n.any(axis=1), 3 - (n[:, ::-1] > 0).argmax(axis=1), -1)
    many = design.decide_many(n, y, current)
    for t in range(len(n)):
        counted = {d: (int(y[t, k]), int(n[t, k])) for k, d in enumerate(LEVELS) if n[t, k]}
        one = design.recommend(dose.counts(counted, levels=LEVELS))
        assert (one.action == "stop") == (many.action[t] == 1)
        if one.dose is not None:
            assert one.dose == LEVELS[many.level[t]]


def test_patients_count_at_the_dose_given_and_pending_ones_with_their_weight():
    levels = dose.Levels(LEVELS, "cells", within=(0.7, 1.3))
    seen = dose.counts({1e6: (0, 3), 3e6: (1, 3)}, levels=levels, pending={1e7: [7.0, 14.0]})
    moved = seen.patients[3].__class__(**{**vars(seen.patients[4]), "amount": 1.7e6,
                                          "evaluable": False})  # fmt: skip
    seen = dose.DoseData(levels, (*seen.patients, moved), 28.0)
    onset = dose.Onset((0, 7, 14, 28), (0, 0.6, 0.85, 1))
    for design, weights in ((cells(), (0.25, 0.5)), (cells(onset=onset), (0.6, 0.85))):
        rows = [(1e6, 3, 0, 1.0), (3e6, 3, 1, 1.0), (1.7e6, 1, 0, 1.0),
                *((1e7, 1, 0, w) for w in weights)]  # fmt: skip
        table = design.recommend(seen).table
        fine = brute(design, rows, LEVELS, (0.16, 0.33))
        assert_allclose(table["mean"], fine[:, 0], atol=1e-4)
        assert_allclose(table["over"], fine[:, 2], atol=1e-4)


def test_a_batch_with_pending_patients_agrees_with_single_trials():
    design = cells() & dose.EWOC(0.33, 0.25) & dose.NoSkip("highest")
    pending = np.zeros((1, 4, 2), int)
    pending[0, 2] = [2, 1]
    many = design.decide_many([[3, 3, 1, 0]], [[0, 0, 0, 0]], [2], pending=pending,
                              share=[0.25, 0.75])  # fmt: skip
    seen = dose.counts({1e6: (0, 3), 3e6: (0, 3), 1e7: (0, 1)}, levels=LEVELS,
                       pending={1e7: [7, 7, 21]})  # fmt: skip
    assert design.recommend(seen).dose == LEVELS[many.level[0]]


def test_a_patient_just_infused_says_nothing_and_a_full_window_everything():
    base = {1e6: (0, 3), 3e6: (1, 3)}
    without = cells().recommend(dose.counts(base, levels=LEVELS)).table
    just = cells().recommend(dose.counts(base, levels=LEVELS, pending={3e6: [0.0]})).table
    assert_allclose(just["mean"], without["mean"], atol=1e-12)
    almost = dose.counts(base, levels=LEVELS, pending={3e6: [28 * (1 - 1e-9)]})
    whole = cells().recommend(dose.counts({1e6: (0, 3), 3e6: (1, 4)}, levels=LEVELS)).table
    assert_allclose(cells().recommend(almost).table["mean"], whole["mean"], atol=1e-6)


# --- properties --------------------------------------------------------------------------------


def test_the_prior_table_is_the_normal_distribution_at_the_reference():
    from scipy.stats import norm

    table = (cells() & dose.EWOC(0.33, 0.25)).prior_table()
    at = table.loc[3]  # at the reference dose, logit π = log α ~ N(−0.85, 2²)
    assert at["over"] == pytest.approx(norm.sf(logit(0.33), -0.85, 2), abs=1e-8)
    assert at["under"] == pytest.approx(norm.cdf(logit(0.16), -0.85, 2), abs=1e-8)
    quantiles = expit(norm.ppf([0.025, 0.25, 0.5, 0.75, 0.975], -0.85, 2))
    assert_allclose(at[["q2.5", "q25", "q50", "q75", "q97.5"]].to_numpy(float), quantiles,
                    atol=1e-6)  # fmt: skip
    assert table["permitted"].tolist() == (table["over"] <= 0.25).tolist()


def test_a_mixture_of_equal_parts_is_the_part_and_weights_move_it():
    same = dose.Mixture((1, 2), (WIDE, WIDE))
    seen = dose.counts({1e6: (0, 3), 1e7: (2, 6)}, levels=LEVELS)
    mixed = dose.BLRM(LEVELS, reference=1e7, prior=same, intervals=(0.16, 0.33))
    assert_allclose(mixed.recommend(seen).table["mean"], cells().recommend(seen).table["mean"],
                    atol=1e-9)  # fmt: skip
    # Mixture posterior: parts weighted by prior weight times marginal likelihood, by brute force.
    other = dose.BivariateNormal((1.0, 0.0), (1.0, 0.5), 0.0)
    two = dose.BLRM(LEVELS, reference=1e7, prior=dose.Mixture((0.7, 0.3), (WIDE, other)),
                    intervals=(0.16, 0.33))  # fmt: skip
    evidence, means = [], []
    for part in (WIDE, other):
        (m, k), (s, t), r = part.mean, part.sd, part.corr
        a, b = np.meshgrid(np.linspace(-14, 14, 1401), np.linspace(-6.5, 6.5, 901), indexing="ij")
        f = multivariate_normal([m, k], [[s * s, r * s * t], [r * s * t, t * t]]).pdf(
            np.stack([a, b], axis=-1))  # fmt: skip
        p = [expit(a + np.exp(b) * np.log(d / 1e7)) for d in LEVELS]
        f = f * (1 - p[0]) ** 3 * p[2] ** 2 * (1 - p[2]) ** 4
        evidence.append(f.sum())
        means.append([(f * q).sum() / f.sum() for q in p])
    w = np.array([0.7, 0.3]) * evidence
    assert_allclose(two.recommend(seen).table["mean"], w @ means / w.sum(), atol=1e-4)


def test_the_critical_dose_has_exactly_the_bound():
    design = cells() & dose.EWOC(0.33, 0.25)
    seen = dose.counts({1e6: (0, 3), 3e6: (0, 3), 1e7: (1, 6)}, levels=LEVELS)
    found = design.critical_dose(seen, 0.33, 0.25)
    assert brute(design, CASES["usual"][:3], [found], (0.33,))[0, 1] == pytest.approx(
        0.25, abs=1e-4
    )
    assert np.isnan(design.critical_dose(seen, 0.33, 1e-12))


def test_the_predictive_distribution_is_the_binomial_averaged():
    design = cells()
    seen = dose.counts({1e6: (0, 3), 3e6: (0, 3), 1e7: (1, 6)}, levels=LEVELS)
    table = design.predictive(seen, 3)
    assert_allclose(table[[0, 1, 2, 3]].sum(axis=1), 1, atol=1e-12)
    mean = design.recommend(seen).table["mean"]
    assert_allclose(table[[0, 1, 2, 3]] @ np.arange(4), 3 * mean, atol=1e-6)


def test_the_choice_of_the_largest_and_of_the_target_differ_as_they_should():
    seen = dose.counts({1e6: (0, 3), 3e6: (0, 3), 1e7: (0, 6), 3e7: (0, 12)}, levels=LEVELS)
    rule = dose.EWOC(0.33, 0.25)
    table = (cells() & rule).recommend(seen).table
    fine = table["over"] <= 0.25
    assert (cells(choice="largest") & rule).recommend(seen).dose == max(table["dose"][fine])
    best = table["dose"][table["target"].where(fine).idxmax()]
    assert (cells() & rule).recommend(seen).dose == best


def test_lists_do_as_well_as_tuples():
    seen = dose.counts({1e6: (0, 3)}, levels=LEVELS, pending={3e6: [7.0]})
    listed = dose.BLRM(
        list(LEVELS), reference=1e7, intervals=[0.16, 0.33],
        prior=dose.Mixture([1.0], [dose.BivariateNormal([-0.85, 0.2], [2.0, 1.0], -0.3)]),
        onset=dose.Onset([0, 28], [0, 1]),
    )  # fmt: skip
    assert_allclose(listed.recommend(seen).table["over"], cells().recommend(seen).table["over"])
    assert listed.decide_many([[3, 0, 0, 0]], [[0, 0, 0, 0]], [0]).level.shape == (1,)


def test_other_doses_than_the_designs_are_refused():
    with pytest.raises(DataError, match="give both the same levels"):
        cells().recommend(dose.counts({}, levels=[1e6, 2e6]))


def test_arguments_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="rising probabilities"):
        dose.BLRM(LEVELS, reference=1e7, prior=WIDE, intervals=(0.33, 0.16))
    with pytest.raises(ValueError, match="reference dose"):
        dose.BLRM(LEVELS, reference=0, prior=WIDE, intervals=(0.16, 0.33))
    with pytest.raises(ValueError, match="standard deviations"):
        dose.BivariateNormal((0, 0), (0, 1), 0)
    with pytest.raises(ValueError, match="correlation"):
        dose.BivariateNormal((0, 0), (1, 1), 1)
    with pytest.raises(ValueError, match="onset"):
        dose.Onset((0,), (0,))


def test_the_description_says_all_there_is_to_know():
    said = (cells() & dose.EWOC(0.33, 0.25) & dose.NoSkip()).description
    for part in (
        "reference 1×10⁷ cells", "N(−0.85, 2²)", "N(0.2, 1²)", "corr −0.3", "0.16–0.33",
        "largest probability", "P(DLT rate ≥ 0.33) ≤ 0.25", "above the current",
    ):  # fmt: skip
        assert part in said


def test_ten_thousand_trials_take_seconds():
    import time

    design = cells() & dose.EWOC(0.33, 0.25) & dose.NoSkip() & dose.StopIfToxic(0.33, 0.9)
    rng = np.random.default_rng(5)
    trials, true = 2_000, np.array([0.05, 0.1, 0.2, 0.4])
    n, y = np.zeros((trials, 4), int), np.zeros((trials, 4), int)
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
    # 2,000 of 10,000 trials; most states repeat, so 10,000 take less than five times as long.
    assert time.process_time() - start < 20
    assert n.sum(axis=1).max() == 30


@pytest.mark.slow
def test_sampling_and_quadrature_agree_within_the_monte_carlo_error():
    design = cells() & dose.EWOC(0.33, 0.25)
    seen = dose.counts({1e6: (0, 3), 3e6: (0, 3), 1e7: (1, 6), 3e7: (2, 5)}, levels=LEVELS,
                       pending={3e7: [14.0]})  # fmt: skip
    exact = design.recommend(seen).table
    drawn = design.pymc(seen, seed=11)
    assert drawn.verdict.ok
    table = drawn.table()
    for name in ("mean", "under", "target", "over"):
        error = table[f"{name}_mcse"] + 1e-4
        assert (np.abs(table[name] - exact[name]) < 4 * error).all(), name
    assert (np.abs(table["quantile"] - exact["q75"]) < 4 * table["quantile_mcse"]).all()
    certain = table["decided"]
    assert (table["eligible"] == (exact["over"] <= 0.25))[certain].all()


@pytest.mark.slow
def test_a_decision_on_the_bound_is_flagged_by_the_sampler():
    seen = dose.counts({1e6: (0, 3), 3e6: (0, 3), 1e7: (1, 6)}, levels=LEVELS)
    over = float(cells().recommend(seen).table["over"][3])
    drawn = (cells() & dose.EWOC(0.33, over)).pymc(seen, seed=4, draws=500)
    assert not drawn.table()["decided"][3]
    assert any("inside the Monte-Carlo error" in f for f in drawn.flags)

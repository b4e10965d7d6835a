"""Verdicts on made statistics, whose numbers are known in closed form, and errors on the way."""

import json

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from cart_pkpd import data, fit, models
from cart_pkpd._crs.sampling import worst
from cart_pkpd._fit.verdict import CRITERIA, Verdict, judge

CHAINS, DRAWS = 4, 1000
DIMS = ("chain", "draw")


def independent(seed=1):
    return np.random.default_rng(seed).standard_normal((CHAINS, DRAWS))


def posterior(x):
    return xr.Dataset({"calm": (DIMS, independent(8)), "theta": (DIMS, x)})


def stats(energy=None, diverging=0, deepest=0, unsolved=0):
    def flags(n):
        out = np.zeros((CHAINS, DRAWS), dtype=bool)
        out.ravel()[:n] = True
        return out

    error = np.where(flags(diverging), 2000.0, np.nan)
    error.ravel()[:unsolved] = np.nan
    return xr.Dataset(
        {
            "diverging": (DIMS, flags(diverging)),
            "energy": (DIMS, independent(2) if energy is None else energy),
            "maxdepth_reached": (DIMS, flags(deepest)),
            "depth": (DIMS, np.where(flags(deepest), 10, 4)),
            "divergence_energy_error": (DIMS, error),
        }
    )


def autoregressive(phi, seed=3):
    rng = np.random.default_rng(seed)
    x = np.empty((CHAINS, DRAWS))
    x[:, 0] = rng.standard_normal(CHAINS)
    for t in range(1, DRAWS):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * rng.standard_normal(CHAINS)
    return x


def failed(verdict):
    table = verdict.criteria()
    assert verdict.ok == table["met"].all()
    return set(table.index[~table["met"].astype(bool)])


def test_independent_draws_pass_and_say_so():
    """E-BFMI of independent draws is 2: E(x_t − x_{t−1})² = 2 var (within 0.2 for 1000 draws)."""
    found = judge(posterior(independent()), stats())
    assert found.ok
    assert failed(found) == set()
    assert_allclose(found.ebfmi, 2.0, atol=0.2)
    assert found.min_ebfmi == min(found.ebfmi)
    assert found.sentence.startswith("Converged: R-hat at most 1.00")
    assert f"E-BFMI at least {found.min_ebfmi:.2f}" in found.sentence


def test_energy_fractions_have_their_closed_form():
    """A ramp of n draws has change 1 and variance (n² − 1)/12; ±1 in turn has 4 and 1."""
    energy = independent(2)
    energy[1] = np.arange(DRAWS)
    energy[3] = np.tile([1.0, -1.0], DRAWS // 2)
    found = judge(posterior(independent()), stats(energy))
    assert_allclose(found.ebfmi[1], 12.0 / (DRAWS**2 - 1), rtol=1e-10)
    assert_allclose(found.ebfmi[3], 4.0, rtol=1e-12)
    assert failed(found) == {"min_ebfmi"}
    assert found.sentence == "Not converged: E-BFMI down to 0.00 in chain 2 (limit 0.3)."
    assert found.criteria().loc["min_ebfmi", "where"] == "chain 2"


@pytest.mark.parametrize(("phi", "passes"), [(0.95, False), (0.5, True)])
def test_energy_of_known_autocorrelation(phi, passes):
    """E-BFMI of an AR(1) is 2 (1 − φ), here 0.1 and 1 (within 30 % for 1000 draws)."""
    found = judge(posterior(independent()), stats(autoregressive(phi)))
    assert_allclose(np.mean(found.ebfmi), 2 * (1 - phi), rtol=0.3)
    assert ("min_ebfmi" not in failed(found)) is passes


def test_energy_that_never_changes_has_no_fraction():
    found = judge(posterior(independent()), stats(np.zeros((CHAINS, DRAWS))))
    assert np.isnan(found.min_ebfmi)
    assert failed(found) == {"min_ebfmi"}


def test_chains_apart_have_a_large_rhat():
    x = independent()
    x[0] += 1.0
    found = judge(posterior(x), stats())
    assert "max_rhat" in failed(found)
    assert found.worst == "theta"
    assert "R-hat up to 1." in found.sentence
    assert "for theta (limit 1.01)" in found.sentence


def test_slow_chains_have_few_effective_draws():
    """ESS of the mean of an AR(1) is N (1 − φ)/(1 + φ) = 211 of 4000 for φ = 0.9 (within 30 %)."""
    found = judge(posterior(autoregressive(0.9)), stats())
    assert_allclose(found.min_ess_bulk, 4000 * 0.1 / 1.9, rtol=0.3)
    assert "min_ess_bulk" in failed(found)
    assert found.worst_bulk == "theta"
    assert f"bulk effective sample size down to {found.min_ess_bulk:.0f} for theta" in (
        found.sentence
    )


def test_a_slow_scale_shows_in_the_tails_only():
    """Independent signs leave ranks about 0 independent; a slow scale makes tails slow."""
    sign = np.sign(np.random.default_rng(5).standard_normal((CHAINS, DRAWS)))
    found = judge(posterior(sign * np.exp(autoregressive(0.99, 6))), stats())
    assert failed(found) - {"max_rhat"} == {"min_ess_tail"}
    assert found.worst_tail == "theta"
    assert "tail effective sample size" in found.sentence


@pytest.mark.parametrize(("deepest", "passes"), [(200, True), (201, False)])
def test_one_draw_in_twenty_may_reach_the_largest_tree(deepest, passes):
    found = judge(posterior(independent()), stats(deepest=deepest))
    assert found.max_depth_share == deepest / 4000
    assert found.max_depth == 10
    assert (failed(found) == set()) is passes
    assert ("at the largest tree depth" not in found.sentence) is passes


def test_divergences_are_counted_and_those_without_a_solution_told():
    found = judge(posterior(independent()), stats(diverging=5, unsolved=2), 31)
    assert failed(found) == {"divergences"}
    assert (found.divergences, found.unsolved, found.unsolved_evaluations) == (5, 2, 31)
    assert "5 divergent transitions (2 of them where the density was not a number)" in (
        found.sentence
    )
    assert "1 divergent transition." in judge(posterior(independent()), stats(diverging=1)).sentence


def test_every_criterion_names_its_source():
    table = judge(posterior(independent()), stats()).criteria()
    assert list(table.index) == list(CRITERIA)
    assert (table["source"] != "").all()
    assert (table["limit"] != "").all()


def test_a_verdict_survives_a_file():
    found = judge(posterior(independent()), stats(diverging=1), 3)
    assert Verdict(**json.loads(json.dumps(found.as_dict()))) == found
    # Files written before there was an E-BFMI per chain.
    assert Verdict(True, "Converged.", 1.0, "a", 900.0, 800.0, 0, 1.0, 0.0).ebfmi == ()


def test_several_imputations_have_the_verdict_of_the_worst():
    good = judge(posterior(independent()), stats())
    bad = judge(posterior(independent()), stats(diverging=2))
    assert worst([good, bad]).divergences == 2
    assert not worst([good, bad]).ok


# --- errors on the way ---------------------------------------------------------------------


class Line(models.ClosedFormModel):
    """Mono-exponential decline."""

    c0 = models.Positive(100.0, "copies/µg", "level at 0")
    k = models.Positive(0.1, "1/day", "decline rate")

    def log_level(self, t, p):
        return models.math.log(p.c0) - p.k * t


def one_patient():
    import pandas as pd

    t = np.linspace(1, 20, 12)
    noise = 0.2 * np.random.default_rng(5).standard_normal(t.size)
    table = pd.DataFrame(
        {"ID": "p", "TIME": t, "DV": 250.0 * np.exp(-0.12 * t + noise), "DVID": "transgene"}
    )
    return data.read_table(table, units={"transgene": "copies/µg"}, echo=False)


@pytest.mark.parametrize("error", [ZeroDivisionError("told"), KeyboardInterrupt("told")])
def test_an_error_of_a_listener_stops_the_fit(error):
    def tell(progress):
        if progress.stage == "sampling":
            raise error

    with pytest.raises(type(error), match="told"):
        fit.bayes(
            Line(), one_patient(), fit.population(), draws=20000, tune=100, chains=2, progress=tell
        )

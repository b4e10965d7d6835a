"""Records side by side: the likelihoods of one by one, whatever the kinds of records."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_ndtr
from test_engine_translation import POINTS, formulas

from cart_pkpd import models
from cart_pkpd._engine.compiling import loglik_of
from cart_pkpd._engine.expression import call, constant, evaluate, symbol, symbols_of
from cart_pkpd._engine.grouping import grouped
from cart_pkpd._engine.keeping import kept, per_sigma
from cart_pkpd._engine.kernel import kernel, records_kernel
from cart_pkpd._engine.lane_arrays import in_lanes
from cart_pkpd._engine.program import Program, value_symbol
from cart_pkpd._engine.schedule import schedule
from cart_pkpd._engine.source import DV, LEVEL, LOW, Likelihood, sigma_symbol
from cart_pkpd._engine.widening import BYTES, WIDTH
from cart_pkpd._stats.compiled import _CODES as CODES
from cart_pkpd._stats.error import error_model
from cart_pkpd._stats.likelihood import record_loglik

ERRORS = ("lognormal", "student_t", "additive", "proportional", "combined")
CLOSED = [n for n in models.names() if not models.get(n).program.states]
SCALES = dict.fromkeys(("a", "b"), ("identity", 1.0))


class Likelihoods:
    """The likelihood of records of a program, by the kernel that is asked for."""

    def __init__(self, program, wrt, likelihood, patient, endpoint, time, code, dv, low, base):
        k = len(base)
        plan = schedule(k, patient=patient, time=time, endpoint=endpoint)
        o = plan.order
        self.n, self.k, self.m, self.s = len(o), k, len(wrt), len(likelihood.sigmas)
        self.order = o
        self.data = [base, *plan.arrays, code[o], dv[o], low[o], np.zeros(1), np.zeros(4)]
        groups = grouped(plan.ob_start, plan.ob_time, plan.ob_endpoint, code[o], dv[o], low[o])
        self.groups = [groups.start, groups.endpoint, groups.codes, groups.given, groups.row]
        self.kernels = {
            "one by one": loglik_of(kernel(program, wrt, likelihood)),
            "side by side": loglik_of(records_kernel(program, wrt, likelihood)),
        }

    def __call__(self, free, sigmas, by="side by side", patients=None):
        """Total, slopes by patient and by sigma, levels and their slopes, status."""
        k, m, s = self.k, self.m, self.s
        out = [np.full(k, 7.0), np.full((k, m), 7.0), np.full((k, s), 7.0), np.zeros(k, dtype=int),
               np.full(self.n, 7.0), np.full((self.n, m), 7.0)]  # fmt: skip
        given = (free, np.asarray(sigmas, dtype=float), *self.data)
        held = [np.ascontiguousarray(a) for a in given]
        groups = np.array([a.ctypes.data for a in self.groups])
        table = np.array([*(a.ctypes.data for a in (*held, *out)), 0, groups.ctypes.data])
        self.kernels[by].ctypes(*(patients or (0, k)), table.ctypes.data)
        total, slope, sigma_slope, status, level, sens = out
        level[self.order], sens[self.order] = level.copy(), sens.copy()
        return total, slope, sigma_slope, level, sens, status


def likelihood_of(program, error):
    """Every kind of record of every endpoint, with an error of its own."""
    error, by_endpoint, sigmas = error_model(error), [], []
    for e in range(len(program.endpoints)):
        own = {n: sigma_symbol(f"sigma_{e}_{n}") for n in (q.name for q in error.sigmas)}
        sigmas += [f"sigma_{e}_{n}" for n in own]
        level = LEVEL if error.on_log or not program.observe_log else call("exp", LEVEL)
        by_endpoint.append(tuple(record_loglik(error, c, DV, LOW, level, own) for c in CODES))
    return Likelihood(tuple(by_endpoint), tuple(sigmas))


def of_model(name, error, counts=(16, 0, 3, 9, 8, 1, 20, 5, 8, 2)):
    """Ten patients with records of all kinds, as many as no group and several groups hold."""
    model, rng = models.get(name), np.random.default_rng(3)
    program = model.program
    patient = np.repeat(np.arange(len(counts)), counts)
    n = patient.size
    time = np.sort(rng.uniform(0, 60, n))
    dv = np.exp(rng.normal(5, 2, n))
    typical = [model.parameters[p].typical for p in program.values[: program.n_parameters]]
    base = np.tile(typical, (len(counts), 1)) if typical else np.zeros((len(counts), 0))
    code = rng.choice(4, n, p=[0.6, 0.2, 0.1, 0.1])
    found = Likelihoods(
        program, model.estimated, likelihood_of(program, error), patient, np.zeros(n, dtype=int),
        time, code, dv, 0.5 * dv, base,
    )  # fmt: skip
    free = [float(q.to_free(q.typical)) for q in map(model.parameters.get, model.estimated)]
    return found, np.array(free) + 0.3 * rng.standard_normal((len(counts), len(free))), rng


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", ["stein2019"])
def test_likelihoods_are_those_of_one_by_one(name, error):
    """Of ten patients with all kinds of records: to 1e-11, that of the levels to 1e-13."""
    found, free, rng = of_model(name, error)
    sigmas = np.exp(rng.normal(-0.5, 0.3, found.s))
    one, side = (found(free, sigmas, by=by) for by in ("one by one", "side by side"))
    for place, rtol in zip(range(6), (1e-11, 1e-11, 1e-11, 1e-13, 1e-12, 0), strict=True):
        largest = np.maximum(np.abs(one[place]).max(axis=0), 1e-300)
        assert np.isfinite(one[place]).all()
        assert_allclose(side[place] / largest, one[place] / largest, rtol=rtol, atol=rtol)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED)
def test_every_closed_form_has_the_likelihoods_of_one_by_one(name):
    test_likelihoods_are_those_of_one_by_one(name, "lognormal")


def test_a_patient_does_not_see_the_others():
    """Bit by bit the same alone, in company, and from wherever the work is cut."""
    found, free, _ = of_model("stein2019", "lognormal")
    together = found(free, [0.4])
    for i in range(found.k):
        alone = found(free, [0.4], patients=(i, i + 1))
        for a, b in zip(alone[:3], together[:3], strict=True):
            assert_array_equal(a[i], b[i])


def test_a_patient_whose_level_is_no_number_has_a_status():
    """The others have theirs; what is not a number is so one by one too."""
    found, free, _ = of_model("stein2019", "lognormal")
    free[3] = np.nan
    one, side = (found(free, [0.4], by=by) for by in ("one by one", "side by side"))
    assert side[5].tolist() == one[5].tolist() == [0, 0, 0, 4, 0, 0, 0, 0, 0, 0]
    for a, b in zip(one[:3], side[:3], strict=True):
        assert_array_equal(np.isnan(a), np.isnan(b))
        assert np.isnan(b[3]).all()


def in_a_level(named, points):
    """Values of formulas of two parameters, one row per point, as levels side by side."""
    k, e = len(points), len(named)
    program = Program(
        "records", (), ("a", "b"), 2, 0, tuple(named), observe=tuple(named.values()), scales=SCALES
    )
    likelihood = Likelihood(tuple((LEVEL,) * len(CODES) for _ in named), ())
    nothing = np.zeros(k * e)
    found = Likelihoods(
        program, ("a", "b"), likelihood, np.repeat(np.arange(k), e), np.tile(np.arange(e), k),
        nothing, nothing.astype(int), nothing, nothing, np.zeros((k, 2)),
    )  # fmt: skip
    return found(np.asarray(points, dtype=float), [])[3].reshape(k, e)


def test_every_function_is_what_numpy_computes():
    """To 1e-13."""
    named = formulas()
    at = {"p_a": POINTS[:, 0], "p_b": POINTS[:, 1]}
    expected = [np.broadcast_to(v, len(POINTS)) for v in evaluate([*named.values()], at)]
    assert_allclose(in_a_level(named, POINTS), np.array(expected).T, rtol=1e-13)


def test_normal_probabilities_are_scipys():
    """Ln of the probability and its slope, the density over it: to 3e-15.

    Where a density is part of it, v² times the spacing of numbers at 1 is added: the error of
    the density's exponent, in either.
    """
    v = np.concatenate([np.linspace(-38, 36, 1523), -np.logspace(1.5, 4, 60), [0.0, -0.0]])
    a = value_symbol("a")
    named = {"log_ndtr": call("log_ndtr", a), "mills": call("mills", a)}
    found = in_a_level(named, np.column_stack([v, v]))
    below, allowed = log_ndtr(v), 3e-15 + 2.3e-16 * v**2
    apart = np.abs(found[:, 0] / below - 1)
    assert (apart <= np.where(v > 0, allowed, 3e-15)).all()
    slope = np.exp(-0.5 * v**2 - 0.5 * np.log(2 * np.pi) - below)
    near = v > -37
    assert (np.abs(found[near, 1] / slope[near] - 1) <= 2 * allowed[near]).all()
    far = v[~near]
    series = -far / (1 - far**-2 + 3 * far**-4 - 15 * far**-6)
    assert_allclose(found[~near, 1], series, rtol=105 / 37**8)


def test_ln_of_one_more_is_numpys():
    """From the smallest number to the largest, and at the end of its range: to 4e-16."""
    rng = np.random.default_rng(5)
    v = np.concatenate(
        [np.exp(rng.uniform(-700, 700, 3000)), -np.exp(rng.uniform(-700, 0, 3000)),
         [0.0, -0.5, 1e-16, -1e-16, np.inf, -1.0]]
    )  # fmt: skip
    found = in_a_level({"log1p": call("log1p", value_symbol("a"))}, np.column_stack([v, v]))[:, 0]
    with np.errstate(divide="ignore"):
        assert_allclose(found, np.log1p(v), rtol=4e-16)
    outside = in_a_level({"log1p": call("log1p", value_symbol("a"))}, [[-1.5, 0], [np.nan, 0]])
    assert np.isnan(outside).all()


def test_every_record_has_one_lane():
    """Of any number of records, in groups of one endpoint, with the kinds that are in them."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 30, 40)
    start = np.concatenate([[0], np.cumsum(counts)])
    n = start[-1]
    endpoint, code = rng.integers(0, 3, n), rng.integers(0, 4, n)
    time, dv, low = rng.uniform(0, 9, n), np.exp(rng.normal(size=n)), np.exp(rng.normal(size=n))
    found = grouped(start, time, endpoint, code, dv, low)
    used = found.row >= 0
    assert_array_equal(np.sort(found.row[used]), np.arange(n))
    who = np.repeat(np.arange(40), np.diff(found.start))
    assert_array_equal(np.repeat(np.arange(40), counts)[found.row[used]], who[np.nonzero(used)[0]])
    assert_array_equal(endpoint[found.row[used]], found.endpoint[np.nonzero(used)[0]])
    every = np.array([time, dv, low, np.log(dv), np.log(low), code])
    assert_array_equal(np.moveaxis(found.given, 1, 2)[used].T, every[:, found.row[used]])
    assert (np.moveaxis(found.given, 1, 2)[~used][:, -1] == -1).all()
    for codes, kinds, real in zip(found.codes, found.given[:, -1], used, strict=True):
        assert codes == sum(1 << int(c) for c in set(kinds[real]))


def test_what_is_kept_is_as_large_as_can_be():
    """The formula's value stays, and what is left of it does not contain a kept operation."""
    a, b, t = value_symbol("a"), value_symbol("b"), symbol("t")
    root = call("exp", -(call("log", a) + b * b) * t) + call("log", a) / b + t
    (left,), parts = kept([root], {"p_a", "p_b"})
    assert len(parts) == 2
    assert symbols_of(parts) == {"p_a", "p_b"}
    assert symbols_of([left]) == {"kept_0", "kept_1", "t"}
    at = {"p_a": 1.7, "p_b": 0.3, "t": 2.0}
    at |= {f"kept_{i}": v for i, v in enumerate(evaluate(parts, at))}
    assert_allclose(evaluate([left], at), evaluate([root], at), rtol=1e-15)


def test_nothing_is_kept_of_symbols_and_numbers_alone():
    a, t = value_symbol("a"), symbol("t")
    (left,), parts = kept([a * t + constant(2.0)], {"p_a"})
    assert parts == []
    assert symbols_of([left]) == {"p_a", "t"}


def test_logarithms_and_quotients_of_residual_parameters_have_symbols():
    s, f = symbol("s_own0"), symbol("f")
    root = (call("log", DV) - f) / s - call("log", s) + call("log", LOW) + call("log", f)
    (left,) = per_sigma([root], {"s_own0": 0})
    assert symbols_of([left]) == {"ln_dv", "ln_low", "ln_own0", "per_own0", "f"}
    at = {"dv": 3.0, "low": 2.0, "f": 1.2, "s_own0": 0.4}
    logs = {"ln_dv": np.log(3.0), "ln_low": np.log(2.0), "ln_own0": np.log(0.4), "per_own0": 2.5}
    assert_allclose(evaluate([left], at | logs), evaluate([root], at), rtol=1e-15)


@pytest.mark.parametrize("n", [0, 1, WIDTH, 2 * WIDTH + 3])
def test_arrays_in_lanes_begin_where_lanes_may(n):
    rows = np.random.default_rng(n).normal(size=(n, 2, 3))
    found = in_lanes(rows, missing=5.0)
    assert n == 0 or found.ctypes.data % BYTES == 0
    assert found.shape == (-(-n // WIDTH), 2, 3, WIDTH)
    back = np.moveaxis(found, -1, 1).reshape(-1, 2, 3)
    assert_array_equal(back[:n], rows)
    assert (back[n:] == 5.0).all()

"""The page of population fits beside peers prints what this package computes."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/fit_peers.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import fit_peers
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return fit_peers


def printed(title, row):
    """Return the cells of a row of the table under a heading, as text."""
    section = PAGE.split(f"## {title}")[1].split("\n## ")[0]
    cells = next(line for line in section.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in cells.strip("| ").split(" | ")][1:]


def agrees(value, text):
    """A value rounds to the digits printed; a last digit may differ by one between machines."""
    number = re.match(r"[\d.]+", text.replace(",", "")).group()
    step = 10.0 ** -len(number.partition(".")[2])
    assert_allclose(value, float(number), rtol=0, atol=0.6 * step)


def check(title, row, found):
    cells = printed(title, row)
    values = list(found["estimates"].values())
    assert len(cells) >= len(values) + 1
    for value, text in zip([*values, found["ofv"]], cells, strict=False):
        agrees(value, text)


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_theophylline(benchmark, tmp_path, method):
    trial = benchmark.theophylline.trial(tmp_path)
    for error, title in (
        ("additive", "Theophylline, additive error"),
        ("combined", "Theophylline, combined error"),
    ):
        found = benchmark.ours(benchmark.fit_theophylline(trial, error, method), True)
        check(title, f"cart_pkpd {method}", found)


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_records_below_the_lloq(benchmark, tmp_path, method):
    levels = benchmark.simulated(1)
    title = "Sixty patients, one record in six below the LLOQ"
    assert f"{(levels < benchmark.LLOQ).mean():.1%}".replace("%", " %") in PAGE
    for drop, label in ((False, "M3"), (True, "left out")):
        trial = benchmark.expansion_trial(levels, tmp_path, drop)
        found = benchmark.ours(benchmark.fit_expansion(trial, method), False)
        check(title, f"cart_pkpd {method}, {label}", found)


def test_what_the_benchmark_recorded_is_what_is_printed(benchmark):
    found = benchmark.report()
    for tool, title in (
        ("theophylline, additive", "Theophylline, additive error"),
        ("theophylline, combined", "Theophylline, combined error"),
    ):
        for name in ("LME", "SAEM"):
            check(title, f"pynlme {name}", found["fits"][f"{tool} | pynlme {name}"])
    title = "Sixty patients, one record in six below the LLOQ"
    for name in ("LME", "FOCE", "SAEM"):
        result = found["fits"][f"expansion, BLQ left out | pynlme {name}"]
        check(title, f"pynlme {name}, left out", result)
    for row, key in (
        ("cart_pkpd M3", "cart_pkpd M3"),
        ("cart_pkpd left out", "cart_pkpd left out"),
        ("pynlme LME left out", "pynlme LME"),
    ):
        cells = [cell.replace("−", "-").split(" ± ") for cell in printed(title, row)]
        values = [found["bias_percent"][key][name] for name in benchmark.TRUTH]
        assert_allclose(np.array(cells, float), values, atol=0.0501)


def linearised(job, e):
    """-2 ln L linearised at the modes; and with the term of the slopes left out, as openpkpd.

    Slopes by differences, modes by SciPy.
    """
    full, without = 0.0, 0.0
    omega = np.diag([e["omega_ka"] ** 2, e["omega_cl"] ** 2])
    for who in job["patients"]:
        t, y = np.array(who["time"]), np.array(who["value"])

        def level(eta, t=t, dose=who["dose"]):
            ka, cl = e["ka"] * np.exp(eta[0]), e["cl"] * np.exp(eta[1])
            scale = dose * e["ke"] * ka / (cl * (ka - e["ke"]))
            return scale * (np.exp(-e["ke"] * t) - np.exp(-ka * t))

        def joint(eta, y=y, level=level):
            misfit = (y - level(eta)) @ (y - level(eta)) / e["sigma_add"] ** 2
            return misfit + eta @ np.linalg.solve(omega, eta)

        eta = optimize.minimize(joint, [0.0, 0.0], method="BFGS").x
        steps = 1e-6 * np.eye(2)
        g = np.stack([(level(eta + h) - level(eta - h)) / 2e-6 for h in steps], axis=1)
        normal = stats.multivariate_normal(
            cov=g @ omega @ g.T + e["sigma_add"] ** 2 * np.eye(t.size)
        )
        full -= 2.0 * normal.logpdf(y - level(eta) + g @ eta)
        penalty = eta @ np.linalg.solve(omega, eta) - eta.size * np.log(2.0 * np.pi)
        without += penalty - 2.0 * normal.logpdf(y - level(eta))
    return full, without


def test_why_focei_of_openpkpd_differs(benchmark, tmp_path):
    """The OFV that openpkpd 0.3.4 reports at its estimates, as the benchmark recorded both."""
    job = benchmark.theophylline_job("additive")
    trial = benchmark.theophylline.trial(tmp_path)
    own = benchmark.ours(benchmark.fit_theophylline(trial, "additive", "foce"), True)
    assert_allclose(linearised(job, own["estimates"])[0], own["ofv"], atol=1e-5)
    theirs = benchmark.report()["fits"]["theophylline, additive | openpkpd FOCEI"]
    full, without = linearised(job, theirs["estimates"])
    assert_allclose(without, theirs["ofv"], atol=1e-4)
    assert f"{theirs['ofv']:.3f}" in PAGE
    assert f"{full:.3f}, {full - own['ofv']:.2f} above" in " ".join(PAGE.split())

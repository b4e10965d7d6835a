"""What every picture must say: units on its axes, how wide its intervals are, where the LLOQ is.

`SAYS` has a line for each public plot; a new plot fails until it has one. Most are drawn from
made-up results or from the gallery's entries that need no fit, the others in the slow tests.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diagnostics_inputs as lines
import figure_inputs as made
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_plots_all import PLOTS, QUICK

from cart_pkpd import checks, compare, datasets, plots

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import make_gallery as gallery

DAYS, LEVEL, DOSE = "days", "copies/µg", "cells"


@dataclass(frozen=True)
class Says:
    """Words on axes or headings, the interval's probability [%], whether records are drawn."""

    labels: tuple[str, ...] = ()
    percent: int | None = None
    records: bool = False


SAYS = {
    "boin_table": Says(("Patients at the current dose", "DLTs among them")),
    "comparison": Says(("log predictive density",)),
    "crs_course": Says((DAYS, "CRS grade")),
    "crs_incidence": Says((DAYS, "%"), 90),
    "crs_odds_ratios": Says(("Odds ratio", "hazard ratio"), 90),
    "crs_response": Says(("pg/mL", "%"), 90),
    "cytokines": Says((DAYS, "pg/mL"), records=True),
    "dlt_by_dose": Says((DOSE, "%"), 90),
    "dose_intervals": Says((DOSE, "%", "P(DLT) < 0.16", "≥ 0.33")),
    "dose_scenarios": Says((DOSE, "DLTs in the next 3", "dose of the cohort")),
    "dose_toxicity": Says((DOSE, "%"), 95),
    "eta_covariates": Says(("η", DOSE), 90),
    "etas": Says(("Deviation", "Density", "shrinkage")),
    "exposure": Says((DOSE, LEVEL), 90),
    "exposure_power": Says((DOSE, LEVEL), 90),
    "exposure_response": Says((LEVEL, "%"), 95),
    "exposure_twin": Says((LEVEL,), 90),
    "exposure_twins": Says((LEVEL,), 90),
    "gof": Says((DAYS, LEVEL, "CWRES", "IWRES"), 90, records=True),
    "goodness_of_fit": Says((LEVEL, "Observed"), records=True),
    "individual": Says((DAYS, LEVEL, DOSE, "infusion"), 90, records=True),
    "intervals": Says(("prior median", LEVEL, DAYS), 90),
    "mediated_share": Says(("P(DLT)", DOSE), 90),
    "nca_profile": Says((DAYS, LEVEL), records=True),
    "nca_profiles": Says((DAYS, LEVEL, DOSE), records=True),
    "npde": Says((DAYS, LEVEL, "NPDE"), 90),
    "observed_vs_predicted": Says((LEVEL, "Observed"), records=True),
    "operating_characteristics": Says((DOSE, "%", "± 2 Monte-Carlo SE")),
    "patient_elpd": Says(("ln units", "± 2 Monte-Carlo SE")),
    "peaks_by_dose": Says((DOSE, "pg/mL"), 90),
    "persistence": Says((DAYS, "%", DOSE)),
    "posterior": Says((LEVEL, DAYS), 90),
    "predictive_exposure": Says((LEVEL, "n = "), 90),
    "prior_predictive": Says((DAYS, LEVEL), 90, records=True),
    "prior_sensitivity": Says(("Sensitivity", "threshold")),
    "profiles": Says((DAYS, LEVEL, DOSE), records=True),
    "ranks": Says(("Rank", LEVEL), 99),
    "residual": Says((DAYS, "NPDE"), 90),
    "sbc": Says(("ECDF", "Rank"), 95),
    "search": Says(("Step", "better")),
    "simulated": Says((DAYS, LEVEL, "5th to 95th percentile", "LLOQ 50")),
    "spider": Says((DAYS, "%")),
    "survival": Says(("months", DOSE), 95),
    "swimmer": Says((DAYS, DOSE)),
    "toxicity_by_exposure": Says((LEVEL, "%", DOSE), 90),
    "trace": Says(("Draw", LEVEL)),
    "vpc": Says((DAYS, LEVEL, "% of samples"), 90),
    "waterfall": Says(("%", DOSE)),
}


def of_fit(check: Callable[..., Any], **options: Any) -> Any:
    """Return a check of a known fit of patients with limits, a dose level and a sex."""
    return check(known(), **options)


@functools.cache
def known(**changed: float) -> Any:
    """Return that fit, with another value of a quantity than the true one where given."""
    rng = np.random.default_rng(21)
    truth = {"c0": 100.0, "k": 0.1, "omega_c0": 0.6, "omega_k": 0.03, "sigma_log": 0.4}
    level = lines.simulated_line(rng, 24, omega_c0=0.6, omega_k=0.03, sigma=0.4)
    doses = {"dose_level": np.repeat([1e6, 1e7], 12), "sex": np.tile(["F", "M"], 12)}
    records = lines.trial(level, lloq=20.0, uloq=250.0, covariates=doses)
    records["dose_level"].attrs["units"] = "cells"
    own = {n: truth[n] * np.exp(0.2 * rng.standard_normal((50, 24))) for n in ("c0", "k")}
    return lines.known(records, {**truth, **changed}, own, iiv=["c0", "k"])


@functools.cache
def residuals() -> Any:
    return of_fit(checks.residuals, n_sims=100)


def two_left_out() -> Any:
    fits = {"good": known(), "poor": known(sigma_log=0.8)}
    return compare.patients(fits, n_draws=60, seed=1)


def expected_by_priors() -> Any:
    from test_prior_checks import LINE_POPULATION, Line, line_trial

    return checks.prior_predictive(Line(), line_trial(), LINE_POPULATION, n_sims=40)


def owed_to_priors() -> Any:
    from test_prior_checks import CASES, conjugate

    return checks.prior_sensitivity(conjugate(*CASES["possible prior-data conflict"])[0])


MADE: dict[str, Callable[[], Any]] = {
    "comparison": lambda: plots.comparison(made.comparison()),
    "cytokines": lambda: plots.cytokines(made.trial()),
    "eta_covariates": lambda: plots.eta_covariates(of_fit(checks.etas), ["dose_level", "sex"]),
    "etas": lambda: plots.etas(of_fit(checks.etas)),
    "exposure_twin": lambda: plots.exposure_twin(made.exposure_twin(), made.nca(), "cmax"),
    "exposure_twins": lambda: plots.exposure_twins(made.exposure_twin(), made.nca()),
    "gof": lambda: plots.gof(residuals()),
    "goodness_of_fit": lambda: plots.goodness_of_fit(made.predictions()),
    "individual": lambda: plots.individual(made.predictions()),
    "intervals": lambda: plots.intervals(made.table()),
    "npde": lambda: plots.npde(residuals()),
    "observed_vs_predicted": lambda: plots.observed_vs_predicted(made.predictions()),
    "patient_elpd": lambda: plots.patient_elpd(two_left_out()),
    "posterior": lambda: plots.posterior(made.draws(), made.prior_draws()),
    "predictive_exposure": lambda: plots.predictive_exposure(
        of_fit(checks.predictive_exposure, by="dose_level", n_sims=40)
    ),
    "prior_predictive": lambda: plots.prior_predictive(expected_by_priors()),
    "prior_sensitivity": lambda: plots.prior_sensitivity(owed_to_priors()),
    "profiles": lambda: plots.profiles(made.endpoint()),
    "ranks": lambda: plots.ranks(made.tree(), ["cmax"]),
    "residual": lambda: plots.residual(residuals()),
    "trace": lambda: plots.trace(made.tree(), ["cmax"]),
    "vpc": lambda: plots.vpc(of_fit(checks.vpc, n_sims=100)),
}
NEEDED = {name: set(entry.needs) for name, entry in gallery.names().items()}
LENGTHY = {"search", "simulated", "operating_characteristics"}
SHORT = {n for n in PLOTS if n not in MADE and NEEDED[n] <= QUICK and n not in LENGTHY}
LITTLE = {
    "draws=2000, seed": "draws=200, tune=200, chains=2, seed",
    "simulations=40": "simulations=10",
}


@pytest.fixture(scope="module")
def prepared() -> gallery.Prepared:
    return gallery.Prepared()


@pytest.fixture(scope="module")
def with_fits() -> gallery.Prepared:
    """Draws the gallery from fits with few draws: what they say is not looked at."""

    class Quick(gallery.Prepared):
        def _prepare(self, need: str) -> None:
            text = gallery.SETUP.get(need, "")
            for old, new in LITTLE.items():
                text = text.replace(old, new)
            exec(text, self.space)

    return Quick()


def figure_of(drawn: Any) -> Figure:
    first = drawn[0] if isinstance(drawn, list) else drawn
    return first.get_figure(root=True) if isinstance(first, Axes) else first


def labels(figure: Figure) -> str:
    """Return what stands on axes, above panels, in legends and beside the data."""
    found = [t.get_text() for t in figure.findobj(match=lambda a: hasattr(a, "get_text"))]
    return " | ".join(" ".join(text.split()) for text in found if text)


def holders(figure: Figure) -> list[Any]:
    return [
        legend for legend in (*figure.legends, *(a.get_legend() for a in figure.axes)) if legend
    ]


def said(figure: Figure) -> str:
    """Return the texts of legends, headings and notes: where an interval's width belongs."""
    texts = [t.get_text() for legend in holders(figure) for t in legend.get_texts()]
    for ax in figure.axes:
        texts += [ax.get_title(loc="left"), ax.get_title(), *(t.get_text() for t in ax.texts)]
    return " | ".join(texts)


def check(name: str, drawn: Any) -> None:
    figure, must = figure_of(drawn), SAYS[name]
    figure.canvas.draw()
    text = labels(figure)
    assert [word for word in must.labels if word not in text] == []
    if must.percent:
        width = rf"{must.percent}\s?% ?(credible )?(interval|CI|band|of )|, {must.percent}\s?%"
        assert re.search(width, said(figure)), said(figure)
    if must.records:
        assert "LLOQ" in said(figure)
        assert "below LLOQ" in said(figure)
        assert any(line.get_marker() == "v" for ax in figure.axes for line in ax.lines)
        dashed = [x for ax in figure.axes for x in ax.lines if level_line(x)]
        assert dashed or any(p.get_alpha() == 0.6 for ax in figure.axes for p in ax.patches)
    for ax in figure.axes:
        assert not re.search(r"\b(nan|None|inf)\b", " ".join(t.get_text() for t in ax.texts))


def level_line(line: Any) -> bool:
    """Whether a line is a limit across the whole panel."""
    return list(line.get_xdata()) == [0, 1] and len(set(line.get_ydata())) == 1


def test_every_plot_says_something() -> None:
    assert sorted(SAYS) == sorted(PLOTS)
    assert set(MADE) <= set(PLOTS)


@pytest.mark.parametrize("name", MADE)
def test_a_picture_of_a_made_up_result_says_what_it_must(name: str) -> None:
    check(name, MADE[name]())


@pytest.mark.parametrize("name", sorted(SHORT))
def test_a_picture_of_the_gallery_says_what_it_must(name: str, prepared: gallery.Prepared) -> None:
    check(name, prepared.draw(gallery.names()[name]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cart_pkpd._core.errors.FitWarning")  # few draws
@pytest.mark.parametrize("name", sorted(set(PLOTS) - set(MADE) - SHORT))
def test_a_picture_of_a_fit_says_what_it_must(name: str, with_fits: gallery.Prepared) -> None:
    check(name, with_fits.draw(gallery.names()[name]))


def test_functions_of_one_panel_and_of_several_are_told_apart_by_their_signature() -> None:
    """One panel: ``ax=`` and Axes; several: a Figure, or a list of Axes of one."""
    for name in PLOTS:
        signature = inspect.signature(getattr(plots, name))
        one = "ax" in signature.parameters
        assert one == ("Axes" in str(signature.return_annotation).split("[")[0]), name


def test_a_check_without_records_keeps_its_limit_and_its_floor() -> None:
    """LLOQ 20 by construction; bands that reach below it are drawn down to it, and no further."""
    whole = of_fit(checks.vpc, n_sims=100)
    bare = whole.drop_dims("obs")
    assert float(np.nanmin(bare["bin_lloq"])) == 20.0
    pictures = [plots.vpc(whole), plots.vpc(bare)]
    bands = [
        [c.get_datalim(p.axes[0].transData).y0 for c in p.axes[0].collections] for p in pictures
    ]
    np.testing.assert_allclose(*bands)
    assert min(bands[0]) == pytest.approx(20.0)
    for picture in pictures:
        assert [x.get_ydata()[0] for x in picture.axes[0].lines if level_line(x)] == [20.0, 250.0]
        assert "LLOQ 20 copies/µg" in said(picture)
    assert "observation" in said(pictures[0])
    assert "observation" not in said(pictures[1])


def test_doses_and_other_events_stand_at_their_days() -> None:
    """The trial has one infusion of each patient on day 0 and tocilizumab for P03 on day 6."""
    figure = plots.individual(made.predictions(), ["P03", "P04"])
    days = [
        {line.get_marker(): line.get_xdata().tolist() for line in ax.lines if at_the_edge(line)}
        for ax in figure.axes
    ]
    assert days == [{"^": [0.0], "D": [6.0]}, {"^": [0.0]}]
    assert {"infusion", "tocilizumab"} <= set(said(figure).split(" | "))
    early = plots.individual(made.predictions(), ["P03"], last=5)
    assert [x.get_marker() for x in early.axes[0].lines if at_the_edge(x)] == ["^"]


def test_predictions_carry_the_doses_and_events_of_the_trial() -> None:
    trial = datasets.load("fast01")
    values = {"c0": 100.0, "k": 0.1, "omega_c0": 0.6, "sigma_log": 0.4}
    found = checks.predictions(lines.known(trial, values, iiv=["c0"]), n_grid=4, n_draws=2)
    assert found["dose_level"].attrs["units"] == "cells"
    for name in ("dose_patient", "dose_time", "amount"):
        np.testing.assert_array_equal(found[name], trial[name])
    for name in ("event_patient", "event_time", "event_name", "event_value"):
        np.testing.assert_array_equal(found[name], trial[name])
    figure = plots.individual(found, ["F01-009", "F01-001"])
    assert {"steroid", "tocilizumab"} <= set(said(figure).split(" | "))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["F01-009, 1×10⁷ cells", "F01-001, 1×10⁶ cells"]
    assert "steroid" not in said(plots.individual(found, ["F01-001"]))


def at_the_edge(line: Any) -> bool:
    """Whether a line's heights are shares of the panel."""
    return line.get_transform() == line.axes.get_xaxis_transform()

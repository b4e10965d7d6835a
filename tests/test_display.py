"""How results show themselves: a verdict first, everything escaped, short text, progress bars."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import diagnostics_inputs as made
import numpy as np
import pandas as pd
import pytest

import cart_pkpd
from cart_pkpd import crs, data, datasets, dose, endpoints, fit, models, report
from cart_pkpd._core import display, progress
from cart_pkpd._core.errors import DataError

SNEAKY = "<script>alert('x')</script> & co"
VALUES = {"c0": 100.0, "k": 0.1, "omega_c0": 0.4, "sigma_log": 0.2}
VOID = {"br", "img", "hr"}


class Wellformed(HTMLParser):
    """Checks that every element is closed in order; collects text and elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text += text + " "


def shown(result) -> Wellformed:
    return Wellformed(result._repr_html_())


@pytest.fixture(scope="module")
def records():
    level = made.simulated_line(
        np.random.default_rng(3), 6, omega_c0=0.4, omega_k=0.02, sigma=0.2
    )  # fmt: skip
    return made.trial(level, lloq=20.0)


@pytest.fixture(scope="module")
def bayes(records):
    draws = 100 * np.exp(0.4 * np.random.default_rng(1).standard_normal((8, 6)))
    return made.known(records, VALUES, {"c0": draws}, iiv=["c0"])


# --- the helper ---------------------------------------------------------------------------------


def test_all_text_is_escaped():
    frame = pd.DataFrame({SNEAKY: [SNEAKY, "a"]}, index=pd.Index([SNEAKY, "b"], name=SNEAKY))
    text = display.block(SNEAKY, SNEAKY, frame, notes=[SNEAKY], flags=[SNEAKY])
    found = Wellformed(text)
    assert "script" not in found.seen
    assert found.text.count("<script>alert('x')</script> & co") == 8


def test_numbers_have_three_digits_and_gaps_a_dash():
    frame = pd.DataFrame({"x": [1234.567, np.nan, 3.0], "n": [1, 20_000, 3], "ok": [True] * 3})
    text = Wellformed(display.table(frame)).text.split()
    assert text == ["x", "n", "ok", "1,230", "1", "yes", "—", "20,000", "yes", "3", "3", "yes"]


def test_columns_of_empty_texts_are_left_out_of_a_result():
    frame = pd.DataFrame({"x": [1.0, 2.0], "reason": ["", " "], "remark": ["", "few"]})
    text = Wellformed(display.block("T", "", frame)).text
    assert "reason" not in text
    assert "remark" in text
    assert "reason" in Wellformed(display.block("T", "", frame.iloc[:0])).text


def test_a_decision_comes_before_the_numbers_behind_it():
    seen = dose.counts({1e6: (0, 3), 3e6: (1, 6)}, levels=(1e6, 3e6, 1e7))
    words = Wellformed(dose.BOIN(0.25).recommend(seen)._repr_html_()).text.split()
    assert words.index("next") < words.index("treated") < words.index("pending")


def test_a_long_table_is_cut_and_says_so():
    text = Wellformed(display.table(pd.DataFrame({"x": range(75)}))).text
    assert "and 15 more rows" in text
    assert "74" not in text


# --- trial, model, population -------------------------------------------------------------------


def test_a_trial_is_described_by_counts_of_its_own_table():
    """Counted from the bundled CSV itself, with pandas."""
    raw = pd.read_csv(datasets.path("fast01"))
    found = data.describe(datasets.load("fast01"))
    by_hand = raw[(raw["EVID"] == 0) & (raw["MDV"] == 0)]["DVID"].value_counts()
    assert found.endpoints["records"].to_dict() == by_hand.to_dict()
    assert found.doses["patients"].tolist() == [3, 3, 18, 6]  # the trial's design
    assert "30 patients" in found.sentence
    assert all(text in str(found) for text in ("1×10⁶ cells", "IL-6", "copies/µg"))
    assert "table" in shown(found).seen


def test_an_import_report_is_tables_and_lists():
    """The counts of the text, without a font of its own."""
    trial = datasets.load("fast01")
    report = data.import_report(trial)
    html = shown(report)
    assert "pre" not in html.seen
    assert html.seen.count("table") == 1  # every header is called as expected
    words = " ".join(html.text.split())
    for line in (*report.guesses, *report.notes, f"Import report: {report.source}"):
        assert line in words
    for count in report.endpoints:
        assert f"{count.endpoint} {count.unit}" in words


def test_wide_tables_scroll_and_long_lines_break():
    many = pd.DataFrame({f"column {i}": [i] for i in range(60)})
    html = display.block(
        "Title", "word " * 200, many, flags=["word " * 100], lists={"a": [], "b": ["c"]}
    )
    assert html.index("overflow-x:auto") < html.index("<table")
    assert html.count("max-width") == 3  # the sentence, the flags and the list
    assert ">b<" in html
    assert ">a<" not in html


def test_a_trial_without_dose_levels_is_described(records):
    found = data.describe(records)
    assert found.doses.empty
    assert found.endpoints.loc["transgene", "records"] == records.sizes["obs"]
    assert "below LLOQ" in shown(found).text


def test_what_is_no_trial_is_refused():
    with pytest.raises(DataError):
        data.describe(pd.DataFrame())


def test_a_model_shows_typeset_equations_and_its_parameters():
    """Markdown, which all notebooks typeset; HTML would win over it and is not there."""
    model = models.get("stein2019")
    text = model._repr_markdown_()
    assert "$$" in text
    assert "| name | meaning |" in text
    assert not hasattr(model, "_repr_html_")
    assert len(repr(model).splitlines()) == 1 + len(model.parameters)


def test_a_population_reads_as_the_call_that_makes_it():
    call = repr(fit.population(iiv=["cmax"], covariates={"cmax": ["dose_level"]}, corr=None))
    assert call == (
        "fit.population(iiv=['cmax'], error='lognormal', covariates={'cmax': ['dose_level']})"
    )
    again = eval(call, {"fit": fit})
    assert again == fit.population(iiv=["cmax"], covariates={"cmax": ["dose_level"]})
    found = shown(fit.population(iiv=["cmax", "alpha"], corr=[["cmax", "alpha"]]))
    assert "cmax with alpha" in found.text
    assert "by their probability (M3)" in found.text


# --- fits ---------------------------------------------------------------------------------------


def test_a_bayesian_fit_shows_its_verdict_before_its_table(bayes):
    text = bayes._repr_html_()
    found = Wellformed(text)
    assert text.index(bayes.verdict.sentence[:20]) < text.index("<table")
    assert all(head in found.text for head in ("prior median", "R-hat", "ESS"))
    assert "omega_c0" in found.text
    assert bayes.sentence in found.text
    assert len(repr(bayes)) < 400


def test_a_marginal_fit_shows_errors_and_reasons(records):
    found = fit.laplace(made.Line(), records, fit.population(iiv=["c0"]), starts=1)
    page = shown(found)
    assert found.verdict.sentence in page.text
    assert "RSE (%)" in page.text
    row = found.table().loc["c0"]
    assert f"{row['estimate']:.1f}" in page.text
    assert "object at 0x" not in repr(found)


def test_a_structure_is_one_sentence(bayes):
    assert len(repr(bayes.structure)) < 300
    assert "6 patients" in repr(bayes.structure)


# --- decisions and clinical results -------------------------------------------------------------


def test_dose_results_show_their_sentence():
    levels = dose.Levels((1e6, 3e6, 1e7), "cells")
    seen = dose.counts({1e6: (0, 3), 3e6: (1, 6)}, levels=levels)
    decision = dose.BOIN(0.25).recommend(seen)
    assert repr(decision) == f"Decision: {decision.sentence}"
    assert decision.headline in shown(decision).text
    found = shown(seen)
    assert "9 evaluable with 1 DLT" in found.text
    assert "3×10⁶ cells" in found.text
    assert repr(seen).startswith("9 patients treated")
    assert "the same at every dose: pending 0, eliminated no, eligible yes." in shown(decision).text
    assert "pending" in str(decision)
    free = dose.order_free(seen)
    assert free.sentence in shown(free).text


def test_survival_results_have_short_text_and_tables():
    tte = pd.DataFrame({"id": list("abcdef"), "time": [30, 60, 90, 120, 150, 180.0],
                        "event": [1, 1, 0, 1, 1, 0]})  # fmt: skip
    groups = pd.DataFrame({"id": list("abcdef"), "x": [1.0, 5.0, 2.0, 4.0, 3.0, 6.0],
                           "arm": list("aabbab")})  # fmt: skip
    curves = endpoints.kaplan_meier(tte, "arm", patients=groups)
    assert "median" in shown(curves).text
    cox = endpoints.cox(tte, ["x"], patients=groups)
    assert repr(cox).startswith("Cox regression of 6 patients, 4 events: x, 2-fold: ")
    assert "hazard ratio" in shown(cox).text
    aft = endpoints.aft(tte, ["x"], patients=groups)
    assert repr(aft) == "Aft: weibull regression of 6 patients, 4 events."
    assert "table" in shown(aft).seen
    assert len(repr(endpoints.logrank(tte, "arm", patients=groups))) < 120


def test_a_fit_of_crs_shows_its_verdict_and_ratios():
    trial = datasets.load("fast01")
    layer = crs.Layer(occurrence=crs.Logistic([crs.covariate("dose_level", reference=1e7)]))
    predictors = layer.predictors(crs.observed_courses(trial, ["transgene"]), trial)
    found = layer.bayes(predictors, draws=50, tune=50, chains=2, seed=1)
    assert isinstance(found, crs.CrsResult)
    assert found.verdict.sentence in shown(found).text
    assert "odds ratio" in shown(found).text


# --- progress -----------------------------------------------------------------------------------

NEWS = SimpleNamespace(stage="sampling", done=40, total=100, divergences=2)


def test_a_function_of_ones_own_is_taken_as_it_is():
    def hears(news):
        return None

    assert progress.listener(hears, "fit") is hears


def test_outside_notebooks_nothing_is_shown_unless_asked_for(capsys):
    assert progress.listener(None, "fit") is None
    assert progress.listener(False, "fit") is None
    assert progress.listener(True, "fit") is None  # standard error is no terminal here
    with pytest.raises(DataError, match="True for a bar"):
        progress.listener("yes", "fit")


def test_a_terminal_gets_one_line(capsys):
    bar = progress.TerminalBar("stein")
    bar(NEWS)
    bar(SimpleNamespace(stage="sampling", done=100, total=100, divergences=0))
    shown = capsys.readouterr().err
    assert "stein: sampling 40 of 100, 2 divergent" in shown
    assert shown.endswith("s)\n")
    assert shown.count("\n") == 1


def test_a_notebook_gets_an_element_that_is_replaced(monkeypatch):
    """IPython is stood in for: one output is displayed, then updated."""
    outputs = []

    class Handle:
        def update(self, html):
            outputs.append(html)

    def show(html, *, display_id):
        outputs.append(html)
        return Handle()

    shell = type("ZMQInteractiveShell", (), {})()
    stand_in = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", stand_in)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=show))
    bar = progress.listener(None, SNEAKY)
    assert isinstance(bar, progress.NotebookBar)
    assert progress.listener(False, "fit") is None
    bar(NEWS)
    bar(SimpleNamespace(stage="sampling", done=100, total=100))
    assert len(outputs) == 2
    assert "value='40' max='100'" in outputs[0]
    assert all("script" not in Wellformed(o).seen for o in outputs)


def test_public_modules_complete_to_what_they_show():
    """What a notebook offers after a dot is what the module shows, and nothing it imported."""
    assert {"nca", "fit", "plots"} <= set(dir(cart_pkpd))
    for module in (fit, endpoints, dose, data, crs, datasets, models, report):
        assert dir(module) == sorted(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)

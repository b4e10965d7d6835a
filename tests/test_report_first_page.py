"""The first page of the report and the data of its view of patients."""

from __future__ import annotations

import json
from types import SimpleNamespace

import figure_inputs as made
import numpy as np
import pytest
import xarray as xr

from cart_pkpd import dose, models, report
from cart_pkpd.report import _answer, _blocks, _citations, _explorer, _glance
from cart_pkpd.report._trial import _triangles

LEVELS = (1e6, 3e6)
NOTHING = {
    "nca": {}, "fits": {}, "failures": {}, "comparison": None, "endpoints": None, "dose": None,
    "data_cutoff": None, "draft": True, "analysed": [], "notes": (), "references": (),
}  # fmt: skip


def inputs(**given):
    return SimpleNamespace(**{**NOTHING, "trial": made.small_trial(), **given})


def decided(counts, **designs):
    known = dose.counts(counts, levels=LEVELS)
    return report.DoseFindings(
        known, designs, {name: d.recommend(known) for name, d in designs.items()}
    )


def rows(table):
    keys = [c.key for c in table.printed]
    return [[row[k] for k in keys] for row in table.rows]


# --- every dose at a glance -------------------------------------------------------------------


def test_one_row_per_dose_and_one_of_all() -> None:
    """CRS grades run 0, 1, 2 and 3, 0, 1 at the two doses of three patients each."""
    nca = made.nca().isel(id=np.arange(6))
    table = _glance.table(inputs(nca={"transgene": (nca,)}, analysed=["transgene"]))
    assert [c.label for c in table.printed][:4] == ["Dose", "n", "CRS ≥\xa02", "CRS ≥\xa03"]
    found = rows(table)
    assert [r[:4] for r in found] == [
        ["1×10⁶ cells", 3, "1 of 3", "0 of 3"],
        ["3×10⁶ cells", 3, "1 of 3", "1 of 3"],
        ["All patients", 6, "2 of 6", "1 of 6"],
    ]
    cmax = nca["cmax"].values
    for r, some in zip(table.rows, (cmax[:3], cmax[3:], cmax), strict=True):
        np.testing.assert_allclose(r["cmax"], np.exp(np.log(some[some > 0]).mean()), rtol=1e-12)


def test_the_dose_of_the_decision_stands_out_and_says_why() -> None:
    """At 3 of 6 BOIN with target 0.25 goes down (Liu and Yuan 2015, table 1)."""
    found = decided({1e6: (0, 3), 3e6: (3, 6)}, BOIN=dose.BOIN(target=0.25))
    table = _glance.table(inputs(dose=found))
    assert table.chosen == (0,)
    first, second, everybody = rows(table)
    assert first[:3] == ["1×10⁶ cells, next", 3, "0 of 3"]
    assert second[:3] == ["3×10⁶ cells", 6, "3 of 6"]
    assert everybody[:4] == ["All patients", 9, "3 of 9", "—"]
    # Of a rate with a uniform prior: P(above 1/4 | 0 of 3) = (3/4)^4.
    np.testing.assert_allclose(table.rows[0]["over_value"], 0.75**4, rtol=1e-12)
    assert first[3] == "0.316"
    assert table.notes[0] == (
        "n: treated. DLTs: of evaluable patients. P(over): probability of a DLT rate above 0.25, "
        "by BOIN."
    )


def test_a_dose_that_nobody_had_has_no_probability_of_a_flat_prior() -> None:
    """BOIN looks at each dose by itself; the curve of a BLRM says something of every dose."""
    seen = {1e6: (0, 3), 3e6: (0, 0)}
    alone = decided(seen, BOIN=dose.BOIN(target=0.25))
    cells = [row["over"] for row in _glance.table(inputs(dose=alone)).rows]
    assert cells == ["0.316", "— (no patients)", "—"]
    blrm = dose.BLRM(LEVELS, reference=3e6, intervals=(0.16, 0.33),
                     prior=dose.BivariateNormal((-1.4, 0), (1.5, 0.7), 0))  # fmt: skip
    values = [row["over_value"] for row in _glance.table(inputs(dose=decided(seen, B=blrm))).rows]
    assert all(0 < p < 1 for p in values[:2])


def test_a_dose_that_is_barred_says_so() -> None:
    """At 3 of 3 BOIN drops the dose: P(above 1/4) = 1 - (1/4)^4 is above 0.95."""
    found = decided({1e6: (0, 3), 3e6: (3, 3)}, BOIN=dose.BOIN(target=0.25))
    assert rows(_glance.table(inputs(dose=found)))[1][0] == "3×10⁶ cells, not permitted"


def test_no_doses_no_table() -> None:
    trial = made.small_trial().drop_vars("dose_level")
    assert _glance.table(inputs(trial=trial)) is None


# --- the box ----------------------------------------------------------------------------------


def test_the_box_answers_with_rule_numbers_and_cut_off() -> None:
    found = decided({1e6: (0, 3), 3e6: (3, 6)}, BOIN=dose.BOIN(target=0.25))
    box = _answer.box(inputs(dose=found, data_cutoff="2026-10-31"))
    assert (box.lead, box.answer) == ("Next", "De-escalate to 1×10⁶ cells.")
    assert box.why.startswith("By BOIN: ")
    assert dict(box.facts) == {
        "Treated": "9 patients", "DLTs": "3 of 9 evaluable", "Pending": "0 in 28 days",
        "Data cut-off": "2026-10-31",
    }  # fmt: skip
    assert box.flags == tuple(found.flags())


def test_designs_that_disagree_are_said_first() -> None:
    """The same counts, another target: 0.45 lets 1 of 3 escalate, 0.15 does not."""
    bold, shy = dose.BOIN(target=0.45), dose.BOIN(target=0.15)
    found = decided({1e6: (1, 3)}, bold=bold, shy=shy)
    box = _answer.box(inputs(dose=found))
    assert box.rules[0][0] == "Designs:"
    assert box.rules[0][1].startswith("They disagree: ")
    assert "Designs" not in dict(box.facts)
    same = decided({1e6: (1, 3)}, one=bold, other=bold)
    assert dict(_answer.box(inputs(dose=same)).facts)["Designs"] == "one, other agree"


def test_without_a_dose_the_box_says_who_was_analysed() -> None:
    box = _answer.box(inputs())
    assert (box.lead, box.answer) == ("Analysed", "6 patients")
    assert box.why.startswith("6 patients at 2 dose levels (1×10⁶ cells to 3×10⁶ cells); ")


def test_verdicts_tell_good_from_bad() -> None:
    bad = made.Result(verdict=made.Verdict(False, "Not converged: R-hat 1.2.", 1.2, 90, 3))
    said = _answer.verdicts(
        inputs(fits={"a": report.Fit(made.Result()), "b": report.Fit(bad)},
               failures={"c": "the priors exclude the data."}, comparison=made.comparison())
    )  # fmt: skip
    assert [(name, ok) for name, ok, _ in said] == [
        ("Fit a", True), ("Fit b", False), ("Fit c", False), ("Best model", None),
    ]  # fmt: skip
    assert said[2][2] == "Failed. The priors exclude the data."


# --- the view of patients ---------------------------------------------------------------------


def test_the_view_holds_every_record() -> None:
    trial = made.small_trial()
    found = _explorer.view(inputs())
    assert [e["label"] for e in found["endpoints"]] == ["CAR transgene", "IL-6", "IL-10"]
    assert sum(len(e["records"]) for e in found["endpoints"]) == trial.sizes["obs"]
    one = trial.isel(obs=trial["endpoint"].values == "transgene")
    records = np.array(found["endpoints"][0]["records"])
    np.testing.assert_allclose(records[:, 2], one["dv"].values, rtol=5e-4)  # four digits
    assert records[:, 3].tolist() == (one["censoring"].values == "left").astype(int).tolist()
    assert [p["dose"] for p in found["patients"]] == [0, 0, 0, 1, 1, 1]
    assert found["marks"] == [{"label": "CRS grade ≥ 2", "patients": [2, 3]}]
    assert found["patients"][3]["facts"] == [["CRS grade", "3"]]


def test_large_trials_keep_the_first_endpoint_whole(monkeypatch) -> None:
    monkeypatch.setattr(_explorer, "MOST_RECORDS", 100)
    found = _explorer.view(inputs())
    assert [(e["label"], len(e["records"])) for e in found["endpoints"]] == [("CAR transgene", 72)]


@pytest.mark.parametrize("text", ["</script><b>", "<!--", "a & b", "\u2028", 'q"\\'])
def test_data_cannot_end_the_script(text) -> None:
    made_safe = _blocks.Explorer("x", {"id": text}).json
    assert not set(made_safe) & set("<>&\u2028")
    assert json.loads(made_safe) == {"id": text}


# --- citations --------------------------------------------------------------------------------


def test_citations_are_of_what_was_used() -> None:
    """Authors, journals and pages as printed on the papers."""
    boin = dose.BOIN(target=0.25) & dose.EWOC(0.33, 0.25)
    found = decided({1e6: (0, 3)}, BOIN=boin)
    fit = report.Fit(made.Result(), references=("Stein 2019.",), vpc=made.vpc())
    said = _citations.used(
        inputs(dose=found, fits={"a": fit}, comparison=made.comparison(), references=("Own.",))
    )
    assert list(said)[:2] == ["Own.", "Stein 2019."]
    assert said["Liu & Yuan (2015), J R Stat Soc C 64:507."] == "BOIN"
    assert said["Babb, Rogatko & Zacks (1998), Stat Med 17:1103."] == "EWOC"
    assert said["Bergstrand, Hooker, Wallin & Karlsson (2011), AAPS J 13:143."] == (
        "predictive checks"
    )
    assert any(text.startswith("Vehtari, Gelman and Gabry (2017), Stat Comput 27") for text in said)
    assert not any("Eisenhauer" in text or "Kallioinen" in text for text in said)
    assert _citations.used(inputs()) == {}


def test_the_fitted_model_is_cited_unless_other_citations_are_given() -> None:
    """DOI of Stein et al. (2019), CPT Pharmacometrics Syst Pharmacol 8:285."""
    fitted = SimpleNamespace(structure=SimpleNamespace(model=models.get("stein2019")))
    said = _citations.used(inputs(fits={"a": report.Fit(fitted), "b": report.Fit(fitted)}))
    assert [text for text in said if "10.1002/psp4.12388" in text] == [next(iter(said))]
    own = _citations.used(inputs(fits={"a": report.Fit(fitted, references=("Own.",))}))
    assert not any("10.1002/psp4.12388" in text for text in own)


def test_a_citation_is_read_from_a_docstring() -> None:
    def thing() -> None:
        """Do it.

        References
        ----------
        .. [1] One and Two (2001), J Some 1:2,
           :doi:`10.1/x`.
        .. [2] Three (2002), J Other 3:4.

        Examples
        --------
        >>> thing()
        """

    assert _citations.cited(thing) == [
        "One and Two (2001), J Some 1:2, doi:10.1/x.", "Three (2002), J Other 3:4.",
    ]  # fmt: skip
    assert _citations.cited(len) == []


@pytest.mark.parametrize(
    ("censoring", "said"),
    [
        ([], ""),
        (["left"], " Open triangles: values below the LLOQ, at the LLOQ."),
        (["right"], " Open triangles: values above the ULOQ, at the ULOQ."),
        (
            ["left", "right"],
            " Open triangles: values below the LLOQ, at the LLOQ, and above the ULOQ, at the ULOQ.",
        ),
    ],
)
def test_a_caption_says_which_triangles_there_are(censoring, said):
    shown = xr.Dataset({"censoring": ("record", np.array([*censoring, "none"], dtype=object))})
    assert _triangles(shown) == said

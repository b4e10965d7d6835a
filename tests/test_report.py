"""The report: one safe, self-contained page, and the same numbers as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import figure_inputs as made
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from cart_pkpd import plots, report
from cart_pkpd._core.errors import DataError
from cart_pkpd.report import _blocks, _files, _fits, _inputs, _tables, _trial, _twin

EVIL = "<script>alert('x')</script>"
WHEN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
HEARD: list[tuple[float, float, str]] = []  # progress of the report that all tests read
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What is on a page; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def unconverged() -> made.Result:
    sentence = "Not converged: R-hat up to 1.210 for beta (limit 1.01)."
    return made.Result("liu2021", "Liu 2021", verdict=made.Verdict(False, sentence, 1.21, 90, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A report of everything, on a patient and a title that try to be markup."""
    out = tmp_path_factory.mktemp("report")
    rename = {"P01": EVIL, "P03": "P03 & <b>"}
    params = made.renamed(made.nca().isel(id=np.arange(6)), rename)
    predictions = made.predictions()
    keep = np.flatnonzero(np.isin(predictions["patient"], made.patients()[:2]))
    predictions = made.renamed(predictions.isel(id=[0, 1], obs=keep), rename)
    fits = {
        "stein2019": report.Fit(
            made.Result(),
            predictions,
            made.vpc(),
            ("Stein 2019, doi:10.1002/psp4.12388",),
            exposure=made.renamed(made.exposure_twin().isel(id=np.arange(6)), rename),
        ),
        "liu <2021>": report.Fit(unconverged(), exposure=made.exposure_twin()),
    }
    path = report.write(
        out,
        title=f"Fast {EVIL} & Co",
        trial=made.small_trial(rename),
        nca={"transgene": params},
        fits=fits,
        failures={"broken": "the priors exclude the data."},
        comparison=made.comparison(),
        notes=[f"Cohort 3 is open. {EVIL}"],
        provenance={"seed": 7, "config": {"hash": "abc"}},
        data_cutoff="2026-10-31",
        generated=WHEN,
        progress=lambda *news: HEARD.append(news),
    )
    assert path == out / "report.html"
    return out


@pytest.fixture(scope="module")
def html(folder) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def numbers(folder):
    return json.loads((folder / "numbers.json").read_text(encoding="utf-8"))


# --- the page ---------------------------------------------------------------------------------


def test_the_page_stands_alone(html, page) -> None:
    assert len(html.encode()) < 10e6
    assert not re.search(r"https?://|url\(|@import", html)
    sources = [a.get("src", "") for _, a in page.tags if "src" in a]
    assert sources
    assert all(
        s.startswith(("data:image/svg+xml;base64,", "data:image/png;base64,")) for s in sources
    )
    assert all(a["href"].startswith("#") for a in page.all("a"))
    assert not page.all("link")


def test_names_in_the_data_cannot_be_markup(html, page) -> None:
    assert "<script>alert" not in html
    assert [a.get("type", "") for a in page.all("script")] == ["application/json", ""]
    assert EVIL in page.text
    assert "P03 & <b>" in page.text
    assert "liu <2021>" in page.text
    assert not page.all("b")


def test_every_internal_link_has_its_target(page) -> None:
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)


def test_every_figure_has_alternative_text_and_its_file(folder, page, numbers) -> None:
    images = page.all("img")
    files = [f for f in numbers["files"] if f.startswith("figures/")]
    assert len(images) == len(files)
    assert {Path(name).stem for name in files} == {
        "profiles_transgene", "profiles_transgene_by_dose", "cytokines",
        "exposure_transgene_cmax", "exposure_transgene_auc0_28",
        "fit_stein2019_posterior", "fit_stein2019_observed_predicted", "fit_stein2019_individual_1",
        "fit_stein2019_vpc", "fit_stein2019_ranks", "fit_liu-2021_posterior", "fit_liu-2021_ranks",
        "fit_stein2019_exposure", "model_comparison",
    }  # fmt: skip
    assert all(len(a["alt"]) > 30 for a in images)
    for name in files:
        start = (folder / name).read_bytes()[:5]
        assert start in (b"<?xml", b"\x89PNG\r")


def test_headings_come_in_order(page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert page.all("html")[0]["lang"] == "en"


def test_the_answer_comes_first(page) -> None:
    text = page.text
    assert text.index("Summary") < text.index("DRAFT") or "DRAFT" in text[:400]
    opening = text[text.index("Analysed") : text.index("Choose an endpoint")]
    for expected in (
        "6 patients at 2 dose levels (1×10⁶ cells to 3×10⁶ cells)",
        "made_up.csv (SHA-256 0f0f0f0f0f0f…); data cut-off 2026-10-31",
        "Fit stein2019: Converged: R-hat at most 1.002",
        "Fit liu <2021>: Not converged: R-hat up to 1.210",
        "Fit broken: Failed. The priors exclude the data.",
        "'ogasawara2021' predicts a new patient best; the elpd of 'stein2019' is 12.50 lower "
        "(standard error 4.00): above 4 and 2 standard errors, so that the difference matters. "
        "Not ranked: 'liu2021'.",
        "Did not converge, not to be used for decisions: liu <2021>.",
        "CAR transgene: exposure by dose level",
        "Cohort 3 is open.",
        "192 observations of 3 endpoints; CAR transgene: 72 records,",
    ):
        assert expected in opening


def test_the_evidence_follows(page) -> None:
    for expected in (
        "1,841 records read from made_up.csv: 16 patients, 1,824 observations, 16 infusions",
        "MDV is 1", "SUBJ is the patient", "Converged: R-hat at most 1.002, no divergences.",
        "Prior median (90 % interval)", "24,000 (18,800–30,700)", "Visual predictive check.",
        "Stein 2019, doi:10.1002/psp4.12388", "config: hash abc", "2026-11-23 09:30 UTC",
        "Predictive check left out: none was passed.",
    ):  # fmt: skip
        assert expected in page.text


def test_missing_values_have_their_reason_below_the_table(page) -> None:
    assert "a no value above LLOQ" in page.text
    assert "b fewer than 3 points after the peak" in page.text


def test_tables_sort_by_keyboard(html, page) -> None:
    heads = [a for a in page.all("th")]
    assert all(a["aria-sort"] == "none" and a["scope"] == "col" for a in heads)
    assert len(page.all("button")) == len(heads)
    assert 'addEventListener("click"' in html
    assert all(a["tabindex"] == "0" for a in page.all("div") if a.get("class") == "scroll")


# --- the numbers ------------------------------------------------------------------------------


def test_json_csv_and_html_hold_the_same_numbers(folder, numbers, html) -> None:
    params = made.nca()["cmax"].values[:6]
    rows = numbers["tables"]["nca_transgene"]["rows"]
    assert [r["cmax"] for r in rows] == params.tolist()
    text = (folder / "tables/nca_transgene.csv").read_text(encoding="utf-8")
    table = list(csv.DictReader(io.StringIO(text)))
    assert [float(r["cmax [copies/µg]"]) for r in table] == params.tolist()
    for value in params[1:]:
        assert f'data-sort="{float(value)!r}"' in html


def test_every_table_is_in_a_file_and_equal_to_the_json(folder, numbers) -> None:
    assert len(numbers["tables"]) == sum(f.startswith("tables/") for f in numbers["files"])
    for name, said in numbers["tables"].items():
        text = (folder / f"tables/{name}.csv").read_text(encoding="utf-8")
        found = list(csv.reader(io.StringIO(text)))[1:]
        assert len(found) == len(said["rows"])
        plain_columns = not said["reasons"]
        if plain_columns:
            expected = [["" if v is None else str(v) for v in r.values()] for r in said["rows"]]
            assert found == expected


def test_a_missing_number_is_null_with_its_reason(folder, numbers) -> None:
    said = numbers["tables"]["nca_transgene"]
    assert said["rows"][1]["half_life"] is None
    why = "fewer than 3 points after the peak"
    assert {"row": 1, "column": "half_life", "reason": why} in said["reasons"]
    text = (folder / "tables/nca_transgene.csv").read_text(encoding="utf-8")
    assert [r["half_life_reason"] for r in csv.DictReader(io.StringIO(text))][:3] == [
        "no value above LLOQ", why, "",
    ]  # fmt: skip


def test_exposure_by_dose_is_the_geometric_mean(numbers) -> None:
    """P01 has a Cmax of 0 (never quantified): the lowest dose rests on the other two."""
    row = numbers["tables"]["exposure_by_dose"]["rows"][0]
    cmax = made.nca()["cmax"].values[1:3]
    assert (row["n"], row["cmax_n"], row["never"]) == (3, 2, 1)
    np.testing.assert_allclose(row["cmax_mean"], np.sqrt(cmax.prod()), rtol=1e-12)
    assert (row["cmax_min"], row["cmax_max"]) == (cmax.min(), cmax.max())


def test_safety_by_dose_counts_patients(numbers) -> None:
    """CRS grades run 0, 1, 2, 3, 0, 1: two and two of any grade, none and one of grade 3."""
    rows = numbers["tables"]["safety_by_dose"]["rows"]
    assert [(r["n"], r["outcome_0"], r["outcome_1"]) for r in rows] == [(3, 2, 0), (3, 2, 1)]


def test_json_names_source_verdicts_and_settings(numbers) -> None:
    assert numbers["source_sha256"] == "0f" * 32
    assert numbers["generated"] == "2026-11-23T09:30:00+00:00"
    assert numbers["fits"]["liu <2021>"]["verdict"]["ok"] is False
    assert numbers["fits"]["stein2019"]["verdict"]["max_rhat"] == 1.002
    assert numbers["provenance"] == {"seed": "7", "config: hash": "abc"}


def test_patients_are_all_there(numbers) -> None:
    rows = numbers["tables"]["patients"]["rows"]
    assert [r["id"] for r in rows] == [EVIL, "P02", "P03 & <b>", "P04", "P05", "P06"]
    assert all(r["records"] == 12 + 2 * 10 for r in rows)


# --- exposure from the model ------------------------------------------------------------------


def test_model_exposure_stands_beside_nca_where_the_fit_converged(page, numbers) -> None:
    """The model is 1.25 times the NCA of the five patients who have one."""
    assert "Exposure from the model, beside NCA" in page.text
    assert "Cmax, model median over NCA: geometric mean 1.25 (range 1.25–1.25; n = 5)." in page.text
    assert "fit_liu-2021_exposure" not in numbers["tables"]
    row = numbers["tables"]["fit_stein2019_exposure"]["rows"][1]
    np.testing.assert_allclose(row["cmax_median"], 1.25 * row["cmax_nca"], rtol=1e-12)
    assert row["tlast_text"] == "200 (120–310)"


def test_model_exposure_beyond_the_horizon_is_said_so() -> None:
    inputs = SimpleNamespace(trial=made.trial(), nca={})
    fit = report.Fit(made.Result(), exposure=made.exposure_twin())
    section = _twin._of(inputs, "stein", fit, fit.exposure, "stein")
    why, details = section.blocks
    (table,) = details.blocks
    assert why.text == "No picture: there is no NCA of CAR transgene beside it."
    last = table.rows[15]
    assert (last["tlast_text"], last["tlast_median"]) == ("> 365", None)
    assert table.reasons[15, "tlast_median"] == "above the LLOQ after day 365"
    assert table.rows[0]["tlast_text"] == "0"
    assert _twin._written([200.0, 90.0, float("inf")], 365) == "200 (90.0 to > 365)"


def test_a_fit_of_two_endpoints_shows_both() -> None:
    """Each endpoint has its pictures and its exposure, in files of its own."""
    both = ("transgene", "car_cells")
    twins, predicted, checked = (
        tuple(one.assign_attrs(endpoint=name) for name in both)
        for one in (made.exposure_twin(), made.predictions(), made.vpc())
    )
    fit = report.Fit(made.Result(endpoints=both), predicted, checked, exposure=twins)
    inputs = SimpleNamespace(trial=made.trial(), nca={}, fits={"pair": fit})
    section = _fits.one(inputs, "pair")
    assert section.title == "pair"  # the user's name, not the model's
    assert section.blocks[0].text.startswith("Fitted to CAR transgene and CAR")
    pictures = [b.name for b in _blocks.walk([section]) if isinstance(b, _blocks.Picture)]
    for name in ("vpc", "observed_predicted", "individual_1"):
        assert f"fit_pair_transgene_{name}" in pictures
        assert f"fit_pair_car_cells_{name}" in pictures
    parts = _twin.section(inputs).parts
    assert [part.title.split(", ")[0] for part in parts] == ["pair"] * 2
    assert parts[0].title.endswith("CAR transgene")
    assert parts[0].key != parts[1].key


# --- parts left out, and files ----------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bare")
    report.write(out, title="Bare", trial=made.small_trial(), draft=False, generated=WHEN)
    return out


def test_parts_not_passed_leave_a_line(bare) -> None:
    page = Page((bare / "report.html").read_text(encoding="utf-8"))
    for expected in (
        "Left out: no non-compartmental analysis was passed.",
        "Left out: no fit was passed.", "Left out: no comparison was passed.",
        "Models: None fitted.", "cut-off not stated",
    ):  # fmt: skip
        assert expected in page.text
    assert "DRAFT" not in page.text
    assert len(page.all("img")) == 3  # two of profiles, one of cytokines


def test_a_second_report_replaces_the_first_and_nothing_else(bare) -> None:
    numbers = json.loads((bare / "numbers.json").read_text(encoding="utf-8"))
    stale, mine = bare / "tables/nca_old.csv", bare / "tables/mine.csv"
    for path in (stale, mine):
        path.write_text("x\n")
    outside = bare.parent / "keep.csv"
    outside.write_text("x\n")
    numbers["files"] += ["tables/nca_old.csv", "../keep.csv", "tables/../../keep.csv"]
    (bare / "numbers.json").write_text(json.dumps(numbers))
    before = (bare / "report.html").read_bytes()
    report.write(bare, title="Bare", trial=made.small_trial(), draft=False, generated=WHEN)
    assert not stale.exists()
    assert mine.exists()
    assert outside.exists()
    assert (bare / "report.html").read_bytes() == before  # the same input gives the same bytes
    assert not [p for p in bare.rglob("*") if p.name.startswith(".part-")]
    mine.unlink()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "report.html"
    _files.write_whole(path, b"old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        _files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_patient_no_report(tmp_path) -> None:
    nobody = made.small_trial().isel(id=[], obs=[])
    with pytest.raises(DataError, match="no patient"):
        report.write(tmp_path, title="x", trial=nobody)
    assert not list(tmp_path.iterdir())


def test_file_names_are_safe_and_unique() -> None:
    assert _files.slug("../Évil name/<x>") == "vil-name-x"
    assert _files.slug("日本") == "unnamed"
    assert _files.slugs(["A b", "a-b", "c"]) == {"A b": "a-b", "a-b": "a-b-2", "c": "c"}


def test_an_analysed_endpoint_is_shown_once_whatever_its_kind(tmp_path) -> None:
    trial = made.small_trial()
    trial["kind"][0] = "marker"  # of the transgene
    path = report.write(tmp_path, title="x", trial=trial, nca=made.nca().isel(id=np.arange(6)))
    page = Page(path.read_text(encoding="utf-8"))
    names = [a["alt"] for a in page.all("img")]
    assert "Left out: the trial has no endpoint" not in page.text
    assert any(name.startswith("CAR transgene against time") for name in names)
    assert not any("one per marker" in name for name in names)


def test_progress_is_told_from_none_to_all(folder) -> None:
    done, total, words = zip(*HEARD, strict=True)
    assert list(done) == list(range(len(HEARD)))
    assert set(total) == {len(HEARD) - 1}
    assert {"fit stein2019", "fit liu <2021>", "writing"} <= set(words)


def test_png_has_few_colours_on_plain_white() -> None:
    with Image.open(io.BytesIO(_blocks._png(plots.ranks(made.tree())))) as image:
        assert image.mode == "P"
        colours = image.convert("RGB").getcolors(256)
        assert len(colours) <= 128
        assert max(colours)[1] == (255, 255, 255)


# --- tables and sentences ---------------------------------------------------------------------


def test_a_wide_table_is_printed_in_parts_that_repeat_the_patient() -> None:
    columns = [_tables.Column("id", "Patient", kind="text")]
    columns += [_tables.Column(f"c{i}", "Concentration", "copies/µg") for i in range(12)]
    rows = tuple({c.key: 1.0 for c in columns} | {"id": f"P{i}"} for i in range(3))
    table = _tables.Table("wide", "Wide", tuple(columns), rows)
    parts = [[c.key for c in panel.columns] for panel in table.panels]
    assert len(parts) > 1
    assert all(part[0] == "id" for part in parts)
    assert [key for part in parts for key in part[1:]] == [f"c{i}" for i in range(12)]
    assert all(len(panel.rows) == 3 for panel in table.panels)


def test_a_table_a_little_too_wide_stays_in_one_piece_in_smaller_type() -> None:
    columns = [_tables.Column("id", "Patient", kind="text")]
    columns += [_tables.Column(f"c{i}", "Dose", kind="text") for i in range(5)]
    rows = ({c.key: "3890 (653 %) n=26 of 33" for c in columns},)
    table = _tables.Table("summary", "Summary", tuple(columns), rows)
    assert (len(table.panels), table.dense) == (1, True)
    narrow = _tables.Table("summary", "Summary", tuple(columns[:3]), rows)
    assert not narrow.dense


def test_a_long_table_is_folded() -> None:
    columns = (_tables.Column("id", "Patient", kind="text"),)
    rows = tuple({"id": f"P{i}"} for i in range(13))
    table = _tables.Table("patients", "Patients", columns, rows)
    assert _trial.folded(table) == _blocks.Details("Patients (13 rows)", (table,))
    short = _tables.Table("patients", "Patients", columns, rows[:12])
    assert _trial.folded(short) is short


def test_footnote_marks_go_on_after_z() -> None:
    assert [_tables._mark(i) for i in (0, 25, 26, 27, 52)] == ["a", "z", "aa", "ab", "ba"]


def test_values_become_plain_python() -> None:
    given = (np.float64(1.5), np.int64(2), np.bool_(True), float("inf"), pd.NA, pd.NaT, "x", None)
    assert [_tables.plain(v) for v in given] == [1.5, 2, True, None, None, None, "x", None]


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([1, 2], "'a' predicts a new patient best; the elpd of 'b' is 3.00 lower (standard error "
                 "2.00): below 4, too small to matter."),
        ([1, np.nan], "Only 'a' can be ranked, and so is compared with nothing. Not ranked: 'b'."),
        ([np.nan, np.nan], "No fit can be ranked. Not ranked: 'a', 'b'."),
    ],
)  # fmt: skip
def test_the_best_model_is_named_only_where_there_is_one(ranks, expected) -> None:
    table = pd.DataFrame(
        {"rank": ranks, "elpd_diff": [0.0, 3.0], "dse": [0.0, 2.0]}, index=["a", "b"]
    )
    assert _fits.best_model(table) == expected


def test_a_figure_that_cannot_be_drawn_says_why_but_a_bug_is_raised() -> None:
    def no_data() -> None:
        raise DataError("there is nothing to draw.")

    block = _blocks.picture("x", no_data, caption="Levels by dose. More.", alt="")
    assert block == _blocks.Text("Levels by dose: not drawn. there is nothing to draw.", "reason")

    def bug() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        _blocks.picture("x", bug, caption="", alt="")


def test_nca_is_taken_alone_by_name_or_in_windows() -> None:
    params = made.nca()
    assert list(_inputs.by_endpoint(params)) == ["transgene"]
    assert len(_inputs.by_endpoint({"transgene": [params, params]})["transgene"]) == 2
    both = xr.concat([params, params], pd.Index(["transgene", "car_cells"], name="endpoint"))
    for given in (both, {"transgene": both}):
        with pytest.raises(DataError, match="one Dataset per endpoint"):
            _inputs.by_endpoint(given)


def test_label_table_becomes_doses_across() -> None:
    from cart_pkpd.report import _exposure

    index = pd.MultiIndex.from_tuples(
        [("Cmax", "copies/µg", "geometric mean (CV %)")], names=["label", "unit", "statistic"]
    )
    frame = pd.DataFrame({"1×10⁶ cells": ["6340 (152 %)"], "3×10⁶ cells": ["NC"]}, index=index)
    frame.columns.name = "dose_level"
    inputs = SimpleNamespace(trial=made.small_trial(), nca_summary={"transgene": frame})
    (table,) = _exposure._summary(inputs, "transgene", "cells")
    assert [c.heading for c in table.columns] == [
        "Parameter", "Statistic", "1×10⁶ cells", "3×10⁶ cells",
    ]  # fmt: skip
    assert list(table.rows[0].values()) == [
        "Cmax (copies/µg)", "geometric mean (CV %)", "6340 (152 %)", "NC",
    ]  # fmt: skip


def test_patients_without_a_solution_are_one_line() -> None:
    given = {"fit": {"unsolved": {"F01-001": 2, "F01-002": 1}}}
    assert _blocks.flat(given) == [("fit: unsolved", "3: F01-001 (2), F01-002 (1)")]
    assert _blocks.flat({"unsolved": {}}) == [("unsolved", "none")]
